"""Merging: each evaluation once, and never two truths."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from serialformer.errors import SweepError
from serialformer.sweeps.merge import merge_rows, merge_stores
from serialformer.sweeps.store import Store, read_rows
from tests.sweeps.runs import failed_row, made_row, make_run

ONE, TWO, THREE = (made_row(make_run(seed)) for seed in range(3))


def test_each_evaluation_once() -> None:
    elsewhere = replace(TWO, seconds=9.0, cpu_seconds=8.0, commit="f" * 40, device="another", versions='{"torch": "3"}')
    fresh = replace(ONE, evaluation="fresh")
    merged = merge_rows([("a", [ONE, TWO]), ("b", [elsewhere, fresh, ONE, THREE])])
    assert merged.rows == (ONE, TWO, fresh, THREE)
    assert (merged.num_repeated, merged.num_overcome) == (2, 0)


def test_failures_stay_until_overcome() -> None:
    failures = [failed_row(make_run(seed)) for seed in range(2)]
    merged = merge_rows([("a", failures), ("b", [failures[1], ONE])])
    assert merged.rows == (ONE, failures[1])
    assert (merged.num_repeated, merged.num_overcome) == (1, 1)


def test_two_truths_are_refused(tmp_path: Path) -> None:
    wrong = replace(ONE, chains=91)
    for name, rows in (("a", [ONE]), ("b", [wrong, TWO])):
        with Store(tmp_path / f"{name}.csv") as store:
            store.append(rows)
    a, b, output = (tmp_path / f"{name}.csv" for name in ("a", "b", "merged"))
    with pytest.raises(SweepError) as caught:
        merge_stores([a, b], output)
    assert f"run {ONE.run}, length 4 (final): chains is 90 in {a}, 91 in {b}" in str(caught.value)
    assert "hint: rounding on another machine" in str(caught.value) and not output.exists()


def test_stores_are_merged_without_their_torn_ends(tmp_path: Path) -> None:
    said = list[str]()
    for name, rows in (("a", [ONE]), ("b", [TWO, THREE])):
        with Store(tmp_path / f"{name}.csv") as store:
            store.append(rows)
    a, b, output = (tmp_path / f"{name}.csv" for name in ("a", "b", "merged"))
    b.write_bytes(b.read_bytes()[:-5])
    merge_stores([a, b], output, said.append)
    assert read_rows(output) == [ONE, TWO]
    assert len(said) == 1 and said[0].startswith(f"{b}: its last line is not whole (")
    # What was merged is a store: the sweep goes on in it.
    with Store(output) as store:
        store.append([THREE])
    merge_stores([output, a], tmp_path / "again.csv")
    assert read_rows(tmp_path / "again.csv") == [ONE, TWO, THREE]
