"""The paper's experiments at its own size: width 512, 8 heads, a million steps of 64 samples. For GPUs.

    serialformer sweep recipes/paper-full -o results.csv --ray ADDRESS --gpus 1
    serialformer sweep recipes/paper-full/recipe.py:permutations -o ...      # a part: additions, permutations,
                                                                             # squarings, circuits
    serialformer sweep recipes/paper-full/recipe.py:quick -o ... --stacks 4 --device cuda    # minutes in place of days

The paper does not print its grids of lengths and depths; these are ours. Each run ends early once 99.9 % of samples
have every labelled token right, which the paper's do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Literal

from serialformer.sweeps.run import SweepRun
from serialformer.tasks.task import ParameterValue
from serialformer.training.config import EvaluationConfig, ModelConfig
from serialformer.training.presets import make_config

SETTINGS = ("base", "cot", "hint")


def grid(
    task: str,
    parameters: Mapping[str, ParameterValue],
    lengths: Iterable[int],
    depths: Mapping[str, Iterable[int]],
) -> list[SweepRun]:
    """Every length, setting and depth with the paper's preset, in bfloat16 where the paper has float16."""
    found = []
    for length in lengths:
        for setting in SETTINGS:
            for depth in depths[setting]:
                config = make_config(
                    task, parameters=parameters, length=length, setting=setting, num_layers=depth, preset="paper"
                )
                config = replace(config, optimiser=replace(config.optimiser, precision="bfloat16"))
                found.append(SweepRun(config=config))
    return found


FEW = (1, 2, 4)
MANY = (1, 2, 4, 8, 16)
DEEP_BASE = {"base": MANY, "cot": FEW, "hint": MANY}


def additions() -> list[SweepRun]:
    """Sums modulo 7."""
    return grid("modular-addition", {"modulus": 7}, (8, 16, 32), {"base": FEW, "cot": FEW, "hint": FEW})


def permutations() -> list[SweepRun]:
    """Products in S_5, seven tokens a permutation."""
    return grid("permutation-composition", {"format": "brackets"}, (4, 8, 16), DEEP_BASE)


def squarings() -> list[SweepRun]:
    """Powers modulo primes below 1000."""
    return grid("iterated-squaring", {"bound": 1000}, (8, 16, 32), DEEP_BASE)


def circuits() -> list[SweepRun]:
    """Circuits of 8 to 32 gates."""
    return grid("circuit-value", {}, (8, 16, 32), DEEP_BASE)


def runs() -> list[SweepRun]:
    """All parts."""
    return [*additions(), *permutations(), *squarings(), *circuits()]


QUICK: tuple[tuple[str, dict[str, ParameterValue], int, str, int], ...] = (
    ("permutation-composition", {"format": "brackets"}, 16, "cot", 1),
    ("permutation-composition", {"format": "brackets"}, 16, "base", 4),
    ("circuit-value", {"constants": 0.0}, 16, "base", 4),
    ("circuit-value", {"constants": 0.0}, 16, "base", 1),
    ("circuit-value", {"constants": 0.0}, 16, "cot", 1),
    ("iterated-squaring", {"bound": 1000}, 8, "cot", 1),
    ("iterated-squaring", {"bound": 1000}, 8, "base", 4),
    ("modular-addition", {"modulus": 7}, 16, "base", 2),
    ("permutation-composition", {"format": "brackets"}, 16, "base", 8),
    ("circuit-value", {"constants": 0.0}, 16, "base", 8),
    ("iterated-squaring", {"bound": 1000}, 8, "base", 8),
    ("permutation-composition", {"format": "brackets"}, 16, "hint", 4),
    ("permutation-composition", {"format": "brackets"}, 16, "base", 16),
)
"""Task, parameters, length, setting and depth, in the order in which they train."""


def quick(
    *,
    width: int = 512,
    num_steps: int = 4000,
    longest: int = 32,
    num_samples: int = 4096,
    precision: Literal["float32", "bfloat16"] = "bfloat16",
) -> list[SweepRun]:
    """Cells of the paper's width with three seeds each: thousands of steps at 3e-4 in place of a million at 1e-5."""
    found = []
    for task, parameters, length, setting, depth in QUICK:
        for seed in (0, 1, 2):
            config = make_config(
                task, parameters=parameters, length=min(length, longest), setting=setting, num_layers=depth, seed=seed
            ).with_steps(num_steps, scaled=True)
            optimiser = replace(
                config.optimiser,
                method="adamw",
                num_steps=num_steps,
                batch_size=64,
                learning_rate=3e-4,
                warmup_steps=min(200, num_steps // 10),
                precision=precision,
            )
            curriculum = config.curriculum
            if curriculum is not None:
                curriculum = replace(curriculum, num_steps=num_steps // 2)
            config = replace(
                config,
                model=ModelConfig(num_layers=depth, num_heads=8, width=width),
                optimiser=optimiser,
                curriculum=curriculum,
                evaluation=EvaluationConfig(
                    every=max(1, num_steps // 8),
                    num_samples=min(512, num_samples),
                    num_generated=0,
                    num_final_samples=num_samples,
                    num_final_generated=min(256, num_samples),
                ),
            )
            found.append(SweepRun(config=config))
    return found


def toy() -> list[SweepRun]:
    """The same cells as models of a second: whether everything works."""
    return quick(width=32, num_steps=10, longest=3, num_samples=32, precision="float32")
