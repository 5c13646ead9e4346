"""Configurations by name: one tuned default for each task and setting, and the paper's own recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from serialformer.errors import TrainingError
from serialformer.python_file import split_reference
from serialformer.tasks.curriculum import Curriculum
from serialformer.tasks.registry import make_task
from serialformer.tasks.task import ParameterValue, Task
from serialformer.training.config import EvaluationConfig, ModelConfig, OptimiserConfig, TrainingConfig

PRESETS = ("default", "paper")

MOST_GATES_BY_HEADS = 8
"""The largest circuits that were learned with one head per gate."""

MOST_GATES_AT_ONCE = 16
"""The largest circuits whose heads one layer finds without a curriculum, under Muon."""

FEWER_SAMPLES = EvaluationConfig(
    every=100, num_samples=256, num_generated=16, num_final_samples=2048, num_final_generated=128
)
"""Where samples are long, and judging them would take a fifth of the time."""


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
        task: the task's name, a short name of the paper's, or ``FILE.py:Class``.
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
        task=task if split_reference(task) else made.name,
        parameters=made.parameters,
        length=length,
        setting=setting,
        seed=seed,
        **(_paper(num_layers) if preset == "paper" else _default(made, length, setting, num_layers)),
    )


def _paper(num_layers: int) -> dict[str, Any]:
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


def _default(task: Task, length: int, setting: str, num_layers: int) -> dict[str, Any]:
    """What was found to work; see recipes/training for the seconds, and for what did not."""
    kind = next((kind for names, kind in TUNED if task.name in names), _small)
    return kind(task, length, setting, num_layers)


def _small(task: Task, length: int, setting: str, num_layers: int) -> dict[str, Any]:
    """Running sums and products of small alphabets: a token of the prompt and the token before decide the next.

    Without a chain, a sum of many is only found on the way from sums of few, and that way must be slow.
    """
    model = ModelConfig(num_layers=num_layers, width=64, initial_deviation=0.08)
    if setting in ("cot", "aligned"):
        return {
            "model": model,
            "optimiser": OptimiserConfig(num_steps=600, learning_rate=5e-3, warmup_steps=20),
            "curriculum": _neutral(task, 0.8, 60),
            "evaluation": EvaluationConfig(every=20),
        }
    return {
        "model": model,
        "optimiser": OptimiserConfig(num_steps=6000, learning_rate=5e-3, warmup_steps=20),
        "curriculum": _neutral(task, 0.9, 5000),
        "evaluation": EvaluationConfig(every=100),
    }


def _permutations(task: Task, length: int, setting: str, num_layers: int) -> dict[str, Any]:
    """With one token per permutation, one table of 120 by 120; with symbols, five look-ups at every place."""
    width = getattr(task, "item_width", 1)
    if width == 1:
        # At the rate of one layer, more of them may never leave the plateau. Shorter chains want more of them a step.
        batch_size = max(64, 1024 // length) if setting in ("cot", "aligned") else 64
        one = OptimiserConfig(num_steps=1000, batch_size=batch_size, warmup_steps=50)
        more = OptimiserConfig(num_steps=1400, batch_size=batch_size, warmup_steps=50, learning_rate=1e-3)
        return {
            "model": ModelConfig(num_layers=num_layers, initial_deviation=0.08),
            "optimiser": one if num_layers == 1 else more,
            "curriculum": _neutral(task, 0.8, 500),
            "evaluation": EvaluationConfig(every=50),
        }
    return {
        "model": ModelConfig(
            num_layers=num_layers,
            num_heads=16,
            activation="relu",
            initial_deviation=0.08,
            position_deviation=0.2,
            position_start="sinusoidal",
            position_item=width,
        ),
        "optimiser": OptimiserConfig(
            num_steps=1300,
            batch_size=max(16, 256 // length),  # with 16 chains of eight a step, one seed of three failed
            learning_rate=4e-3,
            warmup_steps=50,
            decay_fraction=0.4,
            betas=(0.9, 0.95),
            position_rate=0.0,  # each trained for itself, they lose what the waves have in common, and some seeds fail
        ),
        "curriculum": _neutral(task, 0.8, 300),
        "evaluation": FEWER_SAMPLES,
    }


def _squaring(task: Task, length: int, setting: str, num_layers: int) -> dict[str, Any]:
    """A table of all pairs of a prime and a residue, which the feed-forward layer must hold."""
    if getattr(task, "bound", 0) <= 200:
        return {
            "model": ModelConfig(num_layers=num_layers, initial_deviation=0.08),
            "optimiser": OptimiserConfig(num_steps=1000, learning_rate=4e-3, warmup_steps=50, decay_fraction=0.8),
        }
    return {
        "model": ModelConfig(num_layers=num_layers, width=256, hidden_width=2048, initial_deviation=0.06),
        "optimiser": OptimiserConfig(
            num_steps=14_000, batch_size=128, learning_rate=2e-3, warmup_steps=200, decay_fraction=0.7
        ),
        "evaluation": EvaluationConfig(every=500, num_samples=1024),
    }


def _circuit_value(task: Task, length: int, setting: str, num_layers: int) -> dict[str, Any]:
    """A head for every gate that may be read: one layer cannot look a value up by a number that it has just read.

    Two layers can, with fewer heads, once what gates have in common can be seen from their positions: the gate, and the
    place within it.
    """
    by_item = ModelConfig(
        num_layers=num_layers,
        num_heads=8,
        activation="relu",
        initial_deviation=0.08,
        position_deviation=0.2,
        position_start="sinusoidal",
        position_item=4,
    )
    if length > MOST_GATES_BY_HEADS and num_layers > 1:
        return {
            "model": by_item,
            "optimiser": OptimiserConfig(
                num_steps=1100,
                batch_size=32,
                learning_rate=2e-3,
                warmup_steps=50,
                decay_fraction=0.6,
                position_rate=0.1,
            ),
            "evaluation": FEWER_SAMPLES,
        }
    model = ModelConfig(num_layers=num_layers, num_heads=16, activation="relu", initial_deviation=0.08)
    if num_layers == 1 and setting in ("cot", "aligned"):
        # One layer finds all heads that it needs under Muon. AdamW takes twice as long for eight gates, and of more
        # gates it learns types and own values only.
        if length > MOST_GATES_AT_ONCE:
            # More heads are found one after the other: circuits begin with inputs among the first two gates, and may
            # read one gate more every few steps, the newest of them more often than others.
            num_steps = 125 * length
            return {
                "model": replace(by_item, num_heads=length + 4, width=8 * (length + 4)),
                "optimiser": OptimiserConfig(
                    method="muon",
                    num_steps=num_steps,
                    batch_size=32,
                    learning_rate=2e-3,
                    matrix_rate=4e-3,
                    warmup_steps=100,
                    decay_fraction=0.5,
                    position_rate=0.1,
                ),
                "curriculum": Curriculum(name="newest", start=1.0, num_steps=num_steps // 2),
                "evaluation": FEWER_SAMPLES,
            }
        few = length <= MOST_GATES_BY_HEADS
        return {
            "model": model,
            "optimiser": OptimiserConfig(
                method="muon",
                num_steps=450 if few else 2000,
                learning_rate=4e-3,
                matrix_rate=4e-3,
                warmup_steps=40 if few else 100,
                decay_fraction=0.5,
            ),
            "evaluation": EvaluationConfig(every=50 if few else 100),
        }
    return {
        "model": model,
        "optimiser": OptimiserConfig(num_steps=1000, learning_rate=4e-3, warmup_steps=50, decay_fraction=0.5),
    }


def _neutral(task: Task, start: float, num_steps: int) -> Curriculum | None:
    has = "neutral" in task.curricula
    return Curriculum(name="neutral", start=start, num_steps=num_steps) if has else None


TUNED: tuple[tuple[tuple[str, ...], Callable[[Task, int, str, int], dict[str, Any]]], ...] = (
    (("permutation-composition",), _permutations),
    (("iterated-squaring",), _squaring),
    (("circuit-value",), _circuit_value),
)
