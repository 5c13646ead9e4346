"""Training by name: from a task, a setting and a length, or from a configuration, to a trained model."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from serialformer.errors import CompileError, InputError, TrainingError
from serialformer.models.load import load
from serialformer.models.model import Model
from serialformer.python_file import split_reference
from serialformer.tasks.registry import find_reference
from serialformer.tasks.task import ParameterValue, Task
from serialformer.training.config import TrainingConfig
from serialformer.training.presets import make_config
from serialformer.transformer.transformer import Transformer

if TYPE_CHECKING:
    from serialformer.training.loop import Execution, Report, TrainingResult


def configure(
    task: str | Task,
    *,
    length: int,
    setting: str = "cot",
    depth: int = 1,
    parameters: Mapping[str, ParameterValue] | None = None,
    seed: int = 0,
    steps: int | None = None,
    preset: str = "default",
    changes: Mapping[str, str] | None = None,
    pointers: bool = False,
) -> TrainingConfig:
    """The configuration of a training run.

    Args:
        task: a task; or its name, a short name of the paper's, or ``FILE.py:Class``.
        length: the number of items.
        setting: ``base``, ``cot``, ``hint``, ``aligned`` or ``filler``: what the model reads and predicts.
        depth: layers.
        parameters: of a task that is given by its name.
        seed: of initial weights and samples.
        steps: steps at most; None for the preset's. With fewer than the preset's, the warm-up, the curriculum and the
            decay are shortened in proportion.
        preset: ``default`` (tuned for the task), or ``paper``.
        changes: other values of fields, such as ``{"model.width": "256"}``.
        pointers: whether to log how much attention goes where the task's construction reads.

    Raises:
        TaskError: there is no such task, parameter, length or setting.
        TrainingError: there is no such preset or field, or a value does not fit.

    >>> configure("parity", length=8, changes={"model.width": "64"}).model.width
    64
    """
    if isinstance(task, Task):
        if parameters:
            raise TrainingError("a task that is made already has its parameters", where="parameters")
        parameters, task = task.parameters, find_reference(task)
    config = make_config(
        task, parameters=parameters, length=length, setting=setting, num_layers=depth, seed=seed, preset=preset
    ).with_values(changes or {})
    if steps is not None:
        config = config.with_steps(steps, scaled=True)
    return replace(config, evaluation=replace(config.evaluation, pointers=True)) if pointers else config


def train(
    task: str | Task | TrainingConfig,
    directory: str | os.PathLike[str],
    *,
    initial: Model | str | os.PathLike[str] | None = None,
    execution: Execution | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Callable[[Report], None] | None = None,
    say: Callable[[str], None] | None = None,
    **options: Any,
) -> TrainingResult:
    """Trains a model of a task on fresh samples, resumes a run, or reads the result of one that has ended.

    Args:
        task: a configuration; or a task, its name, a short name of the paper's, or ``FILE.py:Class``, and then
            ``options`` are those of ``configure``.
        directory: of the run: configuration, log, state, and a checkpoint that every other function takes.
        initial: start from this model of the same task, setting and length, constructed or trained.
        execution: where and how.
        resume: whether to continue the run in the directory, if there is one. If it has fewer steps than are asked for,
            it is extended by a second schedule, which starts at a tenth of its learning rate.
        overwrite: whether a directory that serialformer wrote there is replaced.
        progress: called after every step.
        say: called with what people should know before the run begins; standard error if None.

    Raises:
        TaskError: there is no such task, parameter, length or setting.
        InputError: the model to start from is not of this task, setting and length.
        TrainingError: torch is not installed, the directory is that of another run, or the device is not there.
        CheckpointError: the directory exists, and neither ``resume`` nor ``overwrite`` is asked for.
        KeyboardInterrupt: on Ctrl-C, once the state is saved.
    """
    require_torch()
    from serialformer.training import loop

    say = say or _say
    if isinstance(task, TrainingConfig):
        if options:
            raise TrainingError(f"a configuration and {', '.join(options)} as well", hint="change the configuration")
        config = task
    else:
        config = configure(task, **options)
    start = None
    if initial is not None:
        start = _initial_weights(initial, config)
        config = replace(config, initial=start.digest())
    execution = execution or loop.Execution()
    if config.optimiser.precision == "bfloat16" and execution.device == "cpu" and not loop.has_bfloat16():
        say("this processor has no instructions for bfloat16: float32 is many times faster here")
    construction = _construct(config, say) if config.evaluation.pointers else None
    result = loop.train(
        config,
        os.fspath(directory),
        initial=start,
        construction=construction,
        execution=execution,
        resume=resume,
        overwrite=overwrite,
        progress=progress,
    )
    for line in _explain_end(result):
        say(line)
    return result


def _explain_end(result: TrainingResult) -> Iterator[str]:
    """Why a run ended before its last step, and whether its curriculum had ended by then."""
    config, curriculum = result.config, result.config.curriculum
    if result.reached_target and result.steps < config.optimiser.num_steps:
        yield (
            f"stopped at step {result.steps:,} of {config.optimiser.num_steps:,}: at least"
            f" {config.evaluation.target:.1%} of {result.teacher_forced.samples:,} samples have every labelled token"
            " right (evaluation.target)"
        )
    if curriculum is not None and result.curriculum_amount:
        yield (
            f"warning: the run ended at step {result.steps:,}, before its curriculum did: {curriculum.name} stood at"
            f" {result.curriculum_amount:.2f} and reaches {curriculum.end:g} at step {curriculum.num_steps:,};"
            " the model was never trained on the task's own distribution"
        )


def require_torch() -> None:
    """Says what to install where torch is missing, before anything is begun.

    Raises:
        TrainingError: torch is not installed.
    """
    try:
        import torch  # noqa: F401  # only whether it can be imported matters here
    except ImportError:
        raise TrainingError("training needs torch", hint="pip install 'serialformer[torch]'") from None


def _initial_weights(initial: Model | str | os.PathLike[str], config: TrainingConfig) -> Transformer:
    """The weights of a model of the same task, setting and length."""
    own = config.task if split_reference(config.task) else None
    model = initial if isinstance(initial, Model) else load(initial, task=own)
    theirs = (model.task.name, model.task.parameters, model.length, model.setting)
    ours = (config.make_task().name, dict(config.parameters), config.length, config.setting)
    if theirs != ours:
        where = None if model.directory is None else str(model.directory)
        raise InputError(f"is a model of {theirs}, not of {ours}", where=where)
    return model.transformer


def _construct(config: TrainingConfig, say: Callable[[str], None]) -> Transformer | None:
    """The constructed model of a task; None, with a message, if there is none."""
    from serialformer.models.construct import construct

    try:
        return construct(config.make_task(), config.length, setting=config.setting).transformer
    except CompileError as error:
        say(f"pointers are not measured: {error.message}")
        return None


def _say(text: str) -> None:
    print(text, file=sys.stderr)
