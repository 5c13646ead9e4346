"""Sums in one layer, interpreted: right on every word, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from serialformer.constructions.interpret import interpret
from serialformer.constructions.task_depth import default_method, num_layers_needed, task_depth_construction
from serialformer.errors import CompileError
from serialformer.tasks.majority import Majority
from serialformer.tasks.modular_addition import ModularAddition, Parity
from serialformer.tasks.registry import make_task
from serialformer.tasks.task import Task


@pytest.mark.parametrize(
    ("task", "length"),
    [
        *((Majority(), length) for length in (1, 2, 3, 8, 11)),
        *((Parity(), length) for length in (1, 2, 9)),
        *((ModularAddition(modulus=modulus), 4) for modulus in (2, 3, 5, 7)),
    ],
)
def test_every_word_is_answered(task: Task, length: int) -> None:
    number = task.modulus if isinstance(task, ModularAddition) else 2
    words = np.stack(np.meshgrid(*[np.arange(number)] * length, indexing="ij"), axis=-1).reshape(-1, length)
    prompts = np.append(words, np.full((len(words), 1), task.end_token(length)), axis=1)
    construction = task_depth_construction(task, length, method="counting")
    assert len(construction.layers) == num_layers_needed(task, length, "counting") == 1
    made = interpret(construction, prompts, 1)
    assert np.array_equal(made, task.solve(prompts, length).answers)


def test_majority_counts_unless_a_depth_is_asked_for() -> None:
    assert default_method(Majority(), None) == "counting"
    assert default_method(Majority(), 3) == default_method(Parity(), None) == "doubling"


def test_what_is_refused() -> None:
    with pytest.raises(CompileError, match="automaton is not decided by a sum"):
        task_depth_construction(make_task("automaton"), 4, method="counting")
    with pytest.raises(CompileError, match="counting takes one layer, not 3"):
        task_depth_construction(Majority(), 4, 3, method="counting")
