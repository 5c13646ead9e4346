"""The commands ``engine-suite``, ``engine-cases`` and ``engine-export``: what inference engines read, as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from serialformer.cli.options import Directory, Force, Json, print_facts, refuse_existing
from serialformer.cli.progress import progress_bar
from serialformer.errors import InputError


def engine_suite_command(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The directory to create.")],
    collection: Annotated[
        bool,
        typer.Option("--collection", help="Lay the models out for a model hub: one repository each, with a card."),
    ] = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Make a suite of models and prompts for which every token is known. The files are the same every time."""
    from serialformer.engines.collection import write_collection
    from serialformer.engines.recipes import default_recipes
    from serialformer.engines.suite import build_suite

    refuse_existing(output, force=force)
    recipes = default_recipes()
    with progress_bar("making models", len(recipes), unit="models") as advance:
        build = write_collection if collection else build_suite
        facts = {"directory": str(output), **build(output, recipes=recipes, overwrite=force, progress=advance)}
    if as_json:
        print(json.dumps(facts))
    else:
        print_facts(facts)


def engine_cases_command(
    directory: Directory,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="CASES.jsonl", help="The file to write, one line per case.")
    ],
    as_json: Json = False,
) -> None:
    """Write prompts for a compiled circuit and the tokens that must follow, for engines in any language."""
    from serialformer.engines.suite import engine_cases

    facts = {"file": str(output), **engine_cases(directory, output)}
    if as_json:
        print(json.dumps(facts))
    else:
        print_facts(facts)


def engine_export_command(
    directory: Directory,
    gguf: Annotated[Path | None, typer.Option("--gguf", metavar="FILE", help="Write GGUF, for llama.cpp.")] = None,
    onnx: Annotated[Path | None, typer.Option("--onnx", metavar="FILE", help="Write ONNX with a cache.")] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT",
            help="checkpoint (GGUF's default), float32 (ONNX's), float16; GGUF: bfloat16, q8_0, q4_0.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a checkpoint as GGUF or ONNX."""
    from serialformer.engines.export import export_gguf, export_onnx

    if gguf is None and onnx is None:
        raise InputError("expected --gguf FILE or --onnx FILE")
    made = []
    if gguf is not None:
        made.append(export_gguf(directory, gguf, dtype=dtype or "checkpoint"))
    if onnx is not None:
        made.append(export_onnx(directory, onnx, dtype=dtype or "float32"))
    if as_json:
        print(json.dumps({"files": made}))
    else:
        for facts in made:
            print_facts(facts)
