"""Permutations composed symbol by symbol without a chain: right with enough layers, and as predicted with fewer."""

from __future__ import annotations

from fractions import Fraction
from itertools import chain, permutations, product

import numpy as np
import pytest

from serialformer.constructions.interpret import interpret
from serialformer.constructions.permutation_depth import num_composed, num_composition_layers
from serialformer.constructions.task_depth import expected_accuracy, num_layers_needed, task_depth_construction
from serialformer.tasks.permutation_composition import PermutationComposition


def every_prompt(task: PermutationComposition, length: int) -> np.ndarray:
    """All products of so many permutations."""
    ids = {text: number for number, text in enumerate(task.vocabulary(length))}
    brackets = (["("], [")"]) if task.format == "brackets" else ([], [])
    items = [
        [ids[text] for text in (*brackets[0], *map(str, one), *brackets[1])]
        for one in permutations(range(1, task.degree + 1))
    ]
    return np.array([[*chain(*word), ids["="]] for word in product(items, repeat=length)], dtype=np.int64)


@pytest.mark.parametrize("form", ["brackets", "symbols"])
@pytest.mark.parametrize(("degree", "length"), [(2, 1), (2, 7), (3, 1), (3, 2), (3, 3), (3, 4)])
def test_every_product_is_answered_as_predicted(form: str, degree: int, length: int) -> None:
    """All products, at every number of layers: always right with enough, and exactly as often as predicted."""
    task = PermutationComposition(degree=degree, format=form)
    prompts = every_prompt(task, length)
    expected = task.solve(prompts, length).answers
    for num_layers in range(1, num_layers_needed(task, length) + 2):
        made = interpret(task_depth_construction(task, length, num_layers), prompts, degree)
        right = (made == expected).all(axis=1)
        assert Fraction(int(right.sum()), len(right)) == expected_accuracy(task, length, num_layers)
        assert right.all() == (num_layers >= num_layers_needed(task, length))


def test_too_few_layers_answer_for_the_last_permutations() -> None:
    task = PermutationComposition()
    prompts = task.sample(np.random.default_rng(1), 11, 50).prompts
    for num_layers in (1, 2, 3, 4):
        num_last = num_composed(11, num_layers)
        assert num_last == 2 ** (num_layers - 1)
        last = task.solve(prompts[:, 7 * (11 - num_last) :], num_last).answers
        made = interpret(task_depth_construction(task, 11, num_layers), prompts, 5)
        assert np.array_equal(made, last)


def test_sixteen_permutations_take_five_layers() -> None:
    task = PermutationComposition()
    construction = task_depth_construction(task, 16)
    assert len(construction.layers) == 5
    examples = task.sample(np.random.default_rng(2), 16, 100)
    assert np.array_equal(interpret(construction, examples.prompts, 5), examples.answers)


def test_layers_needed() -> None:
    for length in range(1, 70):
        layers = num_composition_layers(length)
        assert num_composed(length, layers) == length
        assert layers == 1 or num_composed(length, layers - 1) < length
