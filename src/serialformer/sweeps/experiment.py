"""Experiment: a value with an id, and a pure function of it that counts; what a sweep carries out."""

from __future__ import annotations

import hashlib
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from serialformer.errors import SweepError
from serialformer.python_file import file_of
from serialformer.sweeps.circumstances import find_commit, find_versions, name_device
from serialformer.sweeps.row import DONE, Row, to_cell

MEASURED = "measured"
"""The evaluation of an experiment that has one."""

PROCESS_BYTES = 450 << 20
"""A process with torch, numba and this package, before it does anything."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """How far an experiment is: steps done, the loss of the last one, and the accuracy of the last evaluation."""

    step: int
    loss: float | None = None
    accuracy: float | None = None


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """Where an experiment is carried out, which changes its numbers by rounding at most.

    Attributes:
        directory: its own, for what it keeps so that it can be resumed; made by whoever needs it.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        save_seconds: how often its state is to be saved.
        progress: called now and then with how far it is.
    """

    directory: Path
    device: str = "cpu"
    save_seconds: float = 30.0
    progress: Callable[[Report], None] | None = None


class Experiment(ABC):
    """One experiment. A subclass is a frozen dataclass whose fields are everything that shapes its counts.

    Fields are numbers, texts, truth values, None, or tuples of those, unless the class has a ``fields_to_json`` and
    ``from_fields`` of its own. A class that a recipe defines is found again by its file, on another machine as well.
    """

    kind: ClassVar[str]
    """As in the column ``experiment``."""
    version: ClassVar[int] = 1
    """Goes up when equal fields come to mean other counts."""

    # --- what a subclass gives

    @abstractmethod
    def carry_out(self, surroundings: Surroundings) -> list[Row]:
        """The rows: one for each of ``evaluations``, and others if it likes. Made with ``row``."""

    @property
    def evaluations(self) -> tuple[tuple[str, int], ...]:
        """What there will be a row of: the name of each evaluation, and the number of items of its samples."""
        return ((MEASURED, 0),)

    @property
    def title(self) -> str:
        """For people: what most sweeps vary."""
        return " ".join([self.kind, *(f"{value}" for value in self.fields_to_json().values() if value is not None)])

    @property
    def num_bytes(self) -> int:
        """About how much memory it takes, its process included."""
        return PROCESS_BYTES

    @property
    def work(self) -> float:
        """How long it takes, in any unit that all experiments of a recipe share: the longest is begun first."""
        return 1.0

    @property
    def num_steps(self) -> int:
        """Steps in which it reports."""
        return 1

    def facts(self) -> dict[str, Any]:
        """Columns of a row that its fields decide."""
        return {}

    def fields_to_json(self) -> dict[str, Any]:
        """Its fields as plain JSON."""
        # Every experiment is a dataclass, which mypy cannot know of a subclass that users write.
        return {part.name: _plain(getattr(self, part.name)) for part in fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_fields(cls, content: Mapping[str, Any]) -> Experiment:
        """The inverse of ``fields_to_json``."""
        # As there: a dataclass.
        names = {part.name for part in fields(cls)}  # type: ignore[arg-type]
        if set(content) != names:
            raise SweepError(f"expected an object of {', '.join(sorted(names))}, found {content!r}", where="run")
        return cls(**{name: _frozen(value) for name, value in content.items()})

    # --- what comes of it

    def versions(self) -> dict[str, Any]:
        """The additional values that the id depends on."""
        return {"experiment": self.kind, "version": self.version}

    @cached_property
    def canonical(self) -> str:
        """Everything that shapes the counts, as JSON with sorted keys and no blanks. The commit is not in it."""
        return to_cell({**self.fields_to_json(), **self.versions()})

    @cached_property
    def id(self) -> str:
        """``r`` and the first 16 hexadecimal digits of the canonical form's SHA-256.

        The letter keeps tables from reading an id such as ``1234e56`` as a number.
        """
        return "r" + hashlib.sha256(self.canonical.encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """Its fields, and how another process finds its class."""
        return {"experiment": self.kind, "fields": self.fields_to_json(), "class": _reference(type(self))}

    def row(
        self,
        surroundings: Surroundings | None,
        *,
        evaluation: str = MEASURED,
        variables: Mapping[str, Any] | None = None,
        measures: Mapping[str, Any] | None = None,
        **columns: Any,
    ) -> Row:
        """A row of this experiment.

        Args:
            surroundings: where it was carried out.
            evaluation: which of its evaluations.
            variables: what was varied and has no column of its own.
            measures: what came out and has no column of its own: numbers, or None where there is none.
            columns: of the row.
        """
        known: dict[str, Any] = {
            "experiment": self.kind,
            "run": self.id,
            "evaluation": evaluation,
            "status": DONE,
            "variables": to_cell(dict(variables or {})),
            "measures": to_cell(dict(measures or {})),
            "commit": find_commit(),
            "versions": find_versions(),
            "device": name_device("cpu" if surroundings is None else surroundings.device),
            "config": self.canonical,
        }
        return Row(**(known | self.facts() | columns))


def _reference(kind: type[Experiment]) -> str | None:
    """``FILE.py:Class`` of what a recipe defines; None for this package's own."""
    if kind.__module__.startswith("serialformer."):
        return None
    file = file_of(kind)
    path = str(file.path) if file is not None else getattr(sys.modules.get(kind.__module__), "__file__", None)
    if path is None:
        raise SweepError(f"no file defines {kind.__name__}", where="experiment", hint="define it in a Python file")
    return f"{Path(path).resolve()}:{kind.__name__}"


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, allow_nan=False))


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
