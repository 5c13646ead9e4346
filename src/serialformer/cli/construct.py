"""The command ``construct``: a model of a task that is compiled, not trained."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from serialformer.architecture import Shape
from serialformer.cli.made import Verbose, print_made
from serialformer.cli.options import (
    DtypeOption,
    Force,
    HiddenOption,
    Json,
    KeyHeadsOption,
    RotateOption,
    TieOption,
    refuse_existing,
)
from serialformer.cli.progress import progress_bar
from serialformer.cli.tasks import Parameters
from serialformer.tasks.registry import parse_task


class TaskTarget(StrEnum):
    """The families that tasks have constructions for."""

    GPT2 = "gpt2"
    LLAMA = "llama"


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
    target: Annotated[
        TaskTarget,
        typer.Option(help="A stock GPT-2; or a stock Llama, for base, and for cot if prompts have one layout."),
    ] = TaskTarget.GPT2,
    hidden: HiddenOption = None,
    head_width: Annotated[
        int | None, typer.Option("--head-width", metavar="W", min=1, help="llama: the width of each head.")
    ] = None,
    kv_heads: KeyHeadsOption = None,
    layers: Annotated[
        int | None, typer.Option("--layers", metavar="L", min=1, help="llama: with a chain, the layers; by default 1.")
    ] = None,
    tie: TieOption = False,
    rotated: RotateOption = None,
    force: Force = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Make a GPT-2 or a Llama that is right on every prompt of a task, without training; score it with evaluate."""
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
            target=target.value,
            shape=Shape(hidden=hidden, head_width=head_width, key_heads=kv_heads, layers=layers, tied=tie or None),
        )
        model = (model if rotated is None else rotate(model, rotated)).save(output, overwrite=force)
    print_made(output, model, started, as_json=as_json, verbose=verbose)
