"""Residues: numbers have different ones, differences need no borrow, and the moduli are as few as promised."""

from __future__ import annotations

from itertools import combinations
from math import gcd, lcm, log, prod

import numpy as np
import pytest

from serialformer.constructions.residues import moduli
from serialformer.targets.codings import number_coding


@pytest.mark.parametrize("num_numbers", [1, 2, 3, 4, 7, 60, 61, 129, 420, 421, 2049, 8193, 10**6, 10**12])
def test_moduli_are_those_of_the_least_common_multiple(num_numbers: int) -> None:
    chosen = moduli(num_numbers)
    assert all(gcd(one, other) == 1 for one, other in combinations(chosen, 2))
    assert prod(chosen) >= num_numbers
    if num_numbers > 2:
        last = max(chosen)
        assert prod(chosen) == lcm(*range(1, last + 1))
        assert lcm(*range(1, last)) < num_numbers, "one number less would not do"
    num_signs = sum(len(number_coding(modulus).carriers) for modulus in chosen)
    assert num_signs <= 2 * log(max(num_numbers, 4)) / log(2) + 2


@pytest.mark.parametrize("num_numbers", [2, 9, 129, 2049])
def test_numbers_have_different_codes(num_numbers: int) -> None:
    codes = signs_of_numbers(np.arange(num_numbers), moduli(num_numbers))
    assert set(np.unique(codes)) == {-1, 1}
    assert len(np.unique(codes, axis=0)) == num_numbers


def test_residues_of_differences_are_differences_of_residues() -> None:
    chosen = moduli(500)
    random = np.random.default_rng(0)
    larger, smaller = np.sort(random.integers(0, 500, (2, 200)), axis=0)[::-1]
    parts = [number_coding(modulus).rows((larger % modulus - smaller % modulus) % modulus) for modulus in chosen]
    assert np.array_equal(np.concatenate(parts, axis=1), signs_of_numbers(larger - smaller, chosen))


def signs_of_numbers(numbers: np.ndarray, chosen: tuple[int, ...]) -> np.ndarray:
    """What a target that writes residues in signs holds: the codes of all residues, one behind the other."""
    return np.concatenate([number_coding(modulus).rows(numbers % modulus) for modulus in chosen], axis=1)
