"""How much of a chain is needed? Parity of 16 bits with every k-th token of the chain, k from 1 to 8; one layer.

    serialformer sweep recipes/sparse-chain -o DIR/sparse-chain.csv
    python recipes/sparse-chain/tables.py DIR/sparse-chain.csv          # the table in README.md

A token of the chain is then the parity of k bits and of the token before it. All have the same preset, number of steps
and three seeds. With the curriculum a bit of a prompt is 0 with a probability of .95 at first and of .5 after half of
the steps; without it bits are uniform throughout.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from serialformer.sweeps.run import SweepRun
from serialformer.training.config import EvaluationConfig, OptimiserConfig
from serialformer.training.presets import make_config

TASK = f"{Path(__file__).parent / 'sparse_parity.py'}:SparseParity"
LENGTH = 16
EVERY = (1, 2, 3, 4, 5, 6, 8)
EVERY_UNIFORM = (1, 2, 3)
"""Without the curriculum."""

SEEDS = (0, 1, 2)


def make_run(
    every: int, seed: int, *, length: int = LENGTH, num_steps: int = 3000, has_curriculum: bool = True
) -> SweepRun:
    """One model."""
    config = make_config(TASK, parameters={"every": every}, length=length, setting="cot", seed=seed)
    assert config.curriculum is not None
    config = replace(
        config,
        optimiser=OptimiserConfig(num_steps=num_steps, learning_rate=3e-3, warmup_steps=50),
        curriculum=replace(config.curriculum, start=0.9, num_steps=num_steps // 2) if has_curriculum else None,
        evaluation=EvaluationConfig(every=50),
    )
    return SweepRun(config=config, curve=True)


def runs() -> list[SweepRun]:
    """Each seed with each k, with the curriculum and without."""
    return [
        *(make_run(every, seed) for seed in SEEDS for every in EVERY),
        *(make_run(every, seed, has_curriculum=False) for seed in SEEDS for every in EVERY_UNIFORM),
    ]
