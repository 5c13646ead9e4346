"""All circuits of a few gates: each one once, as likely as the task draws it."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

from serialformer.errors import TaskError
from serialformer.models.score import wilson_interval
from serialformer.tasks.circuit_value import CircuitValue
from serialformer.tasks.every_circuit import every_circuit
from tests.value_problems import every_problem


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_every_circuit_whose_first_two_gates_are_constants(length: int) -> None:
    task = CircuitValue()
    prompts, shares = every_circuit(task, length)
    words = task.vocabulary(length)
    found = {" ".join(words[token] for token in row) for row in prompts.tolist()}
    assert len(found) == len(prompts) and sum(shares) == 1
    constants = {"TRUE", "FALSE"}
    assert found == {" ".join([*problem, "="]) for problem in every_problem(length) if set(problem[0:8:4]) <= constants}


@pytest.mark.parametrize("parameters", [{}, {"constants": 0.0}, {"constants": 1.0}, {"negations": 0.5}])
def test_samples_are_as_frequent_as_the_shares(parameters: dict[str, float]) -> None:
    task = CircuitValue(**parameters)
    prompts, shares = every_circuit(task, 3)
    drawn = Counter(map(tuple, task.sample(np.random.default_rng(4), 3, 30_000).prompts.tolist()))
    assert set(drawn) == set(map(tuple, prompts.tolist()))
    for row, share in zip(prompts.tolist(), shares, strict=True):
        low, high = wilson_interval(drawn[tuple(row)], 30_000, confidence=0.99999)
        assert low <= share <= high


def test_how_many_there_are() -> None:
    prompts, shares = every_circuit(CircuitValue(), 5)
    assert len(prompts) == 41_952
    assert min(shares) > Fraction(1, 10**6)
    with pytest.raises(TaskError, match="there are 2,391,264 circuits of 6 gates, over 1,000,000"):
        every_circuit(CircuitValue(), 6)
