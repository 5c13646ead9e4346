"""Do tokens without content help? Parity of 16 bits in two layers, with none to four filler tokens for each bit.

    serialformer sweep recipes/filler -o DIR/filler.csv
    python recipes/sparse-chain/tables.py DIR/filler.csv                # the table in README.md

The fillers are ``=``, and the answer alone has a label. For comparison there are models with the chain itself. All
without a chain have the same preset, steps and curriculum.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from serialformer.sweeps.run import SweepRun
from serialformer.training.presets import make_config

TASK = f"{Path(__file__).parent / 'filled_parity.py'}:FilledParity"
LENGTH = 16
FILLERS = (0, 1, 2, 4)
"""For each bit; none is the setting ``base``."""

SEEDS = (0, 1, 2)
NUM_STEPS = 3000
"""Without a chain; the curriculum takes five sixths of them."""


def make_run(fillers: int, seed: int, *, setting: str = "filler", length: int = LENGTH, depth: int = 2) -> SweepRun:
    """One model with the default preset."""
    setting = setting if fillers else "base"
    parameters = {"fillers": max(1, fillers)}
    config = make_config(TASK, parameters=parameters, length=length, setting=setting, num_layers=depth, seed=seed)
    if setting != "cot":
        config = config.with_steps(NUM_STEPS, scaled=True)
        config = replace(config, optimiser=replace(config.optimiser, learning_rate=2e-3))
    return SweepRun(config=config, curve=True)


def runs() -> list[SweepRun]:
    """Each number of fillers with each seed, and the chain itself."""
    return [
        *(make_run(fillers, seed) for seed in SEEDS for fillers in FILLERS),
        *(make_run(1, seed, setting="cot") for seed in SEEDS),
    ]
