"""What a script runs on a GPU, at toy size on the CPU: what it trains as stacks becomes rows."""

from __future__ import annotations

from pathlib import Path

from serialformer.sweeps.recipe import load_recipe
from serialformer.sweeps.row import DONE
from serialformer.sweeps.stacks import check_stackable, sweep_stacks
from serialformer.sweeps.store import read_rows

RECIPES = Path(__file__).parents[2] / "recipes"


def test_toy_models_become_rows(tmp_path: Path) -> None:
    runs = check_stackable(load_recipe(f"{RECIPES / 'paper-full' / 'recipe.py'}:toy")[0][3:9])
    store, told = tmp_path / "toy.csv", list[str]()
    done = sweep_stacks(runs, store, device="cpu", num_stacks=1, in_processes=False, say=told.append)
    assert (done.num_models, done.num_failed, done.num_left) == (6, 0, 0)
    rows = read_rows(store)
    assert {row.run for row in rows} == {run.id for run in runs}
    assert all(row.status == DONE and row.steps == 10 and row.samples == 32 for row in rows)
    assert len(told) == 2 and all(text.endswith(": 3 models") for text in told)
    # Called again, there is nothing left to do.
    again = sweep_stacks(runs, store, device="cpu", num_stacks=1, in_processes=False, say=told.append)
    assert again.num_models == 0 and len(told) == 2


def test_what_the_figure_asks_for_can_be_stacked() -> None:
    for name in ("paper-figure", "circuit-value", "paper-full"):
        runs, _ = load_recipe(str(RECIPES / name))
        assert len(check_stackable(runs)) == len(runs)
