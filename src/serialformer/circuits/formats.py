"""Which reader and writer a file's name asks for."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import cast

from serialformer.circuits.circuit import Circuit
from serialformer.errors import FormatError

MODULES = {".aag": "aiger", ".aig": "aiger", ".blif": "blif", ".bench": "bench", ".txt": "bristol"}
"""The module of each suffix; it has ``read_<module>(path)`` and ``write_<module>(circuit, path)``."""


def read(path: str | os.PathLike[str]) -> Circuit:
    """Reads a circuit: AIGER (.aag, .aig), BLIF (.blif), ISCAS BENCH (.bench) or Bristol (.txt), by the suffix.

    Raises:
        SerialformerError: no such file, an unknown suffix, or a file that is not what its format asks for.
    """
    return cast(Circuit, _function("read", path)(path))


def write(circuit: Circuit, path: str | os.PathLike[str]) -> None:
    """Writes a circuit in the format of the suffix; the file is there whole or not at all."""
    _function("write", path)(circuit, path)


def check_suffix(path: str | os.PathLike[str]) -> None:
    """Refuses a name whose suffix tells no format, before any work is done for it."""
    _function("write", path)


def _function(verb: str, path: str | os.PathLike[str]) -> Callable[..., object]:
    suffix = Path(path).suffix.lower()
    if suffix not in MODULES:
        known = ", ".join(MODULES)
        hint = f"the suffix tells the format: {known}"
        if suffix in (".v", ".sv"):
            hint = "Verilog is not read yet: let Yosys write AIGER or BLIF (synth -flatten; aigmap; write_aiger)"
        raise FormatError(f"no circuit format {suffix!r}", where=str(path), hint=hint)
    module = import_module(f"serialformer.circuits.{MODULES[suffix]}")
    function: Callable[..., object] = getattr(module, f"{verb}_{MODULES[suffix]}")
    return function
