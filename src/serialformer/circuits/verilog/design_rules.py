"""What a flattened design must not have, found before it is lowered and said with the line of its source."""

from __future__ import annotations

import re
from collections.abc import Iterable

from serialformer.circuits.formats.latches import READS_LATCHES
from serialformer.circuits.verilog.rtlil import Cell, Module, signal_bits, signal_names, undefined_bit
from serialformer.circuits.verilog.yosys import excerpt
from serialformer.errors import FormatError

_REGISTER = re.compile(r"\$(?:s?dff\w*|a?l?dffe?|dffsre?|adffe?|sdffc?e?|ff|_S?DFF\w*_|_ALDFF\w*_|_FF_)")
_LATCH = re.compile(r"\$(?:a?dlatch|dlatchsr|sr|_DLATCH\w*_|_SR_\w*_)")
_CHOICES = ("$mux", "$pmux", "$bmux")
_NO_VALUES = ("$eqx", "$nex", "$print", "$check", "$mem")
"""Cells that do not compute with the x that they read: a memory's has no port there, a comparison asks for it."""
_UNDRIVEN = re.compile(r"Warning: Wire [^.\s]+\.(?P<wire>\S+)(?P<bit> \[\d+\])? is used but has no driver")
_CONFLICT = re.compile(r"Warning: multiple conflicting drivers for [^.\s]+\.(?P<wire>\S+)(?P<bit> \[\d+\])?:")
_LOOP = re.compile(r"found logic loop in module [^\n]*:\n(?P<steps>(?:    .*\n?)*)")
_PLACE = re.compile(r"source: (\S+?:\d+)")


def registers_of(module: Module) -> list[Cell]:
    """The cells that a clock drives."""
    return [cell for cell in module.cells if _REGISTER.fullmatch(cell.type)]


def refuse_faults(before: Module, module: Module, log: str, source: str) -> None:
    """Refuses inout ports, a module without outputs, latches, and bits that nothing defines.

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
            raise _error(
                f"port {port.name!r} is inout",
                port.source,
                source,
                hint="make it an input and an output: a bit has one driver",
            )
    if not any(port.direction == "output" for port in module.ports):
        raise FormatError(f"module {module.name!r} has no outputs", where=source, hint="a circuit computes its outputs")
    for cell in module.cells:
        if _LATCH.fullmatch(cell.type):
            name = _shown_signal(cell.connections.get("Q", cell.name))
            raise _error(
                f"a latch is inferred for {name}: not every branch assigns it",
                cell.source,
                source,
                hint="assign it a default first, or in every branch",
            )
    for pattern, problem in ((_CONFLICT, "has several drivers"), (_UNDRIVEN, "is read but nothing drives it")):
        if found := pattern.search(log):
            name = found["wire"].removeprefix("\\")
            wire = module.wires.get(name)
            raise _error(
                f"{name + (found['bit'] or '').strip()!r} {problem}",
                wire.source if wire else "",
                source,
                hint="every bit has one driver",
            )
    _refuse_undefined(before, module, source)


def _refuse_undefined(before: Module, module: Module, source: str) -> None:
    """An x is ours to choose only where a branch assigns it (behind a multiplexer); elsewhere it is read as a value."""
    outputs = {port.name for port in module.ports if port.direction == "output"}
    for left, right in module.connections:
        if not undefined_bit(right) or not outputs.intersection(signal_names(left)):
            continue  # wires that are read have been replaced by the constant where they are
        for (name, _), (_, value) in zip(
            signal_bits(left, module.wires), signal_bits(right, module.wires), strict=True
        ):
            if name in outputs and value in ("x", "z"):
                raise _error(
                    f"output {name!r} has a bit that is {value}",
                    module.wires[name].source,
                    source,
                    hint="give it a value",
                )
    for cell in before.cells:
        for port, signal in cell.connections.items():
            bit = undefined_bit(signal)
            is_choice = (cell.type in _CHOICES and port in ("A", "B")) or cell.type.startswith(_NO_VALUES)
            if bit == "z" or (bit and not is_choice):
                raise _error(
                    f"a bit that is {bit} is read here",
                    cell.source,
                    source,
                    hint="give it a value; tri-states and don't-cares are not computed with",
                )


def refuse_registers(module: Module, source: str) -> None:
    """Refuses a design with registers, and says how many."""
    registers = registers_of(module)
    if registers:
        names = _register_names(registers)
        bits = sum(_width(cell) for cell in registers)
        shown = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
        raise _error(
            f"the design has {len(registers)} registers of {bits} bits ({shown}): it is sequential",
            registers[0].source,
            source,
            hint=READS_LATCHES,
        )


def clock_of(module: Module, source: str) -> str | None:
    """The input that clocks all registers; None where there are none.

    Raises:
        FormatError: there are several clocks or both edges, or the clock is no input, or is read as data.
    """
    clocks: dict[tuple[str, bool], list[Cell]] = {}
    for cell in registers_of(module):
        edge = cell.parameters.get("CLK_POLARITY", "1").endswith("1")
        clocks.setdefault((cell.connections.get("CLK", cell.connections.get("C", "")), edge), []).append(cell)
    if not clocks:
        return None
    if len(clocks) > 1:
        shown = "; ".join(
            f"{'posedge' if edge else 'negedge'} {_shown_signal(clock)} ({', '.join(_register_names(cells)[:3])})"
            for (clock, edge), cells in sorted(clocks.items())
        )
        raise _error(
            f"expected one clock and one edge, found {len(clocks)}: {shown}",
            next(reversed(clocks.values()))[0].source,
            source,
            hint="all registers must see the same edge of the same input",
        )
    ((clock, _), cells) = next(iter(clocks.items()))
    name = clock.removeprefix("\\").removesuffix(" [0]")
    port = module.wires.get(name)
    if port is None or port.direction != "input" or port.width != 1:
        raise _error(
            f"the clock {_shown_signal(clock)} is not an input of one bit",
            cells[0].source,
            source,
            hint="gate the data, not the clock: if (enable) q <= d",
        )
    for cell in module.cells:
        for pin, signal in cell.connections.items():
            if name in signal_names(signal) and not (cell in cells and pin in ("CLK", "C")):
                raise _error(f"the clock {name!r} is read as data", cell.source, source, hint="a cycle has no phases")
    for left, right in module.connections:
        if name in signal_names(right):
            raise _error(f"the clock {name!r} drives {_shown_signal(left)}", port.source, source)
    return name


def log_to_loop(log: str) -> list[str] | None:
    """The places of the source along a combinational loop, if Yosys has found one."""
    found = _LOOP.search(log)
    return None if found is None else list(dict.fromkeys(_PLACE.findall(found["steps"])))


def refuse_loops(log: str, source: str) -> None:
    """Refuses a design whose log tells of a combinational loop."""
    places = log_to_loop(log) or []
    wires = re.findall(r"    wire \\?(\S+)", log) or re.findall(r"Combinational cycle through \\?(\S+)", log)
    through = f" through {wires[0]!r}" if wires else ""
    others = f"; it passes {', '.join(places)}" if len(places) > 1 else ""
    raise _error(
        f"a combinational loop{through}: it depends on itself{others}",
        places[0] if places else "",
        source,
        hint="break it with a register, or assign before reading",
    )


def _width(cell: Cell) -> int:
    _, quote, bits = (text := cell.parameters.get("WIDTH", "1")).partition("'")
    return int(bits, 2) if quote else int(text)


def _register_names(registers: Iterable[Cell]) -> list[str]:
    return [_shown_signal(cell.connections.get("Q", cell.name)) for cell in registers]


def _shown_signal(signal: str) -> str:
    """A signal as the source would call it."""
    names = signal_names(signal)
    return repr(names[0]) if len(names) == 1 else repr(signal.replace("\\", ""))


def _error(message: str, place: str, source: str, *, hint: str | None = None) -> FormatError:
    """The error at a place that Yosys gives as file:line.column-line.column, or else at the file."""
    found = re.fullmatch(r"(.*):(\d+)(?:\.(\d+))?(?:-.*)?", place)
    if found is None:
        return FormatError(message, where=source, hint=hint)
    shown = excerpt(found[1], int(found[2]), int(found[3]) if found[3] else None)
    return FormatError(f"{message}{shown}", where=f"{found[1]}:{found[2]}", hint=hint)
