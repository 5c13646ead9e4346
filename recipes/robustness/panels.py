"""Counts to a figure: one panel an ablation, the shares of checkpoints that are certified and that are right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from summary import read_counts

PANELS = (
    ("noise", "all", "noise on all weights", "standard deviation"),
    ("noise", "position_embedding", "noise on the position embedding", "standard deviation"),
    ("bit_flips", "all", "flipped bits, all weights", "flipped bits"),
    ("integers_per_tensor", "all", "integers, a scale a tensor", "bits"),
    ("integers_per_channel", "all", "integers, a scale a channel", "bits"),
    ("integers_per_channel_power_of_two", "all", "the same, scales powers of two", "bits"),
    ("attention_gap", "queries", "attention gap", "least gap of scores"),
    ("answer", "mlp_output", "feed-forward output, scaled", "factor"),
)

COLOURS = {"float32": "#0072B2", "bfloat16": "#D55E00"}


def plot(table: Path, path: Path) -> None:
    """Draws the small circuits' counts, damage growing to the right, for one column of a page."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    counts = read_counts(table)
    figure, grid = plt.subplots(4, 2, figsize=(3.5, 6.2), sharey=True, layout="constrained")
    for axes, (ablation, weights, title, label) in zip(grid.flat, PANELS, strict=True):
        for dtype, colour in COLOURS.items():
            levels = counts.levels(ablation, weights, dtype)
            for kind in ("certified", "right"):
                shares = [100 * getattr(level, kind) / level.checkpoints for level in levels.values()]
                _draw(axes, list(levels), shares, kind, dtype, colour)
        _scale(axes, ablation, [float(level) for level in counts.levels(ablation, weights, "float32")])
        axes.set_title(title, fontsize=6.5, pad=3)
        axes.set_xlabel(label, fontsize=6.5, labelpad=1)
        axes.set_ylim(-5, 105)
        axes.set_yticks([0, 50, 100])
        axes.tick_params(labelsize=6, length=2, pad=1.5)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel("% of checkpoints", fontsize=6.5, labelpad=1)
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, fontsize=6.5, frameon=False, handlelength=2.6)
    figure.savefig(path, dpi=200)
    plt.close(figure)


def _draw(axes: Any, levels: list[str], shares: list[float], kind: str, dtype: str, colour: str) -> None:
    is_certified = kind == "certified"
    axes.plot(
        [float(level) for level in levels], shares,
        color=colour, linewidth=1.1, linestyle="-" if is_certified else (0, (3, 1.5)),
        marker="o" if dtype == "float32" else "s", markersize=2.6, markeredgewidth=0.7,
        markerfacecolor=colour if is_certified else "white",
        label=f"{'certified' if is_certified else 'every token right'}, {dtype}",
        clip_on=False, zorder=3 if dtype == "float32" else 2,
    )  # fmt: skip


def _scale(axes: Any, ablation: str, levels: list[float]) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    if ablation in ("noise", "bit_flips", "attention_gap"):
        axes.set_xscale("log", base=2)
    ticks = {
        "noise": [2.0**-16, 2.0**-12, 2.0**-8, 2.0**-4, 2.0**-1],
        "bit_flips": [1, 8, 64, 512],
        "attention_gap": [64, 32, 16, 8, 4, 2, 1],
        "answer": [1, 0.75, 0.5, 0.25],
    }.get(ablation, levels)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    if ablation != "noise":
        axes.xaxis.set_major_formatter(FuncFormatter(lambda level, _: f"{level:g}"))
    if levels[0] > levels[-1]:
        axes.invert_xaxis()
