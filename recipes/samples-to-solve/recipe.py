"""How many different samples does each setting need? Sums of three residues modulo 7, by bisection; one layer.

    serialformer sweep recipes/samples-to-solve -o DIR/samples.csv --workers 1
    python recipes/samples-to-solve/tables.py DIR/samples.csv           # the table in README.md

A training sees a pool of some of the 343 prompts again and again, and is judged on 80 that are in no pool. The smallest
pool from which it learns to get 99 % of these right is found by bisection, between 16 and 263 in steps of a factor of
1.41. All settings have the same model, rate, weight decay and number of steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, cast

from serialformer.sweeps.experiment import Surroundings
from serialformer.sweeps.row import Row
from serialformer.sweeps.training_experiment import TrainingExperiment, report_training, score_columns
from serialformer.tasks.curriculum import Curriculum
from serialformer.training.config import EvaluationConfig, ModelConfig, OptimiserConfig, TrainingConfig

TASK = f"{Path(__file__).parent / 'pooled_sums.py'}:PooledSums"
LENGTH, MODULUS = 3, 7
SETTINGS = ("base", "hint", "cot", "aligned")
SEEDS = (0, 1, 2)
SOLVED = 0.99
SMALLEST = 16
STEP = 2**0.5


class Pooled(Protocol):
    """What the recipe asks of PooledSums, which is loaded by its path and so cannot be imported as a type."""

    def most(self, length: int) -> int: ...


def pool_sizes(most: int) -> list[int]:
    """The pools between which bisection chooses; the last is the largest that there is.

    >>> pool_sizes(100)
    [16, 23, 32, 45, 64, 91, 100]
    """
    sizes: list[int] = []
    while (size := round(SMALLEST * STEP ** len(sizes))) < most:
        sizes.append(size)
    return [*sizes, most]


@dataclass(frozen=True, kw_only=True)
class SamplesToSolve(TrainingExperiment):
    """Finds by bisection the smallest pool that a setting learns from.

    Each training gives a row, ``pool N``, and the end another, ``solved``, with the measures ``samples`` (of the
    smallest pool, or None if the largest is not enough) and ``trainings``.
    """

    kind: ClassVar[str] = "samples to solve"

    @property
    def title(self) -> str:
        return f"samples to solve {self.config.setting} seed {self.config.seed}"

    @property
    def evaluations(self) -> tuple[tuple[str, int], ...]:
        return (("solved", self.config.length),)

    def carry_out(self, surroundings: Surroundings) -> list[Row]:
        rows: list[Row] = []

        def solves(pool: int) -> bool:
            rows.append(self.learn(pool, surroundings))
            return bool(rows[-1].reached_target)

        sizes = pool_sizes(cast(Pooled, self.config.make_task()).most(self.config.length))
        low, high = -1, len(sizes) - 1
        found: int | None = None
        if solves(sizes[high]):
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (low, middle) if solves(sizes[middle]) else (middle, high)
            found = sizes[high]
        measures = {"samples": found, "trainings": len(rows)}
        spent: dict[str, Any] = {
            "cpu_seconds": round(sum(row.cpu_seconds or 0.0 for row in rows), 3),
            "seconds": round(sum(row.seconds or 0.0 for row in rows), 3),
        }
        return [*rows, self.row(surroundings, evaluation="solved", measures=measures, **spent)]

    def learn(self, pool: int, surroundings: Surroundings) -> Row:
        """Trains with one pool."""
        from serialformer.training.loop import Execution, train

        surroundings.directory.mkdir(parents=True, exist_ok=True)
        result = train(
            replace(self.config, parameters={**self.config.parameters, "pool": pool}),
            surroundings.directory / f"pool-{pool}",
            execution=Execution(device=surroundings.device, save_seconds=surroundings.save_seconds),
            resume=True,
            progress=report_training(surroundings),
        )
        return self.row(
            surroundings,
            evaluation=f"pool {pool}",
            variables={"pool": pool},
            steps=result.steps,
            reached_target=result.reached_target,
            cpu_seconds=result.cpu_seconds,
            seconds=result.seconds,
            **score_columns(result.teacher_forced, result.generated, 1),
        )


def make_run(setting: str, seed: int, *, length: int = LENGTH, num_steps: int = 1200) -> SamplesToSolve:
    """One setting with one seed, which decides weights, batches and the order of the prompts."""
    return SamplesToSolve(
        config=TrainingConfig(
            task=TASK,
            parameters={"modulus": MODULUS, "order": seed},
            length=length,
            setting=setting,
            seed=seed,
            model=ModelConfig(width=64, initial_deviation=0.08),
            optimiser=OptimiserConfig(num_steps=num_steps, learning_rate=3e-3, warmup_steps=50, weight_decay=1.0),
            curriculum=Curriculum(name="pool", start=1.0, end=1.0, num_steps=0),
            evaluation=EvaluationConfig(
                every=50,
                num_samples=256,
                num_generated=0,
                num_final_samples=1024,
                num_final_generated=256,
                target=SOLVED,
            ),
        )
    )


def runs() -> list[SamplesToSolve]:
    """Each setting with each seed."""
    return [make_run(setting, seed) for seed in SEEDS for setting in SETTINGS]
