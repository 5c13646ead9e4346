"""Digits of group elements: multiplication by tables that are much smaller than the group's own.

    S_n, A_n    the images of 1 .. n: image i of the product is read off image i of one and one image of the other;
                n^3 units for n digits, against (n!)^2
    Z_n         the residues modulo the powers of primes that make n: the sum of the squares of these
    D_n         the turn, modulo the same, and whether there is a flip: twice that, and 4
    G x H       the digits of both

Where the group's own table is smaller (Z_p and S_2, for instance) it is taken instead.
"""

from __future__ import annotations

import re
from itertools import permutations

import numpy as np

from serialformer.arrays import Int64
from serialformer.constructions.automaton import DigitRule

Digits = tuple[Int64[np.ndarray, "order digits"], tuple[DigitRule, ...]]


def prime_powers(number: int) -> tuple[int, ...]:
    """The powers of distinct primes whose product a number (at least 2) is.

    >>> prime_powers(60), prime_powers(7)
    ((4, 3, 5), (7,))
    """
    powers, factor = [], 2
    while number > 1:
        if factor * factor > number:
            factor = number
        power = 1
        while number % factor == 0:
            number, power = number // factor, power * factor
        if power > 1:
            powers.append(power)
        factor += 1
    return tuple(powers)


def cyclic_digits(order: int) -> Digits:
    """Z_n, element i being i.

    >>> digits, rules = cyclic_digits(6)
    >>> digits[5].tolist(), sum(len(rule.table) for rule in rules)
    ([1, 2], 13)
    """
    moduli = prime_powers(order)
    digits = np.stack([np.arange(order) % modulus for modulus in moduli], axis=1)
    rules = []
    for place, modulus in enumerate(moduli):
        left, right = (grid.ravel() for grid in np.indices((modulus, modulus)))
        table = np.stack([left, right, (left + right) % modulus], axis=1)
        rules.append(DigitRule(state_digits=(place,), symbol_digits=(place,), next_digits=(place,), table=table))
    return digits, tuple(rules)


def dihedral_digits(size: int) -> Digits:
    """D_n: r^i comes before all r^i s; digit 0 is the flip, the others are the turn's residues."""
    if size == 1:
        return cyclic_digits(2)
    moduli = prime_powers(size)
    element = np.arange(2 * size)
    digits = np.stack([element // size, *((element % size) % modulus for modulus in moduli)], axis=1)
    one, other = (grid.ravel() for grid in np.indices((2, 2)))
    flip = DigitRule(
        state_digits=(0,), symbol_digits=(0,), next_digits=(0,), table=np.stack([one, other, one ^ other], axis=1)
    )
    rules = [flip]
    for place, modulus in enumerate(moduli, start=1):
        flipped, left, right = (grid.ravel() for grid in np.indices((2, modulus, modulus)))
        turned = (left + np.where(flipped == 1, -right, right)) % modulus
        table = np.stack([flipped, left, right, turned], axis=1)
        rules.append(DigitRule(state_digits=(0, place), symbol_digits=(place,), next_digits=(place,), table=table))
    return digits, tuple(rules)


def permutation_digits(size: int, *, only_even: bool = False) -> Digits:
    """S_n and A_n in lexicographic order, with (σ∘π)_i = σ_{π_i}: unit (i, k, v) sees π_i = k and σ_k = v.

    >>> digits, rules = permutation_digits(5)
    >>> digits[-1].tolist(), sum(len(rule.table) for rule in rules)
    ([4, 3, 2, 1, 0], 125)
    """
    digits = np.array(list(permutations(range(size))), dtype=np.int64)
    if only_even:
        inversions = np.zeros(len(digits), dtype=np.int64)
        for left in range(size):
            inversions += (digits[:, left, None] > digits[:, left + 1 :]).sum(axis=1)
        digits = digits[inversions % 2 == 0]
    values = np.arange(size)
    rules = [
        DigitRule(
            state_digits=(image,),
            symbol_digits=(place,),
            next_digits=(place,),
            table=np.stack([values, np.full(size, image), values], axis=1),
        )
        for place in range(size)
        for image in range(size)
    ]
    return digits, tuple(rules)


def table_digits(product: Int64[np.ndarray, "order order"]) -> Digits:
    """Any group: one digit, and its own table."""
    left, right = (grid.ravel() for grid in np.indices(product.shape))
    table = np.stack([left, right, product.ravel()], axis=1)
    rule = DigitRule(state_digits=(0,), symbol_digits=(0,), next_digits=(0,), table=table)
    return np.arange(len(product))[:, None], (rule,)


def group_digits(name: str, product: Int64[np.ndarray, "order order"]) -> Digits:
    """The digits of a group as the word problem names it, whichever of them take the fewest units.

    Args:
        name: ``S5``, ``A4_x_Z5``, ...
        product: its table.
    """
    factors = [_factor_digits(part[0], int(part[1:])) for part in name.split("_x_") if re.fullmatch(r"[A-Z]\d+", part)]
    columns, rules, before, after = [], [], 0, len(product)
    for digits, of_factor in factors:
        # The last factor runs fastest.
        after //= len(digits)
        element = np.arange(len(product)) // after % len(digits)
        columns.append(digits[element])
        rules += [_shift(rule, before) for rule in of_factor]
        before += digits.shape[1]
    num_units = sum(len(rule.table) for rule in rules)
    return (np.concatenate(columns, axis=1), tuple(rules)) if num_units < product.size else table_digits(product)


def _factor_digits(kind: str, size: int) -> Digits:
    if kind == "Z":
        return cyclic_digits(size) if size > 1 else (np.zeros((1, 0), dtype=np.int64), ())
    if kind == "D":
        return dihedral_digits(size)
    digits, rules = permutation_digits(size, only_even=kind == "A")
    if len(digits) ** 2 > size**3:
        return digits, rules
    if len(digits) == 1:
        return np.zeros((1, 0), dtype=np.int64), ()
    # The table is smaller.
    places = size ** np.arange(size)[::-1]
    return table_digits(
        np.searchsorted(digits @ places, digits[:, digits].reshape(*2 * digits.shape[:1], size) @ places)
    )


def _shift(rule: DigitRule, places: int) -> DigitRule:
    """The same rule on digits further on."""
    state, symbol, after = (
        tuple(place + places for place in read) for read in (rule.state_digits, rule.symbol_digits, rule.next_digits)
    )
    return DigitRule(state_digits=state, symbol_digits=symbol, next_digits=after, table=rule.table)
