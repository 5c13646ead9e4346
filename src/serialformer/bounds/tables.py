"""Tables of a number format, by rank: what products, quotients, exponentials and sums of its numbers are.

The numbers of a format, in order, have the ranks -M .. M; 0 has rank 0. A value's thermometer says for each rank
whether the value has it or a larger one. So an increasing function of one value takes no gates, and one of two values
is an OR of ANDs of two, a *corner* each.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from serialformer.arrays import Float, Int, Int64
from serialformer.bounds.resets import reset_letters
from serialformer.bounds.sum_kernels import FLIP_FLOPS, RESETS, SERIAL, THRESHOLDS, SumRule
from serialformer.errors import ArithmeticRangeError
from serialformer.transformer.precision import NumberFormat

METHODS = {"flip-flops": FLIP_FLOPS, "resets": RESETS, "thresholds": THRESHOLDS, "serial": SERIAL}
"""The ways to sum; see ``sum_kernels``."""

MAX_RANK = 1 << 13
"""M of the largest format: F_6. Tables have (2 M + 1)^2 entries."""


class Corners(NamedTuple):
    """For each rank the corners of what has it or a larger one.

    Attributes:
        start: where the corners of each rank begin; one more entry than ranks.
        first: what the first value's rank must be at least, rising within a rank.
        second: what the second value's rank must be at least (of a quotient, the divisor's at most).
    """

    start: Int64[np.ndarray, " starts"]
    first: Int64[np.ndarray, " corners"]
    second: Int64[np.ndarray, " corners"]


class Tables(NamedTuple):
    """A format as the loops take it.

    Attributes:
        largest: M.
        factors: for a factor's rank from 0 and a rank from 0, the least rank from 1 whose product with that factor has
            that rank or a larger one; M + 1 if there is none.
        products: corners of the ranks 1 .. M, of two positive values.
        quotients: corners of the ranks 1 .. M, of a value and a divisor that are not negative.
        exponentials: for the ranks 1 .. M, the least rank whose exponential has it or a larger one; M + 1 if none has.
        rule: how to sum.
    """

    largest: int
    factors: Int64[np.ndarray, "ranks ranks"]
    products: Corners
    quotients: Corners
    exponentials: Int64[np.ndarray, " ranks"]
    rule: SumRule


def format_numbers(number_format: NumberFormat) -> Float[np.ndarray, " numbers"]:
    """The numbers of a format in order.

    Raises:
        ArithmeticRangeError: the format is too large, or its sums do not saturate.
    """
    if number_format.overflow != "saturate":
        raise ArithmeticRangeError(
            f"expected a format that saturates, found {number_format.name}",
            hint="where sums become infinite or nan, they are not a chain of values",
        )
    numbers = number_format.numbers()
    if len(numbers) > 2 * MAX_RANK + 1:
        raise ArithmeticRangeError(f"expected at most {2 * MAX_RANK + 1:,} numbers, {number_format.name} has more")
    return numbers


def number_ranks(number_format: NumberFormat, x: Float[np.ndarray, "*shape"]) -> Int64[np.ndarray, "*shape"]:
    """The rank of each number of the format.

    >>> from serialformer.transformer.precision import fixed_point
    >>> number_ranks(fixed_point(1), np.array([-1.5, 0.0, 0.5]))
    array([-3,  0,  1])
    """
    numbers = format_numbers(number_format)
    places = np.searchsorted(numbers, x)
    assert (numbers[places] == x).all(), "a number that the format does not hold"
    return (places - len(numbers) // 2).astype(np.int64)


def default_method(number_format: NumberFormat) -> str:
    """Flip-flops where numbers are equally spaced, otherwise resets."""
    return "flip-flops" if number_format.evenly_spaced else "resets"


@lru_cache(maxsize=16)
def make_sum_rule(number_format: NumberFormat, method: str) -> SumRule:
    """How to sum in a format by a method.

    Raises:
        ArithmeticRangeError: there is no such method, or it needs equally spaced numbers.
    """
    if method not in METHODS:
        raise ArithmeticRangeError(f"no method {method!r}", hint=f"one of {', '.join(METHODS)}")
    if method in ("flip-flops", "thresholds") and not number_format.evenly_spaced:
        raise ArithmeticRangeError(
            f"{method} need numbers that are equally spaced; those of {number_format.name} are not", hint="use resets"
        )
    numbers = format_numbers(number_format)
    largest = len(numbers) // 2
    sums = np.searchsorted(numbers, number_format.add(numbers[:, None], numbers[None, :])).astype(np.int64)
    corners = _corners(sums - largest, np.arange(1 - largest, largest + 1), offset=-largest)
    letters = reset_letters(sums) if method == "resets" else None
    return SumRule(
        method=METHODS[method],
        largest=largest,
        sums=sums,
        corner_start=corners.start,
        corner_first=corners.first,
        corner_second=corners.second,
        missing=np.zeros(0, np.int64) if letters is None else letters.missing,
        following=np.zeros((0, 0), np.int64) if letters is None else letters.following,
        letter_start=np.zeros(1, np.int64) if letters is None else letters.start,
        holds=np.zeros((0, 0), np.bool_) if letters is None else letters.holds,
    )


@lru_cache(maxsize=16)
def make_tables(number_format: NumberFormat, method: str) -> Tables:
    """The tables of a format.

    Raises:
        ArithmeticRangeError: as in ``make_sum_rule``.
    """
    rule = make_sum_rule(number_format, method)
    numbers = format_numbers(number_format)
    largest = rule.largest
    positive = numbers[largest + 1 :]
    products = np.searchsorted(numbers, number_format.multiply(positive[:, None], positive[None, :])) - largest
    quotients = np.searchsorted(numbers, number_format.divide(positive[:, None], positive[None, :])) - largest
    ranks = np.arange(1, largest + 1)
    factors = np.full((largest + 1, largest + 1), largest + 1, dtype=np.int64)
    for rank in ranks:
        enough = products >= rank
        factors[1:, rank] = np.where(enough.any(axis=1), 1 + enough.argmax(axis=1), largest + 1)
    exponentials = np.searchsorted(numbers, number_format.exp(numbers)) - largest
    reached = exponentials[None, :] >= ranks[:, None]
    # A quotient rises as its divisor falls, so divisors are taken in the opposite order.
    inverted = _corners(quotients[:, ::-1], ranks, offset=1)
    return Tables(
        largest=largest,
        factors=factors,
        products=_corners(products, ranks, offset=1),
        quotients=inverted._replace(second=(largest + 1 - inverted.second).astype(np.int64)),
        exponentials=np.where(reached.any(axis=1), reached.argmax(axis=1) - largest, largest + 1).astype(np.int64),
        rule=rule,
    )


def _corners(table: Int[np.ndarray, "first second"], ranks: Int[np.ndarray, " ranks"], *, offset: int) -> Corners:
    """The corners of a table that rises along both axes; its rows and columns are ranks from ``offset`` on."""
    start, first, second = [0], [], []
    for rank in ranks.tolist():
        enough = table >= rank
        least = np.where(enough.any(axis=1), enough.argmax(axis=1), table.shape[1])
        # A row is a corner if it asks for less than the row before.
        rows = np.flatnonzero(least < np.concatenate([[table.shape[1]], least[:-1]]))
        first += (rows + offset).tolist()
        second += (least[rows] + offset).tolist()
        start.append(len(first))
    return Corners(*(np.array(part, dtype=np.int64) for part in (start, first, second)))
