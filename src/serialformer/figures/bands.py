"""Bands: for each kind of figure, the panels of one task, and the sentences that explain their marks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serialformer.figures.chance import MOST_COMMON, chance_level, shallow_levels
from serialformer.figures.depth import draw_chance, draw_depth
from serialformer.figures.generated import draw_generated
from serialformer.figures.heat_map import draw_heat_map
from serialformer.figures.lengths import draw_lengths
from serialformer.figures.measures import Measure
from serialformer.figures.points import (
    describe_variant,
    select_final,
    select_lengths,
    split_variants,
    trained_lengths,
)
from serialformer.figures.samples import count_samples, draw_count_axis, draw_samples
from serialformer.figures.sheet import Band, Panel
from serialformer.figures.style import SETTING_ORDER, Style, line_style
from serialformer.sweeps.row import Row

COLUMNS = 3
"""Panels of a band, where there are more than fit."""

LONGEST_TITLE = 18
"""Characters on a line above a third of a column's width."""

MAX_CHANCES = 12
"""Lengths of a panel for which chance is worked out."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of figure.

    Attributes:
        bands: of the rows of one task under a heading, for a measure; none if they have nothing for it.
        explain: what the marks are, in sentences.
        needs: what a store without any of it lacks.
        splits: whether variants of a task (runs that differ in a field that no axis shows) are bands of their own;
            otherwise ``bands`` parts them.
    """

    bands: Callable[[str, Sequence[Row], Measure], list[Band]]
    explain: Callable[[Sequence[Row], Measure], list[str]]
    needs: str
    splits: bool = True


def _depth_bands(heading: str, rows: Sequence[Row], measure: Measure) -> list[Band]:
    """The paper's panels: one panel per setting, one line per length."""

    def draw(axes: Any, mine: Sequence[Row], styles: Mapping[int, Style]) -> Mapping[int, Any]:
        handles = draw_depth(axes, mine, measure=measure, styles=styles)
        if mine and measure.is_of_answers(mine[0].setting):
            _draw_chances(axes, mine)
        return handles

    return _setting_bands(
        heading, _counted(select_final(rows), measure), draw, lambda setting: _title(setting, measure)
    )


def _generated_bands(heading: str, rows: Sequence[Row], measure: Measure) -> list[Band]:
    def draw(axes: Any, mine: Sequence[Row], styles: Mapping[int, Style]) -> Mapping[int, Any]:
        return draw_generated(axes, mine, styles=styles)

    final = [row for row in select_final(rows) if row.generated_samples]
    return _setting_bands(heading, final, draw, lambda setting: setting)


def _samples_bands(heading: str, rows: Sequence[Row], measure: Measure) -> list[Band]:
    efforts = count_samples(rows)

    def draw(axes: Any, mine: Sequence[Row], styles: Mapping[int, Style]) -> Mapping[int, Any]:
        handles = draw_samples(axes, mine, styles=styles)
        draw_count_axis(axes, [effort.samples for effort in efforts])  # the panels share their upright axis
        return handles

    with_target = [row for row in select_final(rows) if count_samples([row])]
    return _setting_bands(heading, with_target, draw, lambda setting: setting, upright="samples of training")


def _setting_bands(
    heading: str,
    rows: Sequence[Row],
    draw: Callable[[Any, Sequence[Row], Mapping[int, Style]], Mapping[int, Any]],
    title: Callable[[str], str],
    *,
    upright: str = "share right",
) -> list[Band]:
    """One panel per setting, across the depths, with a line for each length."""
    styles = {length: line_style(place) for place, length in enumerate(sorted({row.length for row in rows}))}

    def make_panel(setting: str) -> Panel:
        mine = [row for row in rows if row.setting == setting]
        return Panel(
            column=SETTING_ORDER.index(setting),
            title=title(setting),
            draw=lambda axes: {f"{length}": handle for length, handle in sorted(draw(axes, mine, styles).items())},
        )

    panels = [make_panel(setting) for setting in settings_of(rows)]
    if not panels:
        return []
    labels = [f"{length}" for length in sorted(styles)]
    across = "depth (layers)"
    return [Band(heading=heading, panels=panels, across=across, upright=upright, labels=labels, legend="length")]


def _heat_map_bands(heading: str, rows: Sequence[Row], measure: Measure) -> list[Band]:
    """Cells by depth and length, one panel per setting."""
    rows = _counted(select_final(rows), measure)
    depths, lengths = sorted({row.depth for row in rows}), sorted({row.length for row in rows})

    def make_panel(setting: str) -> Panel:
        mine = [row for row in rows if row.setting == setting]

        def draw(axes: Any) -> Mapping[str, Any]:
            draw_heat_map(axes, mine, measure=measure, depths=depths, lengths=lengths)
            return {}

        title = _title(setting, measure)
        return Panel(column=SETTING_ORDER.index(setting), title=title, draw=draw)

    panels = [make_panel(setting) for setting in settings_of(rows)]
    height = max(0.4, 0.2 * len(lengths))
    if not panels:
        return []
    return [Band(heading=heading, panels=panels, across="depth (layers)", upright="length", height=height)]


def _lengths_bands(heading: str, rows: Sequence[Row], measure: Measure) -> list[Band]:
    """A panel for each depth, trained lengths and variant, one line per setting."""
    rows = _counted(select_lengths(rows), measure)
    groups: dict[tuple[int, tuple[int, int]], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.depth, trained_lengths(row)), []).append(row)
    # What goes with the trained lengths, such as a longer training, is no variant: it is the same in all of a group.
    places = {
        (*group, describe_variant(fields)): part
        for group, mine in groups.items()
        for fields, part in split_variants(mine)
    }
    one_depth = len({depth for depth, _, _ in places}) == 1

    def make_panel(depth: int, trained: tuple[int, int], variant: str) -> Panel:
        mine = places[depth, trained, variant]

        def draw(axes: Any) -> Mapping[str, Any]:
            handles = draw_lengths(axes, mine, measure=measure)
            if any(measure.is_of_answers(row.setting) for row in mine):
                _draw_chances_along(axes, mine)
            return handles

        first = f"trained at {trained[1]}" if trained[0] == trained[1] else f"trained at {trained[0]} to {trained[1]}"
        return Panel(
            title="\n".join([first + ("" if one_depth else f", depth {depth}"), *filter(None, [variant])]), draw=draw
        )

    panels = [
        make_panel(*place)
        for place in sorted(places, key=lambda place: (place[0], place[1][1], -place[1][0], place[2]))
    ]
    columns = 2 if len(panels) == 4 else COLUMNS
    starts = range(0, len(panels), columns)
    return [
        Band(
            heading=heading if start == 0 else "",
            panels=panels[start : start + columns],
            across="evaluated length",
            upright="share right",
            labels=settings_of(rows) if start == starts[-1] else (),
            legend="setting",
        )
        for start in starts
    ]


def _explain_shares(rows: Sequence[Row], measure: Measure) -> list[str]:
    several = len({row.seed for row in rows}) > 1
    sentences = [measure.note] if measure.note else []
    if several:
        sentences.append("Markers: medians of the seeds, which are the faint dots.")
    if measure.independent:
        single = "Where there is one seed, bars" if several else "Bars"
        sentences.append(f"{single}: 95 % intervals (Wilson) of the samples.")
    return sentences


def _explain_depth(rows: Sequence[Row], measure: Measure) -> list[str]:
    return [*_explain_shares(rows, measure), *explain_levels(rows, measure)]


def explain_levels(rows: Sequence[Row], measure: Measure) -> list[str]:
    """What the dotted lines are."""
    if not any(measure.is_of_answers(setting) for setting in settings_of(rows)):
        return []
    levels = {(row.task, row.parameters, row.length): row for row in rows}
    views = [name for key in levels for name in shallow_levels(*key) if name != MOST_COMMON]
    more = f"; above it, the best guess from {' and '.join(dict.fromkeys(views))}" if views else ""
    return [f"Dotted grey: {MOST_COMMON}{more}."]


def _explain_lengths(rows: Sequence[Row], measure: Measure) -> list[str]:
    names: dict[str, list[str]] = {}
    for setting in settings_of(select_lengths(rows)):
        names.setdefault(measure.name(setting), []).append(setting)
    shown = "; ".join(f"{name} ({', '.join(settings)})" for name, settings in names.items())
    return [f"Shown: {shown}. Grey, upright: the trained lengths.", *_explain_depth(rows, measure)]


def _explain_generated(rows: Sequence[Row], measure: Measure) -> list[str]:
    return [
        "Full: teacher-forced, each token predicted after the true ones (base, hint: answers; cot: whole chains)."
        " Hollow: generated, each after the model's own (whole answers).",
        *_explain_shares(rows, measure),
    ]


def _explain_samples(rows: Sequence[Row], measure: Measure) -> list[str]:
    return ["Full: a run that reached its target. Hollow: one that had not when it ended. Lines: medians."]


def _explain_heat_map(rows: Sequence[Row], measure: Measure) -> list[str]:
    pooled = ", medians of the seeds" if len({row.seed for row in rows}) > 1 else ""
    sentence = f"Per cent right{pooled}; 100 only if all were, 0 only if none was."
    return [sentence, *([measure.note] if measure.note else [])]


KINDS: dict[str, Kind] = {
    "depth": Kind(bands=_depth_bands, explain=_explain_depth, needs="evaluations that end a training"),
    "heatmap": Kind(bands=_heat_map_bands, explain=_explain_heat_map, needs="evaluations that end a training"),
    "lengths": Kind(
        bands=_lengths_bands,
        explain=_explain_lengths,
        needs="evaluations on lengths besides the trained",
        splits=False,
    ),
    "generated": Kind(bands=_generated_bands, explain=_explain_generated, needs="generated samples"),
    "samples": Kind(bands=_samples_bands, explain=_explain_samples, needs="runs with a target"),
}
"""Of figures of a store, by name."""


def settings_of(rows: Iterable[Row]) -> list[str]:
    """The settings of rows, from left to right."""
    found = {row.setting for row in rows}
    return [setting for setting in SETTING_ORDER if setting in found]


def _title(setting: str, measure: Measure) -> str:
    """What a panel shows, on two lines where one would not fit above it."""
    title = f"{setting}: {measure.name(setting)}"
    return title if len(title) <= LONGEST_TITLE else title.replace(": ", ":\n")


def _counted(rows: Sequence[Row], measure: Measure) -> list[Row]:
    """Rows in which something was counted."""
    return [row for row in rows if measure.count(row)[1]]


def _draw_chances(axes: Any, rows: Sequence[Row]) -> None:
    """A level line for each shallow baseline that differs from the others by more than can be seen."""
    levels: list[float] = []
    for task, parameters, length in sorted({(row.task, row.parameters, row.length) for row in rows}):
        for level in shallow_levels(task, parameters, length).values():
            if all(abs(level - other) > 0.02 for other in levels):
                levels.append(level)
                draw_chance(axes, [level])


def _draw_chances_along(axes: Any, rows: Sequence[Row]) -> None:
    """A line through the chance at each of at most a dozen evaluated lengths, for rows of one task."""
    lengths = sorted({row.evaluated_length for row in rows})
    lengths = sorted(set(lengths[:: -(-len(lengths) // MAX_CHANCES)]) | {lengths[-1]})
    levels = [chance_level(rows[0].task, rows[0].parameters, length) for length in lengths]
    known = [(length, level) for length, level in zip(lengths, levels, strict=True) if level is not None]
    if known:
        draw_chance(axes, [level for _, level in known], [length for length, _ in known])
