"""The command ``plot``: a figure of a store."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

KIND_NAMES = ("depth",)
MEASURE_NAMES = ("paper", "generated", "tokens")


def plot_command(
    results: Annotated[Path, typer.Argument(metavar="RESULTS.csv", help="The store of a sweep.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FIGURE", help="Where it goes: .png, .svg or .pdf.")
    ],
    kind: Annotated[
        str | None,
        typer.Option("--kind", metavar="|".join(KIND_NAMES), help="What is drawn; by default what the store is for."),
    ] = None,
    measure: Annotated[
        str, typer.Option("--measure", metavar="|".join(MEASURE_NAMES), help="Which share of the samples.")
    ] = "paper",
    tasks: Annotated[
        list[str] | None, typer.Option("--task", metavar="NAME", help="Draw this task only; may be repeated.")
    ] = None,
) -> None:
    """Draw the rows of a store: accuracy against depth, as in the paper, or another kind of figure."""
    from serialformer.figures.plot import plot_rows
    from serialformer.figures.sheet import check_suffix, styled, write_figure
    from serialformer.sweep.merge import merge_rows
    from serialformer.sweep.store import read_rows

    check_suffix(output)
    with styled():
        rows = merge_rows([(str(results), read_rows(results, _say))]).rows
        figure = plot_rows(rows, kind=kind, measure=measure, tasks=tasks or [])
        write_figure(figure, output)
    print(f"{output}: {len(rows)} rows")


def _say(text: str) -> None:
    print(text, file=sys.stderr)
