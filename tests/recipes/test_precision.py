"""The recipe of docs/concepts/precision.md makes the rows that are committed, as far as it takes seconds."""

from __future__ import annotations

from pathlib import Path

from serialformer.sweeps.experiment import Surroundings
from serialformer.sweeps.recipe import load_recipe
from serialformer.sweeps.row import Row
from serialformer.sweeps.store import read_rows
from serialformer.sweeps.work import carry_out

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "precision"


def test_the_small_part_is_what_is_expected(tmp_path: Path) -> None:
    runs, _ = load_recipe(f"{RECIPE / 'recipe.py'}:small")
    made = [row for run in runs for row in carry_out(run, Surroundings(directory=tmp_path / run.id))]
    expected = {row.run: row.measured for row in read_rows(RECIPE / "expected.csv")}
    assert len(made) == 2 * 3 + 2
    for row in made:
        assert row.measured == expected[row.run]


def test_the_expected_rows_are_of_the_recipe() -> None:
    runs, _ = load_recipe(str(RECIPE))
    assert sorted(row.run for row in read_rows(RECIPE / "expected.csv")) == sorted(run.id for run in runs)


def circuit_cells(row: Row) -> list[object]:
    sizes = (row.variable["gates"], row.width, row.depth, row.heads, row.measure["precision"])
    return [*sizes, row.generated_samples, row.generated_tokens, row.generated_tokens_right]


def test_the_page_shows_the_expected_rows() -> None:
    page = (ROOT / "docs" / "concepts" / "precision.md").read_text().replace(",", "")
    rows = read_rows(RECIPE / "expected.csv")
    circuits = sorted((row for row in rows if row.experiment == "paper-circuit"), key=lambda row: row.variable["gates"])
    assert len(circuits) == 11
    for row in circuits:
        assert f"| {' | '.join(map(str, circuit_cells(row)))} |" in page
        assert row.generated_tokens == row.generated_tokens_right
    codes = [row for row in rows if row.experiment == "precision"]
    for label, code in (
        ("interleaved least s", "interleaved"),
        ("plain with offset", "plain, offset"),
        ("plain", "plain"),
    ):
        found = sorted(
            (row.variable["positions"], row.measure["precision"]) for row in codes if row.variable["code"] == code
        )
        assert len(found) == 11
        assert f"| {label} | {' | '.join(str(precision) for _, precision in found)} |" in page
    total = sum(row.generated_tokens for row in circuits)
    assert f"{total:,}" in (RECIPE / "README.md").read_text()
