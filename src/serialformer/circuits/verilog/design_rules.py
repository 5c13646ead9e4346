"""What a flattened design must not have, found before it is lowered and said with the line of its source."""

from __future__ import annotations

import re

from serialformer.circuits.formats.latches import READS_LATCHES
from serialformer.circuits.verilog.clocks import register_names, registers_of
from serialformer.circuits.verilog.messages import error_at, show_signal
from serialformer.circuits.verilog.rtlil import Cell, Module, signal_names, undefined_bit
from serialformer.circuits.verilog.signals import SignalMap
from serialformer.errors import FormatError

_LEVELS = {
    **dict.fromkeys(("$aldff", "$aldffe"), "takes a value asynchronously that may change while it is being taken"),
    **dict.fromkeys(("$adlatch", "$dlatchsr", "$sr"), "is a latch with a set or a reset"),
}
"""Registers whose asynchronous inputs act by level in hardware and by edge in a simulation; and latches."""
_CHOICES = ("$mux", "$pmux", "$bmux")
_NO_VALUES = ("$eqx", "$nex", "$print", "$check", "$mem")
"""Cells that do not compute with the x that they read: a memory's has no port there, a comparison asks for it."""
_UNDRIVEN = re.compile(r"Warning: Wire [^.\s]+\.(?P<wire>\S+)(?P<bit> \[\d+\])? is used but has no driver")
_CONFLICT = re.compile(r"Warning: multiple conflicting drivers for [^.\s]+\.(?P<wire>\S+)(?P<bit> \[\d+\])?:")
_LOOP = re.compile(r"found logic loop in module [^\n]*:\n(?P<steps>(?:    .*\n?)*)")
_PLACE = re.compile(r"source: (\S+?:\d+)")


def refuse_faults(before: Module, module: Module, log: str, source: str) -> None:
    """Refuses inout ports, a module without outputs, and bits that nothing defines.

    Args:
        before: the design flattened, before any constant was folded.
        module: the same when they have been.
        log: what Yosys said of it.
        source: the file to name where nothing better is known.

    Raises:
        FormatError: with the line at fault.
    """
    for port in module.ports:
        if port.direction == "inout":
            raise error_at(
                f"port {port.name!r} is inout",
                port.source,
                source,
                hint="make it an input and an output: a bit has one driver",
            )
    if not any(port.direction == "output" for port in module.ports):
        raise FormatError(f"module {module.name!r} has no outputs", where=source, hint="a circuit computes its outputs")
    for cell in module.cells:
        loads_constant = "AD" in cell.connections and not signal_names(cell.connections["AD"])
        if cell.type in _LEVELS and not loads_constant:
            raise error_at(
                f"{show_signal(cell.connections.get('Q', cell.name))} {_LEVELS[cell.type]}",
                cell.source,
                source,
                hint="hardware and simulations disagree about it: set or reset to a constant, or at the clock's edge",
            )
        if cell.type in ("$tribuf", "$_TBUF_"):
            raise error_at(
                f"{show_signal(cell.connections['Y'])} is z where its driver is off",
                cell.source,
                source,
                hint="choose between values with ?: or case; tri-states are not computed with",
            )
        if not cell.type.startswith("$"):
            raise error_at(
                f"of module {cell.type!r} there is only the outside: nothing says what it computes",
                cell.source,
                source,
                hint="give its file with --source",
            )
    for pattern, problem in ((_CONFLICT, "has several drivers"), (_UNDRIVEN, "is read but nothing drives it")):
        if found := pattern.search(log):
            name = found["wire"].removeprefix("\\")
            wire = module.wires.get(name)
            raise error_at(
                f"{name + (found['bit'] or '').strip()!r} {problem}",
                wire.source if wire else "",
                source,
                hint="every bit has one driver",
            )
    _refuse_undefined(before, module, source)


def _refuse_undefined(before: Module, module: Module, source: str) -> None:
    """An x is ours to choose only where a branch assigns it (at a multiplexer); elsewhere it is read as a value."""
    signals = SignalMap(module)
    for port in module.ports:
        driving = [signals.follow((port.name, index))[0] for index in range(port.width)]
        for value in ("x", "z"):
            if port.direction == "output" and value in driving:
                raise error_at(
                    f"output {port.name!r} has a bit that is {value}", port.source, source, hint="give it a value"
                )
    for cell in before.cells:
        for pin, signal in cell.connections.items():
            bit = undefined_bit(signal)
            is_choice = (cell.type in _CHOICES and pin in ("A", "B")) or cell.type.startswith(_NO_VALUES)
            if bit == "z" or (bit and not is_choice):
                raise error_at(
                    f"a bit that is {bit} is read here",
                    cell.source,
                    source,
                    hint="give it a value; tri-states and don't-cares are not computed with",
                )


def refuse_registers(module: Module, source: str) -> None:
    """Refuses a design with registers, and says how many."""
    registers = registers_of(module)
    if registers:
        names = register_names(registers)
        bits = sum(_width(cell) for cell in registers)
        shown = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
        raise error_at(
            f"the design has {len(registers)} registers of {bits} bits ({shown}): it is sequential",
            registers[0].source,
            source,
            hint=READS_LATCHES,
        )


def log_to_loop(log: str) -> list[str] | None:
    """The places of the source along a combinational loop, if Yosys has found one."""
    found = _LOOP.search(log)
    return None if found is None else list(dict.fromkeys(_PLACE.findall(found["steps"])))


def refuse_loops(log: str, source: str) -> None:
    """Refuses a design of whose log one can tell that it has a combinational loop."""
    if log_to_loop(log) is None and "Combinational cycle through" not in log:
        return
    places = log_to_loop(log) or []
    wires = re.findall(r"    wire \\?(\S+)", log) or re.findall(r"Combinational cycle through \\?(\S+)", log)
    through = f" through {wires[0]!r}" if wires else ""
    others = f"; it passes {', '.join(places)}" if len(places) > 1 else ""
    raise error_at(
        f"a combinational loop{through}: it depends on itself{others}",
        places[0] if places else "",
        source,
        hint="break it with a register, or assign before reading",
    )


def _width(cell: Cell) -> int:
    _, quote, bits = (text := cell.parameters.get("WIDTH", "1")).partition("'")
    return int(bits, 2) if quote else int(text)
