"""The command ``construct``: a model of a task that is compiled, not trained."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from serialformer.cli.commands import DtypeOption, Json, print_made, refuse_existing
from serialformer.cli.progress import progress_bar
from serialformer.cli.tasks import Parameters
from serialformer.task_model import TaskModel
from serialformer.tasks.registry import parse_task


def construct_command(
    name: Annotated[
        str, typer.Argument(metavar="TASK", help="A task (serialformer tasks lists them) or FILE.py:Class.")
    ],
    length: Annotated[int, typer.Option("--length", metavar="N", help="The number of items.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The checkpoint directory to make.")],
    parameters: Parameters = None,
    dtype: Annotated[DtypeOption, typer.Option(help="The number format of the weights.")] = DtypeOption.FLOAT32,
    as_json: Json = False,
) -> None:
    """Make a GPT-2 that is right on every prompt of a task, without training; evaluate DIR scores it."""
    from serialformer.construction import construct_model

    started = time.perf_counter()
    task = parse_task(name, parameters or [])
    refuse_existing(output)
    with progress_bar("constructing", None):
        model = construct_model(task, length, dtype=dtype.value).save(output)
    print_made(output, _facts(model), started, as_json=as_json)


def _facts(model: TaskModel) -> dict[str, Any]:
    architecture, details = model.transformer.architecture, model.details
    return {
        "task": model.task.name,
        "task_parameters": " ".join(f"{name}={value}" for name, value in model.task.parameters.items()),
        "length": model.length,
        "tokens": model.num_new_tokens,
        "layers": architecture.num_layers,
        "heads": architecture.num_heads,
        "width": architecture.width,
        "hidden_width": architecture.hidden_width,
        "hidden_units": details["hidden_units"],
        "positions": architecture.num_positions,
        "vocabulary": len(architecture.vocabulary),
        "parameters": model.transformer.num_parameters,
        "bytes": model.transformer.num_bytes,
        "dtype": architecture.dtype,
        "cases": details["num_cases"],
        "attention_gap": details["attention_gap"],
        "logit_margin": details["logit_margin"],
    }
