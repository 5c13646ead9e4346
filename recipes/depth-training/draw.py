"""Draws accuracy before and after training against the noise: `python draw.py ROWS.csv FIGURE.png`."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot

from serialformer.sweeps.row import Row
from serialformer.sweeps.store import read_rows


def draw(rows: list[Row], path: Path) -> None:
    """A panel for each task: the start, and after training with each learning rate."""
    tasks = list(dict.fromkeys(row.task for row in rows))
    figure, panels = pyplot.subplots(1, len(tasks), figsize=(3 * len(tasks), 2.7), sharey=True, layout="constrained")
    for axes, task in zip(panels, tasks, strict=True):
        mine = sorted((row for row in rows if row.task == task), key=lambda row: row.variable["noise"])
        noises = sorted({row.variable["noise"] for row in mine})
        rates = sorted({row.variable["learning_rate"] for row in mine})
        first = [row for row in mine if row.variable["learning_rate"] == rates[0]]
        before = [row.measure["before"] for row in first]
        axes.plot(range(len(noises)), before, "k--", marker="o", ms=3, label="the start")
        for number, rate in enumerate(rates):
            chosen = [row for row in mine if row.variable["learning_rate"] == rate]
            shares = [row.generated_answers / row.generated_samples for row in chosen]
            axes.plot(range(len(noises)), shares, f"C{number}", marker="s^"[number], ms=4, label=f"trained at {rate:g}")
        axes.set_xticks(range(len(noises)), ["0", *(f"1/{round(1 / noise)}" for noise in noises[1:])])
        axes.set(title=task, xlabel="noise on every weight", ylim=(-0.03, 1.03))
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("answers right")
    panels[0].legend(fontsize=7, frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"error: expected the rows and the figure, found {sys.argv[1:]}")
    draw(read_rows(Path(sys.argv[1])), Path(sys.argv[2]))
