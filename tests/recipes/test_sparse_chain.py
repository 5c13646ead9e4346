"""Sparse chains and fillers: their tasks keep the laws of tasks, the rows are of the runs, README.md shows them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from serialformer.python_file import load_python
from serialformer.sweeps.recipe import load_recipe
from serialformer.sweeps.store import read_rows
from serialformer.tasks.task import Task

RECIPES = Path(__file__).parents[2] / "recipes"


def make(recipe: str, file: str, name: str, **parameters: int) -> Task:
    task = getattr(load_python(RECIPES / recipe / f"{file}.py").module, name)(**parameters)
    assert isinstance(task, Task)
    return task


TASKS = [
    *(("sparse-chain", "sparse_parity", "SparseParity", {"every": every}) for every in (1, 2, 3, 8)),
    *(("filler", "filled_parity", "FilledParity", {"fillers": fillers}) for fillers in (1, 3)),
]


@pytest.mark.parametrize(("recipe", "file", "name", "parameters"), TASKS)
def test_chains_follow_and_others_do_not(recipe: str, file: str, name: str, parameters: dict[str, int]) -> None:
    task, length = make(recipe, file, name, **parameters), 5
    examples = task.sample(np.random.default_rng(0), length, 50)
    assert task.chains_are_right(examples.prompts, examples.chains, length).all()
    assert task.answers_are_right(examples.prompts, examples.answers, length).all()
    assert np.array_equal(examples.chains[:, -1:], examples.answers)
    for place in range(task.chain_width(length)):
        wrong = examples.chains.copy()
        wrong[:, place] = (wrong[:, place] + 1) % (len(task.vocabulary(length)) - 1)
        assert not task.steps_follow(examples.prompts, wrong, length)[:, place].any()


def test_every_third_token_of_a_chain() -> None:
    task = make("sparse-chain", "sparse_parity", "SparseParity", every=3)
    examples = task.solve(np.array([[1, 0, 1, 1, 0, 1, 1, 2]]), 7)
    assert examples.chains.tolist() == [[0, 0, 1]]


@pytest.mark.parametrize("recipe", ["sparse-chain", "filler"])
def test_rows_are_of_the_runs_and_the_readme_shows_them(recipe: str) -> None:
    runs, num_repeated = load_recipe(str(RECIPES / recipe))
    rows = read_rows(RECIPES / recipe / "expected.csv")
    assert num_repeated == 0 and {row.run for row in rows} == {run.id for run in runs}
    tables = load_python(RECIPES / "sparse-chain" / "tables.py").module
    assert tables.make_table(rows) in (RECIPES / recipe / "README.md").read_text()
