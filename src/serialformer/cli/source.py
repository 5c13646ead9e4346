"""The options of commands that take a circuit, including those for Verilog only."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from serialformer.errors import InputError

TopOption = Annotated[
    str | None, typer.Option("--top", metavar="NAME", help="Verilog: the top module, if there are several.")
]
ParametersOption = Annotated[
    list[str] | None, typer.Option("-P", metavar="NAME=VALUE", help="Verilog: set a parameter of the top module.")
]
MacrosOption = Annotated[list[str] | None, typer.Option("-D", metavar="NAME[=TEXT]", help="Verilog: define a macro.")]
IncludesOption = Annotated[
    list[Path] | None,
    typer.Option("--include", metavar="DIR", help="Verilog: a directory to search for `include files."),
]
SourcesOption = Annotated[
    list[Path] | None, typer.Option("--source", metavar="FILE", help="Verilog: another file of the same design.")
]


def verilog_options(
    path: Path | None,
    top: str | None,
    parameters: list[str] | None,
    macros: list[str] | None,
    includes: list[Path] | None,
    sources: list[Path] | None,
) -> dict[str, Any]:
    """The options as ``compile`` and ``info`` take them.

    A parameter given by ``-D``, as it was before there was ``-P``, is still set, with a warning on stderr.

    Raises:
        InputError: a parameter has no value, or one or a macro is given twice.
    """
    values, texts = _pairs(parameters or (), "-P"), _pairs(macros or (), "-D")
    files = [file for file in (path, *(sources or ())) if file is not None and file.is_file()]
    read = [file.read_text(encoding="utf-8", errors="replace") for file in files] if texts else []
    for name in list(texts):
        is_macro = any(re.search(rf"`{name}\b|`(?:ifdef|ifndef|elsif)\s+{name}\b", text) for text in read)
        if not is_macro and any(re.search(rf"\bparameter\b[^;]*?\b{name}\s*=", text) for text in read):
            print(
                f"warning: {name} is a parameter: give it as -P {name}={texts[name]}; -D defines macros, and will"
                " only do that in the next release",
                file=sys.stderr,
            )
            values.setdefault(name, texts.pop(name))
    return {"top": top, "parameters": values, "macros": texts, "includes": includes or (), "sources": sources or ()}


def print_reading_notes(facts: Mapping[str, Any]) -> None:
    """Says on stderr what may surprise a user of how a source was read.

    Args:
        facts: of a circuit or a model, from ``info`` or from its provenance.
    """
    if facts.get("ignored"):
        print(f"ignored, because it computes nothing: {facts['ignored']}", file=sys.stderr)
    if facts.get("model"):
        print(f"model {facts['model']}", file=sys.stderr)


def _pairs(given: Sequence[str], option: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for assignment in given:
        name, equals, value = assignment.partition("=")
        if not re.fullmatch(r"[^\W\d][\w$]*", name) or (not value and (equals or option == "-P")):
            expected = "NAME=VALUE" if option == "-P" else "NAME or NAME=TEXT"
            raise InputError(f"expected {expected}, found {assignment!r}", where=option)
        if name in values:
            raise InputError(f"{name!r} is given twice", where=option)
        values[name] = value
    return values
