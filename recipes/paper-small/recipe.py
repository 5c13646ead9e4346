"""The paper's experiments, as large as two cores do in two hours: four tasks, three settings, accuracy against depth.

    serialformer sweep recipes/paper-small -o DIR/results.csv               # all of it
    serialformer sweep recipes/paper-small/recipe.py:circuits -o ...        # a part: additions, permutations,
                                                                            # slow_permutations, squarings, circuits
    serialformer plot DIR/results.csv -o DIR/depth.png

Every run has the default preset of its task and setting (``serialformer.training.presets``), whatever its depth;
README.md says where that differs from the paper's recipe.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from serialformer.sweeps.run import SweepRun
from serialformer.tasks.curriculum import Curriculum
from serialformer.tasks.task import ParameterValue
from serialformer.training.presets import make_config

SETTINGS = ("base", "cot", "hint")
DEPTHS = (1, 2, 4)


def grid(
    task: str,
    parameters: Mapping[str, ParameterValue],
    lengths: Iterable[int],
    *,
    settings: Iterable[str] = SETTINGS,
    depths: Iterable[int] = DEPTHS,
    seeds: Iterable[int] = (0,),
) -> list[SweepRun]:
    """Every combination, with the default preset."""
    return [
        SweepRun(
            config=make_config(task, parameters=parameters, length=length, setting=setting, num_layers=depth, seed=seed)
        )
        for length in lengths
        for setting in settings
        for depth in depths
        for seed in seeds
    ]


def additions() -> list[SweepRun]:
    """Sums modulo 7; one layer with three seeds."""
    return [
        *grid("modular-addition", {"modulus": 7}, (8, 16), depths=(1,), seeds=(0, 1, 2)),
        *grid("modular-addition", {"modulus": 7}, (8, 16), depths=(2, 4)),
    ]


def permutations() -> list[SweepRun]:
    """Products in S_5, a token a permutation; one layer with three seeds, base also with 8 and 16 layers."""
    token = {"format": "token"}
    return [
        *grid("permutation-composition", token, (8, 16), depths=(1,), seeds=(0, 1, 2)),
        *grid("permutation-composition", token, (8, 16), depths=(2, 4)),
        *grid("permutation-composition", token, (8,), settings=("base",), depths=(8, 16)),
    ]


def slow_permutations() -> list[SweepRun]:
    """Without a chain, annealed as slowly as what finds sums without a chain: is it the way in that is missing?"""
    found = []
    for setting, depth in (("base", 1), ("base", 2), ("hint", 2)):
        (run,) = grid("permutation-composition", {"format": "token"}, (8,), settings=(setting,), depths=(depth,))
        optimiser = replace(run.config.optimiser, num_steps=6000)
        curriculum = Curriculum(name="neutral", start=0.9, num_steps=5000)
        found.append(replace(run, config=replace(run.config, optimiser=optimiser, curriculum=curriculum)))
    return found


def squarings() -> list[SweepRun]:
    """Powers modulo primes below 100; one layer with three seeds, base also with 8 and 16 layers."""
    bound = {"bound": 100}
    return [
        *grid("iterated-squaring", bound, (8,), depths=(1,), seeds=(0, 1, 2)),
        *grid("iterated-squaring", bound, (4,), depths=(1,)),
        *grid("iterated-squaring", bound, (4, 8), depths=(2, 4)),
        *grid("iterated-squaring", bound, (8,), settings=("base",), depths=(8, 16)),
    ]


def circuits() -> list[SweepRun]:
    """Circuits of 4 and 8 gates; base also with 8 and 16 layers."""
    return [
        *grid("circuit-value", {}, (8,), depths=(1,), seeds=(0, 1, 2)),
        *grid("circuit-value", {}, (4,), depths=(1,)),
        *grid("circuit-value", {}, (4, 8), depths=(2, 4)),
        *grid("circuit-value", {}, (8,), settings=("base",), depths=(8, 16)),
    ]


def runs() -> list[SweepRun]:
    """All parts."""
    return [*additions(), *permutations(), *slow_permutations(), *squarings(), *circuits()]
