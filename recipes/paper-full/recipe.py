"""The paper's experiments at its own size: width 512, 8 heads, a million steps of 64 samples. For GPUs.

    serialformer sweep recipes/paper-full -o results.csv --ray ADDRESS --gpus 1
    serialformer sweep recipes/paper-full/recipe.py:permutations -o ...      # a part: additions, permutations,
                                                                             # squarings, circuits

The paper does not print its grids of lengths and depths; these are ours. Each run ends early once 99.9 % of samples
have every labelled token right, which the paper's do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from serialformer.sweeps.run import SweepRun
from serialformer.tasks.task import ParameterValue
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
