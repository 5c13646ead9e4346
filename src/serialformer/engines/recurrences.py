"""Circuits whose gates all read at the same few distances: shift registers, check sums, cellular automata.

A chain of such a circuit is a recurrence over the positions of the sequence. So a transformer with rotary positions can
find what a gate reads without names, and an engine that rotates by a wrong angle reads another bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from serialformer.circuits.builder import CircuitBuilder
from serialformer.circuits.circuit import Circuit
from serialformer.engines.scattered import NUM_OUTPUTS, choose_table
from serialformer.errors import CircuitError

CHECK_SUM_WIDTH = 16
CHECK_SUM_TAPS = (4, 11, 16)
"""x^16 + x^12 + x^5 + 1, the polynomial of CRC-16/XMODEM: how far below the leading power each other one lies."""


def recurrence_circuit(
    table_of: Callable[[int], int], *, num_inputs: int, num_gates: int, distances: Sequence[int], num_outputs: int
) -> Circuit:
    """A circuit in which the token at a position is a function of those at some distances from the position before it.

    The sequence is the input bits, ``=``, which counts as 0, and the gates.

    Args:
        table_of: for the number of a gate its truth table over the bits at the distances, in their order.
        num_inputs: input bits, in a word ``x``; at least the largest distance.
        num_gates: gates, called ``g0``, ``g1``, ....
        distances: how far back each gate reads; 0 is the position just before its own.
        num_outputs: how many of the last gates are the answer ``y``.

    Raises:
        CircuitError: a gate would read what stands before the first input bit.
    """
    if max(distances) > num_inputs:
        raise CircuitError(f"no position is {max(distances)} before the first of {num_inputs} inputs and =")
    build = CircuitBuilder()
    wires: list[int | None] = [*build.inputs("x", num_inputs), None]
    for gate in range(num_gates):
        reads = [wires[len(wires) - 1 - distance] for distance in distances]
        table = table_of(gate)
        if None in reads:
            table = _without(table, reads.index(None), len(reads))
        wires.append(build.gate(table, *(wire for wire in reads if wire is not None), name=f"g{gate}"))
    build.outputs("y", [wire for wire in wires[-num_outputs:] if wire is not None])
    return build.circuit()


def _without(table: int, place: int, num_reads: int) -> int:
    """The truth table with one of its inputs held at 0.

    >>> bin(_without(0b0110, 0, 2))
    '0b10'
    """
    kept = [index for index in range(1 << num_reads) if not index >> place & 1]
    return sum((table >> index & 1) << number for number, index in enumerate(kept))


def shift_register_circuit(seed: int, *, num_inputs: int, num_gates: int, distances: Sequence[int]) -> Circuit:
    """A feedback shift register whose gates are parities, two of three, and random functions of its taps.

    A gate that reads beside one of its taps changes its value every other time.

    Args:
        seed: which circuit.
        num_inputs: input bits, at least the largest distance.
        num_gates: gates, at least 4.
        distances: of the taps; see ``recurrence_circuit``.

    Raises:
        CircuitError: a gate would read what stands before the first input bit.

    >>> shift_register_circuit(0, num_inputs=16, num_gates=40, distances=(15, 6, 0))
    Circuit(16 inputs, 40 gates, 4 outputs)
    """
    random = np.random.default_rng(seed)
    return recurrence_circuit(
        lambda gate: choose_table(random, len(distances)),
        num_inputs=num_inputs,
        num_gates=num_gates,
        distances=distances,
        num_outputs=NUM_OUTPUTS,
    )


def check_sum_circuit(num_inputs: int) -> Circuit:
    """CRC-16/XMODEM of a message: long division by its polynomial, first bit first, a gate for each quotient bit.

    Args:
        num_inputs: bits of the message, at least 16; bit 7 of the first byte comes first.

    >>> import binascii
    >>> from serialformer.circuits.evaluate import evaluate_outputs
    >>> bits = np.unpackbits(np.frombuffer(b"known answers", np.uint8))
    >>> answer = evaluate_outputs(check_sum_circuit(len(bits)), bits[None])[0]
    >>> int("".join(map(str, answer.tolist())), 2) == binascii.crc_hqx(b"known answers", 0)
    True
    """
    if num_inputs < CHECK_SUM_WIDTH:
        raise CircuitError(f"expected a message of at least {CHECK_SUM_WIDTH} bits, found {num_inputs}")
    build = CircuitBuilder()
    message = build.inputs("x", num_inputs)
    quotient: list[int] = []
    remainder: list[int] = []
    for place in range(num_inputs + CHECK_SUM_WIDTH):
        terms = [quotient[place - tap] for tap in CHECK_SUM_TAPS if 0 <= place - tap < num_inputs]
        is_message = place < num_inputs
        if is_message:
            terms.append(message[place])
        parity = sum(1 << index for index in range(1 << len(terms)) if index.bit_count() % 2)
        name = f"quotient[{place}]" if is_message else f"remainder[{place - num_inputs}]"
        (quotient if is_message else remainder).append(build.gate(parity, *terms, name=name))
    build.outputs("y", remainder)
    return build.circuit()


def automaton_circuit(rule: int, *, num_inputs: int, num_gates: int) -> Circuit:
    """An elementary cellular automaton on a helix.

    The sequence is wound up in turns of one cell more than there are inputs; ``=`` is the last cell of the first turn.
    A cell is made of the three that stand one turn before it, one turn less one cell, and one turn less two.

    Args:
        rule: its number, as Wolfram counts them: bit ``4 left + 2 middle + right``, where left is the earliest.
        num_inputs: cells of the first turn but for one, at least 3.
        num_gates: cells of the turns that follow.

    >>> automaton_circuit(110, num_inputs=16, num_gates=68)
    Circuit(16 inputs, 68 gates, 17 outputs)
    """
    # The first input of a truth table is the lowest bit of its index; here that is the cell to the right.
    return recurrence_circuit(
        lambda gate: rule,
        num_inputs=num_inputs,
        num_gates=num_gates,
        distances=(num_inputs - 2, num_inputs - 1, num_inputs),
        num_outputs=min(num_inputs + 1, num_gates),
    )
