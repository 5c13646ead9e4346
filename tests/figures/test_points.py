"""Which rows are drawn, and what is pooled: seeds, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from serialformer.errors import FigureError
from serialformer.figures.measures import MEASURES
from serialformer.figures.points import (
    describe_variant,
    pool,
    select_final,
    select_lengths,
    split_variants,
    trained_lengths,
)
from serialformer.models.score import wilson_interval
from serialformer.tasks.curriculum import Curriculum
from serialformer.training.config import OptimiserConfig
from tests.figures.rows import make_row

PAPER = MEASURES["paper"]


def test_seeds_stand_beside_each_other() -> None:
    rows = [make_row(90, seed=1), make_row(40, seed=0, samples=50), make_row(7, seed=0, depth=2)]
    first, second = pool(rows, PAPER)
    assert (first.depth, first.right, first.total, first.seeds) == (1, 130, 150, ((40, 50), (90, 100)))
    assert first.share == (0.8 + 0.9) / 2 and first.interval is None
    assert (second.depth, second.right, second.total) == (2, 7, 100)
    assert second.share == 0.07 and second.interval == wilson_interval(7, 100)


def test_the_measure_goes_by_the_setting() -> None:
    counts = {"chains": 1, "answers": 2, "generated_answers": 3, "generated_samples": 10, "answer_tokens_right": 4}
    found = {
        (setting, name): pool([make_row(setting=setting, **counts)], measure)[0].right
        for setting in ("base", "cot", "hint", "filler", "aligned")
        for name, measure in MEASURES.items()
    }
    assert [found[setting, "paper"] for setting in ("base", "hint", "filler", "cot", "aligned")] == [2, 2, 2, 1, 1]
    assert {found[setting, "generated"] for setting in ("base", "cot")} == {3}
    assert {found[setting, "tokens"] for setting in ("base", "cot")} == {4}


def test_what_was_not_measured_is_no_point() -> None:
    assert pool([make_row(generated_samples=0, generated_answers=0)], MEASURES["generated"]) == []


def test_other_configurations_are_never_pooled() -> None:
    rows = [make_row(width=64), make_row(width=128, seed=1)]
    with pytest.raises(FigureError, match=r"^figure: cot, length 8, depth 1: runs that differ in model\.width\n"):
        pool(rows, PAPER)
    parts = split_variants(rows)
    assert [(fields, len(part)) for fields, part in parts] == [
        ({"model.width": "64"}, 1),
        ({"model.width": "128"}, 1),
    ]
    # A width that goes with the depth is no variant.
    assert [fields for fields, _ in split_variants([make_row(width=64), make_row(width=128, depth=2)])] == [{}]
    # Only what stands in another's place is set apart; a point of its own goes with the larger part.
    mixed = [make_row(width=64), make_row(width=64, seed=1), make_row(width=32), make_row(width=128, depth=2)]
    (first, with_second), (narrow, alone) = split_variants(mixed)
    assert (first, with_second) == ({}, [mixed[0], mixed[1], mixed[3]])
    assert (narrow, alone) == ({"model.width": "32"}, [mixed[2]])


def test_variants_at_places_of_their_own_keep_together() -> None:
    """Two depths have each a number of steps, and both were asked again with another: that is one variant, not two."""
    slow = Curriculum(name="neutral", start=0.9, num_steps=5000)
    fast = Curriculum(name="neutral", start=0.8, num_steps=500)
    asked = ((1, fast, 1000, 0), (1, fast, 1000, 1), (1, fast, 1000, 2), (1, slow, 6000, 0), (2, slow, 6000, 0))
    rows = [
        make_row(
            depth=depth, curriculum=curriculum, seed=seed, config={"optimiser": OptimiserConfig(num_steps=num_steps)}
        )
        for depth, curriculum, num_steps, seed in (*asked, (2, fast, 1400, 0))
    ]
    (one, plain), (other, eased) = split_variants(rows)
    assert (plain, eased) == ([*rows[:3], rows[5]], rows[3:5])
    assert describe_variant(one) == "curriculum neutral 0.8 to 0 over 500 steps"
    assert describe_variant(other) == "curriculum neutral 0.9 to 0 over 5,000 steps, num steps 6000"


def test_a_final_evaluation_counts_once() -> None:
    """Two runs that differ in what they are evaluated on besides are one model and one final evaluation."""
    rows = [make_row(lengths=()), make_row(lengths=(4, 8)), make_row(seed=1)]
    assert rows[0].run != rows[1].run
    assert select_final(rows) == [rows[0], rows[2]]
    assert select_final([replace(rows[0], status="failed", evaluation="")]) == []


def test_lengths() -> None:
    run = {"lengths": (4, 8), "length": 8}
    final = make_row(1, **run)
    fresh = [make_row(2, evaluation="fresh", evaluated_length=length, **run) for length in (4, 8)]
    other = make_row(3, seed=1, lengths=(4,))
    other_fresh = make_row(4, seed=1, lengths=(4,), evaluation="fresh", evaluated_length=4)
    no_lengths = make_row(5, seed=2)
    # The final evaluation stands in where the trained length was not asked for, and only for models that were asked.
    assert select_lengths([final, *fresh, other, other_fresh, no_lengths]) == [*fresh, other_fresh, other]
    larger = replace(fresh[0], samples=200)
    assert select_lengths([fresh[0], larger]) == [larger], "the smaller sample is the beginning of the larger"


def test_trained_lengths() -> None:
    assert trained_lengths(make_row()) == (8, 8)
    assert trained_lengths(make_row(config={"shortest": 2})) == (2, 8)
