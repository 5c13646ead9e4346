"""Circuits for testing engines: every gate reads from anywhere before it, and every bit matters."""

from __future__ import annotations

import numpy as np

from serialformer.circuits.builder import CircuitBuilder
from serialformer.circuits.circuit import Circuit
from serialformer.errors import CircuitError

NEAR = 4
"""How far back a near read goes, in wires."""

NUM_OUTPUTS = 4


def scattered_circuit(seed: int, *, num_inputs: int, num_gates: int, fan_in: int = 2) -> Circuit:
    """A random circuit in which no wire can be wrong unnoticed for long.

    The first wire that a gate reads is one that no gate has read before, most often the oldest, so that every wire is
    read at some time. The other wires are near (at most ``NEAR`` back) or anywhere. Three gates of four are parities,
    whose value changes with each wire that is read wrongly; the rest are random functions that are true as often as
    false. The answer is the last ``NUM_OUTPUTS`` gates, in a word ``y``; gates are called ``g0``, ``g1``, ....

    Args:
        seed: which circuit.
        num_inputs: input bits, in a word ``x``.
        num_gates: gates, each of which is one chain token.
        fan_in: how many wires each gate reads, 2 to 6.

    Raises:
        CircuitError: there are fewer inputs than a gate reads, or fewer gates than outputs.

    >>> circuit = scattered_circuit(0, num_inputs=8, num_gates=40)
    >>> circuit, int(circuit.fan_out[:-8].min())
    (Circuit(8 inputs, 40 gates, 4 outputs), 1)
    """
    if not 2 <= fan_in <= min(6, num_inputs) or num_gates < NUM_OUTPUTS:
        raise CircuitError(f"no scattered circuit of {num_inputs} inputs and {num_gates} gates of {fan_in} wires")
    random = np.random.default_rng(seed)
    build = CircuitBuilder()
    wires = build.inputs("x", num_inputs)
    unread = list(wires)
    parity = sum(1 << index for index in range(1 << fan_in) if index.bit_count() % 2)
    for gate in range(num_gates):
        reads = [unread.pop(0 if random.random() < 0.75 else int(random.integers(len(unread))))]
        while len(reads) < fan_in:
            far = random.random() < 0.75 or len(wires) <= NEAR
            wire = int(random.integers(len(wires)) if far else len(wires) - 1 - random.integers(NEAR))
            if wire not in reads:
                reads.append(wire)
                if wire in unread:
                    unread.remove(wire)
        table = parity if random.random() < 0.75 else _balanced_table(random, fan_in)
        wires.append(build.gate(table, *reads, name=f"g{gate}"))
        unread.append(wires[-1])
    build.outputs("y", wires[-NUM_OUTPUTS:])
    return build.circuit()


def _balanced_table(random: np.random.Generator, fan_in: int) -> int:
    """A random truth table with as many ones as zeros that depends on each of its inputs."""
    entries = 1 << fan_in
    while True:
        ones = random.permutation(entries)[: entries // 2]
        table = sum(1 << int(one) for one in ones)
        if all(_depends(table, place, entries) for place in range(fan_in)):
            return table


def _depends(table: int, place: int, entries: int) -> bool:
    return any((table >> index & 1) != (table >> (index ^ 1 << place) & 1) for index in range(entries))
