"""The recipe of docs/concepts/bounds.md makes the rows that are committed, as far as it takes seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from serialformer.sweeps.recipe import load_recipe
from serialformer.sweeps.store import read_rows

RECIPE = Path(__file__).parents[2] / "recipes" / "bounds"


def test_the_small_part_is_what_is_expected(tmp_path: Path) -> None:
    store = tmp_path / "bounds.csv"
    command = [sys.executable, "-m", "serialformer", "sweep", f"{RECIPE / 'recipe.py'}:small", "-o", str(store)]
    subprocess.run([*command, "--workers", "1"], check=True, capture_output=True)
    expected = {row.run: row.measured for row in read_rows(RECIPE / "expected.csv")}
    made = read_rows(store)
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
