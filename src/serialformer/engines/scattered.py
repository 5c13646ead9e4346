"""Circuits for testing engines: every gate reads from anywhere before it, and every bit matters."""

from __future__ import annotations

import numpy as np

from serialformer.circuits.builder import XOR, CircuitBuilder
from serialformer.circuits.circuit import Circuit
from serialformer.errors import CircuitError

NEAR = 4
"""How far back a near read goes, in wires."""

FIRST_SHARE = 0.06
"""How many of the reads go to one of the first two wires, which caches drop first."""

NUM_OUTPUTS = 4


def scattered_circuit(seed: int, *, num_inputs: int, num_gates: int, fan_in: int = 2) -> Circuit:
    """A random circuit in which no wire can be wrong unnoticed for long.

    The first wire that a gate reads is one that no gate has read before, most often the oldest, so that every wire is
    read at some time. The other wires are near (at most ``NEAR`` back), among the first two, or anywhere. Two gates of
    three are parities, whose value changes with each wire that is read wrongly; the rest are random functions for which
    the order of the wires matters. The answer is the last ``NUM_OUTPUTS`` gates, in a
    word ``y``; gates are called ``g0``, ``g1``, ....

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
    for gate in range(num_gates):
        reads = [unread.pop(0 if random.random() < 0.75 else int(random.integers(len(unread))))]
        while len(reads) < fan_in:
            wire = _choose_wire(random, len(wires))
            if wire not in reads:
                reads.append(wire)
                if wire in unread:
                    unread.remove(wire)
        wires.append(build.gate(choose_table(random, fan_in), *reads, name=f"g{gate}"))
        unread.append(wires[-1])
    build.outputs("y", wires[-NUM_OUTPUTS:])
    return build.circuit()


def _choose_wire(random: np.random.Generator, num_wires: int) -> int:
    """One of the last few wires, one of the first two, or any."""
    drawn = random.random()
    if drawn < 0.25 and num_wires > NEAR:
        return num_wires - 1 - int(random.integers(NEAR))
    return int(random.integers(2 if drawn > 1 - FIRST_SHARE else num_wires))


def choose_table(random: np.random.Generator, fan_in: int) -> int:
    """The truth table of a parity, two times of three, or of a random function that depends on all its inputs."""
    if random.random() < 2 / 3:
        return sum(1 << index for index in range(1 << fan_in) if index.bit_count() % 2)
    return _asymmetric_table(random, fan_in)


def _asymmetric_table(random: np.random.Generator, fan_in: int) -> int:
    """A random truth table that depends on each of its inputs and changes when its first two change places.

    Parities do not: heads in another order would go unnoticed.
    """
    entries = 1 << fan_in
    while True:
        table = sum(int(bit) << index for index, bit in enumerate(random.integers(0, 2, entries)))
        swapped = sum((table >> _swap(index) & 1) << index for index in range(entries))
        if table != swapped and all(_depends(table, place, entries) for place in range(fan_in)):
            return table


def _swap(index: int) -> int:
    """The same index with its lowest two bits in each other's place."""
    return index & ~3 | (index & 1) << 1 | (index >> 1 & 1)


def _depends(table: int, place: int, entries: int) -> bool:
    return any((table >> index & 1) != (table >> (index ^ 1 << place) & 1) for index in range(entries))


def decoy_circuit(seed: int, *, num_inputs: int, num_gates: int) -> Circuit:
    """A random circuit of two-input gates in which every other gate but the last few is a decoy: nothing reads it.

    The first wire that a decoy reads is not read again. So the two of them can share a name (``variants.share_names``)
    as long as whoever looks for that name does not see the decoy, which stands after it.

    Args:
        seed: which circuit.
        num_inputs: input bits, at least 4.
        num_gates: gates, decoys included, at least 8.

    Raises:
        CircuitError: the numbers are too small.

    >>> circuit = decoy_circuit(0, num_inputs=8, num_gates=40)
    >>> int((circuit.fan_out == 0).sum())
    23
    """
    if num_inputs < NUM_OUTPUTS or num_gates < 2 * NUM_OUTPUTS:
        raise CircuitError(f"no circuit of {num_inputs} inputs and {num_gates} gates with decoys")
    random = np.random.default_rng(seed)
    build = CircuitBuilder()
    live = build.inputs("x", num_inputs)
    for gate in range(num_gates):
        # The outputs stand at the end of the chain; what they read may not have been given away before.
        if gate % 2 and gate < num_gates - 2 * NUM_OUTPUTS:
            retired = live.pop(int(random.integers(len(live))))
            build.gate(XOR, retired, int(random.choice(live)), name=f"decoy{gate}")
        else:
            first, second = random.choice(len(live), 2, replace=False).tolist()
            table = XOR if random.random() < 0.5 else _asymmetric_table(random, 2)
            live.append(build.gate(table, live[first], live[second], name=f"g{gate}"))
    build.outputs("y", live[-NUM_OUTPUTS:])
    return build.circuit()
