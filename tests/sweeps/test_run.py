"""Runs as values: what their id hangs on, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from serialformer.errors import SerialformerError
from serialformer.sweeps.run import SweepRun
from serialformer.training.config import TrainingConfig
from tests.sweeps.runs import make_run

PLAIN = TrainingConfig(task="modular-addition", length=6, setting="cot")


def test_the_id_is_of_the_value_alone() -> None:
    run = SweepRun(config=PLAIN, lengths=(3, 6))
    same = SweepRun(
        config=TrainingConfig(task="modular-addition", parameters={"modulus": 7}, length=6, setting="cot"),
        lengths=(3, 6),
    )
    assert run == same and run.id == same.id
    others = [
        SweepRun(config=PLAIN),
        SweepRun(config=PLAIN, lengths=(6, 3)),
        SweepRun(config=PLAIN, lengths=(3, 6), num_samples=1001),
        SweepRun(config=PLAIN, lengths=(3, 6), seed=1),
        SweepRun(config=replace(PLAIN, seed=1), lengths=(3, 6)),
    ]
    assert len({run.id, *(other.id for other in others)}) == 6


def test_the_canonical_form() -> None:
    run = SweepRun(config=PLAIN)
    content = json.loads(run.canonical)
    assert content["semantics"] == 1 and content["task_version"] == PLAIN.make_task().version
    assert run.canonical == json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert SweepRun.from_fields(content) == run
    # Another process, with another seed of Python's own hash, says the same; also of 0 where 0.0 is meant.
    program = (
        "from serialformer.sweeps.run import SweepRun;"
        "from serialformer.training.config import OptimiserConfig, TrainingConfig;"
        "optimiser = OptimiserConfig(weight_decay=0);"
        "config = TrainingConfig(task='modular-addition', length=6, setting='cot', optimiser=optimiser);"
        "print(SweepRun(config=config).id)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert said.stdout.strip() == run.id


def test_the_id_counts_the_tasks_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = SweepRun(config=PLAIN)
    identity = before.id
    monkeypatch.setattr(type(PLAIN.make_task()), "version", 99)
    assert SweepRun(config=PLAIN).id != identity
    with pytest.raises(SerialformerError, match="run: expected task_version 99, found 1"):
        SweepRun.from_fields(json.loads(before.canonical))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lengths": (7,)}, "with a max_length of 6 it has 12 positions .*; length 7 takes 14"),
        ({"lengths": (0,)}, "run of modular-addition: length 0"),
        ({"lengths": (3, 3)}, "a length is given twice"),
        ({"num_samples": 0}, "expected at least one sample"),
        ({"config": replace(PLAIN, initial="0" * 64)}, "starts from given weights, which a sweep does not carry"),
        ({"config": replace(PLAIN, evaluation=replace(PLAIN.evaluation, pointers=True))}, "pointers are measured by"),
    ],
)
def test_refusals(change: dict[str, object], message: str) -> None:
    with pytest.raises(SerialformerError, match=message):
        SweepRun(**({"config": PLAIN} | change))


def test_what_is_no_run() -> None:
    for content in ({}, {**make_run().fields_to_json(), "more": 1}):
        with pytest.raises(SerialformerError, match="run: expected an object of config, lengths, num_samples, seed"):
            SweepRun.from_fields(content)
