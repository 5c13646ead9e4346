"""An independent slow model of the number formats: rational numbers, sets of values, nearest by search."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction

Rational = Fraction


def fixed_values(precision: int) -> list[Fraction]:
    """F_s by its definition, in order."""
    largest = Fraction(2**precision) - Fraction(1, 2**precision)
    count = int(largest * 2**precision)
    return [Fraction(number, 2**precision) for number in range(-count, count + 1)]


def floating_values(precision: int, exponent_bits: int) -> list[Fraction]:
    """F_{e,s} by its definition, e > 0, in order."""
    exponents = range(-(2 ** (exponent_bits - 1)), 2**exponent_bits - 1 - 2 ** (exponent_bits - 1) + 1)
    positive = {
        significand * Fraction(2) ** (exponent - precision)
        for significand in range(4**precision)
        for exponent in exponents
    }
    return sorted(positive | {-value for value in positive})


class SlowFormat:
    """Arithmetic on a sorted list of values; ties go to the smaller absolute value, the ends saturate."""

    def __init__(self, values: Sequence[Fraction]) -> None:
        self.values = list(values)

    def round(self, x: Fraction) -> Fraction:
        place = bisect_left(self.values, x)
        around = self.values[max(0, place - 1) : place + 1]
        return min(around, key=lambda value: (abs(value - x), abs(value)))

    def sum(self, x: Sequence[Fraction]) -> Fraction:
        total = Fraction(0)
        for term in x:
            total = self.round(total + term)
        return total

    def inner(self, a: Sequence[Fraction], b: Sequence[Fraction]) -> Fraction:
        return self.sum([self.round(p * q) for p, q in zip(a, b, strict=True)])

    def exp(self, x: Fraction) -> Fraction:
        """Rounded from bounds by the plain series, 200 terms of it, of exp |x|."""
        low, high = slow_exponential(x)
        rounded = self.round(low)
        assert rounded == self.round(high)
        return rounded

    def softmax(self, x: Sequence[Fraction]) -> list[Fraction] | None:
        exponentials = [self.exp(score) for score in x]
        total = self.sum(exponentials)
        return None if total == 0 else [self.round(value / total) for value in exponentials]


def slow_exponential(x: Fraction) -> tuple[Fraction, Fraction]:
    """Bounds on exp x: terms of the series until they halve and are tiny, then twice the last; 1/exp for negatives."""
    if x < 0:
        low, high = slow_exponential(-x)
        return 1 / high, 1 / low
    term = total = Fraction(1)
    order = 0
    while order < 2 * x or term > Fraction(1, 2**120):
        order += 1
        term = term * x / order
        total += term
    return total, total + 2 * term
