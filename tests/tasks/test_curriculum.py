"""Curricula: what they make easier, and that their end is the task's own distribution."""

from __future__ import annotations

import numpy as np
import pytest

from serialformer.errors import TaskError
from serialformer.tasks.automaton import Automaton
from serialformer.tasks.circuit_value import CircuitValue
from serialformer.tasks.curriculum import Curriculum
from serialformer.tasks.modular_addition import ModularAddition
from serialformer.tasks.registry import TASKS, make_task
from serialformer.tasks.task import Task
from serialformer.tasks.text import write_tokens
from tests.tasks.every_task import NAMES, tasks_and_lengths

every_task = pytest.mark.parametrize(("task", "length"), tasks_and_lengths(), ids=NAMES)


@every_task
def test_the_end_is_the_tasks_own_distribution(task: Task, length: int) -> None:
    own = task.sample(np.random.default_rng(3), length, 50)
    for name in task.curricula:
        schedule = Curriculum(name=name, start=0.9, num_steps=10)
        schedule.check(task)
        random, again = np.random.default_rng(3), np.random.default_rng(3)
        at_end = task.sample(random, length, 50, curriculum=schedule.at(10))
        assert np.array_equal(at_end.prompts, own.prompts) and np.array_equal(at_end.chains, own.chains)
        task.sample(again, length, 50)
        assert random.bit_generator.state == again.bit_generator.state


@every_task
def test_eased_samples_are_sound_and_depend_on_the_generator_alone(task: Task, length: int) -> None:
    for name in task.curricula:
        for amount in (0.3, 1.0):
            one = task.sample(np.random.default_rng(4), length, 40, curriculum=(name, amount))
            two = task.sample(np.random.default_rng(4), length, 40, curriculum=(name, amount))
            assert np.array_equal(one.prompts, two.prompts)
            assert task.chains_are_right(one.prompts, one.chains, length).all()
            assert task.answers_are_right(one.prompts, one.answers, length).all()
            for row, size in zip(one.prompts.tolist(), one.prompt_lengths, strict=True):
                texts = [task.vocabulary(length)[token] for token in row[: size - 1]]
                assert task.prompt_problem(texts) is None


@every_task
def test_neutral_items(task: Task, length: int) -> None:
    if task.neutral_item is None:
        assert "neutral" not in task.curricula
        return
    random = np.random.default_rng(8)
    examples = task.sample(random, length, 5, curriculum=("neutral", 1.0))
    expected = " ".join([task.neutral_item] * length) + " ="
    assert {write_tokens(row, task.vocabulary(length)) for row in examples.prompts.tolist()} == {expected}
    half = task.sample(random, length, 400, curriculum=("neutral", 0.5))
    none = task.sample(random, length, 400)
    neutral = examples.prompts[0]
    assert (half.prompts == neutral).mean() > (none.prompts == neutral).mean()


def test_a_straight_line() -> None:
    schedule = Curriculum(name="neutral", start=0.9, end=0.1, num_steps=8)
    assert np.allclose([schedule.value(step) for step in range(11)], [*np.linspace(0.9, 0.1, 9), 0.1, 0.1], atol=1e-12)
    assert schedule.value(0) == 0.9 and schedule.value(8) == schedule.value(10**9) == 0.1
    assert Curriculum(name="neutral", start=0.9, num_steps=0).value(0) == 0.0


def test_errors() -> None:
    random = np.random.default_rng(0)
    for call, message in (
        (
            lambda: ModularAddition().sample(random, 3, 2, curriculum=("neutral", 1.5)),
            "modular-addition, curriculum neutral: expected an amount from 0 to 1, found 1.5",
        ),
        (
            lambda: ModularAddition().sample(random, 3, 2, curriculum=("natural", 0.5)),
            "modular-addition: no curriculum 'natural'\nhint: it has neutral",
        ),
        (
            lambda: Curriculum(name="neutral", start=0.5, num_steps=3).check(Automaton()),
            "automaton: no curriculum 'neutral'\nhint: it has none",
        ),
        (
            lambda: Curriculum(name="neutral", start=-0.5, num_steps=3),
            "curriculum, start: expected an amount from 0 to 1, found -0.5",
        ),
        (
            lambda: Curriculum(name="neutral", start=0.5, end=2.0, num_steps=3),
            "curriculum, end: expected an amount from 0 to 1, found 2.0",
        ),
        (
            lambda: Curriculum(name="neutral", start=0.5, num_steps=-3),
            "curriculum, num_steps: expected a number of steps, found -3",
        ),
    ):
        with pytest.raises(TaskError) as error:
            call()
        assert str(error.value) == message
    Curriculum(name="neutral", start=0.5, num_steps=3).check(Automaton(table="0,1;1,0"))


@pytest.mark.parametrize("amount", [1.0, 0.75, 0.3, 0.0])
def test_inputs_are_early_gates(amount: float) -> None:
    length = 10
    prompts = CircuitValue().sample(np.random.default_rng(3), length, 4000, curriculum=("early", amount)).prompts
    reach = 2 + (1 - amount) * (length - 2)
    wires = prompts[:, :-1].reshape(-1, length, 4)[:, :, 1:3]
    for gate in range(2, length):
        numbers = wires[:, gate][wires[:, gate] < length]
        counts = np.bincount(numbers, minlength=length) / len(numbers)
        expected = np.clip(min(reach, gate) - np.arange(length), 0, 1) / min(reach, gate)
        np.testing.assert_allclose(counts, expected, atol=0.04)


@pytest.mark.parametrize("amount", [1.0, 0.75, 0.5, 0.25, 0.0])
def test_half_of_all_inputs_are_among_the_last_four_gates(amount: float) -> None:
    """The reach grows until half of the curriculum is over; after that, the preference for the last four fades."""
    length = 12
    prompts = CircuitValue().sample(np.random.default_rng(4), length, 8000, curriculum=("newest", amount)).prompts
    reach = {1.0: 2, 0.75: 7}.get(amount, length)
    new = {0.25: 0.25, 0.0: 0.0}.get(amount, 0.5)
    wires = prompts[:, :-1].reshape(-1, length, 4)[:, :, 1:3]
    for gate in range(2, length):
        numbers = wires[:, gate][wires[:, gate] < length]
        counts = np.bincount(numbers, minlength=length) / len(numbers)
        end = min(reach, gate)
        expected = np.zeros(length)
        expected[:end] = (1 - new) / end
        expected[max(0, end - 4) : end] += new / min(4, end)
        np.testing.assert_allclose(counts, expected, atol=0.03)


def test_every_easing_says_what_it_does() -> None:
    for name in TASKS:
        for curriculum, what in make_task(name).curricula.items():
            assert curriculum and what and "\n" not in what
