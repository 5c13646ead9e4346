"""What a chain of thought buys in training, and whether what is learnt looks where the construction looks.

    serialformer sweep recipes/training -o DIR/training.csv             # recipe.py:learning and :watching are the parts
    serialformer plot DIR/training.csv -o DIR/training.png --kind learning
    python recipes/training/tables.py DIR/training.csv                  # the tables in README.md

``expected.csv`` is what the rows should be but for what README.md says. Leave a core to it, ``--workers 1``: seconds
are CPU seconds of one thread, and a busy machine adds to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from watched import FINE_TUNINGS, RANDOM, Watched

from serialformer.sweeps.experiment import Experiment
from serialformer.sweeps.run import SweepRun
from serialformer.tasks.task import ParameterValue
from serialformer.training.config import TrainingConfig
from serialformer.training.presets import make_config

SEEDS = (0, 1, 2)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A task at a length, and how its models are trained.

    Attributes:
        task: its name.
        parameters: of the task.
        length: the number of items.
        depth: of the models.
        seeds: of the runs with a chain.
        steps: for a setting without a chain the steps of each seed: as many as fitted into the CPU seconds that
            ``cot`` took with the same seed, on one core of the machine of ``expected.csv``.
    """

    task: str
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    length: int
    depth: int = 1
    seeds: tuple[int, ...] = SEEDS
    steps: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def config(self, setting: str, seed: int) -> TrainingConfig:
        """The default preset."""
        return make_config(
            self.task,
            parameters=self.parameters,
            length=self.length,
            setting=setting,
            num_layers=self.depth,
            seed=seed,
        )


CASES = {
    "modular-addition": Case(
        task="modular-addition", length=16, steps={"base": (504, 573, 460), "hint": (243, 182, 218)}
    ),
    "s5-token": Case(
        task="permutation-composition",
        parameters={"format": "token"},
        length=16,
        steps={"base": (2033, 1917, 2380), "hint": (723, 672, 762)},
    ),
    "s5-brackets": Case(
        task="permutation-composition",
        parameters={"format": "brackets"},
        length=16,
        steps={"base": (5600,), "hint": (1790,)},
    ),
    "squaring-100": Case(
        task="iterated-squaring",
        parameters={"bound": 100},
        length=8,
        steps={"base": (2717, 1783, 2559), "hint": (665, 727, 1006)},
    ),
    "squaring-1000": Case(task="iterated-squaring", parameters={"bound": 1000}, length=8, seeds=(0,)),
    "circuit-value-8": Case(task="circuit-value", length=8, steps={"base": (1950,), "hint": (580,)}),
    "circuit-value-16": Case(task="circuit-value", length=16, depth=2, steps={"base": (2204,), "hint": (1815,)}),
}
"""What is learnt, by the name in the tables."""

WATCHED = {
    "modular-addition": CASES["modular-addition"],
    "s5-token": CASES["s5-token"],
    "parity": Case(task="parity", length=16),
}
"""What is watched while it is learnt."""


def shorten(config: TrainingConfig, num_steps: int) -> TrainingConfig:
    """The same with so many steps; the curriculum is shortened where it would not have ended by then."""
    return config.with_steps(num_steps, scaled=config.curriculum_amount(num_steps) > 0)


def learning() -> list[SweepRun]:
    """Each case with a chain, and without one for as long."""
    found = []
    for case in CASES.values():
        found += [SweepRun(config=case.config("cot", seed), curve=True) for seed in case.seeds]
        found += [
            SweepRun(config=shorten(case.config(setting, seed), num_steps), curve=True)
            for setting, steps in case.steps.items()
            for seed, num_steps in enumerate(steps)
        ]
    return found


def watching() -> list[Watched]:
    """Attention to what the construction reads: from random weights, and from the construction's own."""
    return [
        Watched(config=_watch(case.config("cot", seed)), start=start)
        for case in WATCHED.values()
        for seed in SEEDS
        for start in (RANDOM, *FINE_TUNINGS)
    ]


def _watch(config: TrainingConfig) -> TrainingConfig:
    """A look every 20 steps."""
    return replace(config, evaluation=replace(config.evaluation, every=20, pointers=True))


def runs() -> list[Experiment]:
    """Both parts."""
    return [*learning(), *watching()]
