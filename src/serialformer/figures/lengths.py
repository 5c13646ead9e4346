"""Accuracy against the evaluated length, of models that were trained at one: how far what was learnt carries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from serialformer.figures.depth import draw_shares
from serialformer.figures.measures import MEASURES, Measure
from serialformer.figures.points import pool, select_lengths
from serialformer.figures.style import GREY, SETTING_LINES, SETTING_ORDER, Axes, draw_share_axis
from serialformer.sweep.row import Row

SHIFT = 0.8


def draw_lengths(axes: Axes, rows: Sequence[Row], *, measure: Measure = MEASURES["paper"]) -> dict[str, Any]:
    """Accuracy against evaluated length, one line a setting, for one task, trained length and depth.

    A grey line stands at the trained length.

    Args:
        axes: where.
        rows: of one task, trained length and depth; the evaluations of asked lengths are drawn, and the final one where
            the trained length was not asked for.
        measure: which share.

    Returns:
        What stands for each setting in a legend.
    """
    points = pool(select_lengths(rows), measure)
    settings = sorted({point.setting for point in points}, key=SETTING_ORDER.index)
    handles = {}
    for place, setting in enumerate(settings):
        line = [point for point in points if point.setting == setting]
        handles[setting] = draw_shares(
            axes,
            [point.evaluated_length for point in line],
            line,
            SETTING_LINES[setting],
            intervals=measure.independent,
            shift=SHIFT * (place - (len(settings) - 1) / 2),
            label=setting,
        )
    for trained in sorted({point.length for point in points}):
        axes.axvline(trained, color=GREY, linewidth=0.8, zorder=1)
    draw_share_axis(axes)
    draw_whole_axis(axes)
    return handles


def draw_whole_axis(axes: Axes) -> None:
    """Ticks at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
