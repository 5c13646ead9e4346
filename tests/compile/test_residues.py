"""Names of numbers by residues: different, subtracted without a borrow, as short as the formula says."""

from __future__ import annotations

from itertools import combinations
from math import gcd, lcm, log, prod

import numpy as np
import pytest

from serialformer.compile.residues import moduli, name_bits, number_names, residue_signs


@pytest.mark.parametrize("num_numbers", [1, 2, 3, 4, 7, 60, 61, 129, 420, 421, 2049, 8193, 10**6, 10**12])
def test_moduli_are_those_of_the_least_common_multiple(num_numbers: int) -> None:
    chosen = moduli(num_numbers)
    assert all(gcd(one, other) == 1 for one, other in combinations(chosen, 2))
    assert prod(chosen) >= num_numbers
    if num_numbers > 2:
        last = max(chosen)
        assert prod(chosen) == lcm(*range(1, last + 1))
        assert lcm(*range(1, last)) < num_numbers, "one number less would not do"
    assert name_bits(chosen) <= 2 * log(max(num_numbers, 4)) / log(2) + 2


@pytest.mark.parametrize("num_numbers", [2, 9, 129, 2049])
def test_names_differ(num_numbers: int) -> None:
    names = number_names(np.arange(num_numbers), moduli(num_numbers))
    assert set(np.unique(names)) == {-1, 1}
    assert len(np.unique(names, axis=0)) == num_numbers


def test_residues_of_differences_are_differences_of_residues() -> None:
    chosen = moduli(500)
    random = np.random.default_rng(0)
    larger, smaller = np.sort(random.integers(0, 500, (2, 200)), axis=0)[::-1]
    parts = [residue_signs((larger % modulus - smaller % modulus) % modulus, modulus) for modulus in chosen]
    assert np.array_equal(np.concatenate(parts, axis=1), number_names(larger - smaller, chosen))
