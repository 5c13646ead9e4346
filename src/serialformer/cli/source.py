"""The options of commands that take a circuit: what only Verilog needs to be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from serialformer.errors import InputError

TopOption = Annotated[
    str | None, typer.Option("--top", metavar="NAME", help="Verilog: the top module, where there are several.")
]
ParametersOption = Annotated[
    list[str] | None, typer.Option("-D", metavar="NAME=VALUE", help="Verilog: a parameter of the top module.")
]
IncludesOption = Annotated[
    list[Path] | None, typer.Option("--include", metavar="DIR", help="Verilog: where `include looks for files.")
]
SourcesOption = Annotated[
    list[Path] | None, typer.Option("--source", metavar="FILE", help="Verilog: a further file of the same design.")
]


def verilog_options(
    top: str | None, parameters: list[str] | None, includes: list[Path] | None, sources: list[Path] | None
) -> dict[str, Any]:
    """The options as ``compile`` and ``info`` take them.

    Raises:
        InputError: a parameter has no value, or is given twice.
    """
    values: dict[str, int | str] = {}
    for assignment in parameters or []:
        name, equals, value = assignment.partition("=")
        if not equals or not name or not value:
            raise InputError(f"expected NAME=VALUE, found {assignment!r}", where="-D")
        if name in values:
            raise InputError(f"{name!r} is given twice", where="-D")
        values[name] = value
    return {"top": top, "parameters": values, "includes": includes or (), "sources": sources or ()}
