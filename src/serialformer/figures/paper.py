"""The paper's figure: a row of panels for each setting, a column for each task, accuracy against depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from serialformer.errors import FigureError
from serialformer.figures.chance import shallow_levels
from serialformer.figures.depth import draw_depth
from serialformer.figures.measures import Measure
from serialformer.figures.numbered import number_asked, split_by_number
from serialformer.figures.points import describe_task, select_final, split_variants
from serialformer.figures.sheet import Band, Panel
from serialformer.figures.style import SMALLEST_SIZE, Axes, Style, draw_doubling_axis, draw_share_axis, line_style
from serialformer.sweeps.row import Row

SETTINGS = ("base", "hint", "cot")
"""From top to bottom, as in the paper."""

TASKS = ("modular-addition", "permutation-composition", "iterated-squaring", "circuit-value")
"""From left to right, as in the paper; others stand after them."""

MAX_COLUMNS = 8

FRONTIER = "frontier"
"""The kind of experiment whose rows are constructions, by their number of layers."""

Column = tuple[str, str]
"""A task and its parameters."""


def paper_bands(rows: Sequence[Row], measure: Measure, frontier: Sequence[Row] = ()) -> list[Band]:
    """The bands of the figure; none if no run ended in one of its settings.

    Where runs of a task differ in a field that no axis shows, those of the largest group are drawn.

    Args:
        rows: finished evaluations.
        measure: which share.
        frontier: of constructions, drawn as lines without marks; where something was trained, only in its columns.

    Raises:
        FigureError: there are more tasks than a page has columns for.
    """
    final = [row for row in select_final(rows) if row.setting in SETTINGS and measure.count(row)[1]]
    final = split_by_number(final, rows, measure)
    lines = [row for row in frontier if row.setting in SETTINGS and measure.count(row)[1]]
    columns = sorted({(row.task, row.parameters) for row in final or lines}, key=_place)
    lines = [row for row in lines if (row.task, row.parameters) in columns]
    if len(columns) > MAX_COLUMNS:
        raise FigureError(
            f"{len(columns)} tasks, over {MAX_COLUMNS}", where="--kind paper", hint="--task NAME draws some of them"
        )
    groups = {column: _main([row for row in final if (row.task, row.parameters) == column]) for column in columns}
    depths = sorted({row.depth for row in (*final, *lines)})
    settings = [setting for setting in SETTINGS if any(row.setting == setting for row in (*final, *lines))]
    return [
        Band(
            heading=f"{setting}: {measure.name(setting)}",
            panels=[
                Panel(
                    title=describe_task(*column) if setting == settings[0] else "",
                    draw=_drawer(
                        group,
                        [row for row in lines if (row.task, row.parameters) == column],
                        setting,
                        measure,
                        depths,
                        with_legend=setting == settings[-1],
                    ),
                )
                for column, group in groups.items()
            ],
            across="depth (layers)",
            upright="share right",
        )
        for setting in settings
    ]


def _place(column: Column) -> tuple[int, str, str]:
    task, parameters = column
    return (TASKS.index(task) if task in TASKS else len(TASKS)), task, parameters


def _main(rows: Sequence[Row]) -> list[Row]:
    """Those of the largest variant."""
    return max((part for _, part in split_variants(rows)), key=len, default=[])


def _drawer(
    group: Sequence[Row],
    lines: Sequence[Row],
    setting: str,
    measure: Measure,
    depths: Sequence[int],
    *,
    with_legend: bool,
) -> Any:
    lengths = sorted({row.length for row in (*group, *lines)})
    styles = {length: line_style(place) for place, length in enumerate(lengths)}
    mine = [row for row in group if row.setting == setting]
    constructed = [row for row in lines if row.setting == setting]

    def draw(axes: Axes) -> Mapping[str, Any]:
        handles = draw_depth(axes, mine, measure=measure, styles=styles) if mine else {}
        if not mine:
            draw_share_axis(axes)
        if constructed:
            handles = {**draw_frontier(axes, constructed, measure, styles), **handles}
        elif not mine:
            axes.text(0.5, 0.5, "not run", transform=axes.transAxes, ha="center", va="center", fontsize=SMALLEST_SIZE)
        if mine and measure.is_of_answers(setting):
            draw_levels(axes, mine, styles)
        draw_doubling_axis(axes, depths)  # the same in every panel
        if with_legend and lengths:
            for length in set(lengths) - set(handles):  # drawn in another row of the figure only
                style = styles[length]
                (handles[length],) = axes.plot(
                    [], [], color=style.colour, marker=style.marker, linestyle=style.dashes, markeredgecolor="white"
                )
            axes.legend(
                [handles[length] for length in lengths],
                [f"{length}" for length in lengths],
                title="length",
                loc="lower right",
                fontsize=SMALLEST_SIZE,
                title_fontsize=SMALLEST_SIZE,
                handlelength=1.6,
                labelspacing=0.15,
                borderaxespad=0.1,
            )
        return {}

    return draw


def draw_frontier(axes: Axes, rows: Sequence[Row], measure: Measure, styles: Mapping[int, Style]) -> dict[int, Any]:
    """For each length, in its colour, a line for the accuracy of constructions of each number of layers.

    Returns:
        What stands for each length in a legend.
    """
    handles = {}
    for length in sorted({row.length for row in rows}):
        counts = sorted((row.depth, *measure.count(row)) for row in rows if row.length == length)
        depths, shares = zip(*((depth, right / total) for depth, right, total in counts), strict=True)
        mark = "x" if len(depths) == 1 else ""
        (handles[length],) = axes.plot(depths, shares, mark, color=styles[length].colour, linewidth=0.9, zorder=2)
    return handles


def draw_levels(axes: Axes, rows: Sequence[Row], styles: Mapping[int, Style]) -> None:
    """For each length, in its colour, what the best guess from a shallow view of the prompt scores."""
    drawn: list[float] = []
    views = {(row.task, row.parameters, row.length, number_asked(row) or 0) for row in rows}
    for task, parameters, length, number in sorted(views):
        best = max(shallow_levels(task, parameters, length, num_steps=number or None).values(), default=None)
        if best is not None and all(abs(best - other) > 0.01 for other in drawn):
            drawn.append(best)
            axes.axhline(best, color=styles[length].colour, linewidth=0.7, linestyle=(0, (1, 2)), zorder=1)


def explain_paper(
    rows: Sequence[Row], measure: Measure, *, has_frontier: bool = False, has_numbers: bool = False
) -> list[str]:
    """What the marks are, in sentences."""
    lines = [
        "Lines without marks, or a cross: what constructions of that many layers reach, without training."
    ] * has_frontier
    if not rows:
        return lines
    several = len({row.seed for row in rows}) > 1
    dots = "Markers are medians of the seeds, which are the faint dots. " if several else ""
    views = {
        name: None
        for row in rows
        if measure.is_of_answers(row.setting)
        for name in list(shallow_levels(row.task, row.parameters, row.length))
    }
    best = " or ".join(views)
    return [
        f"{dots}Dotted, in the colour of a length: the best that can be had without solving the task ({best}).",
        "A line for each length.",
        *["For squarings, a line is for prompts of exactly that number; models were trained on all numbers."]
        * has_numbers,
        *lines,
    ]
