"""The command train: what it prints and leaves, and how it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

QUICK = (
    *("--set", "model.width=16", "--set", "model.num_heads=2", "--set", "optimiser.batch_size=8"),
    *("--set", "evaluation.num_final_samples=50", "--set", "evaluation.every=20"),
)
PARITY = ("train", "parity", "--length", "4", "--setting", "cot", "--steps", "40", *QUICK)


def test_train_evaluate_run_and_train_on(tmp_path: Path, cli: Any) -> None:
    run = tmp_path / "run"
    result = cli(*PARITY, "--pointers", "--json", "-o", str(run))
    assert result.status == 0
    facts = json.loads(result.out)
    assert facts["steps"] == 40 and facts["cpu_seconds"] > 0 and facts["samples"] == 50
    assert {"chain_accuracy", "answer_accuracy", "generated_chain_accuracy"} <= facts.keys()
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in log if "loss" in row] == [10, 20, 30, 40]
    assert all(0 <= row["pointer_share"] <= 1 for row in log if "chain_accuracy" in row)

    assert cli("evaluate", str(run), "--samples", "20").status == 0
    assert cli("run", str(run), "--prompt", "0 1 1 0").status == 0
    info = json.loads(cli("info", str(run), "--json").out)
    assert (info["kind"], info["setting"], info["steps"]) == ("task", "cot", 40)

    # Ended: read again, with the same words.
    again = cli(*PARITY, "--pointers", "--json", "-o", str(run), "--resume")
    assert json.loads(again.out) == facts
    other = cli(*PARITY, "--pointers", "--seed", "1", "-o", str(run), "--resume")
    assert other.status == 2 and "is another run: seed 0 and not 1" in other.err

    # From the trained model, its shape included, whatever the configuration's.
    tuned = cli(*PARITY, "--from", str(run), "--seed", "1", "-o", str(tmp_path / "tuned"))
    assert tuned.status == 0
    assert json.loads(cli("info", str(tmp_path / "tuned"), "--json").out)["width"] == 16


def test_a_compiled_model_is_trained_on(tmp_path: Path, cli: Any) -> None:
    compiled, tuned = tmp_path / "compiled", tmp_path / "tuned"
    assert cli("construct", "parity", "--length", "4", "-o", str(compiled)).status == 0
    arguments = (*PARITY, "--set", "optimiser.learning_rate=1e-6", "--pointers", "--json")
    result = cli(*arguments, "--from", str(compiled), "-o", str(tuned))
    facts = json.loads(result.out)
    assert facts["reached_target"] and facts["chain_accuracy"] == 1
    log = [json.loads(line) for line in (tuned / "log.jsonl").read_text().splitlines()]
    assert log[-1]["pointer_share"] > 0.99


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "model.size=3"), "configuration: unknown key model.size"),
        (("--set", "model.width"), "--set: expected FIELD=VALUE, found 'model.width'\nhint: such as model.width=256"),
        (("--preset", "best"), "no preset 'best'\nhint: one of default, paper"),
        (("--device", "abacus"), "no device 'abacus'"),
        (("-p", "modulus=3"), "parity: no parameter 'modulus'"),
        (("--from", "nowhere"), "nowhere: no such checkpoint directory"),
    ],
)
def test_refusals_leave_nothing(tmp_path: Path, cli: Any, arguments: tuple[str, ...], message: str) -> None:
    result = cli(*PARITY, *arguments, "-o", str(tmp_path / "run"))
    assert result.status == 2 and message in result.err
    assert not list(tmp_path.iterdir())


def test_what_exists_is_not_written_over(tmp_path: Path, cli: Any) -> None:
    result = cli(*PARITY, "-o", str(tmp_path))
    assert result.status == 2 and "exists already" in result.err


def test_another_tasks_model_is_no_start(tmp_path: Path, cli: Any) -> None:
    assert cli("construct", "parity", "--length", "5", "-o", str(tmp_path / "five")).status == 0
    result = cli(*PARITY, "--from", str(tmp_path / "five"), "-o", str(tmp_path / "run"))
    assert (
        result.status == 2 and "is a model of ('parity', {}, 5, 'cot'), not of ('parity', {}, 4, 'cot')" in result.err
    )


@pytest.mark.parametrize(("has", "says"), [(False, True), (True, False), (None, False)])
def test_bfloat16_that_the_processor_lacks_is_mentioned(
    tmp_path: Path, cli: Any, monkeypatch: pytest.MonkeyPatch, has: bool | None, says: bool
) -> None:
    torch = pytest.importorskip("torch")
    told = {} if has is None else {"avx2": True, "avx512_bf16": has, "amx_bf16": False}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)
    changes = ("optimiser.precision=bfloat16", "model.width=16", "evaluation.num_final_samples=8")
    options = [part for change in changes for part in ("--set", change)]
    result = cli("train", "parity", "--setting", "base", "--length", 2, "--steps", 1, *options, "-o", tmp_path / "run")
    assert result.status == 0
    assert ("no instructions for bfloat16" in result.err) == says


def test_without_torch(tmp_path: Path) -> None:
    """The core is installed without it: training says what to install."""
    (tmp_path / "torch.py").write_text("raise ImportError('no torch', name='torch')\n")
    command = [sys.executable, "-m", "serialformer", *PARITY, "-o", str(tmp_path / "run")]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert run.returncode == 2
    assert run.stderr == "error: training needs torch\nhint: pip install 'serialformer[torch]'\n"
