"""The engine ``auto``: which engine it takes, and that the tokens are the same."""

from __future__ import annotations

import numpy as np
import pytest

import serialformer
from serialformer.decode import auto
from serialformer.loops import WorkLimit
from tests.cases import small_circuits


@pytest.fixture
def model() -> serialformer.Model:
    return serialformer.compile(small_circuits()["random, 2 inputs a gate"])


def test_the_first_work_is_done_densely_and_the_rest_indexed(
    model: serialformer.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = (model.num_new_tokens + 1) * auto.OPERATIONS_PER_STEP
    monkeypatch.setattr(auto, "dense_work", WorkLimit(2 * first))
    engines = [model.run(x=5).engine for _ in range(3)]
    assert engines == ["dense", "indexed", "indexed"]


def test_an_engine_that_was_indexed_once_stays_so(model: serialformer.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = auto.AutoEngine(model.transformer)
    monkeypatch.setattr(auto, "dense_work", WorkLimit(0))
    prompts, count = model.prompts(np.zeros((3, 6), dtype=np.uint8)), model.num_new_tokens
    indexed = engine.generate(prompts, count)
    assert engine.name == "indexed"
    monkeypatch.setattr(auto, "dense_work", WorkLimit(1 << 60))
    assert engine.generate(prompts, count).tolist() == indexed.tolist() and engine.name == "indexed"
    assert auto.AutoEngine(model.transformer).generate(prompts, count).tolist() == indexed.tolist()


def test_many_rows_and_long_prompts_are_more_work(model: serialformer.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    for rows, length, count in ((1, 7, 12), (40, 7, 12), (40, 12, 7)):
        monkeypatch.setattr(auto, "dense_work", WorkLimit(1 << 60))
        auto.AutoEngine(model.transformer).generate(np.zeros((rows, length), dtype=np.int64), count)
        done.append(auto.dense_work.done)
    assert done[0] < done[1] < 40 * done[0] and done[2] > 0
