"""What samplers draw: counts of many samples with fixed seeds against the shares that the docstrings state."""

from __future__ import annotations

from math import comb, factorial, sqrt

import numpy as np
import pytest
import sympy

from serialformer.tasks.circuit_value import WORDS
from serialformer.tasks.registry import make_task
from serialformer.tasks.task import ParameterValue


def assert_follows(counts: np.ndarray, shares: np.ndarray | list[float]) -> None:
    """Pearson's statistic is no more than five standard deviations over what it is on average."""
    shares = np.asarray(shares, dtype=float)
    assert counts.shape == shares.shape and counts[shares == 0].sum() == 0
    counts, shares = counts[shares > 0], shares[shares > 0]
    expected = shares / shares.sum() * counts.sum()
    assert expected.min() > 10
    freedom = max(1, len(counts) - 1)
    assert ((counts - expected) ** 2 / expected).sum() < freedom + 5 * sqrt(2 * freedom) + 5


def assert_uniform(values: np.ndarray, kinds: int) -> None:
    assert_follows(np.bincount(values.ravel(), minlength=kinds), np.ones(kinds))


def test_the_judge_is_one() -> None:
    random = np.random.default_rng(0)
    assert_uniform(random.integers(0, 7, 20_000), 7)
    with pytest.raises(AssertionError):
        assert_uniform(random.choice(7, 20_000, p=[0.16, 0.14, 0.14, 0.14, 0.14, 0.14, 0.14]), 7)


@pytest.mark.parametrize(
    ("name", "given", "kinds"),
    [
        ("modular-addition", {"modulus": 7}, 7),
        ("modular-addition", {"modulus": 2}, 2),
        ("parity", {}, 2),
        ("majority", {}, 2),
        ("word-problem", {"group": "A4_x_Z5"}, 60),
        ("permutation-composition", {"format": "token"}, 120),
        ("automaton", {}, 2),
    ],
)
def test_items_are_uniform_and_independent(name: str, given: dict[str, ParameterValue], kinds: int) -> None:
    task = make_task(name, given)
    items = task.sample(np.random.default_rng(1), 4, 60_000).prompts[:, :-1]
    for place in range(4):
        assert_uniform(items[:, place], kinds)
    if kinds <= 60:
        assert_uniform(items[:, 0] * kinds + items[:, 1], kinds * kinds)


@pytest.mark.parametrize("name", ["modular-addition", "parity", "word-problem"])
def test_products_of_uniform_elements_are_uniform(name: str) -> None:
    task = make_task(name)
    examples = task.sample(np.random.default_rng(2), 5, 60_000)
    kinds = len(task.vocabulary(5)) - 1
    for place in range(5):
        assert_uniform(examples.chains[:, place], kinds)
    # The answer tells nothing of the last item alone.
    first, last = examples.prompts[:, 0] % 2, examples.chains[:, -1] % 2
    assert abs(np.corrcoef(first, last)[0, 1]) < 0.02


@pytest.mark.parametrize("degree", [3, 5, 8])
def test_permutations_are_uniform(degree: int) -> None:
    task = make_task("permutation-composition", {"degree": degree, "format": "symbols"})
    prompts = task.sample(np.random.default_rng(3), 2, 60_000).prompts[:, :-1].reshape(-1, degree)
    assert (np.sort(prompts, axis=1) == np.arange(degree)).all()
    for left in range(degree):
        assert_uniform(prompts[:, left], degree)
    codes = prompts @ (degree ** np.arange(degree))
    if degree < 8:
        assert_uniform(np.unique(codes, return_inverse=True)[1], factorial(degree))


def test_answers_by_symbol_are_chance() -> None:
    """One symbol of five: the 20 % of a model that knows nothing."""
    examples = make_task("permutation-composition").sample(np.random.default_rng(4), 3, 40_000)
    for place in range(5):
        assert_uniform(examples.answers[:, place], 5)
    shifted = np.roll(examples.answers, 1, axis=0)
    assert abs((shifted == examples.answers).mean() - 0.2) < 0.005


def test_identities_of_a_schedule() -> None:
    task = make_task("permutation-composition", {"format": "token"})
    prompts = task.sample(np.random.default_rng(5), 4, 50_000, curriculum=("neutral", 0.8)).prompts[:, :-1]
    assert_follows(np.bincount(prompts.ravel(), minlength=120), [0.8 + 0.2 / 120] + [0.2 / 120] * 119)


def test_squarings() -> None:
    prompts = make_task("iterated-squaring").sample(np.random.default_rng(6), 8, 60_000).prompts
    primes = list(sympy.primerange(1000))
    counts = np.bincount(prompts[:, 0], minlength=1000)
    assert_follows(counts, np.isin(np.arange(1000), primes).astype(float))
    assert_uniform((prompts == 1001).sum(axis=1) - 1, 8)
    of_seven = make_task("iterated-squaring", {"bound": 8}).sample(np.random.default_rng(7), 3, 40_000).prompts
    assert_follows(np.bincount(of_seven[of_seven[:, 0] == 7, 1], minlength=8), [0, 1, 1, 1, 1, 1, 1, 0])


@pytest.mark.parametrize(("constants", "negations"), [(0.2, 0.2), (0.5, 0.1), (0.0, 1.0)])
def test_gates(constants: float, negations: float) -> None:
    task = make_task("circuit-value", {"constants": constants, "negations": negations})
    gates = task.sample(np.random.default_rng(8), 6, 30_000).prompts[:, :-1].reshape(30_000, 6, 4)
    kinds = gates[:, :, 0] - 6
    for gate in (0, 1):
        assert_follows(np.bincount(kinds[:, gate], minlength=6), [0.5, 0.5, 0, 0, 0, 0])
    rest = 1 - constants
    two = rest * (1 - negations) / 2
    shares = [constants / 2, constants / 2, two, two, rest * negations, 0]
    for gate in range(2, 6):
        assert_follows(np.bincount(kinds[:, gate], minlength=6), shares)
    last = gates[:, 5]
    both = last[(last[:, 0] == 6 + WORDS.index("AND")) | (last[:, 0] == 6 + WORDS.index("OR"))]
    if negations < 1:
        assert_uniform(both[:, 1] * 5 + both[:, 2], 25)


def test_expressions() -> None:
    task = make_task("arithmetic-expression", {"modulus": 7})
    examples = task.sample(np.random.default_rng(9), 2, 60_000)
    assert_uniform(examples.answers, 7)
    signs, right = examples.prompts[:, 2] - 7, examples.prompts[:, 3]
    assert_uniform(signs, 4)
    for sign in range(4):
        may_be_zero = 1.0 if sign < 2 else 0.0
        assert_follows(np.bincount(right[signs == sign], minlength=7), [may_be_zero] + [1.0] * 6)
    longer = task.sample(np.random.default_rng(10), 6, 20_000)
    assert_uniform(longer.answers, 7)
    # The number that is replaced is uniform: of three numbers, the left operand is the bracket half of the time.
    three = task.sample(np.random.default_rng(11), 3, 20_000).prompts
    assert abs((three[:, 1] == 7 + 4).mean() - 0.5) < 0.02


def test_words_to_edit() -> None:
    task = make_task("edit-distance")
    examples = task.sample(np.random.default_rng(12), 10, 20_000)
    assert_uniform(examples.prompts[:, :10], 4)
    distances = np.bincount(examples.answers[:, 0] - 4, minlength=11)
    # From copies to words with little in common: no distance up to 6 has less than one sample in fifty.
    assert distances[:7].min() > 400 and distances[0] < 4000


def test_majority_is_a_binomial() -> None:
    examples = make_task("majority").sample(np.random.default_rng(13), 6, 40_000)
    counts = np.bincount(examples.chains[:, -2], minlength=7)
    assert_follows(counts, [comb(6, ones) for ones in range(7)])
    assert abs((examples.answers == 1).mean() - 22 / 64) < 0.01
