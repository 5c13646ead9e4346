"""The paper's panel: accuracy against depth, one line per length."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import nan
from typing import Any, TypeVar

from serialformer.figures.measures import MEASURES, Measure
from serialformer.figures.points import Point, pool, select_final
from serialformer.figures.style import GREY, Axes, Style, draw_doubling_axis, draw_share_axis, line_style, shifted
from serialformer.sweeps.row import Row

Key = TypeVar("Key", int, str)

SHIFT = 2.2
"""Points by which the lines of a panel are parted, so that marks and bars of equal values are seen."""


def draw_depth(
    axes: Axes, rows: Sequence[Row], *, measure: Measure = MEASURES["paper"], styles: Mapping[int, Style] | None = None
) -> dict[int, Any]:
    """Accuracy against depth for one task and setting.

    A marker is the median of the seeds, and a faint dot one of several; where there is one, its bar is Wilson's 95 %
    interval.

    Args:
        axes: where.
        rows: of one task and setting; those that ended a training are drawn.
        measure: which share.
        styles: of lengths, so that panels agree; in ascending order if None.

    Returns:
        What stands for each length in a legend.
    """
    points = pool(select_final(rows), measure)
    lengths = sorted({point.length for point in points})
    styles = styles or {length: line_style(place) for place, length in enumerate(lengths)}
    lines = {length: [point for point in points if point.length == length] for length in lengths}
    handles = draw_lines(axes, lines, lambda point: point.depth, styles, intervals=measure.independent)
    if points:
        draw_doubling_axis(axes, [point.depth for point in points])
    return handles


def draw_lines(
    axes: Axes,
    lines: Mapping[Key, Sequence[Point]],
    place_of: Callable[[Point], int],
    styles: Mapping[Key, Style],
    *,
    intervals: bool,
    shift: float = SHIFT,
) -> dict[Key, Any]:
    """Draws several lines of shares, shifted apart by a number of points; returns their legend handles."""
    handles = {}
    for number, (key, points) in enumerate(lines.items()):
        handles[key] = draw_shares(
            axes,
            [place_of(point) for point in points],
            points,
            styles[key],
            intervals=intervals,
            shift=shift * (number - (len(lines) - 1) / 2),
            label=f"{key}",
        )
    draw_share_axis(axes)
    return handles


def draw_shares(
    axes: Axes,
    places: Sequence[int],
    points: Sequence[Point],
    style: Style,
    *,
    intervals: bool = True,
    shift: float = 0.0,
    label: str = "",
    hollow: bool = False,
) -> Any:
    """A line through the shares of points, with intervals, and a faint dot for each of several seeds.

    Hollow markers have neither line nor dots.
    """
    shares = [point.share for point in points]
    transform = shifted(axes, shift)
    bars = None
    if intervals:
        low, high = zip(*(point.interval or (nan, nan) for point in points), strict=True)
        bars = [
            [max(share - end, 0.0) for share, end in zip(shares, low, strict=True)],
            [max(end - share, 0.0) for share, end in zip(shares, high, strict=True)],
        ]
    drawn = axes.errorbar(
        places,
        shares,
        yerr=bars,
        color=style.colour,
        marker=style.marker,
        linestyle="none" if hollow else style.dashes,
        markerfacecolor="white" if hollow else style.colour,
        markeredgecolor=style.colour if hollow else "white",
        markeredgewidth=0.7 if hollow else 0.4,
        elinewidth=0.7,
        capsize=1.3,
        capthick=0.6,
        label=label,
        transform=transform,
        clip_on=False,
        zorder=3,
    )
    seeds = [
        (place, right / total)
        for place, point in zip(places, points, strict=True)
        for right, total in point.seeds
        if len(point.seeds) > 1 and not hollow
    ]
    if seeds:
        across, upright = zip(*seeds, strict=True)
        axes.scatter(
            across,
            upright,
            s=4,
            color=style.colour,
            alpha=0.45,
            linewidths=0,
            transform=transform,
            clip_on=False,
            zorder=2,
        )
    return drawn


def draw_chance(axes: Axes, shares: Sequence[float], places: Sequence[int] = ()) -> None:
    """What always saying the most common answer would score: one share across the panel, or one at each place."""
    line: dict[str, Any] = {"color": GREY, "linewidth": 0.8, "linestyle": (0, (1, 2)), "zorder": 1}
    if places:
        axes.plot(places, shares, **line)
    else:
        axes.axhline(shares[0], **line)
