"""The recipe of docs/concepts/precision.md makes the tables that are committed, as far as it takes seconds."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "precision"


def test_the_small_part_is_what_is_expected(tmp_path: Path) -> None:
    command = [sys.executable, str(RECIPE / "recipe.py"), "-o", str(tmp_path), "--largest", "5"]
    subprocess.run(command, check=True, capture_output=True)
    for name in ("codes.csv", "circuits.csv"):
        made = (tmp_path / name).read_text().splitlines()
        assert len(made) == 3
        assert made == (RECIPE / "expected" / name).read_text().splitlines()[:3]


def expected_rows(name: str) -> list[dict[str, str]]:
    with (RECIPE / "expected" / name).open() as file:
        return list(csv.DictReader(file))


def test_the_page_shows_the_expected_tables() -> None:
    page = (ROOT / "docs" / "concepts" / "precision.md").read_text().replace(",", "")
    circuits = expected_rows("circuits.csv")
    assert len(circuits) == 11
    for row in circuits:
        assert f"| {' | '.join(row.values())} |" in page
        assert row["tokens"] == row["tokens_right"]
    codes = expected_rows("codes.csv")
    for label, column in (
        ("interleaved least s", "interleaved"),
        ("plain with offset", "plain_with_offset"),
        ("plain", "plain"),
    ):
        assert f"| {label} | {' | '.join(row[column] for row in codes)} |" in page
    total = sum(int(row["tokens"]) for row in circuits)
    assert f"{total:,}" in (RECIPE / "README.md").read_text()
