"""Plotting: a figure of the stores of sweeps, or of the logs of training runs, written to a file."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serialformer.errors import InputError

if TYPE_CHECKING:
    from serialformer.figures.plot_logs import LoggedRun

LOSS = "loss"
KIND_NAMES = (
    *("depth", "paper", "heatmap", "lengths", "generated", "samples"),
    *("width", "precision", "damage", "learning", "bounds", "circuits-by-depth", LOSS),
)
MEASURE_NAMES = ("paper", "generated", "tokens")


def plot(
    sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    kind: str | None = None,
    measure: str | None = None,
    tasks: Sequence[str] = (),
    say: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Draws the rows of stores, or of directories of training runs, finished or not, the loss.

    Args:
        sources: stores of sweeps, or directories of runs.
        output: the file to write: ``.png``, ``.svg`` or ``.pdf``.
        kind: one of KIND_NAMES; by default what the stores are for.
        measure: one of MEASURE_NAMES: which share is drawn; by default the paper's.
        tasks: if not all: ``NAME``, or ``NAME:PARAMETER=VALUE,...``.
        say: is told what people should know of the stores; standard error if None.

    Returns:
        The figure's name, its kind, and how many rows or runs it shows; for the kind ``paper`` its caption as well.

    Raises:
        InputError: stores and directories of runs together, no such kind or measure, or options that stores alone have.
        FigureError: there is nothing of this kind to draw, or matplotlib is not installed.
    """
    from serialformer.figures.sheet import check_suffix, styled, write_figure

    listed = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
    paths, target = [Path(source) for source in listed], Path(output)
    check_suffix(target)
    for option, value, names in (("--kind", kind, KIND_NAMES), ("--measure", measure, MEASURE_NAMES)):
        if value is not None and value not in names:
            raise InputError(f"expected one of {', '.join(names)}, found {value!r}", where=option)
    are_runs = {path.is_dir() for path in paths}
    if len(are_runs) > 1:
        raise InputError("expected a store, or directories of runs, found both")
    with styled():
        if are_runs == {True}:
            from serialformer.figures.plot_logs import plot_logs

            if kind not in (None, LOSS) or measure is not None or tasks:
                raise InputError("of directories of runs only the loss is drawn", hint="leave out the other options")
            facts: dict[str, Any] = {"figure": str(output), "kind": LOSS, "runs": len(paths)}
            figure = plot_logs([_read_run(path) for path in paths])
        else:
            from serialformer.figures.plot import PAPER, choose_kind, of_tasks, paper_caption, plot_rows
            from serialformer.sweeps.merge import merge_rows
            from serialformer.sweeps.row import DONE
            from serialformer.sweeps.store import read_rows

            if kind == LOSS:
                raise InputError("a store has no losses", where="--kind loss", hint="give the directories of runs")
            rows = merge_rows((str(path), read_rows(path, say or _say)) for path in paths).rows
            kind = kind or choose_kind([row for row in of_tasks(rows, tasks) if row.status == DONE])
            figure = plot_rows(rows, kind=kind, measure=measure or "paper", tasks=tasks)
            facts = {"figure": str(output), "kind": kind, "rows": len(rows)}
            if kind == PAPER:
                facts["caption"] = paper_caption(rows, measure or "paper", tasks)
        write_figure(figure, target)
    return facts


def _read_run(directory: Path) -> LoggedRun:
    """The log of a run, and what people tell it by."""
    from serialformer.figures.plot_logs import LoggedRun
    from serialformer.figures.points import describe_curriculum
    from serialformer.training.log import read_log
    from serialformer.training.run import read_run

    log, config = list(read_log(directory)), read_run(directory)
    try:
        values = [f"{value}" for value in config["parameters"].values()]
        facts = {
            "task": " ".join([config["task"].replace("-", " "), *values]),
            "setting": config["setting"],
            "length": str(config["length"]),
            "depth": str(config["model"]["num_layers"]),
            "width": str(config["model"]["width"]),
            "seed": str(config["seed"]),
        }
        schedule = config["curriculum"]
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"a field of its configuration is missing or wrong: {error}", where=str(directory)) from None
    curriculum = describe_curriculum(json.dumps(schedule)) if schedule else ""
    return LoggedRun(name=directory.resolve().name, facts=facts, log=log, curriculum=curriculum)


def _say(text: str) -> None:
    print(text, file=sys.stderr)
