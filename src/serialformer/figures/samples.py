"""Samples to solve: how many samples a model took to reach its target, and which never did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, nan
from statistics import median
from typing import Any

from serialformer.figures.depth import SHIFT
from serialformer.figures.points import configuration, select_final
from serialformer.figures.style import Axes, Style, draw_doubling_axis, line_style, shifted, short_count
from serialformer.sweeps.row import Row


@dataclass(frozen=True, kw_only=True)
class Effort:
    """What one run took.

    Attributes:
        length: that it was trained at.
        depth: layers.
        samples: that it was trained on.
        solved: whether it reached its target; if not, it would have taken more.
    """

    length: int
    depth: int
    samples: int
    solved: bool


def count_samples(rows: Sequence[Row]) -> list[Effort]:
    """What each run with a target took; those without one have nothing to reach and are left out."""
    efforts = [
        Effort(length=row.length, depth=row.depth, samples=row.steps * row.batch_size, solved=row.reached_target)
        for row in select_final(rows)
        if dict(configuration(row)).get("evaluation.target") != "null"
    ]
    return sorted(efforts, key=lambda effort: (effort.length, effort.depth, effort.samples))


def median_samples(efforts: Sequence[Effort]) -> float:
    """The median of runs, of which those that did not solve it took longer than any; infinite if it is one of them.

    >>> runs = [Effort(length=8, depth=1, samples=samples, solved=samples < 900) for samples in (100, 300, 900)]
    >>> median_samples(runs), median_samples(runs[1:])
    (300.0, inf)
    """
    return float(median([effort.samples if effort.solved else inf for effort in efforts]))


def draw_samples(axes: Axes, rows: Sequence[Row], *, styles: Mapping[int, Style] | None = None) -> dict[int, Any]:
    """Samples of training against depth, one line per length, for one task and setting.

    A full marker is a run that reached its target; the line goes through the medians. A hollow one is a run that ended
    without reaching it, and would stand higher had it gone on.

    Args:
        axes: where.
        rows: of one task and setting.
        styles: of lengths, so that panels agree; in ascending order if None.

    Returns:
        What stands for each length in a legend.
    """
    from matplotlib.lines import Line2D

    efforts = count_samples(rows)
    lengths = sorted({effort.length for effort in efforts})
    styles = styles or {length: line_style(place) for place, length in enumerate(lengths)}
    handles = {}
    for place, length in enumerate(lengths):
        style, line = styles[length], [effort for effort in efforts if effort.length == length]
        transform = shifted(axes, SHIFT * (place - (len(lengths) - 1) / 2))
        for solved in (True, False):
            some = [effort for effort in line if effort.solved == solved]
            if some:
                axes.plot(
                    [effort.depth for effort in some],
                    [effort.samples for effort in some],
                    linestyle="none",
                    marker=style.marker,
                    markerfacecolor=style.colour if solved else "white",
                    markeredgecolor="white" if solved else style.colour,
                    markeredgewidth=0.4 if solved else 0.7,
                    transform=transform,
                    clip_on=False,
                    zorder=3,
                )
        depths = sorted({effort.depth for effort in line})
        medians = [median_samples([effort for effort in line if effort.depth == depth]) for depth in depths]
        drawn = [samples if samples < inf else nan for samples in medians]
        look = {"color": style.colour, "linestyle": style.dashes}
        if min(medians) < inf:
            axes.plot(depths, drawn, transform=transform, zorder=2, **look)
        handles[length] = Line2D([], [], marker=style.marker, markeredgecolor="white", markeredgewidth=0.4, **look)
    if efforts:
        draw_doubling_axis(axes, [effort.depth for effort in efforts])
        draw_count_axis(axes, [effort.samples for effort in efforts])
    return handles


def draw_count_axis(axes: Axes, values: Sequence[int]) -> None:
    """An upright logarithmic axis that holds some counts, with a few of 1, 2, 5, 10, ... written."""
    low, high = max(1, min(values)) / 1.5, max(values) * 1.5
    axes.set_yscale("log")
    axes.minorticks_off()
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = [step * 10**power for power in range(12) for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= 5:
            break
    axes.set_yticks(ticks, [short_count(tick) for tick in ticks])
    axes.set_ylim(low, high)
