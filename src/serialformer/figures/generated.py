"""Teacher-forced and generated accuracy side by side: the paper's measure, and the model's own chains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from serialformer.figures.depth import SHIFT, draw_shares
from serialformer.figures.measures import MEASURES
from serialformer.figures.points import pool, select_final
from serialformer.figures.style import Axes, Style, draw_doubling_axis, draw_share_axis, line_style
from serialformer.sweeps.row import Row


def draw_generated(axes: Axes, rows: Sequence[Row], *, styles: Mapping[int, Style] | None = None) -> dict[int, Any]:
    """The paper's measure (full markers, a line) beside whole answers as generated (hollow markers, no line).

    Args:
        axes: where.
        rows: of one task and setting; those that ended a training are drawn.
        styles: of lengths, so that panels agree; in ascending order if None.

    Returns:
        What stands for each length in a legend.
    """
    final = select_final(rows)
    teacher_forced, generated = (pool(final, MEASURES[name]) for name in ("paper", "generated"))
    lengths = sorted({point.length for point in teacher_forced})
    styles = styles or {length: line_style(place) for place, length in enumerate(lengths)}
    handles: dict[int, Any] = {}
    for place, length in enumerate(lengths):
        # The hollow marker of a pair stands to the right of the full one, the pairs of a depth beside each other.
        shift = 1.5 * SHIFT * (place - (len(lengths) - 1) / 2)
        for points, hollow in ((teacher_forced, False), (generated, True)):
            line = [point for point in points if point.length == length]
            if line:
                depths = [point.depth for point in line]
                offset = shift + (0.8 * SHIFT if hollow else 0.0)
                drawn = draw_shares(axes, depths, line, styles[length], shift=offset, hollow=hollow, label=f"{length}")
                handles.setdefault(length, drawn)
    draw_share_axis(axes)
    if teacher_forced:
        draw_doubling_axis(axes, [point.depth for point in teacher_forced])
    return handles
