"""Scores: counts by hand, sums, and Wilson's interval against its definition."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest

from serialformer.models.score import Score, score_generated, score_teacher_forced, wilson_interval
from serialformer.tasks.layout import lay_out
from serialformer.tasks.registry import make_task


def test_counts_by_hand() -> None:
    task = make_task("modular-addition")
    examples = task.solve(np.array([[3, 5, 6, 7], [1, 1, 1, 7]]), 3)
    layout = lay_out(task, examples, "cot", 3)
    assert layout.labels.tolist() == [[-1, -1, -1, 3, 1, 0], [-1, -1, -1, 1, 2, 3]]
    predicted = np.array([[9, 9, 9, 3, 2, 0], [0, 0, 0, 1, 2, 3]])
    assert score_teacher_forced(layout, predicted) == Score(
        samples=2, chains=1, tokens=6, tokens_right=5, answers=2, answer_tokens=2, answer_tokens_right=2
    )
    made = np.array([[3, 1, 4], [0, 2, 3]])
    score = score_generated(examples.chains, made, examples.answers_in(made) == examples.answers)
    assert score == Score(
        generated_tokens=6, generated_tokens_right=4, generated_answers=1, generated_answer_tokens_right=1
    )


def test_answers_by_symbol_and_whole() -> None:
    task = make_task("permutation-composition", {"degree": 3})
    examples = task.sample(np.random.default_rng(0), 2, 1)
    layout = lay_out(task, examples, "base", 2)
    predicted = layout.labels.copy()
    predicted[0, layout.answer_positions[0, 1]] += 1
    score = score_teacher_forced(layout, predicted)
    assert (score.answers, score.answer_tokens, score.answer_tokens_right) == (0, 3, 2)
    assert score.accuracies["answer_accuracy"] == 0 and score.accuracies["answer_token_accuracy"] == 2 / 3


def test_a_chain_that_is_too_short_has_no_answer() -> None:
    examples = make_task("parity").sample(np.random.default_rng(0), 4, 3)
    assert (examples.answers_in(examples.chains[:, :2]) == -1).all()
    assert (examples.answers_in(examples.chains[:, :0]) == -1).all()


def test_scores_add_up() -> None:
    one = Score(samples=3, chains=1, tokens=9, tokens_right=4, answers=2, answer_tokens=3, answer_tokens_right=2)
    two = Score(samples=4, chains=4, generated_chains=2, generated_answers=3)
    total = sum([one, two], Score())
    assert total.counts == {name: one.counts[name] + two.counts[name] for name in one.counts}
    assert total.accuracies["chain_accuracy"] == 5 / 7
    assert set(total.intervals) == {
        "chain_accuracy",
        "answer_accuracy",
        "generated_chain_accuracy",
        "generated_answer_accuracy",
    }


def test_nothing_counted() -> None:
    assert set(Score().accuracies.values()) == {0.0}
    assert set(Score().intervals.values()) == {(0.0, 1.0)}


@pytest.mark.parametrize(("right", "total"), [(0, 10), (10, 10), (3, 10), (37, 1000), (999, 1000), (1, 1)])
def test_wilson_by_its_definition(right: int, total: int) -> None:
    """At both ends p, the share lies z standard deviations of p away; z is the normal's 97.5 % point."""
    low, high = wilson_interval(right, total)
    assert 0 <= low <= right / total <= high <= 1
    for end in (low, high):
        if 0 < end < 1:
            assert abs(abs(right / total - end) / (end * (1 - end) / total) ** 0.5 - 1.959963985) < 1e-6


def test_wilson_covers() -> None:
    """For shares all over, the interval holds the true one in 92 % or more of all outcomes, counted exactly."""
    total = 40
    for share in (Fraction(1, 10), Fraction(1, 3), Fraction(1, 2), Fraction(4, 5)):
        covered = sum(
            comb(total, right) * share**right * (1 - share) ** (total - right)
            for right in range(total + 1)
            if wilson_interval(right, total)[0] <= share <= wilson_interval(right, total)[1]
        )
        assert 0.92 < covered < 0.98
