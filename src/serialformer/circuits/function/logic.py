"""Logic: gates of two inputs, built with structural hashing; inverters are free.

A *literal* is an integer: twice a node, plus 1 where the node's value is complemented. Node 0 is constant false, so
literal 0 is false and literal 1 is true; then come the inputs, then the gates. A gate is an AND of two literals or an
XOR of two nodes; the complement of a literal vanishes in the truth table of the gate that reads it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from serialformer.circuits.circuit import NO_WIRE, Circuit
from serialformer.circuits.words import Word
from serialformer.errors import TraceError

FALSE, TRUE = 0, 1

MAX_NODES = 8_000_000
"""Some 200 bytes each while a function is traced."""

_SHIFT = 32


class Logic:
    """Collects gates and hands out literals; what is there already is never built again.

    Besides equal gates it sees constants, equal and opposite operands, and operands that share an input with the gate
    beside them. Gates that no output needs are left out of the circuit.

    Args:
        whole_adders: build full adders as sums and carries that share no gate. That takes more gates of two inputs,
            but mapping to gates of three or four then finds each sum and each carry as one gate.

    >>> logic = Logic()
    >>> a, b = logic.input(), logic.input()
    >>> logic.xor(a, logic.xor(b, a)) == b
    True
    >>> logic.circuit([logic.and_(a, b ^ 1)])
    Circuit(2 inputs, 1 gates, 1 outputs)
    """

    def __init__(self, *, whole_adders: bool = False) -> None:
        self.whole_adders = whole_adders
        # The operands of each node; an AND has the smaller literal first, an XOR the larger; an input has (-1, -1).
        self._left = [-1]
        self._right = [-1]
        self._found: dict[int, int] = {}
        self.num_inputs = 0

    @property
    def num_nodes(self) -> int:
        """Inputs and gates so far, needed or not."""
        return len(self._left) - 1

    def input(self) -> int:
        """A new input bit; all inputs come before the first gate."""
        assert self.num_inputs == self.num_nodes
        self.num_inputs += 1
        return self._node(-1, -1)

    def and_(self, a: int, b: int) -> int:
        if a > b:
            a, b = b, a
        if a < 2:
            return b if a else FALSE
        if a ^ b < 2:
            return a if a == b else FALSE
        key = a << _SHIFT | b
        found = self._found.get(key)
        if found is None:
            found = self._simpler_and(b, a)
            if found is None:
                found = self._simpler_and(a, b)
            if found is None:
                found = self._node(a, b)
            self._found[key] = found
        return found

    def or_(self, a: int, b: int) -> int:
        return self.and_(a ^ 1, b ^ 1) ^ 1

    def xor(self, a: int, b: int) -> int:
        flip = (a ^ b) & 1
        a, b = a & ~1, b & ~1
        if a > b:
            a, b = b, a
        if a == b:
            return flip
        if a == FALSE:
            return b ^ flip
        key = b << _SHIFT | a
        found = self._found.get(key)
        if found is None:
            found = self._simpler_xor(b, a)
            if found is None:
                found = self._simpler_xor(a, b)
            if found is None:
                found = self._node(b, a)
            self._found[key] = found
        return found ^ flip

    def mux(self, select: int, then: int, otherwise: int) -> int:
        """``then`` where ``select`` is 1; three gates at most."""
        return self.xor(otherwise, self.and_(select, self.xor(then, otherwise)))

    def all_of(self, literals: Sequence[int]) -> int:
        result = TRUE
        for literal in literals:
            result = self.and_(result, literal)
        return result

    def any_of(self, literals: Sequence[int]) -> int:
        return self.all_of([literal ^ 1 for literal in literals]) ^ 1

    def _node(self, left: int, right: int) -> int:
        if len(self._left) > MAX_NODES:
            raise TraceError(
                f"needs more than {MAX_NODES:,} gates", hint="shorten its loops, or split it into functions"
            )
        self._left.append(left)
        self._right.append(right)
        return 2 * (len(self._left) - 1)

    def _simpler_and(self, gate: int, other: int) -> int | None:
        """``gate and other`` in no more gates, if what ``gate`` reads tells something about ``other``."""
        left, right = self._left[gate >> 1], self._right[gate >> 1]
        if left < 0:
            return None
        if left < right:  # gate = (left and right), perhaps complemented
            if gate & 1:
                if other == left:
                    return self.and_(left, right ^ 1)
                if other == right:
                    return self.and_(right, left ^ 1)
                return other if other ^ 1 in (left, right) or self._both(left, right, other) == FALSE else None
            if other in (left, right):
                return gate
            if other ^ 1 in (left, right):
                return FALSE
            known = self._both(left, right, other)
            return None if known is None else gate if known else FALSE
        flip = 1 ^ (other & 1) ^ (gate & 1)
        if other >> 1 == left >> 1:
            return self.and_(other, right ^ flip)
        if other >> 1 == right >> 1:
            return self.and_(other, left ^ flip)
        return None

    def _both(self, a: int, b: int, other: int) -> int | None:
        """What ``other`` is where a and b are both true, if it is the XOR of their nodes."""
        left, right = self._left[other >> 1], self._right[other >> 1]
        if left <= right or {left >> 1, right >> 1} != {a >> 1, b >> 1}:
            return None
        return (a ^ b ^ other) & 1

    def _simpler_xor(self, gate: int, other: int) -> int | None:
        """``gate xor other`` of two nodes in no more gates, if they share an input."""
        left, right = self._left[gate >> 1], self._right[gate >> 1]
        if left < 0:
            return None
        of_left, of_right = self._left[other >> 1], self._right[other >> 1]
        if left > right:
            if other == left:
                return right
            if other == right:
                return left
            if of_left > of_right:
                if left in (of_left, of_right):
                    return self.xor(right, of_right if left == of_left else of_left)
                if right in (of_left, of_right):
                    return self.xor(left, of_right if right == of_left else of_left)
            return None
        for mine, rest in ((left, right), (right, left)):
            if mine == other:
                return self.and_(mine, rest ^ 1)
            if mine ^ 1 == other:
                return self.or_(other, rest)
        if of_left > of_right and {of_left >> 1, of_right >> 1} == {left >> 1, right >> 1}:
            return self.or_(left, right) ^ (left ^ right) & 1
        return None

    def circuit(
        self,
        outputs: Sequence[int],
        *,
        input_words: tuple[Word, ...] | None = None,
        output_words: tuple[Word, ...] | None = None,
    ) -> Circuit:
        """The gates that the outputs need, in the order in which they were built."""
        first = self.num_inputs + 1
        left, right = np.array(self._left, dtype=np.int64), np.array(self._right, dtype=np.int64)
        needed = np.zeros(len(left), dtype=bool)
        ends = np.array(outputs, dtype=np.int64)
        needed[ends >> 1] = True
        marks, lefts, rights = needed.tolist(), self._left, self._right
        for node in range(len(marks) - 1, first - 1, -1):
            if marks[node]:
                marks[lefts[node] >> 1] = marks[rights[node] >> 1] = True
        gates = np.flatnonzero(np.array(marks[first:], dtype=bool)) + first
        wire = np.full(len(left), NO_WIRE, dtype=np.int64)
        wire[1:first] = np.arange(self.num_inputs)
        wire[gates] = self.num_inputs + np.arange(len(gates))

        # A gate that is an output only as its complement is built complemented; those who read it complement it back.
        flipped = np.zeros(len(left), dtype=np.int64)
        flipped[ends[ends & 1 == 1] >> 1] = 1
        flipped[ends[ends & 1 == 0] >> 1] = 0
        flipped[:first] = 0
        lefts_in, rights_in = left[gates], right[gates]
        not_left = lefts_in & 1 ^ flipped[lefts_in >> 1]
        not_right = rights_in & 1 ^ flipped[rights_in >> 1]
        and_table = 1 << (3 ^ not_left ^ 2 * not_right)
        xor_table = np.where(not_left ^ not_right, 0b1001, 0b0110)
        table = np.where(lefts_in < rights_in, and_table, xor_table) ^ 0b1111 * flipped[gates]
        fan_in = np.stack([wire[lefts_in >> 1], wire[rights_in >> 1]], axis=1)

        # What is left over: constants, complements of inputs, both a gate and its complement.
        extra: dict[int, int] = {}
        for end in outputs:
            if end >> 1 == 0 or (end & 1) != flipped[end >> 1]:
                extra.setdefault(end, self.num_inputs + len(gates) + len(extra))
        return Circuit(
            num_inputs=self.num_inputs,
            fan_in=np.concatenate(
                [fan_in, np.array([[wire[end >> 1], NO_WIRE] for end in extra], dtype=np.int64).reshape(-1, 2)]
            ).astype(np.int32),
            arity=np.array([2] * len(gates) + [min(end >> 1, 1) for end in extra], dtype=np.uint8),
            table=np.concatenate(
                [table, np.array([end & 1 if end < 2 else 0b01 for end in extra], dtype=np.int64)]
            ).astype(np.uint64),
            outputs=np.array([extra.get(end, wire[end >> 1]) for end in outputs], dtype=np.int32),
            input_words=input_words,
            output_words=output_words,
        )
