"""The experiment that watches where a model looks while it trains."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from serialformer.models.construct import construct
from serialformer.sweeps.experiment import Surroundings
from serialformer.sweeps.row import Row
from serialformer.sweeps.training_experiment import (
    TrainingExperiment,
    curve_columns,
    report_training,
    score_columns,
)
from serialformer.training.config import OptimiserConfig, TrainingConfig
from serialformer.training.initial import add_noise
from serialformer.transformer.transformer import Transformer

RANDOM = "random"
NUM_STEPS, LEARNING_RATE = 300, 1e-3
"""Of fine-tuning."""


@dataclass(frozen=True, kw_only=True)
class FineTuning:
    """What is done to the weights of a construction before they are trained, and while.

    Attributes:
        noise: standard deviation of the normal noise that is added to all weights.
        weight_decay: of matrices and embeddings.
    """

    noise: float = 0.0
    weight_decay: float = 0.0


FINE_TUNINGS = {
    "construction": FineTuning(),
    "construction, weight decay 1": FineTuning(weight_decay=1.0),
    "construction + noise 1/64": FineTuning(noise=1 / 64),
}


@dataclass(frozen=True, kw_only=True)
class Watched(TrainingExperiment):
    """Trains from random weights or from the construction's, and measures attention to what the construction reads.

    Attributes:
        start: ``random``, or one of FINE_TUNINGS, which trains in its own way.
    """

    kind: ClassVar[str] = "watched"

    start: str = RANDOM

    @property
    def title(self) -> str:
        return f"{self.config.task} from {self.start} seed {self.config.seed}"

    @property
    def evaluations(self) -> tuple[tuple[str, int], ...]:
        return (("final", self.config.length),)

    def trained(self, initial: Transformer | None) -> TrainingConfig:
        """The configuration that is trained."""
        if initial is None:
            return self.config
        return replace(
            self.config,
            optimiser=OptimiserConfig(
                num_steps=NUM_STEPS,
                learning_rate=LEARNING_RATE,
                warmup_steps=0,
                decay_fraction=0.0,
                weight_decay=FINE_TUNINGS[self.start].weight_decay,
            ),
            curriculum=None,
            evaluation=replace(self.config.evaluation, target=None),
            initial=initial.digest(),
        )

    def carry_out(self, surroundings: Surroundings) -> list[Row]:
        from serialformer.training.loop import Execution, train

        config, task = self.config, self.config.make_task()
        construction = construct(task, config.length).transformer
        initial = None
        if self.start != RANDOM:
            initial = add_noise(construction, FINE_TUNINGS[self.start].noise, config.seed)
        result = train(
            self.trained(initial),
            surroundings.directory,
            initial=initial,
            construction=construction,
            execution=Execution(device=surroundings.device, save_seconds=surroundings.save_seconds),
            resume=True,
            progress=report_training(surroundings),
        )
        variables = {"start": self.start}
        curve = list(curve_columns(surroundings))
        moved = None if initial is None else largest_change(initial, result.model.transformer)
        final = self.row(
            surroundings,
            evaluation="final",
            variables=variables,
            measures={"pointer_share": _last_share(surroundings), "largest_change": moved},
            steps=result.steps,
            reached_target=result.reached_target,
            cpu_seconds=result.cpu_seconds,
            seconds=result.seconds,
            **score_columns(result.teacher_forced, result.generated, task.num_answer_tokens),
        )
        return [final, *(self.row(surroundings, variables=variables, **columns) for columns in curve)]


def _last_share(surroundings: Surroundings) -> float | None:
    from serialformer.training.log import read_log

    shares: list[Any] = [
        entry["pointer_share"] for entry in read_log(surroundings.directory) if "pointer_share" in entry
    ]
    return shares[-1] if shares and math.isfinite(shares[-1]) else None


def largest_change(before: Transformer, after: Transformer) -> float:
    """How far the weight that moved the farthest moved."""
    pairs = zip(before.named_weights(), after.named_weights(), strict=True)
    return max(float(np.abs(old.astype(float) - new.astype(float)).max()) for (_, old), (_, new) in pairs if old.size)
