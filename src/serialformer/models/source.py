"""The circuit that a path, a Python function or a circuit object stands for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from serialformer.circuits.circuit import Circuit
from serialformer.circuits.formats.read_write import is_function, read_sequential
from serialformer.circuits.sequential.sequential import SequentialCircuit
from serialformer.errors import InputError

if TYPE_CHECKING:
    from serialformer.circuits.verilog.simulators import Source as SimulatedSource
    from serialformer.circuits.verilog.verilog import VerilogReading

VERILOG_SUFFIXES = (".v", ".sv")


@runtime_checkable
class TracedFunction(Protocol):
    """A function with ``@circuit``, as far as it is a source; named so that what traces functions is not imported."""

    function: FunctionType

    def circuit_for(self, max_fan_in: int) -> Circuit:
        """The circuit for gates of at most this many inputs; see ``CircuitFunction.circuit_for``."""


Source = Circuit | SequentialCircuit | TracedFunction | str | os.PathLike[str]
"""What a circuit may be read from."""


@dataclass(frozen=True, kw_only=True)
class VerilogOptions:
    """The options that apply only to Verilog.

    Attributes:
        top: the top module, where there are several.
        parameters: parameters of the top module.
        macros: what is defined before the first line.
        includes: folders in which ``include`` looks for files.
        sources: further files of the same design.
    """

    top: str | None = None
    parameters: Mapping[str, int | str] | None = None
    macros: Mapping[str, int | str] | None = None
    includes: Sequence[str | os.PathLike[str]] = ()
    sources: Sequence[str | os.PathLike[str]] = ()

    @property
    def are_given(self) -> bool:
        return self.top is not None or bool(self.parameters or self.macros or self.includes or self.sources)


@dataclass(frozen=True, kw_only=True)
class SourceReading:
    """A circuit, and notes on how the source was read; empty for most formats."""

    circuit: SequentialCircuit
    facts: Mapping[str, str]


def read_source(source: Source, options: VerilogOptions | None = None, *, max_fan_in: int = 2) -> SequentialCircuit:
    """The circuit of a source; see ``elaborate_source``."""
    return elaborate_source(source, options, max_fan_in=max_fan_in).circuit


def elaborate_source(source: Source, options: VerilogOptions | None = None, *, max_fan_in: int = 2) -> SourceReading:
    """The circuit of a source, and how it was read; one without registers is a sequential circuit with none.

    Args:
        source: a circuit, a function with ``@circuit``, or a path: a file, or ``module.py:function``.
        options: for Verilog.
        max_fan_in: the gates that a Python function is traced for; see ``CircuitFunction.circuit_for``.

    Raises:
        InputError: options of Verilog for something else.
        SerialformerError: as in ``read_sequential``.
    """
    options = options or VerilogOptions()
    if isinstance(source, str | os.PathLike) and is_verilog(source):
        verilog = read_verilog_source(source, options)
        return SourceReading(circuit=verilog.circuit, facts=verilog.facts)
    if options.are_given:
        where = str(source) if isinstance(source, str | os.PathLike) else source_name(source)
        raise InputError(
            "top, parameters, macros, includes and sources (--top, -P, -D, --include, --source) go with Verilog",
            where=where,
        )
    if isinstance(source, str | os.PathLike) and Path(source).suffix.lower() == ".blif":
        from serialformer.circuits.formats.blif.blif import elaborate_blif

        blif = elaborate_blif(source)
        return SourceReading(circuit=blif.circuit, facts=blif.facts)
    return SourceReading(circuit=_read_plain(source, max_fan_in), facts={})


def _read_plain(source: Source, max_fan_in: int) -> SequentialCircuit:
    """The circuit of a source of which there is nothing else to say."""
    if isinstance(source, SequentialCircuit):
        return source
    if isinstance(source, Circuit):
        return SequentialCircuit(circuit=source, registers=())
    if isinstance(source, TracedFunction):
        return SequentialCircuit(circuit=source.circuit_for(max_fan_in), registers=())
    if is_function(source):
        from serialformer.circuits.function.module_reference import read_function  # which runs what it is given

        return SequentialCircuit(circuit=read_function(source, max_fan_in), registers=())
    return read_sequential(source)


def is_verilog(path: str | os.PathLike[str]) -> bool:
    """Whether a file's name says that it is Verilog or SystemVerilog."""
    return Path(path).suffix.lower() in VERILOG_SUFFIXES


def read_verilog_source(path: str | os.PathLike[str], options: VerilogOptions) -> VerilogReading:
    """The circuit of a Verilog file, and how it was read; see ``elaborate_verilog``."""
    from serialformer.circuits.verilog.verilog import elaborate_verilog

    return elaborate_verilog(
        [path, *options.sources],
        top=options.top,
        parameters=options.parameters,
        macros=options.macros,
        includes=[str(folder) for folder in options.includes],
    )


def simulated_source(path: str | os.PathLike[str], options: VerilogOptions) -> SimulatedSource:
    """What a simulator is given: the source, and our reading of its clock and its registers."""
    from serialformer.circuits.verilog.simulators import Source

    reading = read_verilog_source(path, options)
    return Source(
        paths=tuple(map(str, (path, *options.sources))),
        top=reading.top,
        is_verilog_2005=reading.is_verilog_2005,
        parameters=options.parameters or {},
        macros=options.macros or {},
        includes=tuple(map(str, options.includes)),
        clock=reading.clock,
        registers=tuple(one.name for one in reading.circuit.registers if None in one.initial),
    )


def has_gates_of_its_own(source: Source) -> bool:
    """Whether a source says itself which gates there are: netlists and circuits do, Verilog and Python do not."""
    if isinstance(source, str | os.PathLike):
        return not is_verilog(source) and not is_function(source)
    return not isinstance(source, TracedFunction)


def source_name(source: Source) -> str | None:
    """The name of the file or of the function; None for a circuit object."""
    if isinstance(source, str | os.PathLike):
        return Path(source).name
    return source.function.__qualname__ if isinstance(source, TracedFunction) else None
