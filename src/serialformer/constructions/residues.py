"""Residues: numbers written so that subtraction has no borrow.

A number below n = lcm(1, ..., k) is told by its residues modulo the largest powers up to k of the primes up to k
(the Chinese remainder theorem). A difference is taken residue by residue, so a feed-forward layer needs one small table
a modulus, whatever the size of the numbers, and nothing in it grows but the number of moduli. As lcm(1, ..., k) is
exp(k + o(k)) (the prime number theorem), k is about ln n, and all residues together take O(log n) bits.
"""

from __future__ import annotations

from itertools import count


def moduli(num_numbers: int) -> tuple[int, ...]:
    """Powers of distinct primes whose product is at least ``num_numbers``: those of lcm(1, ..., k), k the least.

    >>> moduli(129), moduli(2049), moduli(8193)
    ((4, 3, 5, 7), (8, 9, 5, 7), (8, 9, 5, 7, 11))
    """
    powers: dict[int, int] = {}
    product = 1
    for number in count(2):
        if product >= num_numbers:
            return tuple(powers.values()) or (2,)
        prime = _prime_of_power(number)
        if prime:
            powers[prime] = number
            product *= prime
    raise AssertionError("the powers of primes do not end")


def _prime_of_power(number: int) -> int:
    """The prime that a number is a power of, or 0."""
    prime = next(factor for factor in range(2, number + 1) if number % factor == 0)
    while number % prime == 0:
        number //= prime
    return prime if number == 1 else 0
