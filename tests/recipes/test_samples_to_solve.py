"""The recipe of samples to solve: its task, the bisection, and that README.md shows its rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from serialformer.errors import TaskError
from serialformer.python_file import load_python
from serialformer.sweeps.experiment import Surroundings
from serialformer.sweeps.recipe import load_recipe
from serialformer.sweeps.store import read_rows
from serialformer.tasks.task import Task

RECIPE = Path(__file__).parents[2] / "recipes" / "samples-to-solve"


def make(**parameters: int) -> Task:
    task = load_python(RECIPE / "pooled_sums.py").module.PooledSums(**parameters)
    assert isinstance(task, Task)
    return task


def test_chains_follow_from_the_prompts() -> None:
    task = make(modulus=5, pool=20)
    examples = task.sample(np.random.default_rng(0), 3, 50)
    assert task.chains_are_right(examples.prompts, examples.chains, 3).all()
    assert task.answers_are_right(examples.prompts, examples.answers, 3).all()


def test_a_pool_and_what_is_held_out_have_nothing_in_common() -> None:
    task, length = make(modulus=5, pool=30, order=3), 3
    random = np.random.default_rng(0)
    learned, judged = (
        {tuple(row) for row in task.sample(random, length, 2000, curriculum=("pool", amount)).prompts.tolist()}
        for amount in (1.0, 0.0)
    )
    assert (len(learned), len(judged)) == (30, 80) and not learned & judged
    with pytest.raises(TaskError, match="expected a pool of at most 45, found 46"):
        make(modulus=5, pool=46, order=3).sample(random, length, 1)


def test_bisection_finds_the_smallest_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With trainings that succeed from a pool of 60 on; and with none that does."""
    recipe = load_python(RECIPE / "recipe.py").module
    run = recipe.make_run("base", 0)
    for enough, found in ((60, 64), (16, 16), (263, 263), (264, None)):
        tried: list[int] = []

        def learn(self, pool, surroundings, enough=enough, tried=tried):
            tried.append(pool)
            return self.row(surroundings, evaluation=f"pool {pool}", reached_target=pool >= enough)

        monkeypatch.setattr(recipe.SamplesToSolve, "learn", learn)
        rows = run.carry_out(Surroundings(directory=tmp_path))
        assert rows[-1].measure == {"samples": found, "trainings": len(tried)}
        assert len(set(tried)) == len(tried) <= 5


def test_a_pool_is_learned_from(tmp_path: Path) -> None:
    """A training as the recipe makes it, with fewer steps: every sample that it sees is of the pool."""
    recipe = load_python(RECIPE / "recipe.py").module
    row = recipe.make_run("cot", 0, num_steps=60).learn(16, Surroundings(directory=tmp_path / "run"))
    assert (row.steps, row.reached_target, row.samples, row.variable) == (60, False, 1024, {"pool": 16})


def test_rows_are_of_the_runs_and_the_readme_shows_them() -> None:
    runs, num_repeated = load_recipe(str(RECIPE))
    rows = read_rows(RECIPE / "expected.csv")
    assert num_repeated == 0 and {row.run for row in rows} == {run.id for run in runs}
    assert load_python(RECIPE / "tables.py").module.make_table(rows) in (RECIPE / "README.md").read_text()
