"""Numbers against a size, on a scale of ratios: markers for what was measured, lines for formulas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from serialformer.figures.style import Axes, draw_doubling_axis, line_style, short_count

Curve = Sequence[tuple[int, int | float]]
"""Pairs of a size and a number."""


def draw_curves(
    axes: Axes,
    measured: Mapping[str, Curve],
    formulas: Mapping[str, Curve] | None = None,
    *,
    base: Literal[2, 10] = 10,
    joined: bool = False,
    upright: Literal["linear", "log"] = "linear",
) -> dict[str, Any]:
    """Numbers against a size on a scale of powers of 2 or 10, the upright axis from 0 or of powers of 10 as well.

    Args:
        axes: where.
        measured: drawn as markers, by name.
        formulas: what to compare them with, drawn as lines.
        base: of the scale.
        joined: whether lines go through the markers.
        upright: the scale of the upright axis.

    Returns:
        What stands for each in a legend.
    """
    handles, formulas = {}, formulas or {}
    for place, (name, curve) in enumerate([*measured.items(), *formulas.items()]):
        style = line_style(place)
        sizes, numbers = zip(*sorted(curve), strict=True)
        marks: dict[str, Any] = {"linestyle": style.dashes, "zorder": 2}
        if name in measured:
            marks = {"marker": style.marker, "linestyle": style.dashes if joined else "none", "zorder": 3}
        (handles[name],) = axes.plot(sizes, numbers, color=style.colour, label=name, **marks)
    if base == 2:
        draw_doubling_axis(axes, [size for curve in measured.values() for size, _ in curve])
    else:
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.xaxis.set_major_formatter(lambda size, place: short_count(round(size)))
    if upright == "log":
        axes.set_yscale("log")
        axes.minorticks_off()
        axes.yaxis.set_major_formatter(
            lambda number, place: short_count(round(number)) if number >= 1 else f"{number:g}"
        )
    else:
        axes.set_ylim(0, None)
    return handles
