"""Verilog and SystemVerilog, through Yosys. What is read and what is refused: docs/formats/verilog.md.

Yosys elaborates and flattens the design, and we look at what it has made of it before it is lowered. A combinational
design then becomes an AND graph within a second; what Yosys cannot lower at once (division), and designs with
registers, go through its general synthesis.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from serialformer.circuits.circuit import Circuit
from serialformer.circuits.formats.aiger.aiger import parse_aiger
from serialformer.circuits.formats.blif.blif import parse_blif, parse_sequential_blif
from serialformer.circuits.mapping.mapping import map_gates
from serialformer.circuits.sequential.sequential import SequentialCircuit
from serialformer.circuits.verilog.design_rules import (
    clock_of,
    log_to_loop,
    refuse_faults,
    refuse_loops,
    refuse_registers,
    registers_of,
)
from serialformer.circuits.verilog.rtlil import Module, order_ports_by_source, parse_rtlil
from serialformer.circuits.verilog.yosys import Run, log_to_error, quote, run_yosys, yosys_directory
from serialformer.circuits.words import Word
from serialformer.errors import FormatError
from serialformer.files import read_file

_NAME = re.compile(r"[A-Za-z_][\w$]*")
_VALUE = re.compile(r"\d+|\d*'s?[bodhBODH][0-9a-fA-F_]+|\"[^\"\\\n]*\"")

_FLATTEN = ["proc -norom", "flatten", "opt_clean"]
"""From modules to one flat module, nothing of it folded yet: an x in the source still stands where it is read."""

_CHECK = ["opt_expr", "opt_clean", "memory", "opt_expr", "opt_clean", "check"]


@dataclass(frozen=True, kw_only=True)
class _Design:
    """A design that Yosys has elaborated and flattened into ``path``; ``is_lowered``: its AND graph is there too."""

    module: Module
    path: Path
    log: str
    is_lowered: bool


def read_verilog(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    top: str | None = None,
    parameters: Mapping[str, int | str] | None = None,
    includes: Sequence[str | os.PathLike[str]] = (),
) -> Circuit:
    """The circuit of a combinational design in Verilog or SystemVerilog.

    Ports become words in the order of their declaration; bit 0 is the least significant, whatever range they declare.

    Args:
        paths: the source files, or one.
        top: the module to read; may be left out where only one is not instantiated by another.
        parameters: values for the top module's parameters; strings are Verilog literals.
        includes: directories for `` `include``.

    Raises:
        ToolError: Yosys is not installed.
        FormatError: the design has an error, registers, latches, loops, inout ports, or bits that nothing defines.
    """
    sources = _check_sources(paths)
    with yosys_directory() as directory:
        design = _elaborate(sources, top, parameters or {}, includes, directory)
        refuse_registers(design.module, sources[0])
        return _combinational(design, directory, sources[0])


def read_sequential_verilog(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    top: str | None = None,
    parameters: Mapping[str, int | str] | None = None,
    includes: Sequence[str | os.PathLike[str]] = (),
) -> SequentialCircuit:
    """The circuit of a design with or without registers; what becomes of these, ``verilog_to_blif`` says.

    Args:
        paths: the source files, or one.
        top: see ``read_verilog``; so for ``parameters`` and ``includes``.

    Raises:
        ToolError: Yosys is not installed.
        FormatError: as for ``verilog_to_blif``.
    """
    sources = _check_sources(paths)
    with yosys_directory() as directory:
        design = _elaborate(sources, top, parameters or {}, includes, directory)
        if not registers_of(design.module):
            return SequentialCircuit(circuit=_combinational(design, directory, sources[0]), registers=())
        blif = _synthesise(design, directory, sources[0])
        cycle = parse_sequential_blif(blif.read_bytes(), name=sources[0])
        return replace(cycle, circuit=map_gates(cycle.circuit))


def _combinational(design: _Design, directory: Path, source: str) -> Circuit:
    """The circuit of a design without registers, in two-input gates.

    Yosys' AND graph spends three gates on an XOR, which nobody wrote; it is mapped to gates of any kind.
    """
    if design.is_lowered:
        graph = parse_aiger((directory / "design.aig").read_bytes(), name=source)
        return map_gates(_name_words(graph, design.module))
    return map_gates(parse_blif(_synthesise(design, directory, source).read_bytes(), name=source))


def verilog_to_blif(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    directory: str | os.PathLike[str],
    *,
    top: str | None = None,
    parameters: Mapping[str, int | str] | None = None,
    includes: Sequence[str | os.PathLike[str]] = (),
) -> Path:
    """A BLIF file of two-input ANDs and inverters, and a ``.latch`` a register, for a design with or without registers.

    All registers must see the same edge of one input, the clock, which nothing else may read; it is none of the BLIF's
    inputs, and the latches name none. Asynchronous resets and sets act within the cycle in which they are given, on
    what reads the register too: a register ``q`` that has one is called ``q.register``, and ``q`` is what its readers
    see. Initial values are those of the source; 2 stands where it gives none.

    Args:
        paths: the source files, or one.
        directory: where to write.
        top: see ``read_verilog``; so for ``parameters`` and ``includes``.

    Returns:
        The file, ``design.blif`` in the directory.

    Raises:
        ToolError: Yosys is not installed.
        FormatError: as for ``read_verilog``; or there are latches, several clocks, both edges, or a gated clock.
    """
    sources = _check_sources(paths)
    with yosys_directory() as scratch:
        design = _elaborate(sources, top, parameters or {}, includes, scratch)
        made = _synthesise(design, scratch, sources[0]).read_bytes()
    target = Path(directory) / "design.blif"
    target.write_bytes(made)
    return target


def _check_sources(paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[str]:
    """The files as text, each of them there and readable."""
    sources = [str(path) for path in ([paths] if isinstance(paths, str | os.PathLike) else paths)]
    if not sources:
        raise FormatError("no Verilog file given")
    for source in sources:
        if not read_file(source).strip():
            raise FormatError("is empty", where=source, hint="a Verilog file holds modules")
    return sources


def _elaborate(
    sources: list[str],
    top: str | None,
    parameters: Mapping[str, int | str],
    includes: Sequence[str | os.PathLike[str]],
    directory: Path,
) -> _Design:
    folders = [f"-I {quote(str(folder))}" for folder in includes]
    files = [quote(source) for source in sources]
    for folder in includes:
        if not Path(folder).is_dir():
            raise FormatError("no such directory", where=str(folder), hint="--include takes a directory")
    native, listing = " ".join(["read_verilog -sv", *folders, *files]), directory / "sources.f"
    listing.write_text("\n".join([*folders, *files]) + "\n")  # the other frontend takes quotes only in there
    other = f"read_slang -f {listing}"
    top = _find_top(native, other, sources, directory) if top is None else top
    if not _NAME.fullmatch(top):
        raise FormatError(f"{top!r} is no name of a module", where=sources[0])
    values = {name: _parameter_value(name, value) for name, value in parameters.items()}
    flat, path, graph = directory / "flat.il", directory / "design.il", directory / "design.aig"
    write = [f"write_rtlil {quote(path)}", "setundef -zero", f"write_aiger2 -flatten -strash {quote(graph)}"]
    lower = [*_FLATTEN, f"write_rtlil {quote(flat)}", *_CHECK, *write]
    given = "".join(f" -chparam {name} {value}" for name, value in values.items())
    run = run_yosys([native, f"hierarchy -check -top {top}{given}", *lower], directory)
    if not path.exists():
        if "Can't find object for defparam" in run.log:
            _refuse_parameters(values, top, sources, run)
        missing = rf"Module `{re.escape(top)}' not found"
        # The other frontend knows more of the language, and says more of errors, but is not in every Yosys.
        given = "".join(f" -G {name}={value}" for name, value in values.items())
        second = run_yosys([f"{other} --top {top}{given}", f"hierarchy -check -top {top}", *lower], directory)
        if re.search(missing, run.log) or re.search(rf"'{re.escape(top)}' is not a valid top-level", second.log):
            raise FormatError(f"no module {top!r}", where=sources[0], hint=_modules_hint(native, other, directory))
        if not path.exists():
            raise log_to_error(run if _is_unknown_command(second) else second, sources)
        _refuse_parameters(values, top, sources, None)
        path.write_text(order_ports_by_source(path.read_text()))
        graph.unlink(missing_ok=True)
        run = run_yosys([f"read_rtlil {quote(path)}", "check", *write], directory)
    before, module = _top_module(flat, top), _top_module(path, top)
    is_lowered = run.status == 0 and graph.exists()
    refuse_faults(before, module, run.log, sources[0])
    if "Combinational cycle through" in run.log:
        refuse_loops(run.log, sources[0])
    return _Design(module=module, path=path, log=run.log, is_lowered=is_lowered)


def _top_module(path: Path, top: str) -> Module:
    (module,) = [module for module in parse_rtlil(path.read_text()) if module.name == top]
    return module


def _find_top(native: str, other: str, sources: list[str], directory: Path) -> str:
    """The one module that no other instantiates."""
    modules, run = _modules(native, other, directory)
    if run.status:
        raise log_to_error(run, sources)
    if not modules:
        raise FormatError("holds no module", where=sources[0], hint="is this Verilog?")
    used = {cell.type.rsplit(":", 1)[-1] for module in modules for cell in module.cells}
    roots = [module.name for module in modules if module.name not in used] or [module.name for module in modules]
    if len(roots) > 1:
        shown = ", ".join(sorted(roots)[:12])
        raise FormatError(
            f"expected one top module, found {len(roots)}: {shown}", where=sources[0], hint="choose one with --top NAME"
        )
    return roots[0]


def _modules(native: str, other: str, directory: Path) -> tuple[list[Module], Run]:
    """The modules of the sources, as parsed; and the run that did it."""
    path = directory / "parsed.il"
    run = run_yosys([native, f"write_rtlil {quote(path)}"], directory)
    if run.status:
        second = run_yosys([other, f"write_rtlil {quote(path)}"], directory)
        run = run if _is_unknown_command(second) else second
    return (parse_rtlil(path.read_text()) if path.exists() else []), run


def _modules_hint(native: str, other: str, directory: Path) -> str | None:
    names = sorted(module.name for module in _modules(native, other, directory)[0])
    return f"the modules are: {', '.join(names[:12])}" if names else None


def _is_unknown_command(run: Run) -> bool:
    return "No such command: read_slang" in run.log


def _parameter_value(name: str, value: int | str) -> str:
    """A value as Yosys takes it; integers of up to 32 bits are decimal, wider ones sized."""
    if not _NAME.fullmatch(name):
        raise FormatError(f"{name!r} is no name of a parameter", hint="-D NAME=VALUE")
    text = str(value).strip()
    try:
        number = int(text, 0)
    except ValueError:
        if not _VALUE.fullmatch(text):
            raise FormatError(
                f"{text!r} is no value for parameter {name}", hint="a number (12, 0x1f, 8'hff) or a string in quotes"
            ) from None
        return text
    if number < 0:
        if number < -(1 << 31):
            raise FormatError(
                f"{number} does not fit 32 bits", where=f"parameter {name}", hint="give a literal: 64'h..."
            )
        return f"32'sh{number % (1 << 32):x}"
    return str(number) if number < 1 << 31 else f"{number.bit_length()}'h{number:x}"


def _refuse_parameters(values: Mapping[str, str], top: str, sources: list[str], run: Run | None) -> None:
    """Refuses the parameters that no source knows; ``run`` is the one that says that there is one such."""
    texts = [read_file(source).decode(errors="replace") for source in sources]
    unknown = [name for name in values if not any(re.search(rf"\b{re.escape(name)}\b", text) for text in texts)]
    if run is not None and not unknown:
        unknown = re.findall(r"defparam `\\?([^`']+)[`']", run.log)
    if unknown:
        declared = sorted({name for text in texts for name in re.findall(r"\bparameter\b[^=;]*?(\w+)\s*=", text)})
        raise FormatError(
            f"module {top!r} has no parameter {', '.join(map(repr, unknown))}",
            where=sources[0],
            hint=f"parameters in the sources: {', '.join(declared) or 'none'}",
        )


def _name_words(circuit: Circuit, module: Module) -> Circuit:
    """The circuit with the ports for words; its bits stand in the ports' order, least significant first."""
    words: dict[str, list[Word]] = {"input": [], "output": []}
    counts = {"input": 0, "output": 0}
    for port in module.ports:
        first = counts[port.direction]
        words[port.direction].append(Word(name=port.name, bits=tuple(range(first, first + port.width))))
        counts[port.direction] = first + port.width
    assert (counts["input"], counts["output"]) == (circuit.num_inputs, circuit.num_outputs)
    return replace(circuit, input_words=tuple(words["input"]), output_words=tuple(words["output"]), gate_names=())


def _synthesise(design: _Design, directory: Path, source: str) -> Path:
    """Yosys' general synthesis, into BLIF whose ports and registers are named as our words are."""
    module, target = design.module, directory / "design.blif"
    top, clock = module.name, clock_of(module, source)
    after = directory / "reset.il"
    commands = [
        f"read_rtlil {quote(design.path)}",
        "async2sync",
        f"write_rtlil {quote(after)}",
        f"synth -flatten -noabc -nofsm -top {top}",
        "dffunmap",
        "setundef -zero",
        *([] if clock is None else ["formalff -clk2ff"]),
        "aigmap",
        "splitnets",  # else the unread bits of a net that is read in part stay behind, undriven
        "opt_clean -purge",
        "check",
        *([] if clock is None else [f"delete -input {top}/w:{clock}"]),
        f"write_blif {quote(target)}",
    ]
    run = run_yosys(commands, directory)
    if run.status or not target.exists():
        raise log_to_error(run, [source])
    if log_to_loop(run.log) is not None:
        refuse_loops(design.log if log_to_loop(design.log) is not None else run.log, source)
    names = {
        wire.bit_name(bit): wire.word_name(bit)
        for wire in module.wires.values()
        if wire.lowest or wire.upwards
        for bit in range(wire.width)
    }
    before = {cell.name: cell.connections["Q"] for cell in registers_of(module)}
    (synchronous,) = parse_rtlil(after.read_text())
    for cell in registers_of(synchronous):
        _name_register(module, synchronous, before.get(cell.name, ""), cell.connections["Q"], names)
    if names:
        table = {old.encode(): new.encode() for old, new in names.items()}
        target.write_bytes(re.sub(rb"[^\s=]+", lambda match: table.get(match[0], match[0]), target.read_bytes()))
    return target


def _name_register(before: Module, after: Module, old: str, new: str, names: dict[str, str]) -> None:
    """Notes the names of a register's bits after its asynchronous reset has been taken out of it."""
    old, new = old.removeprefix("\\"), new.removeprefix("\\")
    if old == new or old not in before.wires or new not in after.wires:
        return  # the same as before; or not a whole wire, and then it keeps the name that Yosys gave it
    wire, register = before.wires[old], after.wires[new]
    for bit in range(register.width):
        word = wire.word_name(bit)
        label, bracket, index = word.partition("[")
        names[register.bit_name(bit)] = f"{label}.register{bracket}{index}"
