"""Executor: what carries runs out, one interface for this machine and for a cluster."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal

from serialformer.sweeps.experiment import Experiment
from serialformer.sweeps.row import Row


@dataclass(frozen=True, kw_only=True)
class Event:
    """What is heard of a run.

    Attributes:
        run: which.
        state: ``started``; ``advanced`` to a step; ``again``, because what carried it out died; ``done``; ``failed``.
        step: steps done.
        loss: of that step.
        accuracy: of the last evaluation, the share of samples with every labelled token right.
        rows: of a run that is done.
        reason: why it failed, or is tried again.
        seconds: how long it had gone on.
    """

    run: Experiment
    state: Literal["started", "advanced", "again", "done", "failed"]
    step: int = 0
    loss: float | None = None
    accuracy: float | None = None
    rows: tuple[Row, ...] = ()
    reason: str = ""
    seconds: float = 0.0


def done_event(run: Experiment, rows: tuple[Row, ...], seconds: float) -> Event:
    """What is heard of an experiment that is done."""
    first = rows[0]
    accuracy = first.teacher_forced.accuracies["chain_accuracy"] if first.samples else None
    return Event(run=run, state="done", step=first.steps, accuracy=accuracy, rows=rows, seconds=seconds)


class Executor(ABC):
    """Carries runs out."""

    device: str
    """Where: ``cpu``, ``cuda`` or ``cuda:N``."""

    @abstractmethod
    def carry_out(self, runs: Sequence[Experiment], afresh: AbstractSet[str]) -> Iterator[Event]:
        """Runs all of them, in any order; an iterator that may be closed at any time.

        When it is asked for the next event, the rows of the last one are on the disk.

        Args:
            runs: what is to be done.
            afresh: ids of those that failed before: what is left of them is not gone on with.

        Raises:
            SweepError: nothing more can be done here, whichever the run.
        """
