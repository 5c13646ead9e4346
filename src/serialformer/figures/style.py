"""How figures look: one column wide, safe for the colour-blind, text of 6 to 8 points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Axes
else:
    Axes = Any

COLUMN_WIDTH = 3.4
"""Inches; of a column of a page of two."""

TEXT_SIZE, SMALL_SIZE, SMALLEST_SIZE = 8.0, 7.0, 6.5
"""Points; titles and names of axes, ticks and legends, notes."""

BLUE, VERMILION, GREEN, ORANGE, SKY, PURPLE = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7"
BLACK, GREY = "#000000", "#8C8C8C"
"""Okabe and Ito's palette but for its yellow, too light for lines on white, and a grey for what is said aside."""


@dataclass(frozen=True, kw_only=True)
class Style:
    """A line style: colour, dashes and marker all differ, so that lines can be distinguished without colour."""

    colour: str
    marker: str
    dashes: Any


LINES = (
    Style(colour=BLUE, marker="o", dashes="-"),
    Style(colour=VERMILION, marker="s", dashes=(0, (5, 1.5))),
    Style(colour=GREEN, marker="^", dashes=(0, (1.2, 1.2))),
    Style(colour=BLACK, marker="D", dashes=(0, (5, 1.2, 1.2, 1.2))),
    Style(colour=ORANGE, marker="v", dashes=(0, (8, 1.5))),
    Style(colour=PURPLE, marker="P", dashes=(0, (3, 1, 1, 1, 1, 1))),
    Style(colour=SKY, marker="X", dashes=(0, (2.5, 1))),
)
"""For what has no meaning of its own, in this order."""

SETTING_LINES = {
    "base": LINES[0],
    "hint": LINES[1],
    "cot": LINES[3],
    "aligned": LINES[2],
    "filler": LINES[4],
}
"""The same colour for a setting in every figure."""

SETTING_ORDER = ("base", "filler", "hint", "aligned", "cot")
"""From left to right."""

PARAMETERS: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": SMALL_SIZE,
    "axes.titlesize": SMALL_SIZE,
    "axes.labelsize": SMALL_SIZE,
    "figure.titlesize": TEXT_SIZE,
    "xtick.labelsize": SMALL_SIZE,
    "ytick.labelsize": SMALL_SIZE,
    "legend.fontsize": SMALL_SIZE,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.2,
    "legend.frameon": False,
    "figure.dpi": 100,
    "savefig.dpi": 300,
    # A task's parameters may hold a dollar sign, which is no formula.
    "text.parse_math": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "serialformer",
    "pdf.fonttype": 42,
}
"""Of matplotlib, while a figure is made and written."""


def line_style(index: int) -> Style:
    """The style of the n-th of several lines; colours and dashes go round at different paces, so 42 lines differ."""
    turn, place = divmod(index, len(LINES))
    dashes = LINES[(place + turn) % len(LINES)].dashes
    return Style(colour=LINES[place].colour, marker=LINES[(place + turn) % len(LINES)].marker, dashes=dashes)


def draw_share_axis(axes: Axes) -> None:
    """The upright axis of a share from 0 to 1."""
    axes.set_ylim(-0.04, 1.06)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "", ".5", "", "1"])


def draw_doubling_axis(axes: Axes, values: Sequence[int], most: int = 6) -> None:
    """A horizontal axis of whole numbers on a scale of powers of two, with a maximum number of labels."""
    axes.set_xscale("log", base=2)
    axes.minorticks_off()
    found = sorted(set(values))
    written = set(_spread(found, most))
    axes.set_xticks(found, [f"{value:,}" if value in written else "" for value in found])
    axes.set_xlim(found[0] / 1.35, found[-1] * 1.35)


def draw_whole_axis(axes: Axes, values: Sequence[int]) -> None:
    """A horizontal axis with a few whole numbers written."""
    from matplotlib.ticker import MaxNLocator

    low, high = min(values), max(values)
    ticks = [round(tick) for tick in MaxNLocator(nbins=4, integer=True).tick_values(low, high)]
    axes.set_xticks([tick for tick in dict.fromkeys(ticks) if low <= tick <= high])
    margin = 0.04 * (high - low) + 0.1
    axes.set_xlim(low - margin, high + margin)


def _spread(values: Sequence[int], most: int) -> list[int]:
    """At most ``count`` of ascending numbers, including the first and the last, about evenly spaced in ratio."""
    if len(values) <= most:
        return list(values)
    ratio = (values[-1] / values[0]) ** (1 / (most - 1))
    chosen = [values[0]]
    for value in values[1:-1]:
        if value >= chosen[-1] * ratio and values[-1] >= value * ratio**0.7:
            chosen.append(value)
    return [*chosen, values[-1]]


def shifted(axes: Axes, points: float) -> Any:
    """The axes' coordinates shifted a number of points to the right: markers separate without changing the data."""
    from matplotlib.transforms import ScaledTranslation

    return axes.transData + ScaledTranslation(points / 72, 0, axes.figure.dpi_scale_trans)


def short_count(count: int) -> str:
    """A round number in few letters.

    >>> [short_count(count) for count in (500, 2000, 1_000_000)]
    ['500', '2k', '1M']
    """
    for size, letter in ((1_000_000_000, "G"), (1_000_000, "M"), (1000, "k")):
        if count >= size:
            return f"{count / size:g}{letter}"
    return str(count)
