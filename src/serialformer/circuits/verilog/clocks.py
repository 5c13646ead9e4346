"""The clock of a design: one edge of one input, which nothing but the registers may read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from serialformer.circuits.verilog.messages import error_at, show_signal
from serialformer.circuits.verilog.rtlil import Bit, Cell, Module, signal_bits
from serialformer.circuits.verilog.signals import SignalMap

_REGISTER = re.compile(r"\$(?:s?dff\w*|a?l?dffe?|dffsre?|adffe?|sdffc?e?|ff|_S?DFF\w*_|_ALDFF\w*_|_FF_)")
_CLOCK_PINS = ("CLK", "C")


@dataclass(frozen=True, kw_only=True)
class Clock:
    """An input of a module, and the edge at which its registers take their next values."""

    name: str
    is_rising: bool


@dataclass(frozen=True, kw_only=True)
class _Edge:
    """What a register waits for."""

    bit: Bit
    is_rising: bool


def registers_of(module: Module) -> list[Cell]:
    """The cells that a clock drives."""
    return [cell for cell in module.cells if _REGISTER.fullmatch(cell.type)]


def register_names(registers: Iterable[Cell]) -> list[str]:
    """What the source calls the registers."""
    return [show_signal(cell.connections.get("Q", cell.name)) for cell in registers]


def clock_of(module: Module, source: str) -> Clock | None:
    """The input and the edge of it that clocks all registers; None where there are none.

    A clock may go through wires, instances, buffers and inverters on its way to a register.

    Args:
        module: flat, its memories made registers.
        source: the file to name where nothing better is known.

    Raises:
        FormatError: there are several clocks or both edges, or the clock is no input, or is read as data.
    """
    signals = SignalMap(module, through_gates=True)
    clocks: dict[_Edge, list[Cell]] = {}
    for cell in registers_of(module):
        clocks.setdefault(_edge_of(cell, module, signals), []).append(cell)
    if not clocks:
        return None
    if len(clocks) > 1:
        shown = "; ".join(
            f"{'posedge' if edge.is_rising else 'negedge'} {_show_bit(edge.bit)}"
            f" ({', '.join(register_names(cells)[:3])})"
            for edge, cells in sorted(clocks.items(), key=lambda item: (str(item[0].bit), item[0].is_rising))
        )
        raise error_at(
            f"expected one clock and one edge, found {len(clocks)}: {shown}",
            next(reversed(clocks.values()))[0].source,
            source,
            hint="all registers must see the same edge of the same input",
        )
    ((edge, cells),) = clocks.items()
    name = edge.bit[0] if isinstance(edge.bit, tuple) else ""
    port = module.wires.get(name)
    if port is None or port.direction != "input" or port.width != 1:
        raise error_at(
            f"the clock {_show_bit(edge.bit)} is not an input of one bit",
            cells[0].source,
            source,
            hint="gate the data, not the clock: if (enable) q <= d",
        )
    _refuse_data(module, signals, edge.bit, source)
    return Clock(name=name, is_rising=edge.is_rising)


def _edge_of(cell: Cell, module: Module, signals: SignalMap) -> _Edge:
    pin = next((pin for pin in _CLOCK_PINS if pin in cell.connections), None)
    if pin is None:
        return _Edge(bit="x", is_rising=True)
    (bit,) = signal_bits(cell.connections[pin], module.wires)
    root, inverted = signals.follow(bit)
    is_rising = cell.parameters.get("CLK_POLARITY", "1").endswith("1")
    return _Edge(bit=root, is_rising=is_rising != inverted)


def _refuse_data(module: Module, signals: SignalMap, clock: Bit, source: str) -> None:
    """Refuses a clock that is read by anything but registers, as their clock, and what only passes it on."""
    clocked = {cell.name for cell in registers_of(module)}
    for cell in module.cells:
        if cell.name in signals.passed:
            continue
        for pin, signal in cell.connections.items():
            if clock in signals.bits(signal) and not (cell.name in clocked and pin in _CLOCK_PINS):
                raise error_at(
                    f"the clock {_show_bit(clock)} is read as data", cell.source, source, hint="a cycle has no phases"
                )
    for port in module.ports:
        if port.direction == "output" and any(
            signals.follow((port.name, index))[0] == clock for index in range(port.width)
        ):
            raise error_at(
                f"the clock {_show_bit(clock)} is read as data: it drives output {port.name!r}",
                port.source,
                source,
                hint="a cycle has no phases",
            )


def _show_bit(bit: Bit) -> str:
    if isinstance(bit, str):
        return repr(bit)
    return repr(bit[0]) if bit[1] == 0 else repr(f"{bit[0]}[{bit[1]}]")
