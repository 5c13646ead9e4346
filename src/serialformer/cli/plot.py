"""The command ``plot``: a figure of a store, or of the logs of runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from serialformer.cli.options import Json
from serialformer.cli.progress import say
from serialformer.figures.plot_files import KIND_NAMES, MEASURE_NAMES, plot


def plot_command(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="RESULTS.csv|DIR...", help="The results of a sweep, or directories of training runs."),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FIGURE", help="The figure to write: .png, .svg or .pdf.")
    ],
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind", metavar="|".join(KIND_NAMES), help="The kind of figure; by default the one that fits the rows."
        ),
    ] = None,
    measure: Annotated[
        str | None,
        typer.Option(
            "--measure", metavar="|".join(MEASURE_NAMES), help="The accuracy to draw; by default the paper's measure."
        ),
    ] = None,
    tasks: Annotated[
        list[str] | None,
        typer.Option("--task", metavar="NAME[:PARAMETER=VALUE,...]", help="Draw this task only; may be repeated."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw the results of a sweep: accuracy against depth, as in the paper, or another kind of figure.

    For directories of runs, finished or not, draw the loss.
    """
    facts = plot(sources, output, kind=kind, measure=measure, tasks=tasks or (), say=say)
    print(json.dumps(facts) if as_json else ", ".join(f"{name}: {value}" for name, value in facts.items()))
