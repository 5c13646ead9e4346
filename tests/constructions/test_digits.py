"""Digits of group elements: the rules say what the group's own table says, for every pair."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest

from serialformer.constructions.automaton import DigitRule
from serialformer.constructions.digits import cyclic_digits, dihedral_digits, group_digits, prime_powers
from serialformer.tasks.groups import make_group

UNITS = {
    "S5": 125,
    "S4": 64,
    "S3": 27,
    "S2": 4,
    "A4": 64,
    "A5": 125,
    "A3": 9,
    "Z7": 49,
    "Z12": 25,
    "Z1_x_S3": 27,
    "D12": 4 + 2 * 25,
    "D1": 4,
    "D2": 4 + 2 * 4,
    "A4_x_Z5": 64 + 25,
    "S3_x_D4_x_Z2": 27 + (4 + 2 * 16) + 4,
}


def multiply(digits: np.ndarray, rules: tuple[DigitRule, ...], left: int, right: int) -> list[int]:
    """The digits of a product by the rules alone: exactly one unit may fire for each digit."""
    made: dict[int, list[int]] = {place: [] for place in range(digits.shape[1])}
    for rule in rules:
        watched = [*digits[left, list(rule.state_digits)], *digits[right, list(rule.symbol_digits)]]
        for row in rule.table:
            if row[: len(watched)].tolist() == watched:
                for place, value in zip(rule.next_digits, row[len(watched) :].tolist(), strict=True):
                    made[place].append(value)
    assert all(len(values) == 1 for values in made.values())
    return [values[0] for values in made.values()]


@pytest.mark.parametrize("name", UNITS)
def test_rules_multiply(name: str) -> None:
    group = make_group(name)
    digits, rules = group_digits(name, group.product)
    assert sum(len(rule.table) for rule in rules) == UNITS[name]
    assert len(np.unique(digits, axis=0)) == group.order
    random = np.random.default_rng(0)
    for left, right in random.integers(0, group.order, (60, 2)):
        assert multiply(digits, rules, left, right) == digits[group.product[left, right]].tolist()


@pytest.mark.parametrize("order", [2, 6, 8, 9, 30])
def test_cyclic_and_dihedral(order: int) -> None:
    digits, rules = cyclic_digits(order)
    turned, more = dihedral_digits(order)
    for left in range(order):
        for right in range(order):
            assert multiply(digits, rules, left, right) == digits[(left + right) % order].tolist()
            # s r = r^-1 s
            assert multiply(turned, more, order + left, right) == turned[order + (left - right) % order].tolist()


def test_powers_of_primes() -> None:
    for number in range(2, 500):
        powers = prime_powers(number)
        assert prod(powers) == number
        assert all(left % right and right % left for left in powers for right in powers if left != right)
