"""What layers can express without a chain: the accuracy of constructions against their depth.

    serialformer sweep recipes/depth -o DIR/depth.csv                 # recipe.py:quick takes fewer samples
    serialformer plot DIR/depth.csv -o DIR/depth.png                  # beside trainings: merge their stores first

Each row is a construction with so many layers, scored on the task's own distribution in the setting ``base``. In the
paper's panels of accuracy against depth they are lines: what is expressible, beside what was learnt. Needs the extra
``torch``, as every sweep does, and ``plot`` for the figure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from serialformer.models.construct import construct
from serialformer.models.evaluate import evaluate
from serialformer.sweeps.experiment import Experiment, Surroundings
from serialformer.sweeps.row import Row, to_cell
from serialformer.sweeps.training_experiment import score_columns
from serialformer.tasks.registry import make_task
from serialformer.tasks.task import ParameterValue

Parameters = tuple[tuple[str, ParameterValue], ...]

DEPTHS = (1, 2, 3, 4, 5, 6, 8, 16)
FRONTIERS: tuple[tuple[str, Parameters, tuple[int, ...], tuple[int, ...]], ...] = (
    ("modular-addition", (), (8, 16), DEPTHS),
    ("permutation-composition", (("format", "token"),), (8, 16), DEPTHS),
    ("permutation-composition", (("format", "brackets"),), (16,), (2, 4, 5, 8)),
    (
        "iterated-squaring",
        (("bound", 1000),),
        (8,),
        (9,),
    ),  # all it needs; each depth takes ten minutes  # the first squaring takes two layers
    ("automaton", (), (8, 16), DEPTHS),
    ("majority", (), (8, 16), DEPTHS),
    ("circuit-value", (), (8, 16), DEPTHS),
    ("circuit-value", (("constants", 0.0),), (8, 16), DEPTHS),
)
"""Task, parameters, lengths, and the depths that are constructed."""

NUM_SAMPLES = 1000


@dataclass(frozen=True, kw_only=True)
class Frontier(Experiment):
    """Constructs a model of a task with so many layers and scores it."""

    kind: ClassVar[str] = "frontier"

    task: str
    parameters: Parameters = ()
    length: int
    depth: int
    num_samples: int
    seed: int = 1

    @property
    def work(self) -> float:
        return float(self.num_samples * self.length * self.depth)

    def facts(self) -> dict[str, Any]:
        task = make_task(self.task, dict(self.parameters))
        return {
            "task": task.name,
            "parameters": to_cell(task.parameters),
            "length": self.length,
            "evaluated_length": self.length,
            "setting": "base",
            "depth": self.depth,
            "seed": self.seed,
        }

    @property
    def evaluations(self) -> tuple[tuple[str, int], ...]:
        return (("measured", self.length),)

    def carry_out(self, surroundings: Surroundings) -> list[Row]:
        task = make_task(self.task, dict(self.parameters))
        model = construct(task, self.length, setting="base", depth=self.depth)
        result = evaluate(model, num_samples=self.num_samples, seed=self.seed, engine="dense")
        architecture = model.transformer.architecture
        row = self.row(
            surroundings,
            width=architecture.width,
            heads=architecture.num_heads,
            **score_columns(result.score, result.score, task.num_answer_tokens),
        )
        return [row]


def runs(num_samples: int = NUM_SAMPLES) -> list[Frontier]:
    """Each task at each of its lengths and depths."""
    return [
        Frontier(task=task, parameters=parameters, length=length, depth=depth, num_samples=num_samples)
        for task, parameters, lengths, depths in FRONTIERS
        for length in lengths
        for depth in depths
    ]


def quick() -> list[Frontier]:
    """The same with a hundred samples."""
    return runs(100)
