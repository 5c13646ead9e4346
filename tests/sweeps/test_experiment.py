"""Experiments other than trainings: a recipe defines them, and they are swept, interrupted and shipped as any other."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from serialformer.errors import SweepError
from serialformer.sweeps.collect import Sweep, collect
from serialformer.sweeps.experiment import Experiment
from serialformer.sweeps.kinds import experiment_from_json
from serialformer.sweeps.local import LocalExecutor, runs_directory
from serialformer.sweeps.recipe import load_recipe
from serialformer.sweeps.run import SweepRun
from serialformer.sweeps.shipping import pack, unpack
from serialformer.sweeps.store import read_rows
from serialformer.training.config import TrainingConfig
from tests.sweeps.runs import make_run

RECIPE = '''
from dataclasses import dataclass
from typing import ClassVar

from doubling_of_squares import double
from serialformer.sweeps.experiment import Experiment


@dataclass(frozen=True, kw_only=True)
class Square(Experiment):
    """Squares a number."""

    kind: ClassVar[str] = "square"

    number: int
    options: tuple[str, ...] = ()

    def carry_out(self, surroundings):
        if self.number < 0:
            raise ValueError("a negative number")
        return [self.row(surroundings, variables={"number": self.number}, measures={"square": double(self.number)})]


def runs():
    return [Square(number=number, options=("a", "b")) for number in (3, -1, 4)]
'''
HELPER = "def double(number):\n    return number * number\n"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    folder = tmp_path / "recipe"
    folder.mkdir()
    (folder / "doubling_of_squares.py").write_text(HELPER)
    (folder / "recipe.py").write_text(RECIPE)
    return folder


def sweep(recipe: Path, path: Path) -> Sweep:
    runs, _ = load_recipe(str(recipe))
    return collect(runs, path, lambda: LocalExecutor(runs_directory(path), num_workers=1))


def test_it_is_swept(recipe: Path, tmp_path: Path) -> None:
    path = tmp_path / "store.csv"
    done = sweep(recipe, path)
    assert (done.num_done, done.num_failed) == (2, 1)
    rows = {row.variable.get("number"): row for row in read_rows(path)}
    assert rows[3].measure == {"square": 9} and rows[4].measure == {"square": 16}
    assert rows[3].experiment == "square" and rows[3].evaluation == "measured" and rows[3].task == ""
    assert rows[None].reason == "ValueError: a negative number"
    again = sweep(recipe, path)
    assert (again.num_skipped, again.num_failed) == (2, 1)


def test_the_id_is_of_the_fields_and_the_version(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, *_ = load_recipe(str(recipe))[0]
    moved = recipe.with_name("moved")
    shutil.copytree(recipe, moved)
    assert [run.id for run in load_recipe(str(moved))[0]] == [run.id for run in load_recipe(str(recipe))[0]]
    content = json.loads(one.canonical)
    assert content == {"experiment": "square", "version": 1, "number": 3, "options": ["a", "b"]}
    assert experiment_from_json(json.loads(json.dumps(one.to_json()))) == one
    monkeypatch.setattr(type(one), "version", 2)
    assert replace(one).id != one.id  # type: ignore[type-var]


def test_it_is_shipped_with_its_files(recipe: Path) -> None:
    """To a machine that does not have them, or has others."""
    one, *_ = load_recipe(str(recipe))[0]
    package = json.loads(json.dumps(pack(one)))
    assert sorted(Path(path).name for path in package["files"]) == ["doubling_of_squares.py", "recipe.py"]
    assert type(unpack(package)).__module__ == type(one).__module__  # here they are
    shutil.rmtree(recipe)
    there = unpack(package)
    assert there.id == one.id and there.fields_to_json() == one.fields_to_json()
    assert type(there).__module__ != type(one).__module__
    assert unpack(package) == there


def test_a_user_s_task_is_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.tasks.test_user_task import MAXIMUM

    (tmp_path / "mytask.py").write_text(MAXIMUM)
    monkeypatch.chdir(tmp_path)
    run = SweepRun(config=TrainingConfig(task="mytask.py:Maximum", length=4, setting="cot"))
    assert str(tmp_path) not in run.canonical and run.facts()["task"] == "mytask.py:Maximum"
    package = json.loads(json.dumps(pack(run)))
    (tmp_path / "mytask.py").write_text(MAXIMUM.replace("digits: int = 10", "digits: int = 9"))
    assert unpack(package).id == run.id
    other = SweepRun(config=TrainingConfig(task="mytask.py:Maximum", length=4, setting="cot"))
    assert other.id != run.id


def test_a_user_s_task_is_swept(tmp_path: Path) -> None:
    from tests.tasks.test_user_task import MAXIMUM

    (tmp_path / "mytask.py").write_text(MAXIMUM)
    run = make_run(task=f"{tmp_path / 'mytask.py'}:Maximum")
    path = tmp_path / "store.csv"
    assert collect([run], path, lambda: LocalExecutor(runs_directory(path), num_workers=1)).num_done == 1
    (row,) = read_rows(path)
    assert row.task == "mytask.py:Maximum" and row.run == run.id


def test_refusals(recipe: Path) -> None:
    one, *_ = load_recipe(str(recipe))[0]
    for change, message in (
        ({"class": None}, "run: no experiment 'square'\nhint: one of training"),
        ({"class": "no"}, "run: expected FILE.py:Class, found 'no'"),
        ({"class": f"{recipe / 'recipe.py'}:Cube"}, "has no experiment 'Cube'"),
        ({"fields": {"number": 3}}, "run: expected an object of number, options"),
    ):
        with pytest.raises(SweepError) as caught:
            experiment_from_json({**one.to_json(), **change})
        assert message in str(caught.value)
    package = {**pack(one), "id": "r0"}
    with pytest.raises(SweepError, match="is not the experiment that was sent"):
        unpack(package)


def test_the_curve_of_a_training(tmp_path: Path) -> None:
    path = tmp_path / "store.csv"
    run = replace(make_run(), curve=True)
    assert run.id != make_run().id and "curve" not in make_run().canonical
    assert isinstance(run, Experiment) and experiment_from_json(run.to_json()) == run
    collect([run], path, lambda: LocalExecutor(runs_directory(path), num_workers=1))
    final, *curve = read_rows(path)
    assert final.evaluation == "final" and [row.evaluation for row in curve] == ["step 10"]
    assert curve[0].steps == 10 and curve[0].samples == 16 and curve[0].cpu_seconds <= final.cpu_seconds
