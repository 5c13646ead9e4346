"""Chance: what can be scored on a task without solving it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

import numpy as np

from serialformer.arrays import Int64
from serialformer.errors import TaskError
from serialformer.python_file import split_reference
from serialformer.tasks.registry import make_task

NUM_SAMPLES = 65_536
MAX_TOKENS = 1 << 22
"""Of a batch of prompts and chains; larger tasks are sampled in several."""

MOST_COMMON = "always the most common answer"


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
    return shallow_levels(task, parameters, length).get(MOST_COMMON)


@cache
def shallow_levels(task: str, parameters: str, length: int, *, num_steps: int | None = None) -> Mapping[str, float]:
    """The share of samples that the best guess from each shallow view of the prompt gets right, by what is seen.

    The first sees nothing and always gives the most common answer; the others are ``Task.shallow_views``. Estimated as
    in ``chance_level``; where a view has many values, the estimate is a little low, since rare ones have few samples
    to choose a guess from.

    Args:
        task: its name.
        parameters: the JSON object that a store holds.
        length: the number of items.
        num_steps: only prompts whose chain has this number of tokens; all if None.

    Returns:
        Nothing if the task is a user's, or no longer exists.

    >>> {name: round(share, 1) for name, share in shallow_levels("circuit-value", "{}", 8).items()}
    {'always the most common answer': 0.5, "the last gate's type": 0.8, "its inputs' types as well": 0.9}
    """
    if split_reference(task) is not None:
        return {}  # a store does not decide which files are run
    try:
        known = make_task(task, json.loads(parameters))
        known.check_size(length, 1)
    except TaskError:
        return {}
    tokens = known.prompt_width(length) + known.chain_width(length)
    batch = min(NUM_SAMPLES, max(1, MAX_TOKENS // tokens))
    random = np.random.default_rng(0)
    answers, views = [], dict[str, list[Int64[np.ndarray, "rows _"]]]()
    for _ in range(-(-NUM_SAMPLES // batch)):
        examples = known.sample(random, length, batch)
        if num_steps is not None:
            examples = examples.select(np.flatnonzero(examples.chain_lengths == num_steps))
        answers.append(examples.answers)
        for name, view in known.shallow_views(examples.prompts, length).items():
            views.setdefault(name, []).append(view)
    numbers = _number(np.concatenate(answers))
    nothing = np.zeros(len(numbers), dtype=np.int64)
    shares = {MOST_COMMON: _guess(nothing, numbers)}
    shares |= {name: _guess(_number(np.concatenate(parts)), numbers) for name, parts in views.items()}
    return MappingProxyType(shares)


def _number(values: Int64[np.ndarray, "rows _"]) -> Int64[np.ndarray, " rows"]:
    """Equal rows have equal numbers."""
    return np.unique(values, axis=0, return_inverse=True)[1].ravel()


def _guess(seen: Int64[np.ndarray, " rows"], answers: Int64[np.ndarray, " rows"]) -> float:
    """What the most common answer for what is seen scores, chosen on the first half and counted on the second.

    >>> _guess(np.array([0, 1, 0, 1]), np.array([5, 7, 5, 7]))
    1.0
    """
    half = len(seen) // 2
    pairs, counts = np.unique(np.stack([seen[:half], answers[:half]], axis=1), axis=0, return_counts=True)
    order = np.argsort(counts, kind="stable")
    guesses = np.full(int(seen.max()) + 1, np.bincount(answers[:half]).argmax())
    guesses[pairs[order, 0]] = pairs[order, 1]
    return float((guesses[seen[half:]] == answers[half:]).mean())
