"""The batches of a stack of models, drawn ahead of its steps, here or in other processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from functools import lru_cache
from json import dumps, loads

import numpy as np

from serialformer.arrays import Integer
from serialformer.tasks.layout import lay_out
from serialformer.tasks.task import Task
from serialformer.training.config import TrainingConfig
from serialformer.training.initial import make_generator

STEPS_AT_ONCE = 16
"""Steps whose batches travel together."""

DRAWN_AHEAD = 4
"""How many such spans are drawn while the device computes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Batches:
    """What the models of a stack read in some steps.

    Attributes:
        first: the first of these steps.
        tokens: of each step, model, sample and position.
        labels: the same, NO_LABEL where nothing is asked.
    """

    first: int
    tokens: Integer[np.ndarray, "steps models B T"]
    labels: Integer[np.ndarray, "steps models B T"]


def draw_batches(config: TrainingConfig, seeds: Sequence[int], steps: range) -> Batches:
    """The batches that ``train`` would draw for each of these seeds in these steps."""
    return _draw(dumps(replace(config, seed=0).to_json()), tuple(seeds), steps)


def batches_ahead(
    config: TrainingConfig, seeds: Sequence[int], steps: range, pool: Executor, *, most_at_once: int = STEPS_AT_ONCE
) -> Iterator[Batches]:
    """The batches of all steps, span by span, each drawn in the pool while earlier ones are used.

    No span crosses an evaluation.
    """
    text, seeds = dumps(replace(config, seed=0).to_json()), tuple(seeds)
    spans = iter(list(_spans(steps, config.evaluation.every, most_at_once)))
    waiting: deque[Future[Batches]] = deque()
    while True:
        while len(waiting) < DRAWN_AHEAD and (span := next(spans, None)) is not None:
            waiting.append(pool.submit(_draw, text, seeds, span))
        if not waiting:
            return
        yield waiting.popleft().result()


def _spans(steps: range, every: int, most: int) -> Iterator[range]:
    start = steps.start
    while start < steps.stop:
        stop = min(steps.stop, start + most, (start // every + 1) * every)
        yield range(start, stop)
        start = stop


@lru_cache(maxsize=64)
def _task_of(text: str) -> tuple[TrainingConfig, Task, np.ndarray]:
    config = TrainingConfig.from_json(loads(text))
    task, vocabulary = config.make_task(), config.architecture().vocabulary
    return config, task, np.array([vocabulary.index(word) for word in task.vocabulary(config.length)])


def _draw(text: str, seeds: tuple[int, ...], steps: range) -> Batches:
    config, task, ids = _task_of(text)
    layouts = []
    for step in steps:
        curriculum = None if config.curriculum is None else config.curriculum.at(step)
        setting = "hint" if step < config.hinted_steps else config.setting
        for seed in seeds:
            random = make_generator(seed, "batch", step)
            examples = task.sample(random, config.length, config.optimiser.batch_size, curriculum=curriculum)
            layouts.append(lay_out(task, examples.renumber(ids), setting, config.length))
    shape = (len(steps), len(seeds), config.optimiser.batch_size, -1)
    dtype = np.int16 if len(ids) < 1 << 15 else np.int32  # it travels between processes
    tokens, labels = (
        np.stack([getattr(layout, name) for layout in layouts]).astype(dtype).reshape(shape)
        for name in ("tokens", "labels")
    )
    return Batches(first=steps.start, tokens=tokens, labels=labels)
