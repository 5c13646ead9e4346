"""Tasks without a chain: constructions answer as the task does with enough layers, and as predicted with fewer."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from serialformer.constructions.interpret import interpret
from serialformer.constructions.scan import map_monoid, num_scan_layers, num_scanned
from serialformer.constructions.task_depth import (
    CONSTRUCTED_WITHOUT_A_CHAIN,
    expected_accuracy,
    num_layers_needed,
    shallow_answers,
    task_depth_construction,
)
from serialformer.errors import CompileError, TaskError
from serialformer.models.score import wilson_interval
from serialformer.tasks.circuit_value import CircuitValue
from serialformer.tasks.registry import make_task
from serialformer.tasks.task import Task

SCANS: list[tuple[str, dict[str, int | str], int]] = [
    ("parity", {}, 1),
    ("parity", {}, 7),
    ("parity", {}, 8),
    ("majority", {}, 1),
    ("majority", {}, 9),
    ("modular-addition", {"modulus": 3}, 5),
    ("modular-addition", {"modulus": 6}, 3),
    ("word-problem", {"group": "S3"}, 4),
    ("word-problem", {"group": "D4"}, 3),
    ("word-problem", {"group": "Z2_x_Z3"}, 3),
    ("permutation-composition", {"format": "token", "degree": 3}, 4),
    ("automaton", {}, 9),
    ("automaton", {"accepting": "0,2", "start": 1}, 7),
    ("automaton", {"table": "1,1;0,1"}, 4),
]


def every_prompt(task: Task, length: int) -> np.ndarray:
    """All words of a task whose items are its first tokens."""
    items = np.unique(task.sample(np.random.default_rng(0), length, 500).prompts[:, :-1])
    words = np.array(list(product(items.tolist(), repeat=length)), dtype=np.int64)
    return np.pad(words, ((0, 0), (0, 1)), constant_values=task.end_token(length))


def answers(task: Task, prompts: np.ndarray, length: int, num_layers: int) -> np.ndarray:
    return interpret(task_depth_construction(task, length, num_layers), prompts, 1)[:, 0]


@pytest.mark.parametrize(("name", "parameters", "length"), SCANS)
def test_every_word_is_answered_as_predicted(name: str, parameters: dict[str, int | str], length: int) -> None:
    """All words, uniformly, at every number of layers: right always with enough, and exactly as often as predicted."""
    task = make_task(name, parameters)
    prompts = every_prompt(task, length)
    expected = task.solve(prompts, length).answers[:, 0]
    needed = num_layers_needed(task, length)
    for num_layers in range(1, needed + 2):
        right = answers(task, prompts, length, num_layers) == expected
        assert Fraction(int(right.sum()), len(right)) == expected_accuracy(task, length, num_layers)
        assert right.all() or num_layers < needed


def test_too_few_layers_answer_for_the_last_items() -> None:
    """What is answered is what the last items alone come to."""
    task, length = make_task("word-problem", {"group": "S4"}), 11
    prompts = task.sample(np.random.default_rng(1), length, 200).prompts
    for num_layers in (1, 2, 3):
        num_last = num_scanned(length, num_layers)
        assert num_last == 2**num_layers - 1
        last = task.solve(prompts[:, length - num_last :], num_last).answers[:, 0]
        assert np.array_equal(answers(task, prompts, length, num_layers), last)


@pytest.mark.parametrize(("name", "length"), [("automaton", 16), ("majority", 16), ("modular-addition", 16)])
def test_samples_of_long_words_agree_with_the_prediction(name: str, length: int) -> None:
    task = make_task(name)
    examples = task.sample(np.random.default_rng(2), length, 2000)
    for num_layers in range(1, num_layers_needed(task, length)):
        right = int((answers(task, examples.prompts, length, num_layers) == examples.answers[:, 0]).sum())
        low, high = wilson_interval(right, 2000, confidence=0.9999)
        assert low <= expected_accuracy(task, length, num_layers) <= high


def all_circuits(num_gates: int) -> np.ndarray:
    """All prompts of the circuit value problem with so many gates: every type, every earlier input."""
    task = CircuitValue()
    true, false, both, either, negation, absent = (num_gates + place for place in range(6))
    of_gate = []
    for gate in range(num_gates):
        options = [(true, absent, absent), (false, absent, absent)]
        options += [(negation, one, absent) for one in range(gate)]
        options += [(kind, one, other) for kind in (both, either) for one in range(gate) for other in range(gate)]
        of_gate.append([(*option, gate) for option in options])
    rows = [sum(gates, ()) for gates in product(*of_gate)]
    return np.pad(np.array(rows, dtype=np.int64), ((0, 0), (0, 1)), constant_values=task.end_token(num_gates))


def circuit_levels(prompts: np.ndarray, num_gates: int) -> np.ndarray:
    """The level of each circuit's last gate, by plain Python; constants are on level 1."""
    result = []
    for row in prompts.tolist():
        levels: list[int] = []
        for gate in range(num_gates):
            inputs = [wire for wire in row[4 * gate + 1 : 4 * gate + 3] if wire < num_gates]
            levels.append(1 + max((levels[wire] for wire in inputs), default=0))
        result.append(levels[-1])
    return np.array(result)


@pytest.mark.parametrize("num_gates", [1, 2, 3, 4])
def test_every_circuit_of_a_few_gates(num_gates: int) -> None:
    """Right wherever the last gate's level is within the layers, and elsewhere what so many rounds make of it."""
    task = CircuitValue()
    prompts = all_circuits(num_gates)
    assert len(prompts) == [2, 10, 120, 2760][num_gates - 1]
    expected = task.solve(prompts, num_gates).answers[:, 0]
    levels = circuit_levels(prompts, num_gates)
    some = np.random.default_rng(0).permutation(len(prompts))[:600]
    for num_layers in range(1, num_gates + 2):
        made = answers(task, prompts[some], num_gates, num_layers)
        assert np.array_equal(made, shallow_answers(task, prompts[some], num_gates, num_layers))
        rounds = shallow_answers(task, prompts, num_gates, num_layers)
        assert (rounds == expected)[levels <= num_layers].all()


@pytest.mark.parametrize("parameters", [{}, {"constants": 0.0}, {"constants": 0.5, "negations": 1.0}])
def test_circuits_are_right_as_often_as_predicted(parameters: dict[str, float]) -> None:
    """The share over all circuits of four gates, against samples of the task's own."""
    task = CircuitValue(**parameters)
    examples = task.sample(np.random.default_rng(8), 4, 20_000)
    for num_layers in range(1, 5):
        right = int((shallow_answers(task, examples.prompts, 4, num_layers) == examples.answers[:, 0]).sum())
        low, high = wilson_interval(right, 20_000, confidence=0.9999)
        assert low <= expected_accuracy(task, 4, num_layers) <= high
    assert expected_accuracy(task, 4, 4) == 1
    with pytest.raises(TaskError, match="circuits of 12 gates, over 1,000,000"):
        expected_accuracy(task, 12, 4)


def test_larger_circuits_in_both_distributions() -> None:
    for constants in (0.2, 0.0):
        task = CircuitValue(constants=constants)
        examples = task.sample(np.random.default_rng(3), 16, 100)
        for num_layers in (2, 5, 16):
            made = answers(task, examples.prompts, 16, num_layers)
            assert np.array_equal(made, shallow_answers(task, examples.prompts, 16, num_layers))
        assert np.array_equal(made, examples.answers[:, 0])


def test_smaller_circuits_than_the_most() -> None:
    """A prompt may have fewer gates than the model is made for; numbers are the same tokens."""
    task = CircuitValue()
    construction = task_depth_construction(task, 9)
    examples = task.sample(np.random.default_rng(4), 6, 50)
    prompts = np.where(examples.prompts >= 6, examples.prompts + 3, examples.prompts)
    assert np.array_equal(interpret(construction, prompts, 1)[:, 0], examples.answers[:, 0] + 3)


def test_layers_needed() -> None:
    for length in range(1, 70):
        layers = num_scan_layers(length)
        assert num_scanned(length, layers) == length
        assert layers == 1 or num_scanned(length, layers - 1) < length
    assert num_layers_needed(CircuitValue(), 12) == 12


def test_maps_are_closed_under_products() -> None:
    found = map_monoid(np.array([[1, 2, 0], [0, 0, 2]]), 100)
    assert found is not None
    maps, products = found
    assert maps[0].tolist() == [0, 1, 2]
    for (left, one), (right, other) in product(enumerate(maps), repeat=2):
        assert maps[products[left, right]].tolist() == other[one].tolist()
    assert map_monoid(np.array([[1, 2, 0], [0, 0, 2]]), 5) is None


@pytest.mark.parametrize(
    ("name", "parameters", "length", "says"),
    [
        ("edit-distance", {}, 4, "has no construction without a chain"),
        ("modular-addition", {"modulus": 997}, 4, "hidden units, over"),
        ("automaton", {"table": "1,1,0;2,0,0;3,2,2;4,3,3;0,4,4"}, 4, "make more than 1,024 different maps"),
    ],
)
def test_what_has_none(name: str, parameters: dict[str, int | str], length: int, says: str) -> None:
    with pytest.raises(CompileError, match=says):
        task_depth_construction(make_task(name, parameters), length)


def test_no_layers() -> None:
    with pytest.raises(CompileError, match="expected at least 1 layer, found 0"):
        task_depth_construction(make_task("parity"), 4, 0)
    assert "majority" in CONSTRUCTED_WITHOUT_A_CHAIN
