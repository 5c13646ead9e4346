"""From an elaborated design to the circuit of one clock cycle.

Yosys takes resets and enables out of the registers, writes out divisions and powers (``lowering.v``), and makes an AND
graph of what is left. The registers are cut in between, so that no pass of Yosys sees both sides of one. Its general
synthesis is not used: some of its passes change what a design computes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from serialformer.circuits.formats.aiger.aiger import parse_aiger
from serialformer.circuits.sequential.sequential import SequentialCircuit, to_sequential
from serialformer.circuits.verilog.clocks import registers_of
from serialformer.circuits.verilog.design_rules import refuse_loops
from serialformer.circuits.verilog.rtlil import Bit, Cell, Module, parse_rtlil, signal_bits
from serialformer.circuits.verilog.signals import SignalMap
from serialformer.circuits.verilog.yosys import log_to_error, quote, run_yosys
from serialformer.errors import FormatError, ToolError

OPERATORS = Path(__file__).with_name("lowering.v")

LOWERING_PASSES = ("async2sync", "dffunmap", "techmap", "demuxmap", "simplemap", "write_aiger2")
"""What turns an elaborated design into an AND graph."""

_NO_GATES = ("$slice", "$concat", "$lut", "$sop", "$bweqx", "$_MUX4_", "$_MUX8_", "$_MUX16_")
_PORT = re.compile(r"(  wire .*?(?:input|output|inout) )(\d+)( .*)")


@dataclass(frozen=True, kw_only=True)
class _State:
    """The registers of a design, bit by bit: their names, what they hold at first, and the text that cuts them."""

    names: Sequence[str]
    initial: Sequence[int | None]


def lower(module: Module, path: Path, clock: str | None, directory: Path, source: str) -> SequentialCircuit:
    """The AND graph of one cycle.

    Args:
        module: the design, flat, without memories.
        path: the same as a file.
        clock: the input that is none of the circuit's.
        directory: where files may lie.
        source: the file to name in errors.

    Raises:
        FormatError: there is a combinational loop through an asynchronous reset, or a cell that has no gates.
    """
    cut, whole, graph = directory / "cut.il", directory / "whole.il", directory / "design.aig"
    commands = [
        f"read_rtlil {quote(path)}",
        "async2sync",
        "dffunmap",
        f"techmap -map {quote(OPERATORS)}",
        "demuxmap",
        f"simplemap {' '.join(f't:{cell}' for cell in _NO_GATES)}",
        "opt_clean",
        "check",
        f"write_rtlil {quote(whole)}",
    ]
    run = run_yosys(commands, directory)
    if run.status or not whole.exists():
        raise log_to_error(run, [source])
    refuse_loops(run.log, source)
    text = whole.read_text()
    state = _cut_registers(text, module, clock, cut)
    commands = [f"read_rtlil {quote(cut)}", "setundef -zero -undriven", f"write_aiger2 -strash {quote(graph)}"]
    run = run_yosys(commands, directory)
    if run.status or not graph.exists():
        if "No such command: write_aiger2" in run.log:
            raise ToolError("this Yosys is too old: it has no write_aiger2", hint="pip install 'serialformer[hdl]'")
        raise log_to_error(run, [source])
    circuit = parse_aiger(graph.read_bytes(), name=source)
    inputs = [port for port in module.ports if port.direction == "input"]
    outputs = [port for port in module.ports if port.direction == "output"]
    return to_sequential(
        circuit,
        state_names=state.names,
        input_names=[name for port in inputs if port.name != clock for name in port.bit_words()],
        output_names=[name for port in outputs for name in port.bit_words()],
        initial=state.initial,
    )


def _cut_registers(text: str, before: Module, clock: str | None, cut: Path) -> _State:
    """Writes the design with each register's value as an input and its next value as an output, before all others."""
    (module,) = (module for module in parse_rtlil(text) if module.name == before.name)
    old = {cell.name: signal_bits(cell.connections["Q"], before.wires) for cell in registers_of(before)}
    initial = _initial_values(module)
    names: list[str] = []
    values: list[int | None] = []
    inputs, outputs, connections = [], [], []
    registers = registers_of(module)
    for number, cell in enumerate(registers):
        if cell.type != "$dff":
            raise FormatError(f"a register of a kind that is not known, {cell.type}", where=cell.source)
        bits = signal_bits(cell.connections["Q"], module.wires)
        names += _register_bit_names(cell, bits, old.get(cell.name, []), before, module)
        values += [initial.get(bit) for bit in bits]
        inputs.append(f"  wire width {len(bits)} input {number + 1} $state{number}")
        outputs.append(f"  wire width {len(bits)} output {len(registers) + number + 1} $next{number}")
        connections.append(f"  connect {cell.connections['Q']} $state{number}")
        connections.append(f"  connect $next{number} {cell.connections['D']}")
    cut.write_text(
        _with_cuts(text, before.name, {cell.name for cell in registers}, inputs + outputs, connections, clock)
    )
    return _State(names=names, initial=values)


def _initial_values(module: Module) -> dict[Bit, int]:
    """The first value of each bit for which the source gives one, at the bit that drives it."""
    signals = SignalMap(module)
    return {
        signals.follow((wire.name, index))[0]: int(value)
        for wire in module.wires.values()
        for index, value in enumerate(wire.initial)
        if value in "01"
    }


def _register_bit_names(
    cell: Cell, bits: Sequence[Bit], old: Sequence[Bit], before: Module, after: Module
) -> list[str]:
    """What the bits of a register are called: as in the source; ``q.register`` where ``q`` shows a reset at once."""
    names = []
    for index, bit in enumerate(bits):
        assert isinstance(bit, tuple)
        if len(old) != len(bits) or old[index] == bit or bit[0] in before.wires:
            names.append(after.wires[bit[0]].word_name(bit[1]))
            continue
        shown = old[index]
        assert isinstance(shown, tuple)
        label, bracket, place = before.wires[shown[0]].word_name(shown[1]).partition("[")
        names.append(f"{label}.register{bracket}{place}")
    return names


def _with_cuts(
    text: str, top: str, registers: set[str], ports: Sequence[str], connections: Sequence[str], clock: str | None
) -> str:
    """The design in RTLIL without the registers, with further ports before its own, and without the clock."""
    result: list[str] = []
    attributes: list[str] = []
    is_top = is_register = False
    for line in text.split("\n"):
        if line.startswith("  attribute "):
            attributes.append(line)
            continue
        if is_register:
            is_register = line != "  end"
            continue
        if is_top and line.startswith("  cell ") and line.split()[2] in registers:
            is_register, attributes = True, []
            continue
        if is_top and (found := _PORT.fullmatch(line)):
            name = found[3].split()[-1].removeprefix("\\")
            order = int(found[2]) + len(ports)
            line = re.sub(r" input \d+", "", line) if name == clock else f"{found[1]}{order}{found[3]}"
        if is_top and line == "end":
            result += connections
            is_top = False
        result += [*attributes, line]
        attributes = []
        if line.startswith("module ") and line.split()[1].removeprefix("\\") == top:
            is_top = True
            result += ports
    return "\n".join(result)
