"""Sums as circuits by themselves: the cascades of flip-flops and of resets, threshold gates, and term by term.

Their depth is a function of the format alone, but for the sum that is made term by term.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from serialformer.bounds.making import DEFAULT_MAX_WIRES, Limit, input_signal, make_circuit
from serialformer.bounds.tables import default_method, make_sum_rule
from serialformer.bounds.unbounded import UnboundedCircuit
from serialformer.circuits.words import Word
from serialformer.transformer.precision import NumberFormat


def merge_depth(num_levels: int) -> int:
    """The depth of a counter of true wires: two levels for each round that merges pairs.

    >>> [merge_depth(count) for count in (1, 2, 6, 30)]
    [0, 2, 6, 10]
    """
    return 2 * (num_levels - 1).bit_length()


def sum_depth(largest: int, method: str, *, num_terms: int = 0) -> int:
    """The largest depth of a sum of values with ranks up to M = ``largest``, whatever their number.

    With K = 2 M: a cascade of flip-flops takes 6 (K - 1) + 4 levels, and counting its K states 2 ceil(log2 K); one of
    resets takes 7 for each of its K levels and 2 K for reading the sum off it; threshold gates take 3.

    Args:
        largest: M.
        method: a name in ``tables.METHODS``.
        num_terms: how many terms there are; only ``serial`` asks.

    >>> [sum_depth(3, method) for method in ("flip-flops", "resets", "thresholds")]
    [40, 54, 3]
    """
    levels = 2 * largest
    if method == "flip-flops":
        return 6 * (levels - 1) + 4 + merge_depth(levels)
    if method == "resets":
        return 7 * levels + 2 * levels
    if method == "thresholds":
        return 3
    return 2 * max(0, num_terms - 1)


def denominator_depth(largest: int, method: str, *, num_terms: int = 0) -> int:
    """The same for terms that are not negative: only half the flip-flops can change, and no sign is negative.

    >>> denominator_depth(3, "flip-flops")
    16
    """
    if method == "flip-flops":
        return 4 * (largest - 1) + 2 + merge_depth(2 * largest)
    return sum_depth(largest, method, num_terms=num_terms)


def make_sum(
    number_format: NumberFormat,
    num_terms: int,
    *,
    method: str | None = None,
    initial: int = 0,
    max_wires: int = DEFAULT_MAX_WIRES,
) -> UnboundedCircuit:
    """The circuit of a sum, left to right, rounded after every addition.

    Inputs and outputs are thermometers: word ``x0``, ``x1``, ... of each term, bit i of which says that its rank is at
    least i + 1 - M; word ``sum`` of the result.

    Args:
        number_format: a format that saturates.
        num_terms: how many terms.
        method: ``flip-flops``, ``resets``, ``thresholds`` or ``serial``; by default the cascade that the format needs.
        initial: the rank of the value from which the sum starts.
        max_wires: as in ``make_circuit``.

    Raises:
        ArithmeticRangeError: there is no such method, or it does not take the format.
        CircuitError: there are too many wires.

    >>> from serialformer.transformer.precision import fixed_point
    >>> circuit = make_sum(fixed_point(1), 3)
    >>> circuit.evaluate(x0=0b111111, x1=0b111111, x2=0b000001)  # 1.5 + 1.5 - 1 = 0.5
    {'sum': 15}
    >>> [make_sum(fixed_point(1), count).depth <= 40 for count in (10, 100)]
    [True, True]
    """
    from serialformer.bounds.signal_kernels import set_constant
    from serialformer.bounds.sum_kernels import sum_terms

    rule = make_sum_rule(number_format, method or default_method(number_format))
    size = 2 * rule.largest

    def make(limit: Limit) -> Sequence[int]:
        terms = np.empty((num_terms + 1, size), dtype=np.int64)
        set_constant(terms[0], initial)
        terms[1:] = [[input_signal(term * size + bit) for bit in range(size)] for term in range(num_terms)]
        out = np.empty(size, dtype=np.int64)
        sum_terms(limit.sink, terms, rule, out)
        return out.tolist()

    return make_circuit(
        num_terms * size,
        make,
        max_wires=max_wires,
        input_words=tuple(
            Word(name=f"x{term}", bits=tuple(range(term * size, (term + 1) * size))) for term in range(num_terms)
        ),
        output_words=(Word(name="sum", bits=tuple(range(size))),),
    )
