"""Rows that nobody measured, for figures, and matplotlib's axes to draw them on."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cache
from typing import Any

from serialformer.sweeps.row import Row
from serialformer.sweeps.run import SweepRun
from serialformer.tasks.curriculum import Curriculum
from serialformer.training.config import EvaluationConfig, ModelConfig, TrainingConfig
from tests.sweeps.runs import made_row


def make_row(
    right: int = 90,
    *,
    task: str = "parity",
    setting: str = "cot",
    length: int = 8,
    depth: int = 1,
    seed: int = 0,
    width: int = 64,
    curriculum: Curriculum | None = None,
    target: float | None = 0.999,
    config: dict[str, Any] | None = None,
    lengths: tuple[int, ...] = (),
    **fields: Any,
) -> Row:
    """A row of a run in which so many of a hundred were right, by every count; ``fields`` are columns."""
    run = SweepRun(
        config=TrainingConfig(
            task=task,
            length=length,
            setting=setting,
            seed=seed,
            model=ModelConfig(num_layers=depth, width=width),
            evaluation=EvaluationConfig(target=target),
            curriculum=curriculum,
            **(config or {}),
        ),
        lengths=lengths,
    )
    counts = {
        "parameters": json.dumps(run.config.make_task().parameters),
        "samples": 100,
        "chains": right,
        "answers": right,
        "answer_tokens": 100,
        "answer_tokens_right": right,
        "generated_samples": 100,
        "generated_chains": right,
        "generated_answers": right,
        "curriculum": json.dumps(asdict(curriculum)) if curriculum else "",
    }
    return made_row(run, **(counts | fields))


@cache
def grid(**fields: Any) -> list[Row]:
    """Two tasks, three settings, two lengths, three depths, two seeds; each number of right answers is its own."""
    rows, place = [], 0
    for task in ("parity", "modular-addition"):
        for setting in ("base", "hint", "cot"):
            for length in (4, 8):
                for depth in (1, 2, 4):
                    for seed in (0, 1):
                        place += 1
                        right = place % 97
                        names = {"task": task, "setting": setting, "length": length, "depth": depth, "seed": seed}
                        rows.append(make_row(right, **(names | fields)))
    return rows
