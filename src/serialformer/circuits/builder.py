"""Building a circuit gate by gate."""

from __future__ import annotations

import numpy as np

from serialformer.circuits.circuit import MAX_FAN_IN, NO_WIRE, Circuit
from serialformer.circuits.words import names_to_words
from serialformer.errors import CircuitError

AND, OR, XOR = 0b1000, 0b1110, 0b0110
NAND, NOR, XNOR = 0b0111, 0b0001, 0b1001
NOT, BUFFER = 0b01, 0b10


class CircuitBuilder:
    """Collects inputs, gates and outputs; ``circuit()`` gives the value. Wires are integers that it hands out.

    Inputs may be declared at any time; a bit's name follows the rule of words (``a[0]``, ``a[1]``, ... form ``a``).

    >>> build = CircuitBuilder()
    >>> a, b = build.input("a"), build.input("b")
    >>> build.output("both", build.and_(a, b))
    >>> build.circuit().evaluate(a=1, b=1)
    {'both': 1}
    """

    def __init__(self) -> None:
        self._is_input: list[bool] = []
        self._fan_in: list[tuple[int, ...]] = []
        self._table: list[int] = []
        self._names: list[str] = []
        self._outputs: list[int] = []
        self._output_names: list[str | None] = []

    def input(self, name: str | None = None) -> int:
        """Declares an input bit and returns its wire."""
        return self._wire(is_input=True, table=0, wires=(), name=name or "")

    def inputs(self, name: str, width: int) -> list[int]:
        """Declares a word of inputs and returns its wires, least significant first."""
        return [self.input(name if width == 1 else f"{name}[{index}]") for index in range(width)]

    def gate(self, table: int, *wires: int, name: str = "") -> int:
        """Adds a gate with this truth table (see ``Circuit.table``) and returns its wire."""
        if len(wires) > MAX_FAN_IN or not 0 <= table < 1 << (1 << len(wires)):
            raise CircuitError(f"no gate with table {table:#x} of {len(wires)} inputs; at most {MAX_FAN_IN} inputs")
        if any(not 0 <= wire < len(self._table) for wire in wires):
            raise CircuitError(f"gate reads wires {list(wires)}, of which not all exist yet")
        return self._wire(is_input=False, table=table, wires=wires, name=name)

    def and_(self, a: int, b: int) -> int:
        return self.gate(AND, a, b)

    def or_(self, a: int, b: int) -> int:
        return self.gate(OR, a, b)

    def xor(self, a: int, b: int) -> int:
        return self.gate(XOR, a, b)

    def not_(self, a: int) -> int:
        return self.gate(NOT, a)

    def constant(self, value: bool) -> int:
        return self.gate(int(value))

    def output(self, name: str | None, wire: int) -> None:
        """Declares an output bit."""
        self._outputs.append(wire)
        self._output_names.append(name)

    def outputs(self, name: str, wires: list[int]) -> None:
        """Declares a word of outputs, least significant first."""
        for index, wire in enumerate(wires):
            self.output(name if len(wires) == 1 else f"{name}[{index}]", wire)

    def circuit(self) -> Circuit:
        """The circuit so far."""
        is_input = np.array(self._is_input, dtype=bool)
        # Inputs first, then gates, each in the order in which they were declared.
        wire = np.where(is_input, np.cumsum(is_input) - 1, is_input.sum() + np.cumsum(~is_input) - 1).astype(np.int32)
        gates = np.flatnonzero(~is_input)
        arity = np.array([len(self._fan_in[gate]) for gate in gates], dtype=np.uint8)
        fan_in = np.full((len(gates), max(2, int(arity.max(initial=0)))), NO_WIRE, dtype=np.int32)
        for row, gate in enumerate(gates):
            fan_in[row, : arity[row]] = wire[list(self._fan_in[gate])]
        names = [self._names[gate] for gate in gates]
        return Circuit(
            num_inputs=int(is_input.sum()),
            fan_in=fan_in,
            arity=arity,
            table=np.array([self._table[gate] for gate in gates], dtype=np.uint64),
            outputs=wire[np.array(self._outputs, dtype=np.int64)],
            input_words=names_to_words([self._names[index] for index in np.flatnonzero(is_input)], default="in"),
            output_words=names_to_words(self._output_names, default="out"),
            gate_names=tuple(names) if any(names) else (),
        )

    def _wire(self, *, is_input: bool, table: int, wires: tuple[int, ...], name: str) -> int:
        self._is_input.append(is_input)
        self._fan_in.append(wires)
        self._table.append(table)
        self._names.append(name)
        return len(self._table) - 1
