"""The command ``info``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from serialformer.cli.options import Json
from serialformer.cli.source import (
    IncludesOption,
    MacrosOption,
    ParametersOption,
    SourcesOption,
    TopOption,
    print_reading_notes,
    verilog_options,
)
from serialformer.cli.tasks import TaskOption, TrustCode
from serialformer.models.info import info
from serialformer.notebook import count, first_few


def info_command(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A circuit file or a checkpoint directory.")],
    top: TopOption = None,
    parameters: ParametersOption = None,
    macros: MacrosOption = None,
    includes: IncludesOption = None,
    sources: SourcesOption = None,
    task: TaskOption = None,
    trust_code: TrustCode = False,
    as_json: Json = False,
) -> None:
    """Print what is known of a circuit or a checkpoint, as a table."""
    options = verilog_options(path, top, parameters, macros, includes, sources)
    facts = info(path, **options, task=task, trust_code=trust_code)
    if not path.is_dir():
        print_reading_notes(facts)
    if as_json:
        print(json.dumps(facts))
    else:
        for line in table_lines(facts):
            print(line)


def table_lines(facts: dict[str, Any]) -> list[str]:
    """Names and values in two columns; what is not known is left out.

    >>> print("\\n".join(table_lines({"gates": 1408, "input_words": {"a": 16, "carry": 1}, "proven": None})))
    gates        1,408
    input words  a (16 bits), carry (1 bit)
    """
    rows = [(name.replace("_", " "), _shown(value)) for name, value in facts.items() if value is not None]
    width = max((len(name) for name, _ in rows), default=0)
    return [f"{name:<{width}}  {value}" for name, value in rows]


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return first_few([f"{name} ({count(width, 'bit')})" for name, width in value.items()])
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)
