from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from serialformer.engines.explain import MAX_RULES, Feature, Rule, explain, explain_trials, shared_places
from serialformer.engines.judge import Wrong
from serialformer.engines.run import Trial
from serialformer.engines.suite import SuiteModel
from tests.effort import effort

ROWS: list[dict[str, Feature]] = [
    {"dtype": dtype, "odd": odd, "threads": threads}
    for dtype, odd, threads in itertools.product(("float32", "bfloat16", "float16"), (True, False), (1, 2, 4))
]


def test_nothing_failed() -> None:
    assert explain([(row, False) for row in ROWS]) == ()


def test_everything_failed() -> None:
    (rule,) = explain([(row, True) for row in ROWS])
    assert str(rule) == "all failures: everything fails"


def test_one_condition() -> None:
    (rule,) = explain([(row, row["threads"] == 4) for row in ROWS])
    assert str(rule) == "all failures: threads=4"


def test_what_is_not_known_of_a_failure_does_not_explain_it() -> None:
    """An engine that dies while it opens a model has not said in which format it computes."""
    rows: list[tuple[dict[str, Feature], bool]] = []
    for family, threads in itertools.product(("gpt2", "llama"), (1, 2)):
        dies = family == "llama" and threads == 1
        rows.append(({"threads": threads, **({} if dies else {"effective": "bfloat16"}), "target": family}, dies))
    (rule,) = explain(rows)
    assert str(rule) == "all failures: threads=1 and target=llama"


def test_a_threshold() -> None:
    (rule,) = explain([(row, int(row["threads"]) >= 2) for row in ROWS])
    assert str(rule) == "all failures: threads >= 2"


def test_two_conditions() -> None:
    (rule,) = explain([(row, row["dtype"] == "bfloat16" and row["odd"] is True) for row in ROWS])
    assert str(rule) == "all failures: dtype=bfloat16 and odd=True"


def test_two_causes() -> None:
    rules = explain([(row, row["dtype"] == "bfloat16" or row["threads"] == 4) for row in ROWS])
    assert {str(rule).partition(": ")[2] for rule in rules} == {"dtype=bfloat16", "threads=4"}
    assert not any(rule.is_whole for rule in rules)


def test_a_failure_is_counted_in_the_singular() -> None:
    rules = [Rule(conditions=(), num_failures=count, is_whole=False) for count in (1, 2)]
    assert [str(rule) for rule in rules] == ["1 failure: everything fails", "2 failures: everything fails"]


@effort(0.5)
@given(st.lists(st.booleans(), min_size=18, max_size=18))
def test_rules_never_hold_of_what_is_right(failed: list[bool]) -> None:
    rules = explain(list(zip(ROWS, failed, strict=True)))
    assert len(rules) <= MAX_RULES
    for rule in rules:
        met = [all(condition.holds(row) for condition in rule.conditions) for row in ROWS]
        assert not any(one and not bad for one, bad in zip(met, failed, strict=True))
        assert sum(met) == rule.num_failures > 0


def wrong(position: int, distance: int = 3) -> Wrong:
    return Wrong(
        case="a", family="f", row=0, token=0, position=position, gate="g", expected=0, found=1,
        reads=(position - distance,), distance=distance,
    )  # fmt: skip


def test_places_at_block_ends() -> None:
    (line,) = shared_places([wrong(position) for position in (17, 49, 81, 209)])
    assert line.endswith("17 modulo 32")


def test_far_reads() -> None:
    random = np.random.default_rng(0)
    found = [wrong(int(position), 70 + place) for place, position in enumerate(random.integers(200, 900, 8))]
    assert shared_places(found) == ["all of the first wrong tokens read something at least 70 positions back"]


def test_too_few_places_say_nothing() -> None:
    assert shared_places([wrong(16), wrong(32)]) == [] == shared_places([wrong(16)] * 5)


def test_heads_that_are_wider_than_the_stream() -> None:
    """Engines that take the head width to be the stream's over the number of heads fail there."""

    def trial(width: int, *, fails: bool, dtype: str) -> Trial:
        facts = {"family": "llama", "dtype": dtype, "heads": 4, "head_width": 64, "width": width}
        model = SuiteModel(
            name=f"{width}-{dtype}", purpose="p", directory=Path(), cases=(), end_token=0, padding_token=0, facts=facts
        )
        if fails:
            return Trial(model=model, options={}, breakdown="error")
        return Trial(model=model, options={}, tried={"repeat": 1}, failed={"repeat": 0})

    trials = [trial(width, fails=width != 256, dtype=dtype) for width in (64, 128, 256) for dtype in ("a", "b")]
    (rule,) = explain_trials(trials)
    assert str(rule) == "all failures: heads fill the width=False"
