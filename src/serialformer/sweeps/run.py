"""A run as a value: what is trained, and on what it is evaluated afterwards."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from serialformer.errors import SweepError, TaskError
from serialformer.tasks.layout import num_positions
from serialformer.training.config import TrainingConfig

SEMANTICS = 1
"""Goes up when a configuration comes to mean other numbers than before, by more than rounding."""

FINAL, FRESH = "final", "fresh"
"""Evaluations: the one that ends the training, and that on samples drawn for the sweep."""


@dataclass(frozen=True, kw_only=True)
class SweepRun:
    """One model trained from random weights, and its evaluations. A row of a store is a pure function of it.

    Every run is evaluated on its own length as its training ends (``config.evaluation`` says on how much); what is
    here comes on top.

    Attributes:
        config: what is trained.
        lengths: where it is evaluated afresh, which may be its own length; as many positions as it has must do.
        num_samples: of each of these lengths, teacher-forced and generated.
        seed: of those samples.

    Raises:
        SweepError: it would start from given weights, measure pointers, or a length is not possible.

    >>> run = SweepRun(config=TrainingConfig(task="parity", length=8, setting="cot"), lengths=(4, 8))
    >>> SweepRun.from_json(run.to_json()) == run, len(run.id)
    (True, 17)
    >>> run.evaluations
    (('final', 8), ('fresh', 4), ('fresh', 8))
    """

    config: TrainingConfig
    lengths: tuple[int, ...] = ()
    num_samples: int = 1000
    seed: int = 0

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

    @cached_property
    def canonical(self) -> str:
        """Everything that shapes the counts, as JSON with sorted keys and no blanks. The commit is not in it."""
        content = {**self.to_json(), "semantics": SEMANTICS, "task_version": self.config.make_task().version}
        return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @cached_property
    def id(self) -> str:
        """``r`` and the first 16 hexadecimal digits of the canonical form's SHA-256.

        The letter keeps tables from reading an id such as ``1234e56`` as a number.
        """
        return "r" + hashlib.sha256(self.canonical.encode()).hexdigest()[:16]

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

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, texts, lists and objects."""
        return {
            "config": self.config.to_json(),
            "lengths": list(self.lengths),
            "num_samples": self.num_samples,
            "seed": self.seed,
        }

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> SweepRun:
        """The inverse of ``to_json``; also takes ``canonical``, whose versions must be today's.

        Raises:
            SweepError: a key is missing or unknown, or the versions are others.
            TrainingError: the configuration is not one.
        """
        expected = {"config", "lengths", "num_samples", "seed"}
        versions = {"semantics", "task_version"}
        if not isinstance(content, Mapping) or not expected <= set(content) <= expected | versions:
            raise SweepError(f"expected an object of {', '.join(sorted(expected))}, found {content!r}", where="run")
        run = SweepRun(
            config=TrainingConfig.from_json(content["config"]),
            lengths=tuple(content["lengths"]),
            num_samples=content["num_samples"],
            seed=content["seed"],
        )
        today = json.loads(run.canonical)
        for name in versions & set(content):
            if content[name] != today[name]:
                raise SweepError(f"expected {name} {today[name]}, found {content[name]}", where="run")
        return run
