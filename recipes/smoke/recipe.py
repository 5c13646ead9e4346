"""Every setting once on the smallest tasks: whether sweeps work here at all. Under two minutes on two cores.

serialformer sweep recipes/smoke -o DIR/results.csv
"""

from __future__ import annotations

from dataclasses import replace

from serialformer.sweeps.run import SweepRun
from serialformer.training.config import TrainingConfig
from serialformer.training.presets import make_config


def small(config: TrainingConfig) -> TrainingConfig:
    """The same with evaluations of a few hundred samples."""
    evaluation = replace(
        config.evaluation, num_samples=256, num_generated=16, num_final_samples=512, num_final_generated=64
    )
    return replace(config, evaluation=evaluation)


def runs() -> list[SweepRun]:
    """Sums modulo 7 with a chain, which end early, and parity in every setting that it has."""
    sums = [make_config("modular-addition", length=8, setting="cot", num_layers=depth) for depth in (1, 2)]
    bits = [
        make_config("parity", length=6, setting=setting).with_steps(200, scaled=True)
        for setting in ("base", "cot", "hint", "filler", "aligned")
    ]
    return [SweepRun(config=small(config), lengths=(4,), num_samples=200) for config in (*sums, *bits)]
