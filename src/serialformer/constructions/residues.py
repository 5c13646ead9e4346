"""Residues: numbers written so that subtraction has no borrow.

A number below n = lcm(1, ..., k) is told by its residues modulo the largest powers up to k of the primes up to k
(the Chinese remainder theorem). A difference is taken residue by residue, so a feed-forward layer needs one small table
a modulus, whatever the size of the numbers, and nothing in it grows but the number of moduli. As lcm(1, ..., k) is
exp(k + o(k)) (the prime number theorem), k is about ln n, and all residues together take O(log n) bits.
"""

from __future__ import annotations

from itertools import count

import numpy as np
from jaxtyping import Int8, Integer


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


def residue_bits(modulus: int) -> int:
    """How many bits a residue takes.

    >>> [residue_bits(modulus) for modulus in (2, 3, 4, 5, 8, 9)]
    [1, 2, 2, 3, 3, 4]
    """
    return (modulus - 1).bit_length()


def name_bits(chosen: tuple[int, ...]) -> int:
    """How many bits all residues of a number take.

    >>> name_bits((8, 9, 5, 7))
    13
    """
    return sum(residue_bits(modulus) for modulus in chosen)


def residue_signs(residues: Integer[np.ndarray, " numbers"], modulus: int) -> Int8[np.ndarray, "numbers bits"]:
    """The bits of residues, least significant first, 1 as +1 and 0 as -1.

    >>> residue_signs(np.array([0, 1, 4]), 5)
    array([[-1, -1, -1],
           [ 1, -1, -1],
           [-1, -1,  1]], dtype=int8)
    """
    bits = residues[:, None] >> np.arange(residue_bits(modulus)) & 1
    return (2 * bits - 1).astype(np.int8)


def number_names(numbers: Integer[np.ndarray, " numbers"], chosen: tuple[int, ...]) -> Int8[np.ndarray, "numbers bits"]:
    """The signs of all residues of numbers, one modulus behind the other.

    Two numbers below the product of the moduli have different names; two names differ in one sign at least.
    """
    return np.concatenate([residue_signs(numbers % modulus, modulus) for modulus in chosen], axis=1)
