"""SweepRun: the experiment that trains a model and evaluates it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from serialformer.errors import SweepError, TaskError
from serialformer.sweeps.experiment import Surroundings
from serialformer.sweeps.row import Row, to_cell
from serialformer.sweeps.training_experiment import (
    FINAL,
    TrainingExperiment,
    curve_columns,
    score_columns,
)
from serialformer.tasks.layout import num_positions
from serialformer.training.config import TrainingConfig, rename_fields

FRESH = "fresh"
"""The evaluation on samples drawn for the sweep."""


@dataclass(frozen=True, kw_only=True)
class SweepRun(TrainingExperiment):
    """One model trained from random weights, and its evaluations. A row of a store is a pure function of it.

    Every run is evaluated on its own length as its training ends (``config.evaluation`` says on how much); what is
    here comes on top.

    Attributes:
        config: what is trained.
        lengths: where it is evaluated afresh, which may be its own length; as many positions as it has must do.
        num_samples: of each of these lengths, teacher-forced and generated.
        seed: of those samples.
        curve: whether the evaluations while it trains become rows as well, ``step N``.

    Raises:
        SweepError: it would start from given weights, measure pointers, or a length is not possible.

    >>> run = SweepRun(config=TrainingConfig(task="parity", length=8, setting="cot"), lengths=(4, 8))
    >>> SweepRun.from_fields(run.fields_to_json()) == run, len(run.id)
    (True, 17)
    >>> run.evaluations
    (('final', 8), ('fresh', 4), ('fresh', 8))
    """

    kind: ClassVar[str] = "training"

    lengths: tuple[int, ...] = ()
    num_samples: int = 1000
    seed: int = 0
    curve: bool = False

    def __post_init__(self) -> None:
        # So that 1 and 1.0, where a number is meant, are one run; and so that what cannot be read back is refused here.
        object.__setattr__(self, "config", TrainingConfig.from_json(self.config.to_json()))
        where = f"run of {self.config.task}"
        if self.config.initial is not None:
            raise SweepError(
                "starts from given weights, which a sweep does not carry", where=where, hint="initial=None"
            )
        if self.config.evaluation.pointers:
            raise SweepError("pointers are measured by serialformer train only", where=where, hint="pointers=False")
        if self.num_samples < 1 or self.seed < 0:
            raise SweepError(
                f"expected at least one sample and a seed of 0 or more, found {self.num_samples} and {self.seed}",
                where=where,
            )
        if len(set(self.lengths)) < len(self.lengths):
            raise SweepError(f"a length is given twice in {self.lengths}", where=where)
        self._check_lengths(where)

    def _check_lengths(self, where: str) -> None:
        if not self.lengths:
            return
        task, setting = self.config.make_task(), self.config.setting
        most = self.config.max_length or self.config.length
        available, known = num_positions(task, setting, most), set(task.vocabulary(most))
        for length in self.lengths:
            try:
                task.check_size(length, 1)
            except TaskError as error:
                raise SweepError(f"length {length}: {error.message}", where=where) from None
            needed = num_positions(task, setting, length)
            if needed > available or not set(task.vocabulary(length)) <= known:
                raise SweepError(
                    f"with a max_length of {most} it has {available} positions and their tokens; length {length}"
                    f" takes {needed}, or other tokens",
                    where=where,
                    hint="a larger TrainingConfig.max_length",
                )

    @property
    def evaluations(self) -> tuple[tuple[str, int], ...]:
        """What there will be a row of: kind and length of each evaluation."""
        return ((FINAL, self.config.length), *((FRESH, length) for length in self.lengths))

    @property
    def title(self) -> str:
        """For people: what most sweeps vary.

        >>> SweepRun(config=TrainingConfig(task="parity", length=8, setting="cot", seed=3)).title
        'parity cot length 8 depth 1 seed 3'
        """
        config = self.config
        return (
            f"{config.task} {config.setting} length {config.length} depth {config.model.num_layers} seed {config.seed}"
        )

    def fields_to_json(self) -> dict[str, Any]:
        return {
            "config": self.config.to_json(),
            "lengths": list(self.lengths),
            "num_samples": self.num_samples,
            "seed": self.seed,
            **({"curve": True} if self.curve else {}),
        }

    @classmethod
    def from_fields(cls, content: Mapping[str, Any]) -> SweepRun:
        """The inverse of ``fields_to_json``; also takes ``canonical``, whose versions must be today's.

        Raises:
            SweepError: a key is missing or unknown, or the versions are others.
            TrainingError: the configuration is not one.
        """
        expected, optional = {"config", "lengths", "num_samples", "seed"}, {"curve"}
        versions = {"experiment", "semantics", "task_version", "task_source"}
        if not isinstance(content, Mapping) or not expected <= set(content) <= expected | optional | versions:
            raise SweepError(f"expected an object of {', '.join(sorted(expected))}, found {content!r}", where="run")
        run = SweepRun(
            config=TrainingConfig.from_json(content["config"]),
            lengths=tuple(content["lengths"]),
            num_samples=content["num_samples"],
            seed=content["seed"],
            curve=content.get("curve", False),
        )
        today = json.loads(run.canonical)
        for name in sorted(versions & set(content)):
            if content[name] != today.get(name):
                raise SweepError(f"expected {name} {today.get(name)}, found {content[name]}", where="run")
        return run

    def carry_out(self, surroundings: Surroundings) -> list[Row]:
        """Trains and evaluates, or resumes the run in the directory; see ``training.loop.train`` for its errors."""
        from serialformer.models.evaluate import evaluate

        result = self.train(surroundings)
        num_answer_tokens = self.config.make_task().num_answer_tokens
        trained: dict[str, Any] = {"steps": result.steps, "reached_target": result.reached_target}
        rows = [self.final_row(surroundings, result)]
        for length in self.lengths:
            started, seconds = time.process_time(), time.perf_counter()
            score = evaluate(result.model, length=length, num_samples=self.num_samples, seed=self.seed).score
            rows.append(
                self.row(
                    surroundings,
                    evaluation=FRESH,
                    evaluated_length=length,
                    cpu_seconds=round(time.process_time() - started, 3),
                    seconds=round(time.perf_counter() - seconds, 3),
                    **trained,
                    **score_columns(score, score, num_answer_tokens),
                )
            )
        if self.curve:
            rows += [self.row(surroundings, **columns) for columns in curve_columns(surroundings)]
        return rows


def rename_canonical(text: str) -> str:
    """The canonical form of a run of version 0.1, as it is today."""
    content = json.loads(text)
    return to_cell({**content, "config": rename_fields(content["config"]), "experiment": SweepRun.kind})
