"""The command ``explore``: the page on which one watches a model think."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from serialformer.cli.options import Json
from serialformer.cli.progress import progress_bar
from serialformer.cli.tasks import TaskOption, TrustCode
from serialformer.errors import InputError


def explore_command(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A checkpoint directory.")],
    other: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR2]", help="Another model of the same task; of a model without a chain, the same with one."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="PAGE.html", help="The page to write, a single file.")
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve the page on this machine instead, for large models; Ctrl-C ends it.")
    ] = False,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, metavar="N", help="With --serve: the port; 0 picks a free one.")
    ] = 0,
    samples: Annotated[
        int, typer.Option("--samples", min=1, max=1000, metavar="N", help="For a task: the number of prompts.")
    ] = 8,
    seed: Annotated[int, typer.Option("--seed", min=0, metavar="K", help="For a task: the seed of the prompts.")] = 0,
    task: TaskOption = None,
    trust_code: TrustCode = False,
    as_json: Json = False,
) -> None:
    """Write a web page that runs the model from its weights, token by token; or serve it."""
    if serve == (output is not None):
        raise InputError("expected either -o PAGE.html or --serve")
    if port and not serve:
        raise InputError("--port requires --serve")
    from serialformer.explorer.explore import explore

    def announce(address: str) -> None:
        print(json.dumps({"address": address}) if as_json else address, flush=True)

    with nullcontext() if serve else progress_bar("preparing", None):
        num_bytes = explore(
            directory,
            other,
            output=output,
            num_samples=samples,
            seed=seed,
            port=port,
            task=task,
            trust_code=trust_code,
            announce=announce,
        )
    if output is not None:
        facts: dict[str, Any] = {"page": str(output), "bytes": num_bytes}
        link = output.resolve().as_uri()
        print(json.dumps(facts) if as_json else f"page: {output}\nbytes: {num_bytes}\nopen: {link}")
