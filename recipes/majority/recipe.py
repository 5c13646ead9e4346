"""Parity and majority, with a chain and without: two functions outside AC0 that differ in how many layers they ask for.

    serialformer sweep recipes/majority -o DIR/results.csv
    serialformer plot DIR/results.csv -o DIR/depth.png

Constant depth at constant precision is AC0, and neither is in it. But majority needs no chain once precision grows with
the length: one uniform head takes the mean. Parity has no such shortcut for training to find.
"""

from __future__ import annotations

from dataclasses import replace

from serialformer.sweeps.run import SweepRun
from serialformer.training.config import ModelConfig, OptimiserConfig, TrainingConfig


def runs() -> list[SweepRun]:
    """One recipe for both tasks and all settings, on uniform bits from the first step; one layer with two seeds."""
    found = []
    for task in ("parity", "majority"):
        for length in (9, 17, 33):
            for setting in ("base", "cot", "hint"):
                plain = TrainingConfig(
                    task=task,
                    length=length,
                    setting=setting,
                    model=ModelConfig(width=64, initial_deviation=0.08),
                    optimiser=OptimiserConfig(num_steps=1500, warmup_steps=50),
                )
                found += [replace(plain, seed=seed) for seed in range(2)]
                found.append(replace(plain, model=replace(plain.model, num_layers=2)))
    return [SweepRun(config=config) for config in found]


def panel() -> list[SweepRun]:
    """One panel in a minute: parity of 9 bits with one and two layers, with a chain and without."""
    return [
        SweepRun(
            config=TrainingConfig(
                task="parity",
                length=9,
                setting=setting,
                model=ModelConfig(width=64, num_layers=depth, initial_deviation=0.08),
                optimiser=OptimiserConfig(num_steps=400, warmup_steps=50),
            )
        )
        for setting in ("base", "cot")
        for depth in (1, 2)
    ]
