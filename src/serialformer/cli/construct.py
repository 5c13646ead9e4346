"""The command ``construct``: a model of a task that is compiled, not trained."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from serialformer.cli.made import Verbose, print_made
from serialformer.cli.options import DtypeOption, Force, Json, RotateOption, refuse_existing
from serialformer.cli.progress import progress_bar
from serialformer.cli.tasks import Parameters
from serialformer.tasks.registry import parse_task


class Sums(StrEnum):
    """How a sum is made without a chain."""

    COUNTING = "counting"
    DOUBLING = "doubling"


def construct_command(
    name: Annotated[
        str, typer.Argument(metavar="TASK", help="A task (serialformer tasks lists them) or FILE.py:Class.")
    ],
    length: Annotated[int, typer.Option("--length", metavar="N", help="The number of items.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The checkpoint directory to create.")],
    parameters: Parameters = None,
    setting: Annotated[
        str, typer.Option("--setting", metavar="cot|base", help="cot: write a chain of thought. base: answer at once.")
    ] = "cot",
    depth: Annotated[
        int | None,
        typer.Option(
            "--depth", metavar="L", min=1, help="With base: the number of layers; by default as many as needed."
        ),
    ] = None,
    by: Annotated[
        Sums | None,
        typer.Option(help="With base, of majority and sums: counting takes one layer, doubling log n of them."),
    ] = None,
    dtype: Annotated[DtypeOption, typer.Option(help="The number format of the weights.")] = DtypeOption.FLOAT32,
    rotated: RotateOption = None,
    force: Force = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Make a GPT-2 that is right on every prompt of a task, without training; score it with evaluate."""
    from serialformer.models.construct import construct
    from serialformer.models.rotate import rotate

    started = time.perf_counter()
    task = parse_task(name, parameters or [])
    refuse_existing(output, force=force)
    with progress_bar("constructing", None):
        model = construct(
            task,
            length,
            setting=setting,
            depth=depth,
            by=None if by is None else by.value,
            dtype=dtype.value,
        )
        model = (model if rotated is None else rotate(model, rotated)).save(output, overwrite=force)
    print_made(output, model, started, as_json=as_json, verbose=verbose)
