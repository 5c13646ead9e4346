"""Accuracy against the evaluated length, for models trained at one length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from serialformer.figures.depth import draw_lines
from serialformer.figures.measures import MEASURES, Measure
from serialformer.figures.points import pool, select_lengths, trained_lengths
from serialformer.figures.style import GREY, SETTING_LINES, SETTING_ORDER, Axes, draw_whole_axis
from serialformer.sweeps.row import Row

SHIFT = 0.8


def draw_lengths(axes: Axes, rows: Sequence[Row], *, measure: Measure = MEASURES["paper"]) -> dict[str, Any]:
    """Accuracy against evaluated length, one line per setting, for one task, depth and trained lengths.

    A grey line stands at the trained length, a grey band at several.

    Args:
        axes: where.
        rows: of one task, depth and trained lengths; the evaluations of asked lengths are drawn, and the final one
            where the trained length was not asked for.
        measure: which share.

    Returns:
        What stands for each setting in a legend.
    """
    points = pool(select_lengths(rows), measure)
    settings = sorted({point.setting for point in points}, key=SETTING_ORDER.index)
    lines = {setting: [point for point in points if point.setting == setting] for setting in settings}
    handles = draw_lines(
        axes,
        lines,
        lambda point: point.evaluated_length,
        SETTING_LINES,
        intervals=measure.independent,
        shift=SHIFT,
    )
    for shortest, longest in sorted({trained_lengths(row) for row in rows}):
        if shortest == longest:
            axes.axvline(longest, color=GREY, linewidth=0.8, zorder=1)
        else:
            axes.axvspan(shortest, longest, color=GREY, alpha=0.25, linewidth=0, zorder=0)
    if points:
        draw_whole_axis(axes, [point.evaluated_length for point in points])
    return handles
