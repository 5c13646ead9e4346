"""Is a chain ever worse than none? Sums modulo 2 (C_2) in one layer, with the chain and without it.

    serialformer sweep recipes/parity -o DIR/parity.csv --workers 1
    python recipes/parity/tables.py DIR/parity.csv          # the table in README.md

Each setting is trained twice: from uniform bits, as in the paper, and with the curriculum and the steps that sums
modulo 7 have in recipes/paper-figure.
"""

from __future__ import annotations

from dataclasses import replace

from serialformer.sweeps.run import SweepRun
from serialformer.tasks.curriculum import Curriculum
from serialformer.training.config import EvaluationConfig
from serialformer.training.presets import make_config

LENGTHS = (8, 16, 32)
SETTINGS = ("base", "cot")
SEEDS = (0, 1, 2)
UNIFORM_STEPS = 3000


def make_run(length: int, setting: str, seed: int, *, has_curriculum: bool) -> SweepRun:
    """One model."""
    has_chain = setting == "cot"
    config = make_config("modular-addition", parameters={"modulus": 2}, length=length, setting=setting, seed=seed)
    num_steps = UNIFORM_STEPS
    curriculum = None
    if has_curriculum:
        num_steps = 800 if has_chain else 8000
        start, annealed = (0.8, 100) if has_chain else (0.9, 6500)
        curriculum = Curriculum(name="neutral", start=start, num_steps=annealed)
    return SweepRun(
        config=replace(
            config,
            optimiser=replace(config.optimiser, num_steps=num_steps, learning_rate=3e-3 if has_chain else 1.5e-3),
            curriculum=curriculum,
            evaluation=EvaluationConfig(
                every=50, num_samples=256, num_generated=0, num_final_samples=4096, num_final_generated=256
            ),
        )
    )


def runs() -> list[SweepRun]:
    """Every length and setting with three seeds, with the curriculum and without."""
    return [
        make_run(length, setting, seed, has_curriculum=has_curriculum)
        for has_curriculum in (True, False)
        for length in LENGTHS
        for setting in SETTINGS
        for seed in SEEDS
    ]
