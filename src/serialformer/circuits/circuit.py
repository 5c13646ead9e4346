"""Circuit: what is computed, as frozen arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from serialformer.arrays import Int32, Int64, UInt8, UInt64
from serialformer.circuits.name_table import NameTable
from serialformer.circuits.words import Word, bits_to_values, names_to_words, values_to_bits
from serialformer.errors import CircuitError
from serialformer.notebook import fact_table, first_few

MAX_FAN_IN = 6
"""A gate's truth table is one machine word: at most 2^6 = 64 entries."""

NO_WIRE = -1
"""Fills the entries of ``fan_in`` beyond the inputs that a gate has."""

_BLOCK = 1 << 16


@dataclass(frozen=True, kw_only=True, eq=False)
class Circuit:
    """A combinational Boolean circuit; wires 0..num_inputs-1 are the inputs, wire num_inputs + g is gate g.

    Gates stand in topological order: gate g reads only wires below num_inputs + g.

    Attributes:
        num_inputs: how many input bits there are.
        fan_in: for each gate the wires it reads, first input first, then ``NO_WIRE``.
        arity: how many wires each gate reads, 0 (a constant) to ``MAX_FAN_IN``.
        table: for each gate its truth table: bit i is the gate's value where its inputs, first input least
            significant, form the integer i. AND of two is 0b1000, XOR 0b0110, NOT 0b01, constant true 0b1.
        outputs: the wire of each output bit; inputs and repeats are allowed.
        input_words: the inputs as named words. Default: one word ``in``.
        output_words: the outputs as named words. Default: one word ``out``.
        gate_names: a name for each gate, "" where it has none; or empty. Any sequence of strings will do; it is kept
            as a ``NameTable``, which reads and compares like a tuple of them.

    Raises:
        CircuitError: the arrays do not fit together.

    >>> half_adder = Circuit(
    ...     num_inputs=2,
    ...     fan_in=np.array([[0, 1], [0, 1]], dtype=np.int32),
    ...     arity=np.array([2, 2], dtype=np.uint8),
    ...     table=np.array([0b0110, 0b1000], dtype=np.uint64),
    ...     outputs=np.array([2, 3], dtype=np.int32),
    ... )
    >>> half_adder.evaluate({"in": 0b11})
    {'out': 2}
    """

    num_inputs: int
    fan_in: Int32[np.ndarray, "gates K"]
    arity: UInt8[np.ndarray, " gates"]
    table: UInt64[np.ndarray, " gates"]
    outputs: Int32[np.ndarray, " outputs"]
    input_words: tuple[Word, ...] | None = None
    output_words: tuple[Word, ...] | None = None
    gate_names: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name in ("fan_in", "arity", "table", "outputs"):
            array = np.ascontiguousarray(getattr(self, name)).view()
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if self.input_words is None:
            object.__setattr__(self, "input_words", names_to_words([None] * self.num_inputs, default="in"))
        if self.output_words is None:
            object.__setattr__(self, "output_words", names_to_words([None] * len(self.outputs), default="out"))
        object.__setattr__(self, "gate_names", NameTable.from_strings(self.gate_names or ()))
        self._check()

    def _check(self) -> None:
        gates, columns = self.fan_in.shape
        if not len(self.arity) == len(self.table) == gates:
            raise CircuitError(
                f"expected one arity and one table a gate, found {len(self.arity)} and {len(self.table)}"
                f" for {gates} gates"
            )
        if columns > MAX_FAN_IN or (gates and int(self.arity.max()) > columns):
            raise CircuitError(f"a gate reads at most {MAX_FAN_IN} wires and at most fan_in's {columns} columns")
        for start in range(
            0, gates, _BLOCK
        ):  # block by block, for what stands between would be as large as the circuit
            block = slice(start, start + _BLOCK)
            fan_in, arity = self.fan_in[block], self.arity[block]
            used = np.arange(columns) < arity[:, None]
            limit = self.num_inputs + np.arange(start, start + len(arity))[:, None]
            wrong = np.where(used, (fan_in < 0) | (fan_in >= limit), fan_in != NO_WIRE)
            if wrong.any():
                gate = start + int(np.argmax(wrong.any(axis=1)))
                raise CircuitError(
                    f"gate {gate} reads wires {self.fan_in[gate].tolist()}: its {self.arity[gate]} inputs must be"
                    f" wires from 0 to {self.num_inputs + gate - 1}, the rest {NO_WIRE}"
                )
            entries = np.uint64(1) << np.minimum(arity, 5).astype(np.uint64)
            if ((arity < MAX_FAN_IN) & (self.table[block] >> entries != 0)).any():
                raise CircuitError("a truth table has entries beyond 2^arity")
        if len(self.outputs) and not 0 <= int(self.outputs.min()) <= int(self.outputs.max()) < self.num_wires:
            raise CircuitError(f"an output is not a wire from 0 to {self.num_wires - 1}")
        for words, count, what in (
            (self.input_words, self.num_inputs, "input"),
            (self.output_words, len(self.outputs), "output"),
        ):
            assert words is not None
            if sorted(place for word in words for place in word.places) != list(range(count)):
                raise CircuitError(f"the {what} words do not hold each of the {count} {what} bits once")
            if len({word.name for word in words}) != len(words):
                raise CircuitError(f"two {what} words have one name")
        if self.gate_names and len(self.gate_names) != gates:
            raise CircuitError(f"expected a name for each of {gates} gates, found {len(self.gate_names)}")

    @property
    def num_gates(self) -> int:
        return len(self.arity)

    @property
    def num_outputs(self) -> int:
        return len(self.outputs)

    @property
    def num_wires(self) -> int:
        return self.num_inputs + self.num_gates

    @property
    def max_arity(self) -> int:
        return int(self.arity.max()) if self.num_gates else 0

    @cached_property
    def levels(self) -> Int32[np.ndarray, " wires"]:
        """For each wire the longest path of gates from an input or constant; 0 for those themselves."""
        from serialformer.circuits.kernels import wire_levels

        return wire_levels(self.num_inputs, self.fan_in, self.arity)

    @property
    def depth(self) -> int:
        """The largest level of an output; gates without inputs count as depth 0."""
        return int(self.levels[self.outputs].max()) if self.num_outputs else 0

    @cached_property
    def fan_out(self) -> Int64[np.ndarray, " wires"]:
        """For each wire how many gate inputs read it (outputs are not counted)."""
        return np.bincount(self.fan_in[self.fan_in != NO_WIRE], minlength=self.num_wires)

    def evaluate(self, values: Mapping[str, int] | None = None, **named: int) -> dict[str, int]:
        """The value of each output word, given a value for each input word.

        Raises:
            InputError: a value is missing, unknown or too large.
        """
        from serialformer.circuits.evaluate import evaluate_outputs

        assert self.input_words is not None and self.output_words is not None
        bits = values_to_bits(self.input_words, {**(values or {}), **named}, self.num_inputs)
        return bits_to_values(self.output_words, evaluate_outputs(self, bits[None])[0])

    def digest(self) -> str:
        """SHA-256 of everything that shapes the function and its words (not the gates' names), in hexadecimal."""
        state = hashlib.sha256(f"circuit 1 {self.num_inputs} {self.fan_in.shape}".encode())
        for array in (self.fan_in, self.arity, self.table, self.outputs):
            state.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
        state.update(repr((self.input_words, self.output_words)).encode())
        return state.hexdigest()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Circuit):
            return NotImplemented
        return self.digest() == other.digest() and self.gate_names == other.gate_names

    def __hash__(self) -> int:
        return hash(self.digest())

    def __repr__(self) -> str:
        return f"Circuit({self.num_inputs} inputs, {self.num_gates} gates, {self.num_outputs} outputs)"

    def _repr_html_(self) -> str:
        """What a notebook shows: sizes and words."""
        assert self.input_words is not None and self.output_words is not None
        return fact_table(
            "Circuit",
            {
                "gates": f"{self.num_gates:,} of up to {self.max_arity} inputs, depth {self.depth:,}",
                "inputs": first_few([f"{word.name} ({word.width})" for word in self.input_words]),
                "outputs": first_few([f"{word.name} ({word.width})" for word in self.output_words]),
            },
        )
