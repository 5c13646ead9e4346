"""What a seed gives, kept in a file: a change of a sampler must be meant, and raises the task's version."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from serialformer.tasks.registry import TASKS, make_task

GOLDEN = Path(__file__).parents[1] / "golden" / "samples.json"
SAMPLES = 3


def sample(name: str) -> dict[str, object]:
    """The first samples of seed 0 of a task with its default parameters."""
    task = make_task(name, {})
    length = task.example_length
    vocabulary = task.vocabulary(length)
    examples = task.sample(np.random.default_rng(0), length, SAMPLES)
    return {
        "version": task.version,
        "length": length,
        "prompts": [" ".join(vocabulary[token] for token in row) for row in examples.prompts],
        "chains": [" ".join(vocabulary[token] for token in row) for row in examples.chains],
    }


@pytest.mark.parametrize("name", sorted(TASKS))
def test_samples_are_golden(name: str) -> None:
    assert sample(name) == json.loads(GOLDEN.read_text())[name]
