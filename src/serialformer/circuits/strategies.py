"""Hypothesis strategies: random circuits for property tests. The extra ``hypothesis`` is required."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from serialformer.circuits.builder import AND, BUFFER, NAND, NOR, NOT, OR, XNOR, XOR
from serialformer.circuits.circuit import MAX_FAN_IN, NO_WIRE, Circuit
from serialformer.circuits.words import names_to_words

_FIRST = "abcxyzABCXYZ_"
_COMMON_TABLES = {1: (NOT, BUFFER), 2: (AND, OR, XOR, NAND, NOR, XNOR)}


def word_names() -> st.SearchStrategy[str]:
    """Short names that every format can carry: a letter or ``_``, then letters, digits, ``_``, ``.`` or ``$``."""
    return st.builds(str.__add__, st.sampled_from(_FIRST), st.text(_FIRST + "0129.$", max_size=4))


@st.composite
def bit_names(draw: st.DrawFn, num_bits: int, *, names: st.SearchStrategy[str] | None = None) -> list[str | None]:
    """One name per bit: words of shuffled bits, interleaved, with gaps, single bits, and (None) bits without a name.

    Args:
        draw: given by hypothesis.
        num_bits: how many names to draw.
        names: what words are called; default ``word_names()``.
    """
    if num_bits == 0 or draw(st.integers(0, 3)) == 0:
        return [None] * num_bits
    num_words = draw(st.integers(1, min(3, num_bits)))
    labels = draw(st.lists(names or word_names(), min_size=num_words, max_size=num_words, unique=True))
    choices = [*range(num_words)] if draw(st.booleans()) else [*range(num_words), None]
    owners = draw(st.lists(st.sampled_from(choices), min_size=num_bits, max_size=num_bits))
    result: list[str | None] = [None] * num_bits
    for word, label in enumerate(labels):
        places = [place for place, owner in enumerate(owners) if owner == word]
        if len(places) == 1 and draw(st.booleans()):
            result[places[0]] = label
            continue
        gap = draw(st.sampled_from((0, 0, 0, 1, 3)))
        indices = list(range(len(places) + gap))
        if draw(st.booleans()):
            indices = draw(st.permutations(indices))
        for place, index in zip(places, indices, strict=False):
            result[place] = f"{label}[{index}]"
    return result


@st.composite
def circuits(
    draw: st.DrawFn,
    *,
    min_inputs: int = 0,
    max_inputs: int = 6,
    min_gates: int = 0,
    max_gates: int = 12,
    min_arity: int = 0,
    max_arity: int = MAX_FAN_IN,
    min_outputs: int = 0,
    max_outputs: int = 6,
    named_words: bool = True,
    named_gates: bool = True,
    names: st.SearchStrategy[str] | None = None,
) -> Circuit:
    """Random circuits, with every edge case within the bounds.

    No inputs, no gates, no outputs, constant gates, gates that read a wire twice or ignore what they read, unused
    wires, outputs that are inputs, constants or repeats, and words of shuffled, interleaved, missing or unnamed bits.
    They shrink towards few wires, few inputs a gate and small tables.

    Args:
        draw: given by hypothesis.
        min_inputs: the least number of input bits.
        max_inputs: the greatest number of them; a full check takes 2^max_inputs rows.
        min_gates: the least number of gates.
        max_gates: the greatest number of gates.
        min_arity: the least number of wires that a gate reads (perhaps one several times).
        max_arity: the greatest number of wires that a gate reads; ``fan_in`` has that many columns, and at least 2.
        min_outputs: the least number of output bits.
        max_outputs: the greatest number of output bits.
        named_words: whether some circuits have words other than ``in`` and ``out``.
        named_gates: whether some circuits have gate names; these may repeat, and may be those of ports.
        names: what words and gates are called; default ``word_names()``.

    >>> from hypothesis import given, settings
    >>> @settings(max_examples=5)
    ... @given(circuits(max_arity=2))
    ... def check(circuit):
    ...     assert circuit.max_arity <= 2
    >>> check()
    """
    if not 0 <= min_arity <= max_arity <= MAX_FAN_IN:
        raise InvalidArgument(f"expected 0 <= min_arity <= max_arity <= {MAX_FAN_IN}, got {min_arity}, {max_arity}")
    if min_arity > 0 and min_gates + min_outputs > 0:
        min_inputs = max(min_inputs, 1)  # the first gate has nothing else to read
    num_inputs = draw(st.integers(min_inputs, max_inputs))
    if num_inputs == 0 and min_arity > 0:
        min_gates = max_gates = 0
    if num_inputs == 0 and min_outputs > 0:
        min_gates = max(min_gates, 1)
    num_gates = draw(st.integers(min_gates, max_gates))

    fan_in = np.full((num_gates, max(2, max_arity)), NO_WIRE, dtype=np.int32)
    arity = np.zeros(num_gates, dtype=np.uint8)
    table = np.zeros(num_gates, dtype=np.uint64)
    for gate in range(num_gates):
        wires = num_inputs + gate
        reads = draw(st.integers(min_arity, max_arity)) if wires else 0
        arity[gate] = reads
        for column in range(reads):
            fan_in[gate, column] = draw(st.integers(0, wires - 1))
        common = _COMMON_TABLES.get(reads)
        any_table = st.integers(0, (1 << (1 << reads)) - 1)
        table[gate] = draw(st.sampled_from(common) | any_table if common else any_table)

    num_wires = num_inputs + num_gates
    wire = st.integers(0, num_wires - 1)
    outputs = draw(st.lists(wire, min_size=min_outputs, max_size=max_outputs)) if num_wires else []
    input_names: list[str | None] = [None] * num_inputs
    output_names: list[str | None] = [None] * len(outputs)
    if named_words:
        input_names = draw(bit_names(num_inputs, names=names))
        output_names = draw(bit_names(len(outputs), names=names))
    gate_names: list[str] = []
    if named_gates and num_gates and draw(st.booleans()):
        ports = [name for name in (*input_names, *output_names) if name]
        pool = ["", *(f"n{gate}" for gate in range(num_gates)), *ports]
        gate_names = draw(
            st.lists(st.sampled_from(pool) | (names or word_names()), min_size=num_gates, max_size=num_gates)
        )
    return Circuit(
        num_inputs=num_inputs,
        fan_in=fan_in,
        arity=arity,
        table=table,
        outputs=np.array(outputs, dtype=np.int32),
        input_words=names_to_words(input_names, default="in"),
        output_words=names_to_words(output_names, default="out"),
        gate_names=tuple(gate_names),
    )
