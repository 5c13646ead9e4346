"""The batches of a stack of models, drawn ahead of its steps, here or in other processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from json import dumps, loads
from multiprocessing import get_context
from multiprocessing.connection import Connection

import numpy as np

from serialformer.arrays import Integer
from serialformer.errors import SerialformerError
from serialformer.tasks.examples import NO_LABEL
from serialformer.tasks.layout import lay_out, num_positions
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


@contextmanager
def batches_ahead(
    config: TrainingConfig, seeds: Sequence[int], steps: range, *, in_process: bool
) -> Iterator[Iterator[Batches]]:
    """The batches of all steps, span by span, drawn while earlier ones are used. No span crosses an evaluation.

    Args:
        config: of one of the models.
        seeds: of all.
        steps: which steps.
        in_process: whether a process of its own draws them, or a thread of this one.
    """
    text, seeds = dumps(replace(config, seed=0).to_json()), tuple(seeds)
    spans = list(_spans(steps, config.evaluation.every))
    if not in_process:
        with ThreadPoolExecutor(1) as pool:
            yield _drawn_in(pool, text, seeds, spans)
        return
    # Forked, a process would share the state of a GPU that is in use.
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(theirs, text, seeds, spans), daemon=True)
    process.start()
    theirs.close()
    try:
        yield (_received(ours) for _ in spans)
    finally:
        process.terminate()
        process.join()
        ours.close()


def _drawn_in(pool: Executor, text: str, seeds: tuple[int, ...], spans: Sequence[range]) -> Iterator[Batches]:
    waiting: deque[Future[Batches]] = deque()
    left = iter(spans)
    while True:
        while len(waiting) < DRAWN_AHEAD and (span := next(left, None)) is not None:
            waiting.append(pool.submit(_draw, text, seeds, span))
        if not waiting:
            return
        yield waiting.popleft().result()


def _send(pipe: Connection, text: str, seeds: tuple[int, ...], spans: Sequence[range]) -> None:
    """In a process of its own: draws each span, and waits until it has been taken."""
    with suppress(KeyboardInterrupt, BrokenPipeError):  # the process that reads has ended, and says so itself
        try:
            for span in spans:
                pipe.send(_draw(text, seeds, span))
        except SerialformerError as error:
            pipe.send(error)


def _received(pipe: Connection) -> Batches:
    found = pipe.recv()
    if isinstance(found, SerialformerError):
        raise found
    assert isinstance(found, Batches)
    return found


def _spans(steps: range, every: int) -> Iterator[range]:
    start = steps.start
    while start < steps.stop:
        stop = min(steps.stop, start + STEPS_AT_ONCE, (start // every + 1) * every)
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
    width = num_positions(task, config.setting, config.length)
    dtype = np.int16 if len(ids) < 1 << 15 else np.int32  # it travels between processes
    shape = (len(steps), len(seeds), config.optimiser.batch_size, width)
    return Batches(
        first=steps.start,
        tokens=_fill([layout.tokens for layout in layouts], width, 0).astype(dtype).reshape(shape),
        labels=_fill([layout.labels for layout in layouts], width, NO_LABEL).astype(dtype).reshape(shape),
    )


def _fill(parts: Sequence[np.ndarray], width: int, value: int) -> np.ndarray:
    """Batches of one width; positions after a sequence have no label, and nothing before it can see it."""
    return np.stack([np.pad(part, ((0, 0), (0, width - part.shape[1])), constant_values=value) for part in parts])
