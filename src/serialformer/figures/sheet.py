"""Sheet: a figure of bands of panels, one band a task, with a note below; and how it becomes a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serialformer.errors import FigureError
from serialformer.figures.style import COLUMN_WIDTH, PARAMETERS, SMALLEST_SIZE, TEXT_SIZE
from serialformer.files import new_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Figure
else:
    Figure = Any

SUFFIXES = (".png", ".svg", ".pdf")

MAX_BANDS = 16
PANEL_HEIGHT, LINE_HEIGHT = 1.3, 0.125
"""Inches; of a panel with its ticks, and of a line of small text."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One pair of axes.

    Attributes:
        title: above it.
        draw: draws into the axes, and returns what is to stand in the band's legend, by label.
    """

    title: str
    draw: Callable[[Any], Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Band:
    """A row of panels that share their upright axis.

    Attributes:
        heading: above them.
        panels: from left to right.
        across: what the horizontal axis counts.
        upright: what the upright axis shows.
        legend: what comes before the labels of the legend.
        height: of its panels, in inches.
    """

    heading: str
    panels: Sequence[Panel]
    across: str
    upright: str
    legend: str = ""
    height: float = PANEL_HEIGHT
    share_upright: bool = field(default=True)


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

    It is one column of a page wide for up to three panels a band, and as much wider as more of them need. To be called
    in ``styled()``, as is writing the figure.

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
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    num_columns = max(len(band.panels) for band in bands)
    width = COLUMN_WIDTH * max(1.0, num_columns / 3)
    lines = wrap_text(" ".join(note), (width - 0.12) * 72, SMALLEST_SIZE)
    foot = LINE_HEIGHT * 0.9 * len(lines) + 0.06
    heights = [_height(band, last=place == len(bands) - 1) for place, band in enumerate(bands)]
    engine = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.03, wspace=0.02, hspace=0.02)
    figure = Figure(figsize=(width, sum(heights) + foot), layout=engine)
    parts = figure.subfigures(len(bands) + 1, 1, height_ratios=[*heights, foot], squeeze=False).ravel()
    for place, (band, part) in enumerate(zip(bands, parts, strict=False)):
        _draw_band(part, band, num_columns, last=place == len(bands) - 1)
    parts[-1].text(0.02, 1.0, "\n".join(lines), fontsize=SMALLEST_SIZE, va="top", ha="left", linespacing=1.1)
    return figure


def wrap_text(text: str, width: float, size: float) -> list[str]:
    """A text in lines of at most so many points, as wide as its letters are; a longer word has a line of its own."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font, lines = FontProperties(size=size), list[str]()
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_to_path.get_text_width_height_descent(longer, font, ismath=False)[0] <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _height(band: Band, *, last: bool) -> float:
    legend = 0.24 if band.legend else 0.0
    return 0.24 + (0.16 if any(panel.title for panel in band.panels) else 0.0) + band.height + legend + 0.16 * last


def _draw_band(part: Any, band: Band, num_columns: int, *, last: bool) -> None:
    part.suptitle(band.heading, x=0.02, ha="left", fontsize=TEXT_SIZE, fontweight="bold")
    grid = part.subplots(1, num_columns, sharey=band.share_upright, squeeze=False).ravel()
    handles: dict[str, Any] = {}
    for axes, panel in zip(grid, band.panels, strict=False):
        handles |= panel.draw(axes)
        axes.set_title(panel.title)
        if last:
            axes.set_xlabel(band.across)
    for axes in grid[len(band.panels) :]:
        axes.axis("off")
    grid[0].set_ylabel(band.upright)
    if band.legend and handles:
        from matplotlib.lines import Line2D

        # What the labels are stands before them, as one of them without a line.
        part.legend(
            [Line2D([], [], linestyle="none"), *handles.values()],
            [f"{band.legend}:", *handles],
            loc="outside lower center",
            ncols=len(handles) + 1,
            handlelength=2.2,
            handletextpad=0.4,
            columnspacing=1.0,
            borderpad=0.1,
            borderaxespad=0.3,
        )


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
