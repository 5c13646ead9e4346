"""The command ``info``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from serialformer.cli.options import Json, print_facts
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
    """Print the sizes of a circuit or a checkpoint, one ``key: value`` a line."""
    options = verilog_options(path, top, parameters, macros, includes, sources)
    facts = info(path, **options, task=task, trust_code=trust_code)
    if not path.is_dir():
        print_reading_notes(facts)
    if as_json:
        print(json.dumps(facts))
    else:
        print_facts(facts)
