"""The figure: accuracy and attention over CPU seconds, a row a task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

TITLES = {
    "modular-addition": "16 residues modulo 7",
    "s5-token": "16 permutations of five, one token each",
    "s5-brackets": "16 permutations of five, in brackets",
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
FINE_TUNED = (("#009E73", "-"), ("#CC79A7", "--"), ("#E69F00", "-."))


def plot(learnt: Sequence[dict[str, Any]], watched: Sequence[dict[str, Any]], path: Path) -> None:
    """Left, what the three settings come to in the same time; right, the share of attention that goes where the
    construction reads, and beside it the accuracy of the same run."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    cases = [case for case in dict.fromkeys(row["case"] for row in learnt) if any(r["case"] == case for r in watched)]
    figure, grid = plt.subplots(len(cases), 2, figsize=(7.2, 2.5 * len(cases)), layout="constrained", squeeze=False)
    for (left, right), case in zip(grid, cases, strict=True):
        _draw_accuracy(left, [row for row in learnt if row["case"] == case])
        _draw_attention(right, [row for row in watched if row["case"] == case])
        left.set_title(TITLES[case], fontsize=9, loc="left")
        right.set_title("attention to what the construction reads", fontsize=9, loc="left")
        for axes in (left, right):
            axes.set_ylim(-0.03, 1.05)
            axes.set_xlim(0, None)
            axes.set_xlabel("CPU seconds", fontsize=8)
            axes.tick_params(labelsize=7)
            axes.spines[["top", "right"]].set_visible(False)
        left.set_ylabel("share of samples right", fontsize=8)
        right.set_ylabel("share", fontsize=8)
    for axes in grid[0]:
        axes.legend(fontsize=6.5, frameon=False, loc="center right")
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
        if row["start"] == "random":
            label, colour, dashes = "from random weights", "#000000", "-"
            seconds = [look["cpu_seconds"] for look in row["curve"]]
            whole = [look["chain_accuracy"] for look in row["curve"]]
            axes.plot(seconds, whole, color="0.7", linewidth=0.8, label=None if shown else "its whole chains right")
        else:
            colour, dashes = FINE_TUNED[starts.index(row["start"])]
            label = f"from the {row['start']}"
        looks = [(look["cpu_seconds"], look["pointer_share"]) for look in row["curve"]]
        axes.plot(
            *zip(*looks, strict=True), dashes, color=colour, linewidth=1.1, label=None if label in shown else label
        )
        shown.add(label)
