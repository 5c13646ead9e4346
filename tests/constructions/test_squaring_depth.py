"""Iterated squaring without a chain: right with enough layers, and as often as predicted with fewer."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from serialformer.constructions.interpret import interpret
from serialformer.constructions.squaring_depth import occurring_residues
from serialformer.constructions.task_depth import expected_accuracy, num_layers_needed, task_depth_construction
from serialformer.errors import CompileError
from serialformer.tasks.iterated_squaring import IteratedSquaring


def every_prompt(bound: int, num_squarings: int) -> np.ndarray:
    """All primes below a bound, all residues."""
    primes = [one for one in range(2, bound) if all(one % other for other in range(2, one))]
    rows = [[prime, residue, *[bound + 1] * num_squarings, bound] for prime in primes for residue in range(1, prime)]
    return np.array(rows, dtype=np.int64)


@pytest.mark.parametrize(("bound", "length"), [(3, 2), (20, 1), (20, 4), (42, 3)])
def test_every_prompt_is_answered_as_predicted(bound: int, length: int) -> None:
    """All prompts at every number of layers; primes are uniform in the task, and so are a prime's residues."""
    task = IteratedSquaring(bound=bound)
    assert num_layers_needed(task, length) == length + 1
    for num_layers in range(2, length + 3):
        construction = task_depth_construction(task, length, num_layers)
        share = Fraction(0)
        for num_squarings in range(1, length + 1):
            prompts = every_prompt(bound, num_squarings)
            made = interpret(construction, prompts, 1)[:, 0].tolist()
            num_primes = len(set(prompts[:, 0].tolist()))
            for (prime, residue), answer in zip(prompts[:, :2].tolist(), made, strict=True):
                assert answer == pow(residue, 2 ** min(num_squarings, num_layers - 1), prime)
                if answer == pow(residue, 2**num_squarings, prime):
                    share += Fraction(1, length * num_primes * (prime - 1))
        assert share == expected_accuracy(task, length, num_layers)
        assert share == 1 or num_layers <= length


def test_residues_that_occur() -> None:
    primes = np.array([7, 13])
    for num_squared in range(4):
        index, residue = occurring_residues(primes, num_squared)
        found = set(zip(primes[index].tolist(), residue.tolist(), strict=True))
        assert found == {(p, pow(r, 2**num_squared, p)) for p in (7, 13) for r in range(1, p)}


@pytest.mark.parametrize(
    ("bound", "length", "layers", "says"),
    [
        (20, 2, 1, "takes at least 2 layers, found 1"),
        (1000, 30, None, "takes 31 layers of 38,990 hidden units"),
        (4000, 2, None, "hidden units, over 262,144"),
    ],
)
def test_what_is_refused(bound: int, length: int, layers: int | None, says: str) -> None:
    with pytest.raises(CompileError, match=says):
        task_depth_construction(IteratedSquaring(bound=bound), length, layers)


def test_the_bar_of_eight_squarings_below_a_thousand() -> None:
    """Nine layers; nothing is lowered here, which takes 11 CPU seconds and 1.1 GB."""
    task = IteratedSquaring()
    construction = task_depth_construction(task, 8)
    assert len(construction.layers) == 9
    assert max(sum(table.num_units for table in layer.tables) for layer in construction.layers) < 39_000
    random = np.random.default_rng(3)
    for num_squarings in (1, 5, 8):
        prompts = every_prompt(1000, num_squarings)
        prompts = prompts[random.integers(0, len(prompts), 200)]
        made = interpret(construction, prompts, 1)[:, 0].tolist()
        assert made == [pow(r, 2**num_squarings, p) for p, r in prompts[:, :2].tolist()]
