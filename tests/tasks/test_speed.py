"""Samplers keep ahead of any trainer: a million tokens per second and more on one core, every task."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from serialformer.tasks.registry import TASKS

PROGRAM = """
import json, time
import numpy as np
from serialformer.tasks.registry import TASKS, make_task
rates = {}
for name in TASKS:
    task, random = make_task(name), np.random.default_rng(0)
    task.sample(random, 16, 1024)
    tokens, started = 0, time.process_time()
    while time.process_time() - started < 0.5:
        examples = task.sample(random, 16, 256)
        tokens += int(examples.prompt_lengths.sum() + examples.chain_lengths.sum())
    rates[name] = tokens / (time.process_time() - started)
print(json.dumps(rates))
"""


@pytest.mark.slow
def test_a_million_tokens_a_second() -> None:
    """In a process of its own: here every shape is checked at run time."""
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    rates = json.loads(run.stdout)
    assert set(rates) == set(TASKS) and min(rates.values()) > 1e6, rates
