"""The recipe of docs/concepts/bounds.md makes the rows that are committed, as far as it takes seconds."""

from __future__ import annotations

from pathlib import Path

from serialformer.sweeps.experiment import Surroundings
from serialformer.sweeps.recipe import load_recipe
from serialformer.sweeps.store import read_rows
from serialformer.sweeps.work import carry_out

RECIPE = Path(__file__).parents[2] / "recipes" / "bounds"


def test_the_small_part_is_what_is_expected(tmp_path: Path) -> None:
    runs, _ = load_recipe(f"{RECIPE / 'recipe.py'}:small")
    made = [row for run in runs for row in carry_out(run, Surroundings(directory=tmp_path / run.id))]
    expected = {row.run: row.measured for row in read_rows(RECIPE / "expected.csv")}
    assert len(made) == 7 * 2
    for row in made:
        assert row.measured == expected[row.run]


def test_what_the_expected_rows_say() -> None:
    rows = read_rows(RECIPE / "expected.csv")
    runs, _ = load_recipe(str(RECIPE))
    assert sorted(row.run for row in rows) == sorted(run.id for run in runs)
    depths: dict[tuple[str, int], list[int]] = {}
    for row in rows:
        family, length = row.variable["family"], row.variable["length"]
        depths.setdefault((family, row.variable["layers"]), []).append(row.measure["depth"])
        assert row.measure["agree"] == row.measure["compared"] == row.measure["prompts"]
        if family == "chain":
            assert row.measure["parity"] == row.measure["prompts"]
            assert row.measure["depth"] == 311 * (length - 1) + 3
        if family == "layers":
            assert row.measure["parity"] == row.measure["prompts"]
            assert (
                row.variable["layers"] == length.bit_length() and row.measure["depth"] == 46 + 266 * length.bit_length()
            )
    for (family, layers), expected in {
        ("cascade", 1): 312,
        ("cascade", 2): 578,
        ("thresholds", 1): 40,
        ("at once", 1): 314,
    }.items():
        assert set(depths[family, layers]) == {expected}
