"""The command ``evaluator``: one model for all circuits of up to M gates."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from serialformer.cli.made import Verbose, print_made
from serialformer.cli.options import DtypeOption, Force, Json, RotateOption, refuse_existing
from serialformer.cli.progress import progress_bar
from serialformer.models.construct import construct_evaluator
from serialformer.models.rotate import rotate


def evaluator_command(
    gates: Annotated[int, typer.Option("--gates", metavar="M", help="The maximum number of gates of a circuit.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The checkpoint directory to create.")],
    setting: Annotated[
        str, typer.Option("--setting", metavar="cot|base", help="cot: write each gate. base: answer at once.")
    ] = "cot",
    depth: Annotated[
        int | None,
        typer.Option(
            "--depth",
            metavar="D",
            min=1,
            help="With base: the number of layers and the maximum circuit depth; by default M.",
        ),
    ] = None,
    dtype: Annotated[DtypeOption, typer.Option(help="The number format of the weights.")] = DtypeOption.FLOAT32,
    rotated: RotateOption = None,
    force: Force = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Make one GPT-2 that evaluates every circuit of up to M gates; use it with run DIR --circuit FILE."""
    started = time.perf_counter()
    refuse_existing(output, force=force)
    with progress_bar("constructing", None):
        model = construct_evaluator(gates, setting=setting, depth=depth, dtype=dtype.value)
        model = (model if rotated is None else rotate(model, rotated)).save(output, overwrite=force)
    print_made(output, model, started, as_json=as_json, verbose=verbose)
