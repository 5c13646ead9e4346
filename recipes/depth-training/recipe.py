"""Training without a chain from a construction: does it stay right, is it repaired, and at which noise is it lost?

    serialformer sweep recipes/depth-training -o DIR/depth-training.csv --workers 1
    python recipes/depth-training/draw.py DIR/depth-training.csv DIR/depth-training.png

Each run starts from a construction of the setting ``base`` with normal noise of some deviation on every weight, and
trains on the answer alone, as ``base`` does. A row has the accuracy after training, and as the measure ``before`` that
of the start.
``expected.csv`` holds the rows, README.md says what they show.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from serialformer.models.construct import construct
from serialformer.models.model import Model
from serialformer.sweeps.experiment import Experiment, Surroundings
from serialformer.sweeps.row import Row
from serialformer.sweeps.training_experiment import TrainingExperiment, report_training, score_columns
from serialformer.tasks.registry import make_task
from serialformer.tasks.task import ParameterValue
from serialformer.training.config import EvaluationConfig, ModelConfig, OptimiserConfig, TrainingConfig
from serialformer.training.initial import add_noise

NOISES = (0.0, 1 / 1024, 1 / 256, 1 / 64, 1 / 16, 1 / 8, 1 / 4)
NUM_STEPS, NUM_SAMPLES = 100, 500
RATES = (1e-4, 1e-3)

CASES: tuple[tuple[str, dict[str, ParameterValue], int], ...] = (
    ("parity", {}, 7),
    ("automaton", {}, 7),
)


@dataclass(frozen=True, kw_only=True)
class FromConstruction(TrainingExperiment):
    """Trains a construction without a chain, with noise on its weights.

    Attributes:
        noise: the deviation of the noise.
    """

    kind: ClassVar[str] = "from construction"

    noise: float

    @property
    def title(self) -> str:
        return f"{self.config.task} noise {self.noise:g} rate {self.config.optimiser.learning_rate:g}"

    @property
    def evaluations(self) -> tuple[tuple[str, int], ...]:
        return (("final", self.config.length),)

    def carry_out(self, surroundings: Surroundings) -> list[Row]:
        from serialformer.training.loop import Execution, train

        config, task = self.config, self.config.make_task()
        model = construct(task, config.length, setting="base", depth=config.model.num_layers)
        start = add_noise(model.transformer, self.noise, config.seed)
        before = share_right(replace(model, transformer=start), config.seed)
        result = train(
            replace(config, initial=start.digest()),
            surroundings.directory,
            initial=start,
            execution=Execution(device=surroundings.device, save_seconds=surroundings.save_seconds),
            resume=True,
            progress=report_training(surroundings),
        )
        row = self.row(
            surroundings,
            evaluation="final",
            variables={"noise": self.noise, "learning_rate": config.optimiser.learning_rate},
            measures={"before": before},
            steps=result.steps,
            reached_target=result.reached_target,
            cpu_seconds=result.cpu_seconds,
            seconds=result.seconds,
            **score_columns(result.teacher_forced, result.generated, task.num_answer_tokens),
        )
        return [row]


def share_right(model: Model, seed: int) -> float:
    """How often a model answers rightly, on samples of their own."""
    task, length = model.task, model.length
    examples = task.sample(np.random.default_rng([seed, 17]), length, NUM_SAMPLES)
    made = model.engine("dense").generate(examples.prompts, examples.num_answer_tokens)
    return float((made == examples.answers).all(axis=1).mean())


def runs() -> list[Experiment]:
    """Every task, noise and learning rate."""
    found: list[Experiment] = []
    for name, parameters, length in CASES:
        shape = construct(make_task(name, parameters), length, setting="base").transformer.architecture
        for rate in RATES:
            config = TrainingConfig(
                task=name,
                parameters=parameters,
                length=length,
                setting="base",
                model=ModelConfig(num_layers=shape.num_layers, width=shape.width, num_heads=shape.num_heads),
                optimiser=OptimiserConfig(
                    num_steps=NUM_STEPS, learning_rate=rate, warmup_steps=0, decay_fraction=0.0, weight_decay=0.0
                ),
                evaluation=EvaluationConfig(
                    every=NUM_STEPS,
                    num_generated=0,
                    num_final_samples=NUM_SAMPLES,
                    num_final_generated=NUM_SAMPLES,
                    target=None,
                ),
            )
            found += [FromConstruction(config=config, noise=noise) for noise in NOISES]
    return found
