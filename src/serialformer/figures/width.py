"""How wide a compiled model is, against the length of its chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from serialformer.figures.style import Axes, line_style, short_count

Curve = Sequence[tuple[int, int | float]]
"""Pairs of a number of tokens and a width."""


def draw_width(
    axes: Axes, measured: Mapping[str, Curve], formulas: Mapping[str, Curve] | None = None
) -> dict[str, Any]:
    """Width against number of tokens, on a scale of powers of ten.

    Args:
        axes: where.
        measured: of models, drawn as markers, by name.
        formulas: what to compare them with, drawn as lines.

    Returns:
        What stands for each in a legend.
    """
    handles, formulas = {}, formulas or {}
    for place, (name, curve) in enumerate([*measured.items(), *formulas.items()]):
        style = line_style(place)
        tokens, widths = zip(*sorted(curve), strict=True)
        if name in measured:
            marks: dict[str, Any] = {"marker": style.marker, "linestyle": "none", "zorder": 3}
        else:
            marks = {"linestyle": style.dashes, "zorder": 2}
        (handles[name],) = axes.plot(tokens, widths, color=style.colour, label=name, **marks)
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.xaxis.set_major_formatter(lambda tokens, place: short_count(round(tokens)))
    axes.set_ylim(0, None)
    return handles
