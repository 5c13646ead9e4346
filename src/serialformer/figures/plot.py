"""From the rows of a store to a figure: its kind, its panels and its caption."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from serialformer.errors import FigureError
from serialformer.figures.bands import KINDS
from serialformer.figures.experiments import SHEETS
from serialformer.figures.learning import STEP
from serialformer.figures.measures import MEASURES, Measure
from serialformer.figures.numbered import number_asked
from serialformer.figures.paper import FRONTIER, explain_paper, paper_bands
from serialformer.figures.points import (
    configuration,
    describe_curriculum,
    describe_task,
    describe_variant,
    select_final,
    split_variants,
    trained_lengths,
)
from serialformer.figures.sheet import Band, Figure, make_sheet
from serialformer.sweeps.row import DONE, FAILED, Row

TRAINING, LEARNING, PAPER = "training", "learning", "paper"


def plot_rows(
    rows: Sequence[Row], *, kind: str | None = None, measure: str = "paper", tasks: Sequence[str] = ()
) -> Figure:
    """A figure of a store's rows; to be called in ``styled()``.

    Args:
        rows: each evaluation once, as ``sweep.merge.merge_rows`` gives them.
        kind: one of KINDS or SHEETS, or ``paper``; chosen by what the rows hold if None.
        measure: one of MEASURES.
        tasks: their names, if not all.

    Raises:
        FigureError: no such kind, measure or task, no finished runs, or nothing of this kind among them.
    """
    kinds = (*KINDS, PAPER, *SHEETS)
    if kind is not None and kind not in kinds:
        raise FigureError(f"no kind {kind!r}", where="--kind", hint=f"one of {', '.join(kinds)}")
    if measure not in MEASURES:
        raise FigureError(f"no measure {measure!r}", where="--measure", hint=f"one of {', '.join(MEASURES)}")
    rows = of_tasks(rows, tasks)
    done = [row for row in rows if row.status == DONE]
    num_failed = len({row.run for row in rows if row.status == FAILED} - {row.run for row in done})
    if not done:
        failed = f", and {num_failed} that failed" if num_failed else ""
        raise FigureError(f"no finished runs{failed}", where="figure", hint="serialformer sweep fills a store")
    kind = kind or choose_kind(done)
    if kind in SHEETS:
        return _plot_experiments(done, kind, num_failed)
    if kind == PAPER:
        return _plot_paper(done, MEASURES[measure])
    done = [row for row in done if row.experiment == TRAINING and not row.evaluation.startswith(STEP)]
    bands, shown = [], list[Row]()
    for heading, part in split_tasks(done, variants=KINDS[kind].splits):
        made = KINDS[kind].bands(heading, part, MEASURES[measure])
        bands += made
        shown += part if made else []
    if not bands:
        raise FigureError(
            f"no {KINDS[kind].needs}", where=f"--kind {kind}", hint="leave --kind out to see what there is"
        )
    bands = align_columns(bands)
    note = [
        *KINDS[kind].explain(shown, MEASURES[measure]),
        *_training_notes(shown),
        *_hint_notes(shown),
        *_length_notes(shown),
        *_failure_notes(num_failed),
    ]
    return make_sheet(bands, note)


def _plot_paper(rows: Sequence[Row], measure: Measure) -> Figure:
    """All tasks and settings in one figure, without its caption."""
    frontier = [row for row in rows if row.experiment == FRONTIER]
    bands = paper_bands([row for row in rows if row.experiment != FRONTIER], measure, frontier)
    if not bands:
        raise FigureError(
            "no evaluations that end a training in base, hint or cot",
            where="--kind paper",
            hint="leave --kind out to see what there is",
        )
    return make_sheet(bands)


def paper_caption(rows: Sequence[Row], measure: str = "paper", tasks: Sequence[str] = ()) -> str:
    """The caption of the figure of kind ``paper``, which stands outside the picture.

    Args:
        rows: those of the figure.
        measure: one of MEASURES.
        tasks: their names, if not all.
    """
    rows = of_tasks(rows, tasks)
    shown = select_final(row for row in rows if row.experiment != FRONTIER)
    failed = {row.run for row in rows if row.status == FAILED} - {row.run for row in rows if row.status == DONE}
    has_frontier = any(row.experiment == FRONTIER for row in rows)
    has_numbers = any(number_asked(row) is not None for row in rows)
    marks = explain_paper(shown, MEASURES[measure], has_frontier=has_frontier, has_numbers=has_numbers)
    return " ".join([*marks, *_training_notes(shown), *_hint_notes(shown), *_failure_notes(len(failed))])


def _plot_experiments(rows: Sequence[Row], kind: str, num_failed: int) -> Figure:
    """A figure of experiments that are no trainings, or of how trainings went."""
    is_curve = kind == LEARNING
    chosen = [row for row in rows if (row.evaluation.startswith(STEP) if is_curve else row.experiment == kind)]
    bands, note = SHEETS[kind](chosen) if chosen else ([], [])
    if not bands:
        needed = "curves of trainings" if is_curve else f"experiments of kind {kind}"
        raise FigureError(f"no {needed}", where=f"--kind {kind}", hint="leave --kind out to see what there is")
    return make_sheet(bands, [*note, *_failure_notes(num_failed)])


def choose_kind(rows: Sequence[Row]) -> str:
    """What finished rows are for.

    Constructions belong in the paper's figure. Other experiments that train nothing have figures of their own. For
    trainings it is the figure of lengths if no task has several depths and some model was evaluated at several lengths,
    and the paper's panels otherwise.
    """
    experiments = list(dict.fromkeys(row.experiment for row in rows))
    if FRONTIER in experiments and set(experiments) <= {FRONTIER, TRAINING}:
        return PAPER
    if experiments and TRAINING not in experiments:
        known = [name for name in experiments if name in SHEETS]
        if not known:
            raise FigureError(f"no figure of {', '.join(experiments)}", where="figure", hint=f"of {', '.join(SHEETS)}")
        return known[0]
    rows = [row for row in rows if row.experiment == TRAINING and not row.evaluation.startswith(STEP)]
    depths: dict[tuple[str, str], set[int]] = {}
    evaluated: dict[str, set[int]] = {}
    for row in rows:
        depths.setdefault((row.task, row.parameters), set()).add(row.depth)
        evaluated.setdefault(row.run, set()).add(row.evaluated_length)
    several_lengths = any(len(lengths) > 1 for lengths in evaluated.values())
    return "lengths" if several_lengths and all(len(found) == 1 for found in depths.values()) else "depth"


def align_columns(bands: Sequence[Band]) -> list[Band]:
    """The bands with their columns numbered anew, without those that none of them has a panel in."""
    used = sorted({panel.column for band in bands for panel in band.panels if panel.column is not None})
    return [
        replace(
            band,
            panels=[
                panel if panel.column is None else replace(panel, column=used.index(panel.column))
                for panel in band.panels
            ],
        )
        for band in bands
    ]


def split_tasks(rows: Sequence[Row], *, variants: bool = True) -> list[tuple[str, list[Row]]]:
    """Rows by task, parameters and, if asked, whatever else sets configurations of one point apart; with headings."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.task, row.parameters), []).append(row)
    found = []
    for (task, parameters), group in groups.items():
        heading = describe_task(task, parameters)
        parts = split_variants(group) if variants else [({}, group)]
        found += [(", ".join(filter(None, (heading, describe_variant(fields)))), part) for fields, part in parts]
    return found


def of_tasks(rows: Sequence[Row], tasks: Sequence[str]) -> list[Row]:
    """The rows of some tasks, each given as ``NAME`` or as ``NAME:PARAMETER=VALUE,...``; all if there are none.

    Raises:
        FigureError: there is no row of one of them.
    """
    kept: set[int] = set()
    for task in tasks:
        found = {place for place, row in enumerate(rows) if _is_of(row, task)}
        if not found:
            others = ", ".join(dict.fromkeys(row.task for row in rows)) or "no rows"
            raise FigureError(f"no rows of {task!r}", where="--task", hint=f"it has {others}")
        kept |= found
    return [row for place, row in enumerate(rows) if not tasks or place in kept]


def _is_of(row: Row, task: str) -> bool:
    """Whether a row is of a task, with the parameters that are named."""
    name, _, rest = task.partition(":")
    if row.task != name:
        return False
    parameters = {key: str(value) for key, value in json.loads(row.parameters or "{}").items()}
    return all(
        parameters.get(key) == value for key, _, value in (part.partition("=") for part in rest.split(",") if part)
    )


def _training_notes(rows: Sequence[Row]) -> list[str]:
    """Declares every model that was trained on another distribution than its task's own."""
    trained: dict[str, dict[str, set[str]]] = {}
    settings = {row.task: {other.setting for other in rows if other.task == row.task} for row in rows}
    for row in rows:
        if row.curriculum:
            schedule = trained.setdefault(describe_curriculum(row.curriculum), {})
            schedule.setdefault(row.task, set()).add(row.setting)
    parts = []
    for schedule_text, tasks in trained.items():
        names = [
            task.replace("-", " ") + ("" if found == settings[task] else f" ({', '.join(sorted(found))})")
            for task, found in tasks.items()
        ]
        parts.append(f"{', '.join(names)}: {schedule_text}")
    eased = f"Trained with a curriculum ({'; '.join(parts)}); evaluated on the task's own distribution."
    left = [row for row in rows if row.curriculum_left]
    runs = len({row.run for row in rows})
    amounts = [f"{amount:.2f}" for amount in sorted({row.curriculum_left for row in left})]
    unfinished = (
        f"{len({row.run for row in left})} of {runs} runs ended before their curriculum did, which stood at"
        f" {' to '.join(dict.fromkeys((amounts[0], amounts[-1])))}."
        if left
        else ""
    )
    return [sentence for sentence in (eased if parts else "", unfinished) if sentence]


def _hint_notes(rows: Sequence[Row]) -> list[str]:
    """Declares models without a chain that began with the labels of ``hint``."""
    hinted: dict[str, set[str]] = {}
    for row in rows:
        steps = int(dict(configuration(row)).get("hinted_steps", "0"))
        if steps:
            hinted.setdefault(f"{steps:,}", set()).add(row.task.replace("-", " "))
    parts = "; ".join(f"{', '.join(sorted(tasks))}: {steps}" for steps, tasks in hinted.items())
    return [f"Models without a chain had the labels of hint for their first steps ({parts})."] if parts else []


def _length_notes(rows: Sequence[Row]) -> list[str]:
    """Declares models that were trained on shorter samples than those they are named by."""
    ranges = sorted({trained_lengths(row) for row in rows if trained_lengths(row)[0] < row.length})
    texts = [f"{shortest} to {longest}" for shortest, longest in ranges]
    return [f"Some were trained on batches of several lengths ({', '.join(texts)})."] if texts else []


def _failure_notes(num_failed: int) -> list[str]:
    if not num_failed:
        return []
    return [f"{num_failed} run{'s' if num_failed > 1 else ''} failed and {'are' if num_failed > 1 else 'is'} left out."]
