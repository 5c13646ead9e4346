"""Which reader and writer a file's name asks for."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import cast

from serialformer.circuits.circuit import Circuit
from serialformer.circuits.sequential.sequential import SequentialCircuit
from serialformer.errors import FormatError

MODULES = {
    **{".aag": "aiger", ".aig": "aiger", ".blif": "blif", ".bench": "bench", ".txt": "bristol"},
    **{".v": "verilog", ".sv": "verilog"},
}
"""The module of each suffix: it has ``read_<module>(path)`` and, but for Verilog, ``write_<module>(circuit, path)``."""

PLACES = {
    **{"aiger": "formats.aiger.aiger", "bench": "formats.bench", "blif": "formats.blif.blif"},
    **{"bristol": "formats.bristol", "verilog": "verilog.verilog"},
}
"""Where each of these modules is in ``serialformer.circuits``."""

READ_REGISTERS = ("aiger", "blif", "bench", "verilog")
"""The modules that also have ``read_sequential_<module>(path)``; the other formats have no registers."""

WRITE_REGISTERS = ("aiger", "blif")
"""The modules whose writer takes a ``SequentialCircuit`` too."""


def read(path: str | os.PathLike[str]) -> Circuit:
    """Reads a circuit: AIGER (.aag, .aig), BLIF (.blif), ISCAS BENCH (.bench), Bristol (.txt), Verilog (.v, .sv).

    ``module.py:function`` names a Python function with ``@circuit``; its file is run.

    Raises:
        SerialformerError: no such file, an unknown suffix, or a file that is not what its format asks for.
    """
    if is_function(path):
        from serialformer.circuits.function.module_reference import read_function  # which runs what it is given

        return read_function(path)
    return cast(Circuit, _function("read", path)(path))


def read_sequential(path: str | os.PathLike[str]) -> SequentialCircuit:
    """Reads a circuit with or without registers, in any format that ``read`` takes.

    Raises:
        SerialformerError: as in ``read``.
    """
    if MODULES.get(Path(path).suffix.lower()) in READ_REGISTERS:
        return cast(SequentialCircuit, _function("read_sequential", path)(path))
    return SequentialCircuit(circuit=read(path), registers=())


def is_function(path: str | os.PathLike[str]) -> bool:
    """Whether a name is that of a Python function rather than of a file.

    >>> is_function("examples/gcd.py:gcd"), is_function("gcd.blif")
    (True, False)
    """
    return Path(path).suffix.partition(":")[0].lower() == ".py"


def write(circuit: Circuit | SequentialCircuit, path: str | os.PathLike[str]) -> None:
    """Writes a circuit in the format of the suffix; the file is there whole or not at all.

    Raises:
        SerialformerError: an unknown suffix, a format without registers, or a file that cannot be written.
    """
    function = _function("write", path)
    if isinstance(circuit, SequentialCircuit) and MODULES[Path(path).suffix.lower()] not in WRITE_REGISTERS:
        if circuit.registers:
            known = ", ".join(suffix for suffix, module in MODULES.items() if module in WRITE_REGISTERS)
            raise FormatError("registers are not written in this format", where=str(path), hint=f"one of {known}")
        circuit = circuit.circuit
    function(circuit, path)


def check_suffix(path: str | os.PathLike[str]) -> None:
    """Refuses a name whose suffix tells no format, before any work is done for it."""
    _function("write", path)


def _no_format(path: str | os.PathLike[str], verb: str) -> str:
    """Why a name is not that of a circuit file."""
    if str(path) in ("-", "/dev/stdin"):
        return "circuits are read from and written to files with a suffix, not standard input or output"
    if Path(path).is_dir():
        return "is a directory, not a circuit file"
    suffix = Path(path).suffix.lower()
    if suffix:
        return f"no circuit format {suffix!r}"
    return "the name has no suffix" if verb == "write" or Path(path).exists() else "no such file or directory"


def _function(verb: str, path: str | os.PathLike[str]) -> Callable[..., object]:
    suffix = Path(path).suffix.lower()
    if suffix not in MODULES:
        known = ", ".join(MODULES)
        hint = f"the suffix tells the format: {known}"
        if suffix in (".vhd", ".vhdl"):
            hint = "VHDL is not read: GHDL makes Verilog of it (ghdl synth --out=verilog UNIT > UNIT.v)"
        raise FormatError(_no_format(path, verb), where=str(path), hint=hint)
    if verb == "write" and MODULES[suffix] == "verilog":
        raise FormatError(
            "Verilog is read, not written", where=str(path), hint="write .blif, .aig, .aag, .bench or .txt"
        )
    module = import_module(f"serialformer.circuits.{PLACES[MODULES[suffix]]}")
    function: Callable[..., object] = getattr(module, f"{verb}_{MODULES[suffix]}")
    return function
