"""Rows of constructions without a chain: right with enough layers, and with fewer as often as predicted exactly."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from serialformer.constructions.task_depth import expected_accuracy, num_layers_needed, shallow_answers
from serialformer.models.score import wilson_interval
from serialformer.sweeps.row import Row
from serialformer.sweeps.store import read_rows
from serialformer.tasks.circuit_value import CircuitValue
from serialformer.tasks.registry import make_task

ROWS = read_rows(Path(__file__).parents[2] / "recipes" / "depth" / "expected.csv")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.task}-{row.parameters}-{row.length}-{row.depth}")
def test_rows_agree_with_the_prediction(row: Row) -> None:
    """Of circuit values no share is known exactly; so many rounds of another sample take its place."""
    task = make_task(row.task, json.loads(row.parameters))
    right = row.generated_answers
    low, high = wilson_interval(right, row.generated_samples, confidence=0.9999)
    if isinstance(task, CircuitValue):
        examples = task.sample(np.random.default_rng(7), row.length, 20_000)
        made = shallow_answers(task, examples.prompts, row.length, row.depth)
        expected, tolerance = float((made == examples.answers[:, 0]).mean()), 0.01
    else:
        expected, tolerance = float(expected_accuracy(task, row.length, row.depth)), 0.0
    assert low - tolerance <= expected <= high + tolerance
    if row.depth >= num_layers_needed(task, row.length):
        assert right == row.generated_samples
