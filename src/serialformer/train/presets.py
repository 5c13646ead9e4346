"""Configurations by name: one tuned default for each task and setting, and the paper's own recipe."""

from __future__ import annotations

from collections.abc import Mapping

from serialformer.errors import TrainingError
from serialformer.tasks.registry import make_task
from serialformer.tasks.schedule import SamplingSchedule
from serialformer.tasks.task import ParameterValue, Task
from serialformer.train.config import EvaluationConfig, ModelConfig, OptimiserConfig, TrainingConfig

PRESETS = ("default", "paper")


def make_config(
    task: str,
    *,
    length: int,
    setting: str,
    parameters: Mapping[str, ParameterValue] | None = None,
    num_layers: int = 1,
    seed: int = 0,
    preset: str = "default",
) -> TrainingConfig:
    """The configuration of a preset.

    Args:
        task: the task's name.
        length: the number of items.
        setting: ``base``, ``cot``, ``hint``, ``aligned`` or ``filler``.
        parameters: of the task.
        num_layers: the depth.
        seed: decides initial weights and samples.
        preset: one of PRESETS.

    Raises:
        TrainingError: there is no such preset.
        TaskError: there is no such task, length or setting.
    """
    if preset not in PRESETS:
        raise TrainingError(f"no preset {preset!r}", hint=f"one of {', '.join(PRESETS)}")
    made = make_task(task, parameters)
    return TrainingConfig(
        task=task,
        parameters=made.parameters,
        length=length,
        setting=setting,
        seed=seed,
        **(_paper(num_layers) if preset == "paper" else _default(made, num_layers)),
    )


def _paper(num_layers: int) -> dict[str, ModelConfig | OptimiserConfig | EvaluationConfig]:
    """Section 4 of the paper; what it leaves open is as in nanoGPT, except that products are not in float16."""
    return {
        "model": ModelConfig(num_layers=num_layers, num_heads=8, width=512),
        "optimiser": OptimiserConfig(
            num_steps=1_000_000,
            batch_size=64,
            learning_rate=1e-5,
            first_rate=1e-6,
            final_rate=1e-5,
            warmup_steps=2000,
            decay_fraction=0.0,
            betas=(0.9, 0.95),
        ),
        "evaluation": EvaluationConfig(every=1000),
    }


def _default(task: Task, num_layers: int) -> dict[str, ModelConfig | OptimiserConfig | SamplingSchedule | None]:
    neutral = SamplingSchedule(name="neutral", start=0.8, num_steps=500) if "neutral" in task.easings else None
    return {
        "model": ModelConfig(num_layers=num_layers, initial_deviation=0.08),
        "optimiser": OptimiserConfig(num_steps=1500),
        "sampling": neutral,
    }
