"""A sweep: the runs of a recipe that a store does not have, here or on a Ray cluster."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from serialformer.errors import SweepError
from serialformer.sweeps.recipe import load_recipe
from serialformer.training.start import require_torch

if TYPE_CHECKING:
    from serialformer.sweeps.collect import Sweep
    from serialformer.sweeps.executor import Event, Executor
    from serialformer.sweeps.experiment import Experiment


def sweep(
    recipe: str | os.PathLike[str] | Sequence[Experiment],
    output: str | os.PathLike[str],
    *,
    workers: int | None = None,
    ray: str | None = None,
    device: str = "cpu",
    gpus: float = 0.0,
    keep: bool = False,
    report: Callable[[Event], None] | None = None,
    begin: Callable[[Sequence[Experiment]], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Sweep:
    """Carries out the experiments of a recipe that a store does not have; called again, it resumes.

    Args:
        recipe: a Python file (or its folder) with a function ``runs()``, ``FILE.py:NAME``, or the experiments
            themselves.
        output: the store to append to.
        workers: processes on this machine; as many as it has cores if None.
        ray: ``auto`` or the address of a Ray cluster to carry the runs out on.
        device: where models train, ``cpu`` or ``cuda``.
        gpus: with ``ray``: the share of a GPU that a run takes.
        keep: whether to keep the directories of finished runs.
        report: is told what is heard of the runs, once it is stored.
        begin: is told which runs are to be done, before the first.
        say: is told what people should know; standard error if None.

    Raises:
        SweepError: options that cannot be combined, a recipe that is none, or a store or an executor that cannot
            continue; what is stored stays.
        TrainingError: torch is not installed.
    """
    require_torch()
    from serialformer.sweeps.collect import collect

    say = say or _say
    check_options(workers=workers, ray=ray, device=device, gpus=gpus, keep=keep)
    if isinstance(recipe, str | os.PathLike):
        runs, num_repeated = load_recipe(os.fspath(recipe))
        if num_repeated:
            say(f"{recipe}: {num_repeated} of its runs are listed more than once; each is done once")
    else:
        runs = list(recipe)

    def make_executor() -> Executor:
        if ray is not None:
            from serialformer.sweeps.ray import RayExecutor

            return RayExecutor(ray, device="cuda" if gpus else device, num_gpus=gpus)
        from serialformer.sweeps.local import LocalExecutor, runs_directory

        return LocalExecutor(runs_directory(Path(output)), num_workers=workers, device=device, keep=keep)

    return collect(runs, Path(output), make_executor, report=report, begin=begin, say=say)


def check_options(
    *,
    workers: int | None,
    ray: str | None,
    device: str,
    gpus: float,
    keep: bool,
    stacks: int | None = None,
    minutes: float | None = None,
) -> None:
    """Refuses options that cannot be combined.

    Raises:
        SweepError: says which.
    """
    if stacks is None and minutes is not None:
        raise SweepError("--minutes requires --stacks", hint="Ctrl-C ends a sweep, and the same command resumes it")
    if stacks is not None and (workers is not None or ray is not None or gpus or keep):
        raise SweepError("--stacks cannot be combined with --workers, --ray, --gpus or --keep", hint="--device cuda")
    if ray is not None and (workers is not None or keep):
        raise SweepError("--ray cannot be combined with --workers or --keep", hint="the cluster's CPUs are what it has")
    if ray is None and gpus:
        raise SweepError("--gpus requires --ray", hint="--device cuda")
    if ray is not None and device != "cpu" and not gpus:
        raise SweepError("with --ray, --gpus gives each run its GPU", hint="--gpus 1, or --gpus 0.25 for four at once")


def _say(text: str) -> None:
    print(text, file=sys.stderr)
