"""Circuits of unbounded fan-in: AND, OR and threshold gates that read wires or their negations."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from serialformer.arrays import Bool, Int32, Int64, UInt8
from serialformer.circuits.words import Word, bits_to_values, names_to_words, values_to_bits
from serialformer.errors import CircuitError
from serialformer.notebook import count

FALSE, TRUE = 0, 1
"""The literals of the constants; only outputs may be constants."""

MAX_WIRES = (1 << 30) - 2
"""Literals are 32-bit integers."""


def wire_to_literal(wire: int, *, negated: bool = False) -> int:
    """The literal of a wire or of its negation.

    >>> wire_to_literal(0), wire_to_literal(0, negated=True), wire_to_literal(1)
    (2, 3, 4)
    """
    return 2 * (wire + 1) + negated


@dataclass(frozen=True, kw_only=True, eq=False)
class UnboundedCircuit:
    """A circuit whose gates read any number of literals; wires 0..num_inputs-1 are the inputs, then come the gates.

    A gate is true where at least ``threshold`` of the literals that it reads are: with 1 it is an OR, with the number
    of its literals an AND, otherwise a threshold gate. A gate that reads one literal copies it, and counts as an OR.
    Gates read only wires before them. Literal ``2 (wire + 1)`` is a wire and the literal after it its negation.

    Attributes:
        num_inputs: how many input bits there are.
        threshold: for each gate how many of its literals have to be true, at least 1.
        start: where the literals of each gate begin in ``fan_in``; one more entry than gates.
        fan_in: the literals that the gates read, gate after gate; no constants. A literal may stand there twice, and
            then counts twice.
        outputs: the literal of each output bit, which may be ``FALSE`` or ``TRUE``.
        input_words: the inputs as named words. Default: one word ``in``.
        output_words: the outputs as named words. Default: one word ``out``.

    Raises:
        CircuitError: the arrays do not fit together.

    >>> majority = UnboundedCircuit(
    ...     num_inputs=3,
    ...     threshold=np.array([2], dtype=np.int32),
    ...     start=np.array([0, 3]),
    ...     fan_in=np.array([2, 4, 6], dtype=np.int32),
    ...     outputs=np.array([wire_to_literal(3)], dtype=np.int32),
    ... )
    >>> majority
    UnboundedCircuit(3 inputs, 1 gate, 3 wires, depth 1, 1 output)
    >>> majority.evaluate({"in": 0b101})
    {'out': 1}
    """

    num_inputs: int
    threshold: Int32[np.ndarray, " gates"]
    start: Int64[np.ndarray, " starts"]
    fan_in: Int32[np.ndarray, " literals"]
    outputs: Int32[np.ndarray, " outputs"]
    input_words: tuple[Word, ...] | None = None
    output_words: tuple[Word, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("threshold", "start", "fan_in", "outputs"):
            array = np.ascontiguousarray(getattr(self, name)).view()
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if self.input_words is None:
            object.__setattr__(self, "input_words", names_to_words([None] * self.num_inputs, default="in"))
        if self.output_words is None:
            object.__setattr__(self, "output_words", names_to_words([None] * len(self.outputs), default="out"))
        self._check()

    def _check(self) -> None:
        from serialformer.bounds.unbounded_kernels import first_wrong_gate

        if len(self.start) != self.num_gates + 1 or self.start[0] != 0 or self.start[-1] != len(self.fan_in):
            raise CircuitError(
                f"expected {self.num_gates + 1} starts from 0 to {len(self.fan_in)}, found {len(self.start)}"
                f" starts for {self.num_gates} gates"
            )
        if self.num_wires > MAX_WIRES:
            raise CircuitError(f"expected at most {MAX_WIRES:,} inputs and gates, found {self.num_wires:,}")
        if (np.diff(self.start) < 1).any():
            raise CircuitError("expected gates that read at least one literal, and starts in order")
        gate = first_wrong_gate(self.num_inputs, self.threshold, self.start, self.fan_in)
        if gate >= 0:
            found = self.fan_in[self.start[gate] : self.start[gate + 1]][:8].tolist()
            raise CircuitError(
                f"gate {gate} needs {self.threshold[gate]} of the literals {found}...: it must read literals from 2 to"
                f" {wire_to_literal(self.num_inputs + gate) - 1}, and need 1 to {np.diff(self.start)[gate]} of them"
            )
        last = wire_to_literal(self.num_wires) - 1
        if len(self.outputs) and not FALSE <= int(self.outputs.min()) <= int(self.outputs.max()) <= last:
            raise CircuitError(f"an output is not a literal from 0 to {last}")
        for words, size, what in (
            (self.input_words, self.num_inputs, "input"),
            (self.output_words, len(self.outputs), "output"),
        ):
            assert words is not None
            if sorted(place for word in words for place in word.places) != list(range(size)):
                raise CircuitError(f"the {what} words do not hold each of the {size} {what} bits once")

    @property
    def num_gates(self) -> int:
        return len(self.threshold)

    @property
    def num_wires(self) -> int:
        """Inputs and gates."""
        return self.num_inputs + self.num_gates

    @property
    def num_literals(self) -> int:
        """What is called the number of wires of a circuit of unbounded fan-in: all that its gates read."""
        return len(self.fan_in)

    @property
    def max_fan_in(self) -> int:
        return int(np.diff(self.start).max()) if self.num_gates else 0

    @cached_property
    def levels(self) -> Int32[np.ndarray, " wires"]:
        """For each wire the longest path of gates from an input; negations are free."""
        from serialformer.bounds.unbounded_kernels import gate_levels

        return gate_levels(self.num_inputs, self.start, self.fan_in, False)

    @property
    def depth(self) -> int:
        """The longest path from an input to an output, in AND, OR and threshold gates; negations are free."""
        return self._deepest_output(self.levels)

    @property
    def depth_without_copies(self) -> int:
        """The same, where gates that only copy count for nothing."""
        from serialformer.bounds.unbounded_kernels import gate_levels

        return self._deepest_output(gate_levels(self.num_inputs, self.start, self.fan_in, True))

    def _deepest_output(self, levels: Int32[np.ndarray, " wires"]) -> int:
        wires = self.outputs[self.outputs > TRUE] // 2 - 1
        return int(levels[wires].max()) if len(wires) else 0

    @cached_property
    def _is_and(self) -> Bool[np.ndarray, " gates"]:
        return (self.threshold == np.diff(self.start)) & (self.threshold > 1)

    @property
    def gates_by_kind(self) -> dict[str, int]:
        """How many gates there are of each kind; ``not`` counts the wires whose negation is read."""
        negated = self.fan_in[self.fan_in % 2 == 1]
        outputs = self.outputs[(self.outputs > TRUE) & (self.outputs % 2 == 1)]
        is_or = self.threshold == 1
        return {
            "and": int(self._is_and.sum()),
            "or": int(is_or.sum()),
            "not": len(np.unique(np.concatenate([negated, outputs]))),
            "threshold": int((~self._is_and & ~is_or).sum()),
        }

    @property
    def wires_by_kind(self) -> dict[str, int]:
        """How many literals the gates of each kind read; ``not`` as in ``gates_by_kind``."""
        sizes, is_or = np.diff(self.start), self.threshold == 1
        return {
            "and": int(sizes[self._is_and].sum()),
            "or": int(sizes[is_or].sum()),
            "not": self.gates_by_kind["not"],
            "threshold": int(sizes[~self._is_and & ~is_or].sum()),
        }

    def evaluate(self, values: Mapping[str, int] | None = None, **named: int) -> dict[str, int]:
        """The value of each output word, given a value for each input word.

        Raises:
            InputError: a value is missing, unknown or too large.
        """
        assert self.input_words is not None and self.output_words is not None
        bits = values_to_bits(self.input_words, {**(values or {}), **named}, self.num_inputs)
        return bits_to_values(self.output_words, evaluate_unbounded(self, bits[None])[0])

    def save(self, path: str | os.PathLike[str], *, tree: bool = False) -> None:
        """Writes it: ``.bench``, ``.blif`` or ``.v``, or with two-input gates any format that ``write`` knows.

        Args:
            path: the file; its suffix tells the format.
            tree: two-input gates in every format.

        Raises:
            SerialformerError: an unknown suffix, or a file that cannot be written.
        """
        from serialformer.bounds.writers import write_unbounded

        write_unbounded(self, path, tree=tree)

    def __repr__(self) -> str:
        return (
            f"UnboundedCircuit({count(self.num_inputs, 'input')}, {count(self.num_gates, 'gate')},"
            f" {count(self.num_literals, 'wire')}, depth {self.depth}, {count(len(self.outputs), 'output')})"
        )


MAX_BYTES_OF_VALUES = 1 << 28
"""How much memory the values of all wires may take while a circuit is evaluated, unless 64 rows take more."""


def evaluate_unbounded(
    circuit: UnboundedCircuit, inputs: UInt8[np.ndarray, "rows inputs"]
) -> UInt8[np.ndarray, "rows outputs"]:
    """The output bits for each row of input bits, 64 rows a machine word."""
    from serialformer.bounds.unbounded_kernels import evaluate_gates
    from serialformer.circuits.evaluate import pack_rows, words_per_pass

    result = np.empty((len(inputs), len(circuit.outputs)), dtype=np.uint8)
    num_words = max(1, min(words_per_pass(len(inputs)), MAX_BYTES_OF_VALUES // (8 * max(1, circuit.num_wires))))
    # Row 0 is the constant 0, so that the value of a literal is row literal // 2, inverted where the literal is odd.
    values = np.zeros((circuit.num_wires + 1, num_words), dtype=np.uint64)
    for start in range(0, len(inputs), 64 * num_words):
        block = inputs[start : start + 64 * num_words]
        values[1 : 1 + circuit.num_inputs] = pack_rows(block, num_words)
        evaluate_gates(circuit.num_inputs, circuit.threshold, circuit.start, circuit.fan_in, values)
        kept = values[circuit.outputs // 2] ^ np.where(circuit.outputs % 2, ~np.uint64(0), np.uint64(0))[:, None]
        bits = np.unpackbits(kept.view(np.uint8), axis=1, bitorder="little")
        result[start : start + len(block)] = bits[:, : len(block)].T
    return result
