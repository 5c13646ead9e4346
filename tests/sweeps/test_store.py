"""The store: it grows, it is mended, it refuses, and other tools read it."""

from __future__ import annotations

import csv
import json
import os
import re
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from serialformer.errors import SweepError
from serialformer.models.score import wilson_interval
from serialformer.sweeps.row import COLUMNS, DERIVED, Row
from serialformer.sweeps.store import HEADER, Store, format_row, read_rows
from tests.conftest import ROOT
from tests.sweeps.runs import failed_row, made_row, make_run

RUNS = [make_run(seed, lengths=(2,)) for seed in range(3)]


def rows_of(number: int) -> list[Row]:
    run = RUNS[number]
    return [made_row(run), made_row(run, evaluation="fresh", evaluated_length=2, chains=number)]


def test_rows_are_there_again(tmp_path: Path) -> None:
    path = tmp_path / "store.csv"
    with Store(path) as store:
        assert path.read_bytes() == HEADER
        store.append(rows_of(0))
        assert store.is_done(RUNS[0]) and not store.is_done(RUNS[1])
        store.append([failed_row(RUNS[1], 'a "reason", of\ntwo lines')])
        assert not store.is_done(RUNS[1]) and store.failed == {RUNS[1].id}
        store.append(rows_of(0))  # there already
    found = read_rows(path)
    assert found[:2] == rows_of(0) and len(found) == 3
    assert found[2].reason == 'a "reason", of | two lines'
    with Store(path) as store:
        assert store.is_done(RUNS[0]) and not store.is_done(RUNS[1]) and store.failed == {RUNS[1].id}
        store.append(rows_of(1))
    assert read_rows(path) == [*found, *rows_of(1)]


def test_a_store_torn_anywhere_is_mended(tmp_path: Path) -> None:
    path, said = tmp_path / "store.csv", list[str]()
    with Store(path) as store:
        store.append(rows_of(0))
    whole = path.read_bytes()
    ends = [len(HEADER), len(HEADER) + len(format_row(rows_of(0)[0])), len(whole)]
    for cut in range(0, len(whole), 37):
        path.write_bytes(whole[:cut])
        kept = max([0, *(end for end in ends if end <= cut)])
        said.clear()
        with Store(path, said.append) as store:
            torn = cut - kept
            assert said == ([f"{path}: its last line was not whole ({torn} bytes) and is cut off"] if torn else [])
            store.append(rows_of(0))
            assert store.is_done(RUNS[0])
        assert path.read_bytes() == whole


def test_what_is_no_store_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.csv"
    for content, message in (
        (b"a,b\n1,2\n", ":1: is no store of a sweep\nhint: choose another name"),
        (b"no line break", ":1: is no store of a sweep"),
        (HEADER.replace(b"heads,", b""), ":1: is a store of another version\nhint: use the release that made it"),
        (HEADER + b"1,2\n", f":2: expected {len(COLUMNS) + len(DERIVED)} cells, found 2"),
        (HEADER + b'"\n', ":2: is no line of a store"),
        (HEADER + b"\xff\n", ":2: is no line of a store"),
        (HEADER + format_row(replace(made_row(RUNS[0]), format=3)), ":2: expected format 2, found 3"),
        (
            HEADER + format_row(made_row(RUNS[0])).replace(b",100,90,", b",100,x,"),
            ":2: chains: expected a whole number",
        ),
    ):
        path.write_bytes(content)
        with pytest.raises(SweepError) as caught:
            Store(path)
        assert str(caught.value).startswith(f"{path}{message}")
        assert path.read_bytes() == content


def test_one_process_writes(tmp_path: Path) -> None:
    path = tmp_path / "store.csv"
    program = (
        "import sys; from serialformer.sweeps.store import Store; store = Store(sys.argv[1]);"
        "print('open', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "open\n"
        with pytest.raises(SweepError, match="is being written by another process\nhint: one sweep a store"):
            Store(path)
        assert read_rows(path) == []
        process.kill()
        process.wait()
    Store(path).close()


def test_a_full_disk_leaves_the_rows_before_it(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: the system writes what fits and refuses the rest."""
    path = tmp_path / "store.csv"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Store(path) as store:
        store.append(rows_of(0))
        size = path.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, limits[1]))
        try:
            with pytest.raises(SweepError, match="cannot be written: File too large\nhint: every row before this one"):
                store.append(rows_of(1))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert path.stat().st_size == size and not store.is_done(RUNS[1])
        store.append(rows_of(1))
    assert read_rows(path) == rows_of(0) + rows_of(1)


def test_an_unwritable_store(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, reason in ((tmp_path / "file" / "store.csv", ""), (tmp_path, "Is a directory")):
        with pytest.raises(SweepError, match=f"cannot be written: {reason}"):
            Store(path)
    if os.geteuid():  # root may write everywhere
        closed = tmp_path / "closed.csv"
        closed.touch(mode=0o400)
        with pytest.raises(SweepError, match="cannot be written: Permission denied"):
            Store(closed)


def test_stores_put_one_behind_the_other_are_read(tmp_path: Path) -> None:
    for number in (0, 1):
        with Store(tmp_path / f"{number}.csv") as store:
            store.append(rows_of(number))
    both = tmp_path / "both.csv"
    both.write_bytes((tmp_path / "0.csv").read_bytes() + (tmp_path / "1.csv").read_bytes())
    assert read_rows(both) == rows_of(0) + rows_of(1)


def test_pandas_and_duckdb_read_it(tmp_path: Path) -> None:
    import duckdb
    import pandas

    path = tmp_path / "store.csv"
    # An id that would be a number without its letter.
    rows = (
        [replace(row, run="r1234567890123e56") for row in rows_of(0)] + rows_of(1) + [failed_row(RUNS[2], "so, what")]
    )
    with Store(path) as store:
        store.append(rows)
    frame = pandas.read_csv(path)
    assert list(frame.columns) == [*COLUMNS, *DERIVED]
    assert frame["run"].tolist() == [row.run for row in rows]
    assert frame["reached_target"].dtype == bool and frame["chains"].sum() == 90 + 0 + 90 + 1
    assert json.loads(frame["config"][0])["config"]["task"] == "parity"
    query = (
        f"select evaluated_length, sum(chains), sum(samples) from read_csv('{path}') where status = 'done'"
        " group by 1 order by 1"
    )
    assert duckdb.sql(query).fetchall() == [(2, 1, 200), (4, 180, 200)]


def test_the_page_explains_every_column_in_order() -> None:
    page = (ROOT / "docs" / "formats" / "sweep.md").read_text()
    assert tuple(re.findall(r"^\| `(\w+)` \|", page, re.M)) == (*COLUMNS, *DERIVED)


def test_a_store_says_what_follows_from_the_counts(tmp_path: Path) -> None:
    schedule = json.dumps({"name": "neutral", "start": 0.8, "end": 0.0, "num_steps": 400})
    row = replace(rows_of(0)[0], setting="cot", samples=200, chains=50, answers=150, curriculum=schedule, steps=100)
    with Store(tmp_path / "store.csv") as store:
        store.append(
            [row, replace(row, setting="base", seed=1, run="r1", samples=0), replace(row, run="r2", status="failed")]
        )
    with (tmp_path / "store.csv").open(newline="") as file:
        found = [{name: line[name] for name in DERIVED} for line in csv.DictReader(file)]
    low, high = wilson_interval(50, 200)
    assert found[0] == {"accuracy": "0.2500", "low": f"{low:.4f}", "high": f"{high:.4f}", "curriculum_left": "0.6000"}
    assert found[1:] == [dict.fromkeys(DERIVED, "")] * 2
    assert read_rows(tmp_path / "store.csv")[0] == row
    assert replace(row, setting="hint").derived["accuracy"] == "0.7500", "answers, where there is no chain"
