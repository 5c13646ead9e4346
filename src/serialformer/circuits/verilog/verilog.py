"""Verilog and SystemVerilog, through Yosys. What is read and what is refused: docs/formats/verilog.md.

Yosys elaborates and flattens the design, and we look at what it has made of it before it is lowered.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from serialformer.circuits.circuit import Circuit
from serialformer.circuits.formats.blif.blif import format_blif
from serialformer.circuits.mapping.mapping import map_gates
from serialformer.circuits.sequential.sequential import SequentialCircuit
from serialformer.circuits.verilog.clocks import Clock, clock_of
from serialformer.circuits.verilog.design_rules import refuse_faults, refuse_loops, refuse_registers
from serialformer.circuits.verilog.frontends import read_design, unknown_parameters
from serialformer.circuits.verilog.latches import settle_latches
from serialformer.circuits.verilog.lowering import LOWERING_PASSES, lower
from serialformer.circuits.verilog.options import macro_texts, parameter_values
from serialformer.circuits.verilog.rtlil import Module, order_ports_by_source, parse_rtlil
from serialformer.circuits.verilog.sources import prepare_sources
from serialformer.circuits.verilog.yosys import quote, yosys_directory
from serialformer.errors import FormatError

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

_NO_VALUES = " ".join(f"t:{cell}" for cell in ("$print", "$check", "$assert", "$assume", "$cover", "$live", "$fair"))
_FLATTEN = ("proc -norom", "flatten", "opt_clean")
"""From modules to one flat module, nothing of it folded yet: an x in the source still stands where it is read."""

_FOLD = ("opt_expr", "opt_clean")
_MEMORY = ("memory", "opt_expr", "opt_clean")


@dataclass(frozen=True, kw_only=True)
class VerilogReading:
    """A circuit that was read from Verilog, and how.

    Attributes:
        circuit: the circuit; without registers where the design has none.
        language: as what slang, Yosys' reader, took the sources: Verilog-2005 or SystemVerilog.
        passes: what turned its result into gates, in order.
        ignored: how often something was met in the sources that computes nothing, such as ``$display``.
        clock: what clocks the registers; None where there are none.
        top: the module that was read.
    """

    circuit: SequentialCircuit
    language: str
    passes: tuple[str, ...]
    ignored: Mapping[str, int]
    clock: Clock | None
    top: str

    @property
    def is_verilog_2005(self) -> bool:
        """Whether the sources were read with the keywords of Verilog-2005."""
        return self.language == "Verilog-2005"

    @property
    def facts(self) -> dict[str, str]:
        """What a user should know who has a certificate: it does not cover how the source was read."""
        ignored = ", ".join(f"{name} ({count})" for name, count in sorted(self.ignored.items()))
        return {
            **({"ignored": ignored} if ignored else {}),
            "read_by": f"slang, as {self.language}",
            "passes": ", ".join(self.passes),
            "certificate_begins": "at the netlist, not at the source (verify --against FILE --simulator NAME)",
        }


@dataclass(frozen=True, kw_only=True)
class _Design:
    """A design that Yosys has elaborated and flattened into ``path``."""

    module: Module
    path: Path
    language: str
    top: str
    ignored: Counter[str]


def read_verilog(
    paths: Paths,
    *,
    top: str | None = None,
    parameters: Mapping[str, int | str] | None = None,
    macros: Mapping[str, int | str] | None = None,
    includes: Sequence[str | os.PathLike[str]] = (),
) -> Circuit:
    """The circuit of a combinational design in Verilog or SystemVerilog.

    Ports become words in the order of their declaration; bit 0 is the least significant, whatever range they declare.

    Args:
        paths: the source files, or one.
        top: the module to read; may be left out where only one is not instantiated by another.
        parameters: values for the top module's parameters; strings are Verilog literals.
        macros: what `` `define `` would define, before the first line of the sources.
        includes: directories for `` `include``.

    Raises:
        ToolError: Yosys is not installed.
        FormatError: the design has an error, registers, latches, loops, inout ports, or bits that nothing defines.
    """
    names = _names(paths)
    with yosys_directory() as directory:
        design = _elaborate(names, top, parameters or {}, macros or {}, includes, directory)
        refuse_registers(design.module, names[0])
        circuit = lower(design.module, design.path, None, directory, names[0]).circuit
        return replace(map_gates(circuit), gate_names=())


def read_sequential_verilog(
    paths: Paths,
    *,
    top: str | None = None,
    parameters: Mapping[str, int | str] | None = None,
    macros: Mapping[str, int | str] | None = None,
    includes: Sequence[str | os.PathLike[str]] = (),
) -> SequentialCircuit:
    """The circuit of a design with or without registers; see ``elaborate_verilog``."""
    return elaborate_verilog(paths, top=top, parameters=parameters, macros=macros, includes=includes).circuit


def elaborate_verilog(
    paths: Paths,
    *,
    top: str | None = None,
    parameters: Mapping[str, int | str] | None = None,
    macros: Mapping[str, int | str] | None = None,
    includes: Sequence[str | os.PathLike[str]] = (),
) -> VerilogReading:
    """The circuit of a design with or without registers, in two-input gates, and how it was read.

    All registers must see the same edge of one input, the clock, which nothing else may read; it is none of the
    circuit's inputs. Asynchronous resets and sets act within the cycle in which they are given, on what reads the
    register too: a register ``q`` that has one is called ``q.register``, and ``q`` is what its readers see. Initial
    values are those of the source.

    Yosys' AND graph spends three gates on an XOR, which nobody wrote; it is mapped to gates of any kind.

    Args:
        paths: the source files, or one.
        top: see ``read_verilog``; so for ``parameters``, ``macros`` and ``includes``.

    Raises:
        ToolError: Yosys is not installed.
        FormatError: as for ``read_verilog``, but for registers; or there are several clocks, both edges, or a gated
            clock.
    """
    design, circuit, clock = _lowered(_names(paths), top, parameters or {}, macros or {}, includes)
    mapped = replace(map_gates(circuit.circuit), gate_names=())
    return VerilogReading(
        circuit=replace(circuit, circuit=mapped),
        language=design.language,
        passes=(*_FLATTEN, *_FOLD, *_MEMORY[:1], *LOWERING_PASSES),
        ignored=dict(design.ignored),
        clock=clock,
        top=design.top,
    )


def verilog_to_blif(
    paths: Paths,
    directory: str | os.PathLike[str],
    *,
    top: str | None = None,
    parameters: Mapping[str, int | str] | None = None,
    macros: Mapping[str, int | str] | None = None,
    includes: Sequence[str | os.PathLike[str]] = (),
) -> Path:
    """A BLIF file of two-input ANDs and inverters, and a ``.latch`` a register bit; see ``elaborate_verilog``.

    The latches name no clock. Their initial value is 3 where the source gives none.

    Args:
        paths: the source files, or one.
        directory: where to write.
        top: see ``read_verilog``; so for ``parameters``, ``macros`` and ``includes``.

    Returns:
        The file, ``design.blif`` in the directory.

    Raises:
        ToolError: Yosys is not installed.
        FormatError: as for ``elaborate_verilog``.
    """
    _, circuit, _ = _lowered(_names(paths), top, parameters or {}, macros or {}, includes)
    target = Path(directory) / "design.blif"
    target.write_bytes(format_blif(circuit))
    return target


def _lowered(
    names: Sequence[str],
    top: str | None,
    parameters: Mapping[str, int | str],
    macros: Mapping[str, int | str],
    includes: Sequence[str | os.PathLike[str]],
) -> tuple[_Design, SequentialCircuit, Clock | None]:
    """The design, its AND graph with registers, and its clock."""
    with yosys_directory() as directory:
        design = _elaborate(names, top, parameters, macros, includes, directory)
        clock = clock_of(design.module, names[0])
        return design, lower(design.module, design.path, clock.name if clock else None, directory, names[0]), clock


def _names(paths: Paths) -> list[str]:
    return [str(path) for path in ([paths] if isinstance(paths, str | os.PathLike) else paths)]


def _elaborate(
    paths: Sequence[str],
    top: str | None,
    parameters: Mapping[str, int | str],
    macros: Mapping[str, int | str],
    includes: Sequence[str | os.PathLike[str]],
    directory: Path,
) -> _Design:
    """Reads the design, flattens it, makes registers of its memories, and refuses designs that are not circuits."""
    if top is not None and not re.fullmatch(r"[^\s;\"]+", top):
        raise FormatError(f"{top!r} is no name of a module", where=paths[0])
    values, texts = parameter_values(parameters), macro_texts(macros)
    sources = prepare_sources(paths, includes, texts, directory)
    flat, folded, made, path = (directory / f"{name}.il" for name in ("flat", "folded", "made", "design"))
    commands = [
        *_FLATTEN,
        f"delete {_NO_VALUES}",
        "opt_clean",
        f"write_rtlil {quote(flat)}",
        *_FOLD,
        "check",
        f"write_rtlil {quote(folded)}",
        # slang makes tables of constants of some case statements.
        *_MEMORY,
        f"write_rtlil {quote(made)}",
    ]
    begin = top if top is None else sources.renamed.get(f"\\{top}", top)
    reading = read_design(sources, begin, values, commands, made, directory)
    # slang passes over a parameter that no module has.
    unknown = [name for name in values if not any(name in text for text in sources.texts())]
    if unknown:
        raise unknown_parameters(unknown, reading.top, sources)
    name = reading.top.removeprefix("\\")
    before, module = (_top_module(sources.restore_text(file.read_text()), name) for file in (flat, folded))
    refuse_faults(before, module, reading.run.log, paths[0])
    text = sources.restore_text(made.read_text())
    module = _top_module(text, name)
    log = reading.run.log
    clock = clock_of(module, paths[0])
    settled = settle_latches(text, name, clock.name if clock else None, path, directory, paths[0])
    refuse_loops(log if settled == text else "", paths[0])  # where latches were settled, there are no other loops
    path.write_text(order_ports_by_source(settled))  # slang numbers ports in an order of its own
    return _Design(
        module=_top_module(path.read_text(), name),
        path=path,
        language=reading.language,
        top=next((old[1:] for old, new in sources.renamed.items() if new == reading.top), reading.top),
        ignored=sources.ignored,
    )


def _top_module(text: str, name: str) -> Module:
    return {module.name: module for module in parse_rtlil(text)}[name]
