"""exp, rounded to a grid and proven: bounds from both sides in integers, tightened until both round alike.

No rational number but 0 has a rational exponential (Lambert), so exp x is never a tie and the bounds get there.
"""

from __future__ import annotations

from math import ldexp

FIRST_BITS = 96
"""Binary places of the first attempt; each further one doubles them."""


def round_exponential(x: float, *, digits: int, step_exponent: int, ties_to_even: bool) -> float:
    """exp x, rounded to a multiple of 2^step_exponent and to a number of binary digits, with no upper limit.

    Args:
        x: any finite number; taken as the exact rational that it is.
        digits: binary digits of the result.
        step_exponent: the result is a multiple of 2 to this power.
        ties_to_even: how ties would be broken, for the one case that is rational, exp 0 = 1.

    >>> round_exponential(-1.5, digits=2, step_exponent=-1, ties_to_even=False)  # 0.223 in halves
    0.0
    >>> round_exponential(1.0, digits=11, step_exponent=-24, ties_to_even=True)  # float16
    2.71875
    """
    numerator, denominator = abs(x).as_integer_ratio()
    if numerator == 0:
        return _round(1, 0, digits, step_exponent, ties_to_even)
    bits = FIRST_BITS
    while True:
        lower, upper = exponential_bounds(numerator, denominator.bit_length() - 1, bits)
        if x < 0:
            lower, upper = (1 << 2 * bits) // upper, -(-(1 << 2 * bits) // lower)
        rounded = [_round(bound, bits, digits, step_exponent, ties_to_even) for bound in (lower, upper)]
        if rounded[0] == rounded[1]:
            return rounded[0]
        bits *= 2


def exponential_bounds(numerator: int, shift: int, bits: int) -> tuple[int, int]:
    """Integers with ``lower <= 2^bits exp(numerator / 2^shift) <= upper``, for a positive numerator.

    exp x = (exp x/2^j)^(2^j), with x/2^j at most 1/16, where every term of the series is under half the one before:
    the rest of the series is less than its last term. Every product is rounded down for one bound and up for the other.

    >>> lower, upper = exponential_bounds(1, 0, 40)
    >>> round(lower / 2**40, 9), upper - lower < 2**12
    (2.718281828, True)
    """
    halvings = max(0, numerator.bit_length() - shift + 4)
    low = (numerator << bits) >> (shift + halvings)
    high = -(-(numerator << bits) >> (shift + halvings))
    low_term = high_term = lower = upper = 1 << bits
    order = 0
    while high_term > 1:
        order += 1
        low_term = low_term * low // (order << bits)
        high_term = -(-high_term * high // (order << bits))
        lower += low_term
        upper += high_term
    upper += high_term
    for _ in range(halvings):
        lower = lower * lower >> bits
        upper = -(-upper * upper >> bits)
    return lower, upper


def _round(numerator: int, shift: int, digits: int, step_exponent: int, ties_to_even: bool) -> float:
    """numerator / 2^shift, not negative, rounded to the grid."""
    quantum_exponent = max(numerator.bit_length() - shift - digits, step_exponent)
    dropped = shift + quantum_exponent
    if dropped <= 0:
        return ldexp(float(numerator << -dropped), quantum_exponent)
    whole, rest, half = numerator >> dropped, numerator & ((1 << dropped) - 1), 1 << (dropped - 1)
    if rest > half or (rest == half and ties_to_even and whole % 2):
        whole += 1
    return ldexp(float(whole), quantum_exponent)
