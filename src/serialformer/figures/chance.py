"""Chance: what always saying a task's most common answer would score."""

from __future__ import annotations

import json
from functools import cache

import numpy as np

from serialformer.errors import TaskError
from serialformer.python_file import split_reference
from serialformer.tasks.registry import make_task

NUM_SAMPLES = 65_536
MAX_TOKENS = 1 << 22
"""Of a batch of prompts and chains; larger tasks are sampled in several."""


@cache
def chance_level(task: str, parameters: str, length: int) -> float | None:
    """The share of samples that have the most common answer; None if the task is a user's, or no longer exists.

    Estimated from 65,536 samples of the task's own distribution: chosen on one half, counted on the other, lest luck
    favour it. The standard error is at most 0.3 %.

    Args:
        task: its name.
        parameters: the JSON object that a store holds.
        length: the number of items.

    >>> round(chance_level("parity", "{}", 8), 1)
    0.5
    """
    if split_reference(task) is not None:
        return None  # a store does not decide which files are run
    try:
        known = make_task(task, json.loads(parameters))
        known.check_size(length, 1)
    except TaskError:
        return None
    tokens = known.prompt_width(length) + known.chain_width(length)
    batch = min(NUM_SAMPLES, max(1, MAX_TOKENS // tokens))
    random = np.random.default_rng(0)
    batches = [known.sample(random, length, batch).answers for _ in range(-(-NUM_SAMPLES // batch))]
    values, numbers = np.unique(np.concatenate(batches), axis=0, return_inverse=True)
    first, second = np.array_split(numbers.ravel(), 2)
    chosen = np.bincount(first, minlength=len(values)).argmax()
    return float((second == chosen).mean())
