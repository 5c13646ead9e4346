"""All circuits of a few gates that the circuit value problem draws, and how likely it draws each."""

from __future__ import annotations

from fractions import Fraction
from math import prod

import numpy as np

from serialformer.arrays import Int64
from serialformer.errors import TaskError
from serialformer.tasks.circuit_value import AND, FALSE, NOT, NOT_APPLICABLE, OR, TRUE, CircuitValue

MOST_CIRCUITS = 1_000_000
"""There are 41,952 circuits of five gates, and 2.4 million of six."""


def every_circuit(task: CircuitValue, length: int) -> tuple[Int64[np.ndarray, "circuits prompt"], list[Fraction]]:
    """Every prompt of this many gates that the task may draw, and its probability.

    Args:
        task: with its probabilities of constants and negations.
        length: the number of gates.

    Raises:
        TaskError: there are more than a million.

    >>> prompts, shares = every_circuit(CircuitValue(), 3)
    >>> len(prompts), sum(shares), min(shares)
    (48, Fraction(1, 1), Fraction(1, 50))
    """
    options = [_options_of(task, gate) for gate in range(length)]
    sizes = [len(of_gate) for of_gate in options]
    if prod(sizes) > MOST_CIRCUITS:
        raise TaskError(
            f"there are {prod(sizes):,} circuits of {length} gates, over {MOST_CIRCUITS:,}",
            hint="choose a smaller length",
        )
    places = np.unravel_index(np.arange(prod(sizes)), sizes)
    prompts = np.full((prod(sizes), 4 * length + 1), task.end_token(length), dtype=np.int64)
    shares = np.full(prod(sizes), Fraction(1), dtype=object)
    for gate, (of_gate, place) in enumerate(zip(options, places, strict=True)):
        kinds, first, second = np.array([option[:3] for option in of_gate], dtype=np.int64).T
        prompts[:, 4 * gate] = length + kinds[place]
        for column, wires in ((1, first), (2, second)):
            prompts[:, 4 * gate + column] = np.where(wires < 0, length + NOT_APPLICABLE, wires)[place]
        prompts[:, 4 * gate + 3] = gate
        shares = shares * np.array([option[3] for option in of_gate], dtype=object)[place]
    return prompts, shares.tolist()


def _options_of(task: CircuitValue, gate: int) -> list[tuple[int, int, int, Fraction]]:
    """What a gate may be: its type, its inputs (-1: absent), and the probability, if it is not 0."""
    constant = Fraction(1) if gate < 2 else Fraction(str(task.constants))
    negation = (1 - constant) * Fraction(str(task.negations))
    other = 1 - constant - negation
    found = [(kind, -1, -1, constant / 2) for kind in (TRUE, FALSE)]
    found += [(NOT, one, -1, negation / gate) for one in range(gate)]
    found += [
        (kind, one, two, other / (2 * gate**2)) for kind in (AND, OR) for one in range(gate) for two in range(gate)
    ]
    return [option for option in found if option[3]]
