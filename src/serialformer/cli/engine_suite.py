"""The commands ``engine-suite`` and ``engine-cases``: known answers for inference engines, as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from serialformer.cli.options import Directory, Json, print_facts, refuse_existing
from serialformer.cli.progress import progress_bar


def engine_suite_command(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The directory to make.")],
    as_json: Json = False,
) -> None:
    """Make a suite: models whose every token is known, and what to ask them. The bytes are the same each time."""
    from serialformer.engines.recipes import default_recipes
    from serialformer.engines.suite import build_suite

    refuse_existing(output)
    recipes = default_recipes()
    with progress_bar("making models", len(recipes), unit="models") as advance:
        facts = {"directory": str(output), **build_suite(output, recipes=recipes, progress=advance)}
    if as_json:
        print(json.dumps(facts))
    else:
        print_facts(facts)


def engine_cases_command(
    directory: Directory,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="CASES.jsonl", help="The file to write: a line for each case.")
    ],
    as_json: Json = False,
) -> None:
    """Write prompts for a compiled circuit with the tokens that must follow, for an engine in any language."""
    from serialformer.engines.suite import engine_cases

    facts = {"file": str(output), **engine_cases(directory, output)}
    if as_json:
        print(json.dumps(facts))
    else:
        print_facts(facts)
