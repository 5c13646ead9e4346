"""The recipe of training: its rows are those committed, its tables those of README.md, and a start is watched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from serialformer.python_file import load_python
from serialformer.sweeps.experiment import Surroundings
from serialformer.sweeps.recipe import load_recipe
from serialformer.sweeps.shipping import pack, unpack
from serialformer.sweeps.store import read_rows
from serialformer.sweeps.work import carry_out
from serialformer.training.config import EvaluationConfig, ModelConfig, OptimiserConfig, TrainingConfig

RECIPE = Path(__file__).parents[2] / "recipes" / "training"


def test_the_expected_rows_are_of_the_recipe() -> None:
    runs, num_repeated = load_recipe(str(RECIPE))
    rows = read_rows(RECIPE / "expected.csv")
    assert num_repeated == 0 and [row.run for row in rows] == [run.id for run in runs] and len(rows) == 79
    assert {row.experiment for row in rows} == {"training", "watched"}


def test_the_readme_shows_the_expected_rows() -> None:
    tables = load_python(RECIPE / "tables.py").module
    readme, rows = (RECIPE / "README.md").read_text(), read_rows(RECIPE / "expected.csv")
    lines = list(tables.learnt_lines(rows))
    assert len(lines) == 2 + 19
    for line in lines:
        assert line in readme
    assert len(list(tables.watched_lines(rows))) == 2  # those of attention need the curves


TINY = TrainingConfig(
    task="parity",
    length=4,
    setting="cot",
    model=ModelConfig(width=16, num_heads=2),
    optimiser=OptimiserConfig(num_steps=8, batch_size=8, warmup_steps=2),
    evaluation=EvaluationConfig(
        every=4,
        num_samples=32,
        num_generated=0,
        num_final_samples=32,
        num_final_generated=4,
        target=None,
        pointers=True,
    ),
)


@pytest.mark.parametrize(("start", "moved"), [("random", False), ("construction", True)])
def test_a_start_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str, moved: bool) -> None:
    watched = load_python(RECIPE / "watched.py").module
    monkeypatch.setattr(watched, "NUM_STEPS", 8)
    run = watched.Watched(config=TINY, start=start)
    assert unpack(pack(run)).id == run.id != replace(run, start="construction + noise 1/64").id
    final, *curve = carry_out(run, Surroundings(directory=tmp_path / "run"))
    assert final.evaluation == "final" and [row.evaluation for row in curve] == ["step 4"]
    assert final.steps == 8 and final.variable == {"start": start} == curve[0].variable
    assert (final.measure["largest_change"] is not None) == moved
    assert all(0 < row.measure["pointer_share"] <= 1.0001 for row in (final, *curve))
    if moved:
        assert final.chains == 32  # a construction is right, and stays so
    lines = list(load_python(RECIPE / "tables.py").module.watched_lines([final, *curve]))
    assert len(lines) == 2  # of a case that the tables do not have
