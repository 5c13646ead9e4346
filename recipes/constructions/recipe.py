"""Every construction on fresh samples, teacher-forced and generating.

    serialformer sweep recipes/constructions -o DIR/constructions.csv       # recipe.py:quick takes fewer samples
    python recipes/constructions/figure.py CONSTRUCTIONS.png                # where the heads look

``expected.csv`` is what the rows should be. Needs the extra ``torch``, and ``plot`` for the figure.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from serialformer.architecture import DtypeName
from serialformer.models.construct import construct
from serialformer.models.evaluate import evaluate
from serialformer.sweeps.experiment import Experiment, Surroundings
from serialformer.sweeps.row import Row, to_cell
from serialformer.sweeps.training_experiment import score_columns
from serialformer.tasks.registry import make_task
from serialformer.tasks.task import ParameterValue

Parameters = tuple[tuple[str, ParameterValue], ...]

CONSTRUCTIONS: tuple[tuple[str, Parameters, int], ...] = (
    ("parity", (), 16),
    ("majority", (), 16),
    ("automaton", (), 16),
    ("modular-addition", (), 16),
    ("modular-addition", (("modulus", 2),), 16),
    ("word-problem", (), 16),
    ("word-problem", (("group", "A4_x_Z5"),), 16),
    ("permutation-composition", (("format", "token"),), 16),
    ("permutation-composition", (("format", "symbols"),), 4),
    ("permutation-composition", (("format", "brackets"),), 4),
    ("iterated-squaring", (), 8),
)
NUM_SAMPLES, IN_TRANSFORMERS = 100_000, 1000


@dataclass(frozen=True, kw_only=True)
class Construction(Experiment):
    """Constructs a model of a task and scores it in an engine and a number format.

    The dense engine computes in float32 whatever the weights; ``hf`` is transformers' ``generate``.
    """

    kind: ClassVar[str] = "construction"

    task: str
    parameters: Parameters = ()
    length: int
    dtype: DtypeName = "float32"
    engine: str = "dense"
    num_samples: int
    seed: int = 1

    @property
    def work(self) -> float:
        # Wide tables cost time in proportion.
        return float(self.num_samples * self.length * (20 if self.task == "iterated-squaring" else 1))

    def facts(self) -> dict[str, Any]:
        task = make_task(self.task, dict(self.parameters))
        return {
            "task": task.name,
            "parameters": to_cell(task.parameters),
            "length": self.length,
            "evaluated_length": self.length,
            "setting": "cot",
            "seed": self.seed,
        }

    @property
    def evaluations(self) -> tuple[tuple[str, int], ...]:
        return (("measured", self.length),)

    def carry_out(self, surroundings: Surroundings) -> list[Row]:
        task = make_task(self.task, dict(self.parameters))
        with tempfile.TemporaryDirectory() as folder:
            model = construct(task, self.length, dtype=self.dtype).save(Path(folder, "model"))
            result = evaluate(model, num_samples=self.num_samples, seed=self.seed, engine=self.engine)
        architecture = model.transformer.architecture
        row = self.row(
            surroundings,
            variables={"dtype": self.dtype, "engine": self.engine},
            depth=architecture.num_layers,
            width=architecture.width,
            heads=architecture.num_heads,
            **score_columns(result.score, result.score, task.num_answer_tokens),
        )
        return [row]


def runs(num_samples: int = NUM_SAMPLES, in_transformers: int = IN_TRANSFORMERS) -> list[Construction]:
    """Each construction in our dense engine, and in transformers in both number formats."""
    found = []
    for task, parameters, length in CONSTRUCTIONS:
        # The proof at construction covers every case of the wide tables of squares.
        many = min(num_samples, 10_000) if task == "iterated-squaring" else num_samples
        settings: tuple[tuple[str, DtypeName, int], ...] = (
            ("dense", "float32", many),
            ("hf", "float32", in_transformers),
            ("hf", "bfloat16", in_transformers),
        )
        for engine, dtype, number in settings:
            found.append(
                Construction(
                    task=task, parameters=parameters, length=length, dtype=dtype, engine=engine, num_samples=number
                )
            )
    return found


def quick() -> list[Construction]:
    """The same with a thousand samples, a hundred in transformers."""
    return runs(1000, 100)
