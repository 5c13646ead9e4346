"""The commands sweep and merge: what they print, their exit status, Ctrl-C, and how they refuse."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from serialformer.cli import sweep_progress
from serialformer.cli.sweep_progress import SweepProgress, describe
from serialformer.sweeps.executor import Event
from serialformer.sweeps.recipe import load_recipe
from serialformer.sweeps.store import Store, read_rows
from tests.sweeps.runs import failed_row, made_row, make_run

RECIPE = """from serialformer.sweeps.run import SweepRun
from serialformer.training.config import EvaluationConfig, ModelConfig, OptimiserConfig, TrainingConfig


def parity(seed, num_steps=20, rate=1e-3):
    return SweepRun(
        config=TrainingConfig(
            task="parity", length=4, setting="cot", seed=seed, model=ModelConfig(width=16, num_heads=2),
            optimiser=OptimiserConfig(
                num_steps=num_steps, batch_size=8, warmup_steps=0, learning_rate=rate, clip_norm=None
            ),
            evaluation=EvaluationConfig(every=10, num_samples=16, num_final_samples=32, num_generated=4),
        )
    )


def runs():
    return [parity(0), parity(1, rate=1e30), parity(0)]


def long():
    return [parity(0), parity(2, num_steps=1_000_000)]
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.py"
    path.write_text(RECIPE)
    return path


def test_a_sweep(recipe: Path, cli: Any) -> None:
    output = recipe.with_name("results.csv")
    result = cli("sweep", recipe, "-o", output, "--workers", "1")
    assert result.status == 1, "a run failed"
    assert result.out == f"{output}: 2 runs; 0 were there, 1 done now, 1 failed\n"
    repeated, *lines = result.err.splitlines()
    assert repeated == f"{recipe}: 1 of its runs are listed more than once; each is done once"
    assert any(
        re.match(r"\d/2 done r[0-9a-f]{16} parity cot length 4 depth 1 seed 0: accuracy", line) for line in lines
    )
    assert any("failed" in line and "seed 1: the loss is nan at step" in line for line in lines)

    # What failed is tried again by the next call; with that out of the way, nothing is left to do.
    good = recipe.with_name("good.py")
    good.write_text(RECIPE.replace(", parity(1, rate=1e30), parity(0)]", "]"))
    before = output.read_bytes()
    again = cli("sweep", good, "-o", output, "--json")
    assert again.status == 0 and again.err == "" and output.read_bytes() == before
    assert json.loads(again.out) == {
        **{"num_runs": 1, "num_skipped": 1, "num_done": 0, "num_failed": 0},
        "store": str(output),
    }


def test_ctrl_c_on_a_terminal(recipe: Path) -> None:
    """A live table, then one line; what is finished stays, and the rest is saved."""
    output = recipe.with_name("results.csv")
    command = [sys.executable, "-m", "serialformer", "sweep", f"{recipe}:long", "-o", str(output), "--workers", "2"]
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "150"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs, env=environment)
    os.close(theirs)
    shown, pressed, deadline = "", False, time.monotonic() + 100
    while time.monotonic() < deadline:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                data = os.read(ours, 1 << 16)
            except OSError:
                break  # the other end is closed
            shown += data.decode()
        table = "1 of 2 runs done" in shown and re.search(r"seed 2 +step [1-9]\d*/1000000", shown)
        if table and not pressed:
            process.send_signal(signal.SIGINT)
            pressed = True
    assert pressed and process.wait(30) == 130
    assert shown.splitlines()[-1].endswith(f"interrupted: 1 of 2 runs are in {output}; the same command resumes")
    (run, unfinished), _ = load_recipe(f"{recipe}:long")
    assert [row.run for row in read_rows(output)] == [run.id]
    assert (output.with_suffix(".runs") / unfinished.id / "state.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere.py",), "nowhere.py: no such file\nhint: a sweep is a Python file with a function runs()"),
        (("{recipe}:other",), "{recipe}: has no function other()"),
        (("{recipe}", "--ray", "auto", "--workers", "2"), "--ray cannot be combined with --workers or --keep"),
        (("{recipe}", "--gpus", "1"), "--gpus requires --ray\nhint: --device cuda"),
        (("{recipe}", "--ray", "auto", "--device", "cuda"), "with --ray, --gpus gives each run its GPU"),
    ],
)
def test_refusals(recipe: Path, cli: Any, arguments: tuple[str, ...], message: str) -> None:
    output = recipe.with_name("results.csv")
    result = cli("sweep", *(text.format(recipe=recipe) for text in arguments), "-o", output)
    assert result.status == 2 and message.format(recipe=recipe) in result.err
    assert not output.exists()


def test_a_store_that_is_none(recipe: Path, cli: Any) -> None:
    result = cli("sweep", recipe, "-o", recipe)
    assert result.status == 2 and f"error: {recipe}:1: is no store of a sweep" in result.err
    assert recipe.read_text() == RECIPE


def test_merge(tmp_path: Path, cli: Any) -> None:
    runs = [make_run(seed) for seed in range(2)]
    for name, rows in (("a", [made_row(runs[0]), failed_row(runs[1])]), ("b", [made_row(run) for run in runs])):
        with Store(tmp_path / f"{name}.csv") as store:
            store.append(rows)
    merged = tmp_path / "merged.csv"
    result = cli("merge", tmp_path / "a.csv", tmp_path / "b.csv", "-o", merged)
    assert result.status == 0 and result.err == ""
    assert result.out == f"{merged}: 2 rows; left out 1 said twice and 1 failures of runs that were done\n"
    again = cli("merge", tmp_path / "a.csv", "-o", merged)
    assert again.status == 2 and "exists already" in again.err
    wrong = cli("merge", tmp_path / "recipe.py", "-o", tmp_path / "other.csv")
    assert wrong.status == 2 and "no such file" in wrong.err
    facts = json.loads(cli("merge", merged, "-o", tmp_path / "c.csv", "--json").out)
    assert facts == {"rows": 2, "repeated": 0, "failures_overcome": 0, "store": str(tmp_path / "c.csv")}


def test_time_left_follows_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(sweep_progress, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    runs = [make_run(seed, num_steps=100) for seed in range(4)]
    progress = SweepProgress(5)
    progress.begin(runs)
    assert progress.num_stored == 1 and progress.seconds_left() is None
    now[0] += 30
    progress.report(Event(run=runs[0], state="done", step=100, accuracy=0.5, seconds=61.0))
    progress.report(Event(run=runs[1], state="advanced", step=50))
    assert progress.seconds_left() == pytest.approx(30 * 2.5 / 1.5)
    assert describe(Event(run=runs[1], state="again", reason="a\nb")).endswith("seed 1: a | b")


def test_without_torch(tmp_path: Path, recipe: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('no torch', name='torch')\n")
    command = [sys.executable, "-m", "serialformer", "sweep", str(recipe), "-o", str(tmp_path / "results.csv")]
    run = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(tmp_path)}
    )
    assert run.returncode == 2
    assert run.stderr == "error: training needs torch\nhint: pip install 'serialformer[torch]'\n"
