"""Compiled loops of rounded arithmetic: one rounding rule, and sums that round after every addition.

Values are float64 that hold numbers of the format exactly. ``round_pair`` is given the exact result of one operation
as ``x + error`` with x the float64 nearest to it, and rounds that, not x: see ``precision`` for why this is exact.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from serialformer.loops import loop

SATURATE, INFINITE, NOT_A_NUMBER = 0, 1, 2


class Rule(NamedTuple):
    """A number format as the loops take it.

    Attributes:
        digits: binary digits of a significand.
        step: the smallest positive number.
        wide: ``2^digits step``; numbers below it are multiples of ``step``, those above have ``digits`` digits.
        largest: the largest number.
        ties_to_even: how ties are broken; otherwise towards 0.
        overflow: what becomes of larger results: SATURATE, INFINITE or NOT_A_NUMBER.
    """

    digits: int
    step: float
    wide: float
    largest: float
    ties_to_even: bool
    overflow: int


@loop(nogil=True, error_model="numpy")
def round_pair(x, error, rule):
    """The number of the format nearest to x + error; of error only the sign counts, and only where x is a tie."""
    size = abs(x)
    if not size < np.inf:
        if np.isnan(x) or rule.overflow == INFINITE:
            return x
        return math.copysign(rule.largest, x) if rule.overflow == SATURATE else np.nan
    quantum = rule.step if size < rule.wide else math.ldexp(1.0, math.frexp(size)[1] - rule.digits)
    scaled = size / quantum
    whole = math.floor(scaled)
    rest = scaled - whole
    if rest > 0.5:
        whole += 1.0
    elif rest == 0.5:
        outward = error if x > 0 else -error
        if outward > 0 or (outward == 0 and rule.ties_to_even and whole % 2.0 == 1.0):
            whole += 1.0
    result = whole * quantum
    if result > rule.largest:
        result = rule.largest if rule.overflow == SATURATE else np.inf if rule.overflow == INFINITE else np.nan
    return math.copysign(result, x) + 0.0  # no -0


@loop(nogil=True, error_model="numpy")
def add(a, b, rule):
    """[a + b]; the error of the float64 sum is found exactly (Knuth's two-sum)."""
    x = a + b
    second = x - a
    return round_pair(x, (a - (x - second)) + (b - second), rule)


@loop(nogil=True, error_model="numpy")
def multiply(a, b, rule):
    """[a b]; the float64 product is exact."""
    return round_pair(a * b, 0.0, rule)


@loop(nogil=True, error_model="numpy")
def divide(a, b, rule):
    """[a / b]; where the float64 quotient is a tie, its product with b is exact and says on which side a / b lies."""
    x = a / b
    rest = a - x * b
    return round_pair(x, rest if b > 0 else -rest, rule)


@loop(nogil=True, error_model="numpy")
def round_all(x, rule):
    """[x] for each x."""
    result = np.empty_like(x)
    for index in range(len(x)):
        result[index] = round_pair(x[index], 0.0, rule)
    return result


@loop(nogil=True, error_model="numpy")
def add_all(a, b, rule):
    """[a + b] for each pair."""
    result = np.empty_like(a)
    for index in range(len(a)):
        result[index] = add(a[index], b[index], rule)
    return result


@loop(nogil=True, error_model="numpy")
def multiply_all(a, b, rule):
    """[a b] for each pair."""
    result = np.empty_like(a)
    for index in range(len(a)):
        result[index] = multiply(a[index], b[index], rule)
    return result


@loop(nogil=True, error_model="numpy")
def divide_all(a, b, rule):
    """[a / b] for each pair; no b is 0."""
    result = np.empty_like(a)
    for index in range(len(a)):
        result[index] = divide(a[index], b[index], rule)
    return result


@loop(nogil=True, error_model="numpy")
def sum_rows(x, rule):
    """The sum of each row, left to right, rounded after every addition; 0 for an empty row."""
    result = np.zeros(len(x))
    for row in range(len(x)):
        total = 0.0
        for column in range(x.shape[1]):
            total = add(total, x[row, column], rule)
        result[row] = total
    return result


@loop(nogil=True, error_model="numpy")
def multiply_matrices(a, b, rule):
    """Each row of a times each column of b: the products rounded, then summed left to right with rounding."""
    result = np.zeros((len(a), b.shape[1]))
    for row in range(len(a)):
        for place in range(len(b)):
            left = a[row, place]
            for column in range(b.shape[1]):
                result[row, column] = add(result[row, column], multiply(left, b[place, column], rule), rule)
    return result
