"""The page by one call: of any model, by itself or by its directory."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.explorer.models import compiled_adder
from tests.task_models import random_model

from serialformer import SerialformerError, construct, explore
from serialformer.tasks.registry import make_task


def test_every_kind_of_model_has_a_page(tmp_path: Path) -> None:
    models = (compiled_adder(), construct("parity", 4), construct("circuit-value", 3))
    for number, model in enumerate(models):
        page = tmp_path / f"{number}.html"
        assert explore(model, output=page) == page.stat().st_size > 10_000
        saved = model.save(tmp_path / f"model{number}")
        assert explore(saved.directory, output=page) > 10_000


def test_two_models_of_one_task(tmp_path: Path) -> None:
    both = (construct("parity", 4), random_model(make_task("parity"), 4))
    assert explore(*both, output=tmp_path / "both.html") > explore(both[0], output=tmp_path / "one.html")
    for pair in ((compiled_adder(), both[0]), (both[0], compiled_adder())):
        with pytest.raises(SerialformerError, match="only models of tasks can be shown side by side"):
            explore(*pair, output=tmp_path / "page.html")
    with pytest.raises(SerialformerError, match=": is a directory\nhint: name the page"):
        explore(both[0], output=tmp_path)
