"""The command plot: what it draws by itself, what it prints, and how it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from serialformer.figures.bands import KINDS
from serialformer.figures.experiments import SHEETS
from serialformer.figures.measures import MEASURES
from serialformer.figures.plot import PAPER
from serialformer.figures.plot_files import KIND_NAMES, LOSS, MEASURE_NAMES
from serialformer.sweeps.store import Store
from serialformer.training.config import TrainingConfig
from tests.figures.rows import make_row


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "results.csv"
    rows = [make_row(90, depth=depth, setting=setting) for depth in (1, 2) for setting in ("base", "cot")]
    fresh = [
        make_row(right, task="majority", lengths=(4, 8), evaluation="fresh", evaluated_length=length)
        for right, length in ((80, 4), (90, 8))
    ]
    with Store(path) as opened:
        opened.append([*rows, *fresh, make_row(seed=9, status="failed", evaluation="", samples=0)])
    return path


def test_the_names_of_options() -> None:
    assert {*KINDS, PAPER, *SHEETS, LOSS} == set(KIND_NAMES) and tuple(MEASURES) == MEASURE_NAMES


def test_a_store(store: Path, cli: Any) -> None:
    figure = store.with_name("figure.png")
    result = cli("plot", store, "-o", figure)
    assert (result.status, result.err) == (0, "")
    assert result.out == f"figure: {figure}, kind: depth, rows: 7\n"
    before = figure.read_bytes()
    assert before.startswith(b"\x89PNG")
    assert cli("plot", store, "-o", figure, "--kind", "depth").status == 0
    assert figure.read_bytes() == before, "drawn again over itself, the same bytes"
    result = cli("plot", store, "-o", store.with_name("l.svg"), "--task", "majority", "--json")
    assert json.loads(result.out) == {"figure": str(store.with_name("l.svg")), "kind": "lengths", "rows": 7}
    for kind in ("heatmap", "generated", "samples"):
        assert cli("plot", store, "-o", figure, "--kind", kind, "--task", "parity").status == 0


def test_stores_put_together_count_once(store: Path, cli: Any) -> None:
    """A store beside itself, or behind itself, is that store."""
    twice = store.with_name("twice.csv")
    twice.write_bytes(2 * store.read_bytes())
    figures = [store.with_name(f"{name}.svg") for name in "abc"]
    for sources, figure in zip(((store,), (twice,), (store, twice)), figures, strict=True):
        assert cli("plot", *sources, "-o", figure).status == 0
    assert len({figure.read_bytes() for figure in figures}) == 1


def test_a_torn_store_is_drawn(store: Path, cli: Any) -> None:
    store.write_bytes(store.read_bytes()[:-5])
    result = cli("plot", store, "-o", store.with_name("figure.png"))
    assert result.status == 0 and "its last line is not whole" in result.err


def test_runs(tmp_path: Path, cli: Any) -> None:
    for setting in ("base", "cot"):
        config = TrainingConfig(task="parity", length=8, setting=setting)
        log = [{"step": 10 * step, "loss": 0.9**step} for step in range(1, 30)]
        (tmp_path / setting).mkdir()
        (tmp_path / setting / "run.json").write_text(json.dumps({"format": 1, "config": config.to_json()}))
        lines = [json.dumps(row) for row in (*log, {"step": 300, "chain_accuracy": 0.5})]
        (tmp_path / setting / "log.jsonl").write_text("\n".join([*lines, '{"step": 31']))
    figure = tmp_path / "loss.svg"
    result = cli("plot", tmp_path / "base", tmp_path / "cot", "-o", figure, "--kind", "loss")
    assert (result.status, result.out) == (0, f"figure: {figure}, kind: loss, runs: 2\n")
    assert b"<!-- base -->" in figure.read_bytes() and b"<!-- loss -->" in figure.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{store}", "-o", "{folder}/f.jpg"), "f.jpg: expected a name that ends in .png, .svg or .pdf, found .jpg"),
        (("nowhere.csv", "-o", "{folder}/f.gif"), "f.gif: expected a name that ends in"),
        (("nowhere.csv", "-o", "{folder}/f.png"), "nowhere.csv: no such file\nhint: check the path"),
        (("{folder}/empty.csv", "-o", "{folder}/f.png"), "no finished runs\nhint: serialformer sweep fills a store"),
        (("{folder}/text.csv", "-o", "{folder}/f.png"), "text.csv:1: is no store of a sweep"),
        (("{store}", "-o", "{folder}/f.png", "--kind", "pie"), "--kind: expected one of depth, paper, heatmap,"),
        (("{store}", "-o", "{folder}/f.png", "--measure", "luck"), "--measure: expected one of paper, generated,"),
        (("{store}", "-o", "{folder}/f.png", "--task", "sorting"), "--task: no rows of 'sorting'\nhint: it has parity"),
        (("{store}", "-o", "{folder}/f.png", "--kind", "loss"), "--kind loss: a store has no losses\nhint: give"),
        (("{store}", "{folder}", "-o", "{folder}/f.png"), "expected a store, or directories of runs, found both"),
        (("{folder}", "-o", "{folder}/f.png"), "log.jsonl: no log of a run\nhint: is this the directory of a run?"),
        (("{folder}", "-o", "{folder}/f.png", "--task", "parity"), "of directories of runs only the loss is drawn"),
        (("{store}", "-o", "{store}/f.png"), "f.png: cannot be written: "),
    ],
)
def test_refusals(store: Path, cli: Any, arguments: tuple[str, ...], message: str) -> None:
    store.with_name("empty.csv").write_text("")
    store.with_name("text.csv").write_text("a,b\n1,2\n")
    before = sorted(store.parent.iterdir())
    result = cli("plot", *(text.format(store=store, folder=store.parent) for text in arguments))
    assert result.status == 2 and result.err.startswith("error: ") and message in result.err
    assert result.out == "" and sorted(store.parent.iterdir()) == before


def test_without_matplotlib(store: Path) -> None:
    folder = store.parent / "path"
    folder.mkdir()
    (folder / "matplotlib.py").write_text("raise ImportError('no matplotlib', name='matplotlib')\n")
    command = [sys.executable, "-m", "serialformer", "plot", str(store), "-o", str(store.with_name("figure.png"))]
    run = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(folder)}
    )
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == "error: figures need matplotlib\nhint: pip install 'serialformer[plot]'\n"
    assert not store.with_name("figure.png").exists()
