"""The recipe of training from a construction without a chain: its rows are of its runs, and README.md shows them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from serialformer.python_file import load_python
from serialformer.sweeps.experiment import Surroundings
from serialformer.sweeps.recipe import load_recipe
from serialformer.sweeps.store import read_rows
from serialformer.sweeps.work import carry_out

RECIPE = Path(__file__).parents[2] / "recipes" / "depth-training"


def test_the_expected_rows_are_of_the_recipe() -> None:
    runs, num_repeated = load_recipe(str(RECIPE))
    rows = read_rows(RECIPE / "expected.csv")
    assert num_repeated == 0 and {row.run for row in rows} == {run.id for run in runs} and len(rows) == 28


def test_the_readme_shows_the_expected_rows() -> None:
    rows, readme = read_rows(RECIPE / "expected.csv"), (RECIPE / "README.md").read_text()
    for noise in {row.variable["noise"] for row in rows}:
        cells = ["0" if noise == 0 else f"1/{round(1 / noise)}"]
        for task in ("parity", "automaton"):
            mine = [row for row in rows if row.task == task and row.variable["noise"] == noise]
            mine.sort(key=lambda row: row.variable["learning_rate"])
            shares = [mine[0].measure["before"], *(row.generated_answers / row.generated_samples for row in mine)]
            cells += [f"{share:.3f}".removeprefix("0") if 0 < share < 1 else f"{share:.0f}" for share in shares]
        assert f"| {' | '.join(cells)} |" in readme


def test_a_run_trains_what_it_says(tmp_path: Path) -> None:
    recipe = load_python(RECIPE / "recipe.py").module
    (run,) = [run for run in recipe.runs() if run.config.task == "parity" and run.noise == 0 and "0.001" in run.title]
    config = replace(
        run.config,
        length=2,
        model=replace(run.config.model, num_layers=2),
        optimiser=replace(run.config.optimiser, num_steps=2, batch_size=4),
    )
    (row,) = carry_out(recipe.FromConstruction(config=config, noise=0.0), Surroundings(directory=tmp_path / "run"))
    assert row.measure == {"before": 1.0} and row.steps == 2 and row.generated_answers == row.generated_samples
