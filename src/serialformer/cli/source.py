"""The circuit that a command is given: a file, a Python function, or Verilog with what that needs to be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serialformer.circuits.formats.read_write import is_function, read_sequential
from serialformer.circuits.sequential.sequential import SequentialCircuit
from serialformer.errors import InputError

VERILOG_SUFFIXES = (".v", ".sv")

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


def read_source(
    path: Path,
    top: str | None = None,
    parameters: list[str] | None = None,
    includes: list[Path] | None = None,
    sources: list[Path] | None = None,
    *,
    max_fan_in: int = 2,
) -> SequentialCircuit:
    """The circuit that a path and the options of Verilog name.

    Args:
        path: a file, or ``module.py:function``.
        top: the top module; Verilog only, as are the next three.
        parameters: of the top module, ``NAME=VALUE``.
        includes: folders of files to include.
        sources: further files.
        max_fan_in: the gates that a Python function is traced for; see ``CircuitFunction.circuit_for``.

    Raises:
        InputError: options of Verilog for something else, or a parameter without a value.
        SerialformerError: as in ``read_sequential``.
    """
    if path.suffix.lower() not in VERILOG_SUFFIXES:
        if top is not None or parameters or includes or sources:
            raise InputError("--top, -D, --include and --source go with Verilog", where=str(path))
        if is_function(path):
            from serialformer.circuits.function.module_reference import read_function  # which runs what it is given

            return SequentialCircuit(circuit=read_function(path, max_fan_in), registers=())
        return read_sequential(path)
    from serialformer.circuits.verilog.verilog import read_sequential_verilog

    values: dict[str, int | str] = {}
    for assignment in parameters or []:
        name, equals, value = assignment.partition("=")
        if not equals or not name or not value:
            raise InputError(f"expected NAME=VALUE, found {assignment!r}", where="-D")
        if name in values:
            raise InputError(f"{name!r} is given twice", where="-D")
        values[name] = value
    return read_sequential_verilog(
        [path, *(sources or [])], top=top, parameters=values, includes=[str(folder) for folder in includes or []]
    )


def has_gates_of_its_own(path: Path) -> bool:
    """Whether what a path names says itself which gates there are: a netlist does, Verilog and Python do not."""
    return path.suffix.lower() not in VERILOG_SUFFIXES and not is_function(path)
