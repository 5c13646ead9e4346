"""A sweep on one GPU: models that differ in their seeds train as one program, several such programs side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from json import dumps
from pathlib import Path
from shutil import rmtree
from threading import Event

import torch

from serialformer.errors import SweepError
from serialformer.sweeps.experiment import Experiment, Surroundings
from serialformer.sweeps.local import runs_directory
from serialformer.sweeps.row import Row
from serialformer.sweeps.store import Say, Store
from serialformer.sweeps.training_experiment import TrainingExperiment
from serialformer.sweeps.work import carry_out, explain, failed_row
from serialformer.training.loop import check_device
from serialformer.training.stacked import StackReport, can_stack, train_stack


@dataclass(frozen=True, kw_only=True)
class StackSweep:
    """What a call did, in numbers of models.

    Attributes:
        num_models: that ended, and whose rows are in the store.
        num_failed: that failed, with a row that says why.
        num_left: that the store still lacks.
        seconds: on the clock.
    """

    num_models: int
    num_failed: int
    num_left: int
    seconds: float


def sweep_stacks(
    runs: Sequence[TrainingExperiment],
    store: str | Path,
    *,
    device: str = "cuda",
    seconds: float = float("inf"),
    num_stacks: int = 8,
    in_processes: bool = True,
    say: Say = print,
    progress: Callable[[str, StackReport], None] | None = None,
) -> StackSweep:
    """Trains the runs that a store does not have, as many as end in time, and appends their rows.

    On a GPU, products of float32 are computed in TF32: ten bits of mantissa, sums in float32.

    Stacks begin in the order of their first run. A stack that has not ended in time leaves nothing; the next call
    trains it from its beginning.

    Args:
        runs: each once.
        store: to append to.
        device: where they train.
        seconds: no step is begun after them. What has ended by then is still evaluated.
        num_stacks: how many train at once, each in a thread of its own.
        in_processes: whether the batches of each stack are drawn in a process of its own, or in a thread.
        say: is told of every stack that has ended.
        progress: called now and then with the title of a stack and how far it is.

    Raises:
        SweepError: the store cannot be read or written; what is stored stays.
        TrainingError: the device is not there.
        KeyboardInterrupt: on Ctrl-C; what is stored stays.
    """
    started, interrupted = time.monotonic(), Event()
    check_device(device)
    if device != "cpu":
        torch.set_float32_matmul_precision("high")

    def stop() -> bool:
        return interrupted.is_set() or time.monotonic() > started + seconds

    directory, num_models, num_failed = runs_directory(store), 0, 0
    with Store(store, say) as opened:
        left = [run for run in runs if not opened.is_done(run)]
        with ThreadPoolExecutor(num_stacks) as threads:
            train = partial(
                _train,
                directory=directory,
                device=device,
                stop=stop,
                in_process=in_processes,
                progress=progress,
            )
            begun: dict[Future[list[list[Row]]], list[TrainingExperiment]] = {
                threads.submit(train, stack): stack for stack in _stacks(left)
            }
            try:
                for future in as_completed(begun):
                    stack = begun[future]
                    try:
                        ended = future.result()
                    except Exception as error:  # whatever it is, it is this stack's
                        reason = explain(error, directory)
                        opened.append([failed_row(run, reason, device=device) for run in stack])
                        num_failed += len(stack)
                        say(f"{stack[0].title}: failed: {reason}")
                        continue
                    for rows in ended:
                        opened.append(rows)
                    num_models += len(ended)
                    for run in stack:
                        rmtree(directory / run.id, ignore_errors=True)
                    if ended:
                        say(f"{stack[0].title}: {len(ended)} models")
            finally:
                interrupted.set()
                threads.shutdown(cancel_futures=True)
                if directory.exists() and not any(directory.iterdir()):
                    directory.rmdir()
    return StackSweep(
        num_models=num_models,
        num_failed=num_failed,
        num_left=len(left) - num_models - num_failed,
        seconds=time.monotonic() - started,
    )


def check_stackable(runs: Sequence[Experiment]) -> list[TrainingExperiment]:
    """The runs, if all of them can train in stacks.

    Raises:
        SweepError: one trains no model, or trains one in a way that a stack does not have.
    """
    found = []
    for run in runs:
        if not isinstance(run, TrainingExperiment):
            raise SweepError("trains no model, and cannot be in a stack", where=run.title, hint="leave out --stacks")
        if not can_stack([run.config]):
            raise SweepError(
                "trains on several lengths, from given weights, or is an extension, which a stack does not do",
                where=run.title,
                hint="leave out --stacks",
            )
        found.append(run)
    return found


def _stacks(runs: Sequence[TrainingExperiment]) -> Iterator[list[TrainingExperiment]]:
    """The runs that differ in the seed of their training only, together."""
    stacks: dict[str, list[TrainingExperiment]] = {}
    for run in runs:
        config = replace(run.config, seed=0).to_json()
        key = dumps([run.kind, {**run.fields_to_json(), "config": config}])
        stacks.setdefault(key, []).append(run)
    yield from stacks.values()


def _train(
    stack: Sequence[TrainingExperiment],
    *,
    directory: Path,
    device: str,
    stop: Callable[[], bool],
    in_process: bool,
    progress: Callable[[str, StackReport], None] | None,
) -> list[list[Row]]:
    """The rows of each model of a stack; none if it has not ended in time."""
    if stop():
        return []
    directory.mkdir(parents=True, exist_ok=True)
    places = [directory / run.id for run in stack]
    for place in places:
        rmtree(place, ignore_errors=True)  # of a call that was interrupted
    train_stack(
        [run.config for run in stack],
        places,
        device=device,
        stop=stop,
        in_process=in_process,
        progress=None if progress is None else partial(progress, stack[0].title),
    )
    ended = [(run, place) for run, place in zip(stack, places, strict=True) if place.exists()]
    if len(ended) < len(stack):  # an average over some seeds of a cell would favour those that are learned fast
        for _, place in ended:
            rmtree(place)
        return []
    return [carry_out(run, Surroundings(directory=place, device=device)) for run, place in ended]
