"""Numbers too small for their format are taken for 0 in training, and only there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from serialformer.training.loop import Report, train
from serialformer.training.presets import make_config
from serialformer.training.stacked import train_stack
from serialformer.training.subnormals import is_flushed, subnormals_flushed

SMALL = 2.0**-130


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = is_flushed()
    yield
    torch.set_flush_denormal(before)


@pytest.mark.parametrize("before", [False, True])
def test_what_held_before_holds_afterwards(before: bool) -> None:
    torch.set_flush_denormal(before)
    with pytest.raises(ValueError), subnormals_flushed():
        assert is_flushed()
        assert (torch.full((64,), SMALL) @ torch.ones(64, 2)).tolist() == [0, 0]
        raise ValueError
    assert is_flushed() is before


def test_without_it_they_are_numbers() -> None:
    torch.set_flush_denormal(False)
    assert not is_flushed()
    assert float(torch.full((1,), SMALL) * 1) == SMALL


def test_training_flushes_them(tmp_path: Path) -> None:
    torch.set_flush_denormal(False)
    config = make_config("parity", length=4, setting="base").with_steps(2, scaled=True)
    seen = []

    def report(_: Report) -> None:
        seen.append(is_flushed())

    train(config, tmp_path / "one", progress=report)
    assert seen == [True, True]
    assert not is_flushed()
    seeds = [config, replace(config, seed=1)]
    train_stack(
        seeds,
        [tmp_path / "a", tmp_path / "b"],
        device="cpu",
        stop=lambda: False,
        in_process=False,
        progress=lambda *_: seen.append(is_flushed()),
    )
    assert all(seen) and len(seen) > 2
    assert not is_flushed()
