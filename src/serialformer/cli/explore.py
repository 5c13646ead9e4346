"""The command ``explore``: the page on which one watches a model think."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from serialformer.cli.commands import Json
from serialformer.cli.progress import progress_bar
from serialformer.cli.tasks import TaskOption, TrustCode
from serialformer.errors import CheckpointError, InputError
from serialformer.files import refuse_os_errors
from serialformer.manifest import CIRCUIT_KIND, load_kind
from serialformer.model import Model, load
from serialformer.task_model import TaskModel, load_task_model


def explore_command(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A checkpoint directory.")],
    other: Annotated[
        Path | None, typer.Argument(metavar="[DIR2]", help="Another model of the same task, to stand beside it.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="PAGE.html", help="The page to write: one file.")
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve the page on this machine instead, for large models; Ctrl-C ends it.")
    ] = False,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, metavar="N", help="With --serve; 0 takes a free one.")
    ] = 0,
    samples: Annotated[int, typer.Option("--samples", min=1, max=1000, metavar="N", help="Of a task: prompts.")] = 8,
    seed: Annotated[int, typer.Option("--seed", min=0, metavar="K", help="Of a task: which prompts.")] = 0,
    task: TaskOption = None,
    trust_code: TrustCode = False,
    as_json: Json = False,
) -> None:
    """Write one web page on which the model is run from its weights, token by token; or serve it."""
    from serialformer.explorer.content import circuit_content, task_content
    from serialformer.explorer.page import write_page

    if serve == (output is not None):
        raise InputError("expected either -o PAGE.html or --serve")
    if port and not serve:
        raise InputError("--port goes with --serve")
    models = [_load(path, task, trust_code=trust_code) for path in (directory, other) if path is not None]
    with progress_bar("preparing", None):
        if isinstance(models[0], Model):
            if len(models) > 1:
                raise InputError("only models of tasks stand side by side", where=str(directory))
            content = circuit_content(models[0], embedded=not serve)
        else:
            tasks = [model for model in models if isinstance(model, TaskModel)]
            if len(tasks) < len(models):
                raise InputError("only models of tasks stand side by side", where=str(other))
            content = task_content(tasks, num_samples=samples, seed=seed, embedded=not serve)
    if output is None:
        from serialformer.explorer.server import serve_page

        def announce(address: str) -> None:
            print(json.dumps({"address": address}) if as_json else address, flush=True)

        with refuse_os_errors(f"port {port}"):
            serve_page(content, [model.transformer for model in models], port=port, announce=announce)
        return
    if output.is_dir():
        raise InputError("is a directory", where=str(output), hint="-o takes the name of the page, such as page.html")
    num_bytes = write_page(output, content)
    facts: dict[str, Any] = {"page": str(output), "bytes": num_bytes}
    print(json.dumps(facts) if as_json else f"page: {output}\nbytes: {num_bytes}")


def _load(directory: Path, task: str | None, *, trust_code: bool) -> Model | TaskModel:
    """The model of any kind in a directory."""
    if not directory.is_dir():
        raise CheckpointError(
            "no such checkpoint directory", where=str(directory), hint="compile, construct and train make them"
        )
    if load_kind(directory) == CIRCUIT_KIND:
        return load(directory)
    return load_task_model(directory, task=task, trust_code=trust_code)
