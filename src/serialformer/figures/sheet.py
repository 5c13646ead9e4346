"""Sheet: a figure of bands of panels, one band per task, with a note below; and how it becomes a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serialformer.errors import FigureError
from serialformer.figures.style import COLUMN_WIDTH, PARAMETERS, SMALL_SIZE, SMALLEST_SIZE, TEXT_SIZE
from serialformer.figures.text import text_width, wrap_text
from serialformer.files import new_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Figure
else:
    Figure = Any

SUFFIXES = (".png", ".svg", ".pdf")

MAX_BANDS = 16
MAX_HEADING_LINES = 3
PANEL_HEIGHT = 1.05
HEADING_LINE_HEIGHT, TITLE_HEIGHT, TITLE_LINE_HEIGHT = 0.145, 0.16, 0.115
TICKS_HEIGHT, AXIS_NAME_HEIGHT = 0.17, 0.14
LEGEND_GAP, LEGEND_LINE_HEIGHT, NOTE_LINE_HEIGHT, SPACE = 0.06, 0.14, 0.112, 0.07
"""Inches of height."""

LEFT, RIGHT, GAP, EDGE, TOP = 0.47, 0.07, 0.13, 0.05, 0.04
"""Inches beside the panels, between two of them, and beside and above text."""

POINTS = 0.97 * 72
"""Of an inch that text may fill: at a low resolution letters are set on whole pixels, and take a little more."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One pair of axes.

    Attributes:
        title: above it.
        draw: draws into the axes, and returns what is to stand in the band's legend, by label.
        column: where it stands, from 0; after the panel before it if None.
    """

    title: str
    draw: Callable[[Any], Mapping[str, Any]]
    column: int | None = None


@dataclass(frozen=True, kw_only=True)
class Band:
    """A row of panels that share their upright axis.

    Attributes:
        heading: above them.
        panels: from left to right.
        across: what the horizontal axis counts.
        upright: what the upright axis shows.
        labels: of the legend, in order; no legend if there are none.
        legend: what comes before them.
        height: of its panels without ticks, in inches.
        below: what its ticks take below the panels, in inches, beside a line of text.
    """

    heading: str
    panels: Sequence[Panel]
    across: str
    upright: str
    labels: Sequence[str] = ()
    legend: str = ""
    height: float = PANEL_HEIGHT
    below: float = 0.0


@contextmanager
def styled() -> Iterator[None]:
    """Matplotlib as the figures want it, and as it was before afterwards.

    Raises:
        FigureError: it is not installed.
    """
    try:
        matplotlib = import_module("matplotlib")
    except ImportError:
        raise FigureError("figures need matplotlib", hint="pip install 'serialformer[plot]'") from None
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(PARAMETERS)
        yield


def make_sheet(bands: Sequence[Band], note: Sequence[str] = ()) -> Figure:
    """A figure of bands, one below the other, and a note of several sentences at its foot.

    It is one column of a page wide for up to three panels a band, and as much wider as more of them need. Places are
    worked out here in inches, so that panels of all bands stand under each other. To be called in ``styled()``, as is
    writing the figure.

    Raises:
        FigureError: there is nothing to draw, or more than a page holds.
    """
    if not bands:
        raise FigureError("there is nothing to draw", where="figure")
    if len(bands) > MAX_BANDS:
        raise FigureError(
            f"{len(bands)} rows of panels, over {MAX_BANDS}", where="figure", hint="--task NAME draws some of them"
        )
    from matplotlib.figure import Figure

    num_columns = max(1 + max(_columns(band)) for band in bands)
    three = (COLUMN_WIDTH - LEFT - RIGHT - 2 * GAP) / 3
    width = COLUMN_WIDTH if num_columns <= 3 else LEFT + RIGHT + num_columns * (three + GAP) - GAP
    lines = wrap_text(" ".join(note), POINTS * (width - 2 * EDGE), SMALLEST_SIZE)
    across = _panel_width(width, num_columns)
    bands = [replace(band, panels=[_wrap_title(panel, across) for panel in band.panels]) for band in bands]
    heights = [_height(band, width, last=place == len(bands) - 1) for place, band in enumerate(bands)]
    height = TOP + sum(heights) + NOTE_LINE_HEIGHT * len(lines) + EDGE
    figure = Figure(figsize=(width, height))
    top = height - TOP
    for place, band in enumerate(bands):
        _draw_band(figure, band, num_columns, top, last=place == len(bands) - 1)
        top -= heights[place]
    figure.text(EDGE / width, top / height, "\n".join(lines), fontsize=SMALLEST_SIZE, va="top", linespacing=1.15)
    return figure


def _panel_width(width: float, num_columns: int) -> float:
    return (width - LEFT - RIGHT + GAP) / num_columns - GAP


def _wrap_title(panel: Panel, width: float) -> Panel:
    """A title may be a little wider than its panel, not so wide that it meets the next."""
    lines = [line for part in panel.title.splitlines() for line in wrap_text(part, POINTS * (width + GAP), SMALL_SIZE)]
    return replace(panel, title="\n".join(lines))


def _columns(band: Band) -> list[int]:
    return [place if panel.column is None else panel.column for place, panel in enumerate(band.panels)]


def _height(band: Band, width: float, *, last: bool) -> float:
    """Inches that a band takes, from its heading to the space below its legend."""
    return (
        _height_above(band, width) + band.height + _height_below(band, last=last) + _legend_height(band, width) + SPACE
    )


def _height_above(band: Band, width: float) -> float:
    heading = HEADING_LINE_HEIGHT * len(_wrap_heading(band.heading, width))
    num_lines = max(len(panel.title.splitlines()) for panel in band.panels)
    return heading + (TITLE_HEIGHT + TITLE_LINE_HEIGHT * (num_lines - 1) if num_lines else 0.0)


def _height_below(band: Band, *, last: bool) -> float:
    """Of ticks, and the name of the axis below the last band."""
    return TICKS_HEIGHT + band.below + (AXIS_NAME_HEIGHT if last and band.across else 0.0)


def _legend_height(band: Band, width: float) -> float:
    if not band.labels:
        return 0.0
    return LEGEND_GAP + LEGEND_LINE_HEIGHT * legend_lines(band.legend, band.labels, width)


def _wrap_heading(heading: str, width: float) -> list[str]:
    """At most MAX_HEADING_LINES."""
    lines = wrap_text(heading, POINTS * (width - 2 * EDGE) / 1.12, TEXT_SIZE)  # bold is so much wider
    kept = lines[:MAX_HEADING_LINES]
    return lines if kept == lines else [*kept[:-1], f"{kept[-1][:-1].rstrip()}…"]


def _draw_band(figure: Figure, band: Band, num_columns: int, top: float, *, last: bool) -> None:
    """A band whose heading starts at a given height in inches above the figure's foot."""
    width, height = figure.get_size_inches()
    heading = "\n".join(_wrap_heading(band.heading, width))
    figure.text(EDGE / width, top / height, heading, fontsize=TEXT_SIZE, fontweight="bold", va="top", linespacing=1.15)
    across = _panel_width(width, num_columns)
    foot = top - _height_above(band, width) - band.height
    first, handles = None, dict[str, Any]()
    for column, panel in zip(_columns(band), band.panels, strict=True):
        left = LEFT + column * (across + GAP)
        box = (left / width, foot / height, across / width, band.height / height)
        axes = figure.add_axes(box, sharey=first)
        handles |= panel.draw(axes)
        axes.set_title(panel.title, pad=3)
        if last:
            axes.set_xlabel(band.across, labelpad=2)
        if first is None:
            first = axes
            axes.set_ylabel(band.upright)
            axes.yaxis.set_label_coords((0.12 - LEFT) / across, 0.5)
        else:
            axes.tick_params(labelleft=False)
    shown = [label for label in band.labels if label in handles]
    if shown:
        place = (0.5, (foot - _height_below(band, last=last) - LEGEND_GAP) / height)
        _add_legend(figure, band, [handles[label] for label in shown], shown, place)


def _add_legend(figure: Figure, band: Band, handles: list[Any], labels: list[str], place: tuple[float, float]) -> None:
    """A legend whose upper edge has its middle at a place of the figure."""
    from matplotlib.lines import Line2D

    num_lines = legend_lines(band.legend, band.labels, figure.get_figwidth())
    columns = len(labels)
    if num_lines > 1:
        columns = -(-len(labels) // (num_lines - bool(band.legend)))
    elif band.legend:
        # What the labels are stands before them, as one of them without a line.
        handles, labels = [Line2D([], [], linestyle="none"), *handles], [f"{band.legend}:", *labels]
        columns += 1
    figure.legend(
        handles,
        labels,
        title=band.legend if num_lines > 1 else None,
        loc="upper center",
        bbox_to_anchor=place,
        ncols=columns,
        handlelength=2.2,
        handletextpad=0.4,
        columnspacing=1.0,
        borderpad=0.1,
        borderaxespad=0.0,
        labelspacing=0.25,
    )


def legend_lines(title: str, labels: Sequence[str], width: float) -> int:
    """The number of lines of a legend for a width in inches, with its title before the labels or above them."""
    room, mark = POINTS * (width - 2 * EDGE), 3.6 * SMALL_SIZE
    sizes = [text_width(label, SMALL_SIZE) + mark for label in labels]
    if sum(sizes) + (text_width(title, SMALL_SIZE) + mark if title else 0.0) <= room:
        return 1
    columns = max(1, int(room / max(sizes)))
    return -(-len(labels) // columns) + bool(title)


def check_suffix(path: str | Path) -> None:
    """Refuses a file that is none of the formats of a figure.

    Raises:
        FigureError: says which there are.
    """
    suffix = Path(path).suffix
    if suffix.lower() not in SUFFIXES:
        raise FigureError(
            f"expected a name that ends in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}, found {suffix or 'no ending'}",
            where=str(path),
        )


def write_figure(figure: Figure, path: str | Path) -> None:
    """Writes a figure as its suffix says, whole or not at all; the same figure gives the same bytes.

    Raises:
        FigureError: another suffix.
        SerialformerError: it cannot be written.
    """
    check_suffix(path)
    kind = Path(path).suffix.lower()[1:]
    metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    with new_file(path) as file:
        figure.savefig(file, format=kind, metadata=metadata)
