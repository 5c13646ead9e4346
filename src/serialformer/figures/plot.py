"""From the rows of a store to a figure: which kind it is, which panels it has, and what is said below it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from serialformer.errors import FigureError
from serialformer.figures.chance import chance_level
from serialformer.figures.depth import draw_chance, draw_depth
from serialformer.figures.measures import MEASURES, Measure
from serialformer.figures.points import describe_sampling, select_final, split_variants
from serialformer.figures.sheet import Band, Figure, Panel, make_sheet
from serialformer.figures.style import SETTING_ORDER, line_style
from serialformer.sweep.row import DONE, FAILED, Row

MAX_HEADING = 62
"""Characters; a heading that is longer is cut."""


def plot_rows(
    rows: Sequence[Row], *, kind: str | None = None, measure: str = "paper", tasks: Sequence[str] = ()
) -> Figure:
    """A figure of a store's rows; to be called in ``styled()``.

    Args:
        rows: each evaluation once, as ``sweep.merge.merge_rows`` gives them.
        kind: one of KINDS; chosen by what the rows hold if None.
        measure: one of MEASURES.
        tasks: their names, if not all.

    Raises:
        FigureError: no such kind, measure or task, no finished runs, or nothing of this kind among them.
    """
    if measure not in MEASURES:
        raise FigureError(f"no measure {measure!r}", where="--measure", hint=f"one of {', '.join(MEASURES)}")
    rows = _of_tasks(rows, tasks)
    done = [row for row in rows if row.status == DONE]
    num_failed = len({row.run for row in rows if row.status == FAILED} - {row.run for row in done})
    if not done:
        failed = f", and {num_failed} that failed" if num_failed else ""
        raise FigureError(f"no finished runs{failed}", where="figure", hint="serialformer sweep fills a store")
    kind = kind or choose_kind(done)
    if kind not in KINDS:
        raise FigureError(f"no kind {kind!r}", where="--kind", hint=f"one of {', '.join(KINDS)}")
    make_bands, explain = KINDS[kind]
    bands = [band for heading, part in split_tasks(done) for band in make_bands(heading, part, MEASURES[measure])]
    note = [*explain(done, MEASURES[measure]), *_training_notes(done), *_failure_notes(num_failed)]
    return make_sheet(bands, note)


def choose_kind(rows: Iterable[Row]) -> str:
    """The kind that shows the most of finished rows."""
    return "depth"


def split_tasks(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Rows by task, parameters and whatever else sets configurations of one point apart, each with its heading."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.task, row.parameters), []).append(row)
    found = []
    for (task, parameters), group in groups.items():
        heading = describe_task(task, parameters)
        found += [(", ".join(filter(None, (heading, variant))), part) for variant, part in split_variants(group)]
    return [(_cut(heading), part) for heading, part in found]


def describe_task(task: str, parameters: str) -> str:
    """A task with its parameters, for people.

    >>> describe_task("modular-addition", '{"modulus": 7}')
    'modular addition, modulus 7'
    """
    values = json.loads(parameters)
    return ", ".join([task.replace("-", " "), *(f"{name.replace('_', ' ')} {value}" for name, value in values.items())])


def depth_bands(heading: str, rows: Sequence[Row], measure: Measure) -> list[Band]:
    """The paper's panels of one task: a panel a setting, a line a length."""
    rows = select_final(rows)
    lengths = sorted({row.length for row in rows})
    styles = {length: line_style(place) for place, length in enumerate(lengths)}

    def make_panel(setting: str) -> Panel:
        mine = [row for row in rows if row.setting == setting]

        def draw(axes: Any) -> Mapping[str, Any]:
            handles = draw_depth(axes, mine, measure=measure, styles=styles)
            if measure.name(setting).endswith("answers"):
                _draw_chances(axes, mine)
            return {str(length): handle for length, handle in handles.items()}

        return Panel(title=f"{setting}: {measure.name(setting)}", draw=draw)

    panels = [make_panel(setting) for setting in settings_of(rows)]
    if not panels:
        return []
    return [Band(heading=heading, panels=panels, across="depth (layers)", upright="share right", legend="length")]


def explain_depth(rows: Sequence[Row], measure: Measure) -> list[str]:
    """What the marks of the panels are."""
    final = select_final(rows)
    several = len({row.seed for row in final}) > 1
    sentences = []
    if measure.independent:
        sentences.append(f"Bars: 95 % intervals (Wilson) of the samples{' of all seeds' if several else ''}.")
    if several:
        sentences.append("Faint dots: single seeds.")
    if any(measure.name(setting).endswith("answers") for setting in settings_of(final)):
        sentences.append("Dotted grey: always the most common answer.")
    return sentences


def settings_of(rows: Iterable[Row]) -> list[str]:
    """The settings of rows, from left to right."""
    found = {row.setting for row in rows}
    return [setting for setting in SETTING_ORDER if setting in found] + sorted(found - set(SETTING_ORDER))


def _draw_chances(axes: Any, rows: Sequence[Row]) -> None:
    """A line for each chance level that differs from the others by more than can be seen."""
    levels: list[float] = []
    for task, parameters, length in sorted({(row.task, row.parameters, row.evaluated_length) for row in rows}):
        level = chance_level(task, parameters, length)
        if level is not None and all(abs(level - other) > 0.02 for other in levels):
            levels.append(level)
            draw_chance(axes, level)


def _of_tasks(rows: Sequence[Row], tasks: Sequence[str]) -> list[Row]:
    found = dict.fromkeys(row.task for row in rows)
    for task in tasks:
        if task not in found:
            raise FigureError(f"no rows of {task!r}", where="--task", hint=f"it has {', '.join(found) or 'no rows'}")
    return [row for row in rows if not tasks or row.task in tasks]


def _training_notes(rows: Sequence[Row]) -> list[str]:
    """Declares every model that was trained on another distribution than its task's own."""
    trained: dict[str, dict[str, set[str]]] = {}
    settings = {row.task: {other.setting for other in rows if other.task == row.task} for row in rows}
    for row in rows:
        if row.sampling:
            schedule = trained.setdefault(describe_sampling(row.sampling), {})
            schedule.setdefault(row.task, set()).add(row.setting)
    parts = []
    for schedule_text, tasks in trained.items():
        names = [
            task.replace("-", " ") + ("" if found == settings[task] else f" ({', '.join(sorted(found))})")
            for task, found in tasks.items()
        ]
        parts.append(f"{', '.join(names)}: {schedule_text}")
    if not parts:
        return []
    return [f"Trained with sampling eased ({'; '.join(parts)}); evaluated on the task's own distribution."]


def _failure_notes(num_failed: int) -> list[str]:
    if not num_failed:
        return []
    return [f"{num_failed} run{'s' if num_failed > 1 else ''} failed and {'are' if num_failed > 1 else 'is'} left out."]


def _cut(text: str) -> str:
    return text if len(text) <= MAX_HEADING else text[: MAX_HEADING - 1].rstrip() + "…"


KINDS: dict[str, tuple[Callable[..., list[Band]], Callable[..., list[str]]]] = {
    "depth": (depth_bands, explain_depth),
}
"""By name: the bands of a task, and what is said of them in the note."""
