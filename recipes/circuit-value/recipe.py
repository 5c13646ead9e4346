"""Circuit value: what depth buys without a chain, and what one layer reaches with one, at 16 and 32 gates.

    serialformer sweep recipes/circuit-value -o DIR/circuit-value.csv         # recipe.py:without_a_chain and
                                                                              # :with_a_chain are the parts
    serialformer plot DIR/circuit-value.csv -o DIR/circuit-value.png
    python recipes/circuit-value/tables.py DIR/circuit-value.csv              # the tables in README.md

Every model without a chain begins with the labels of ``hint`` (the value of every gate at its own place) and ends with
the answer's label alone. Beside its accuracy on the task's own distribution, each has one for circuits of each depth.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from serialformer.sweeps.experiment import Surroundings
from serialformer.sweeps.row import Row
from serialformer.sweeps.training_experiment import (
    FINAL,
    TrainingExperiment,
    curve_columns,
)
from serialformer.tasks.circuit_value import NOT_APPLICABLE
from serialformer.training.config import EvaluationConfig, ModelConfig, OptimiserConfig, TrainingConfig
from serialformer.training.presets import make_config

SEEDS = (0, 1, 2)
DEPTHS = (1, 2, 4, 8, 16)
NUM_STEPS = {8: 2000, 16: 2000, 32: 4000}
DRAWN_AT_ONCE = 1024


@dataclass(frozen=True, kw_only=True)
class ByCircuitDepth(TrainingExperiment):
    """Trains a model of circuit value, and counts its right answers for circuits of each depth.

    Attributes:
        num_samples: circuits of the task's own distribution, of all depths together.
    """

    kind: ClassVar[str] = "circuits-by-depth"

    num_samples: int = 8192

    @property
    def evaluations(self) -> tuple[tuple[str, int], ...]:
        return ((FINAL, self.config.length),)

    @property
    def title(self) -> str:
        config = self.config
        return f"{config.length} gates {config.setting} depth {config.model.num_layers} seed {config.seed}"

    def carry_out(self, surroundings: Surroundings) -> list[Row]:
        from serialformer.training.measure import count_by_group

        result = self.train(surroundings)
        final = self.final_row(surroundings, result)
        length = self.config.length
        counts = count_by_group(
            result.model,
            np.random.default_rng([2, length]),
            lambda examples: circuit_depths(examples.prompts, length),
            num_groups=length,
            num_samples=self.num_samples,
            per_draw=DRAWN_AT_ONCE,
            device=surroundings.device,
        )
        return [
            final,
            *(self.row(surroundings, **columns) for columns in curve_columns(surroundings)),
            *(
                self.row(
                    surroundings,
                    evaluation=f"circuits of depth {depth}",
                    variables={"circuit_depth": depth},
                    samples=samples,
                    answers=answers,
                )
                for depth, (samples, answers) in enumerate(counts.tolist())
                if samples
            ),
        ]


def circuit_depths(prompts: np.ndarray, length: int) -> np.ndarray:
    """How many gates lie on the longest path from a constant to the last gate; 0 if the last gate is a constant.

    >>> from serialformer.tasks.circuit_value import CircuitValue
    >>> task = CircuitValue(constants=0.0)
    >>> circuit_depths(task.sample(np.random.default_rng(0), 3, 5).prompts, 3).tolist()
    [1, 1, 1, 1, 1]
    """
    gates = prompts[:, :-1].reshape(len(prompts), length, 4)
    rows, depths = np.arange(len(prompts)), np.zeros((len(prompts), length), dtype=np.int64)
    absent = length + NOT_APPLICABLE
    for gate in range(length):
        left, right = gates[:, gate, 1], gates[:, gate, 2]
        left = np.where(left == absent, -1, depths[rows, np.where(left == absent, 0, left)])
        right = np.where(right == absent, -1, depths[rows, np.where(right == absent, 0, right)])
        depths[:, gate] = 1 + np.maximum(left, right)
    return depths[:, -1]


def without_a_chain(lengths: Iterable[int] = (16, 8, 32)) -> list[ByCircuitDepth]:
    """Only the first two gates are constants; three quarters of the steps have the labels of ``hint``."""
    return [
        ByCircuitDepth(
            config=TrainingConfig(
                task="circuit-value",
                parameters={"constants": 0.0},
                length=length,
                setting="base",
                seed=seed,
                model=ModelConfig(
                    num_layers=depth,
                    num_heads=8,
                    activation="relu",
                    initial_deviation=0.08,
                    position_deviation=0.2,
                    position_start="sinusoidal",
                    position_item=4,
                ),
                optimiser=OptimiserConfig(
                    method="muon",
                    num_steps=NUM_STEPS[length],
                    batch_size=32,
                    learning_rate=2e-3,
                    matrix_rate=4e-3,
                    warmup_steps=100,
                    decay_fraction=0.6,
                    position_rate=0.1,
                ),
                evaluation=EvaluationConfig(every=200, num_generated=0, num_final_samples=8192, num_final_generated=64),
                hinted_steps=3 * NUM_STEPS[length] // 4,
            )
        )
        for length in lengths
        for seed in SEEDS
        for depth in DEPTHS
    ]


def with_a_chain() -> list[ByCircuitDepth]:
    """The default preset of one layer: 16 heads under Muon, circuits of 16 gates of the task's default distribution."""
    return [ByCircuitDepth(config=make_config("circuit-value", length=16, setting="cot", seed=seed)) for seed in SEEDS]


def runs() -> list[ByCircuitDepth]:
    """Both parts."""
    return [*without_a_chain(), *with_a_chain()]
