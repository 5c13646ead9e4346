"""Sums modulo 2: the rows are of the runs, three seeds of each, and README.md shows them."""

from __future__ import annotations

from pathlib import Path

from serialformer.python_file import load_python
from serialformer.sweeps.recipe import load_recipe
from serialformer.sweeps.store import read_rows

RECIPE = Path(__file__).parents[2] / "recipes" / "parity"


def test_rows_are_of_the_runs_and_the_readme_shows_them() -> None:
    runs, num_repeated = load_recipe(str(RECIPE))
    rows = read_rows(RECIPE / "expected.csv")
    assert num_repeated == 0 and {row.run for row in rows} == {run.id for run in runs}
    assert load_python(RECIPE / "tables.py").module.make_table(rows) in (RECIPE / "README.md").read_text()


def test_settings_of_a_length_differ_in_nothing_but_rate_steps_and_curriculum() -> None:
    make = load_python(RECIPE / "recipe.py").module.make_run
    base, cot = (make(8, setting, 0, has_curriculum=False).config.to_json() for setting in ("base", "cot"))
    assert {name for name in base if base[name] != cot[name]} == {"setting", "optimiser"}
    assert {name for name in base["optimiser"] if base["optimiser"][name] != cot["optimiser"][name]} == {
        "learning_rate"
    }
