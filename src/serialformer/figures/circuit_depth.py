"""Accuracy by circuit depth for models of each depth: which circuits can a number of layers answer?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from serialformer.figures.sheet import Band, Panel
from serialformer.figures.style import Axes, Style, draw_share_axis, draw_whole_axis, line_style
from serialformer.sweeps.row import Row

BY_DEPTH = "circuits-by-depth"
"""The kind of experiment."""

CIRCUIT_DEPTH = "circuit_depth"
"""The variable of its rows."""

FEWEST_SAMPLES = 20
"""Of a depth that is drawn, in every seed."""

Shares = dict[int, list[float]]
"""By the depth of the circuit: a share for each seed."""


def circuit_depth_bands(rows: Sequence[Row]) -> list[Band]:
    """A band for each setting: accuracy against circuit depth, one panel per length and one line per model depth."""
    rows = [row for row in rows if CIRCUIT_DEPTH in row.variable and row.samples >= FEWEST_SAMPLES]
    groups: dict[str, dict[int, dict[int, Shares]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(dict)))
    for row in rows:
        shares = groups[row.setting][row.length][row.depth].setdefault(row.variable[CIRCUIT_DEPTH], [])
        shares.append(row.answers / row.samples)
    styles = {depth: line_style(place) for place, depth in enumerate(sorted({row.depth for row in rows}))}
    return [
        Band(
            heading=f"{setting}: answers, by the depth of the circuit",
            panels=[
                Panel(title=f"{length} gates", draw=_drawer(lines, styles)) for length, lines in sorted(lengths.items())
            ],
            across="depth of the circuit",
            upright="share right",
            labels=[f"{depth}" for depth in sorted({depth for lines in lengths.values() for depth in lines})],
            legend="layers",
            height=1.5,
        )
        for setting, lengths in groups.items()
    ]


def _drawer(lines: Mapping[int, Shares], styles: Mapping[int, Style]) -> Any:
    def draw(axes: Axes) -> Mapping[str, Any]:
        handles = {}
        for depth, shares in sorted(lines.items()):
            style, places = styles[depth], sorted(shares)
            for place in places:
                if len(shares[place]) > 1:
                    axes.plot([place] * len(shares[place]), shares[place], ".", color=style.colour, alpha=0.35, ms=2)
            (handles[f"{depth}"],) = axes.plot(
                places,
                [median(shares[place]) for place in places],
                color=style.colour,
                marker=style.marker,
                linestyle=style.dashes,
            )
        draw_share_axis(axes)
        draw_whole_axis(axes, [place for shares in lines.values() for place in shares])
        return handles

    return draw
