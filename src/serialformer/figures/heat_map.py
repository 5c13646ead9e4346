"""The heat map: accuracy by depth and length, one cell a configuration."""

from __future__ import annotations

from collections.abc import Sequence

from serialformer.figures.measures import MEASURES, Measure
from serialformer.figures.points import Point, pool, select_final
from serialformer.figures.style import SMALLEST_SIZE, Axes
from serialformer.sweeps.row import Row

COLOURS = "cividis"
"""Its lightness rises evenly, and it looks much the same to the colour-blind."""


def draw_heat_map(
    axes: Axes,
    rows: Sequence[Row],
    *,
    measure: Measure = MEASURES["paper"],
    depths: Sequence[int] | None = None,
    lengths: Sequence[int] | None = None,
) -> None:
    """Per cent right for one task and setting, by depth (across) and trained length (upwards), the median of the seeds.

    Args:
        axes: where.
        rows: of one task and setting; those that ended a training are drawn.
        measure: which share.
        depths: columns, so that panels agree; those of the rows if None.
        lengths: rows of cells, likewise.
    """
    import numpy as np

    points = pool(select_final(rows), measure)
    depths = list(depths or sorted({point.depth for point in points}))
    lengths = list(lengths or sorted({point.length for point in points}))
    shares = np.full((len(lengths), len(depths)), np.nan)
    for point in points:
        shares[lengths.index(point.length), depths.index(point.depth)] = point.share
    edges = [np.arange(count + 1) - 0.5 for count in (len(depths), len(lengths))]
    axes.set_facecolor("0.93")
    axes.pcolormesh(*edges, np.ma.masked_invalid(shares), cmap=COLOURS, vmin=0, vmax=1, edgecolors="white", linewidth=1)
    for point in points:
        place = (depths.index(point.depth), lengths.index(point.length))
        colour = "black" if point.share > 0.5 else "white"
        axes.text(*place, per_cent(point), ha="center", va="center", fontsize=SMALLEST_SIZE, color=colour)
    for row, column in zip(*np.nonzero(np.isnan(shares)), strict=True):
        axes.text(column, row, "–", ha="center", va="center", fontsize=SMALLEST_SIZE, color="0.5")
    axes.set_xticks(range(len(depths)), [str(depth) for depth in depths])
    axes.set_yticks(range(len(lengths)), [str(length) for length in lengths])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def per_cent(point: Point) -> str:
    """A share as a cell says it: 100 only if all were right, and 0 only if none was.

    >>> place = {"setting": "cot", "length": 8, "depth": 1, "evaluated_length": 8}
    >>> points = [Point(right=right, total=1000, seeds=((right, 1000),), **place) for right in (0, 1, 567, 999, 1000)]
    >>> [per_cent(point) for point in points]
    ['0', '1', '57', '99', '100']
    """
    if point.share in (0, 1):
        return f"{point.share:.0%}"[:-1]
    return str(min(99, max(1, round(100 * point.share))))
