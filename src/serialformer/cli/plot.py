"""The command ``plot``: a figure of a store, or of the logs of runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serialformer.cli.commands import Json
from serialformer.cli.progress import say
from serialformer.errors import InputError

if TYPE_CHECKING:
    from serialformer.figures.plot_logs import LoggedRun

LOSS = "loss"
KIND_NAMES = ("depth", "heatmap", "lengths", "generated", "samples", "width", "precision", "damage", "learning", LOSS)
MEASURE_NAMES = ("paper", "generated", "tokens")


def plot_command(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="RESULTS.csv|DIR...", help="The store of a sweep; or directories of training runs."),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FIGURE", help="Where it goes: .png, .svg or .pdf.")
    ],
    kind: Annotated[
        str | None,
        typer.Option("--kind", metavar="|".join(KIND_NAMES), help="What is drawn; by default what the store is for."),
    ] = None,
    measure: Annotated[
        str | None,
        typer.Option("--measure", metavar="|".join(MEASURE_NAMES), help="Which share; by default the paper's."),
    ] = None,
    tasks: Annotated[
        list[str] | None, typer.Option("--task", metavar="NAME", help="Draw this task only; may be repeated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw the rows of a store: accuracy against depth, as in the paper, or another kind of figure.

    Of directories of runs, finished or not, the loss is drawn.
    """
    from serialformer.figures.sheet import check_suffix, styled, write_figure

    check_suffix(output)
    _check_names(kind, measure)
    are_runs = {source.is_dir() for source in sources}
    if len(are_runs) > 1:
        raise InputError("expected a store, or directories of runs, found both")
    with styled():
        if are_runs == {True}:
            from serialformer.figures.plot_logs import plot_logs

            if kind not in (None, LOSS) or measure is not None or tasks:
                raise InputError("of directories of runs only the loss is drawn", hint="leave out the other options")
            facts = {"figure": str(output), "kind": LOSS, "runs": len(sources)}
            figure = plot_logs([_read_run(source) for source in sources])
        else:
            from serialformer.figures.plot import choose_kind, plot_rows
            from serialformer.sweeps.merge import merge_rows
            from serialformer.sweeps.row import DONE
            from serialformer.sweeps.store import read_rows

            if kind == LOSS:
                raise InputError("a store has no losses", where="--kind loss", hint="give the directories of runs")
            rows = merge_rows((str(source), read_rows(source, say)) for source in sources).rows
            kind = kind or choose_kind(
                [row for row in rows if row.status == DONE and row.task in (tasks or [row.task])]
            )
            figure = plot_rows(rows, kind=kind, measure=measure or "paper", tasks=tasks or [])
            facts = {"figure": str(output), "kind": kind, "rows": len(rows)}
        write_figure(figure, output)
    print(json.dumps(facts) if as_json else ", ".join(f"{name}: {value}" for name, value in facts.items()))


def _check_names(kind: str | None, measure: str | None) -> None:
    """Refuses what is no kind and no measure, before anything is read."""
    for option, value, names in (("--kind", kind, KIND_NAMES), ("--measure", measure, MEASURE_NAMES)):
        if value is not None and value not in names:
            raise InputError(f"expected one of {', '.join(names)}, found {value!r}", where=option)


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
