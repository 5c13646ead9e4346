"""The figure: accuracy and attention over CPU seconds, a row a task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

TITLES = {
    "modular-addition": "16 residues modulo 7",
    "s5-token": "16 permutations, a token each",
    "s5-brackets": "16 permutations, in brackets",
    "squaring-100": "8 squarings, primes below 100",
    "squaring-1000": "8 squarings, primes below 1000",
    "circuit-value-8": "circuits of 8 gates",
    "circuit-value-16": "circuits of 16 gates",
    "parity": "parity of 16 bits",
}
STYLES = {
    "cot": ("chain of thought: whole chains", "#000000", "-"),
    "hint": ("hint: answers", "#D55E00", "--"),
    "base": ("base: answers", "#0072B2", "-"),
}
FINE_TUNED = (("#009E73", 4.0), ("#E69F00", 2.2), ("#CC79A7", 1.0))
"""Colour and width of lines that lie on each other."""


def plot(learnt: Sequence[dict[str, Any]], watched: Sequence[dict[str, Any]], path: Path) -> None:
    """First what the three settings come to in the same time, a panel a task; then, a panel a task, the share of
    attention that goes where the construction reads, with the accuracy of the same run."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels: list[tuple[Callable[..., None], list[dict[str, Any]], str]] = []
    for case in dict.fromkeys(row["case"] for row in learnt):
        rows = [row for row in learnt if row["case"] == case]
        if len({row["setting"] for row in rows}) > 1:
            panels.append((_draw_accuracy, rows, TITLES[case]))
    for case in dict.fromkeys(row["case"] for row in watched):
        rows = [row for row in watched if row["case"] == case]
        panels.append((_draw_attention, rows, f"{TITLES[case]}: where it looks"))
    height = -(-len(panels) // 2)
    figure, grid = plt.subplots(height, 2, figsize=(7.2, 2.6 * height), layout="constrained", squeeze=False)
    for axes in grid.ravel()[len(panels) :]:
        axes.axis("off")
    described: dict[str, Any] = {}
    for axes, (draw, rows, title) in zip(grid.ravel(), panels, strict=False):
        draw(axes, rows)
        axes.set_title(title, fontsize=9, loc="left")
        axes.set_ylim(-0.03, 1.05)
        axes.set_xlim(0, None)
        axes.set_xlabel("CPU seconds", fontsize=8)
        axes.set_ylabel("share of samples right" if draw is _draw_accuracy else "share of attention", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
        handles, labels = axes.get_legend_handles_labels()
        described |= dict(zip(labels, handles, strict=True))
    figure.legend(described.values(), described.keys(), fontsize=7, frameon=False, ncols=2, loc="outside lower center")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _draw_accuracy(axes: Any, rows: Sequence[dict[str, Any]]) -> None:
    shown = set()
    for row in rows:
        label, colour, dashes = STYLES[row["setting"]]
        measure = "chain_accuracy" if row["setting"] == "cot" else "answer_accuracy"
        seconds = [look["cpu_seconds"] for look in row["curve"]]
        values = [look[measure] for look in row["curve"]]
        axes.plot(seconds, values, dashes, color=colour, linewidth=1.1, label=None if label in shown else label)
        shown.add(label)
    chance = rows[0]["most_common_answer"]
    axes.axhline(chance, color="0.6", linewidth=0.8, linestyle=":", label="the most common answer, always")


def _draw_attention(axes: Any, rows: Sequence[dict[str, Any]]) -> None:
    starts = list(dict.fromkeys(row["start"] for row in rows if row["start"] != "random"))
    shown = set()
    for row in rows:
        seconds = [look["cpu_seconds"] for look in row["curve"]]
        if row["start"] == "random":
            label, colour, width = "attention of cot, from random weights", "#000000", 1.6
            whole = [look["chain_accuracy"] for look in row["curve"]]
            axes.plot(seconds, whole, color="0.65", linewidth=0.8, label=None if shown else "whole chains of that run")
        else:
            label = f"attention, from the {row['start']}"
            colour, width = FINE_TUNED[starts.index(row["start"])]
        shares = [look["pointer_share"] for look in row["curve"]]
        axes.plot(seconds, shares, color=colour, linewidth=width, label=None if label in shown else label)
        shown.add(label)
