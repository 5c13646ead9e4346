"""Carrying out one experiment, wherever that is, and the rows that come of it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from serialformer.errors import SerialformerError
from serialformer.sweeps.experiment import Experiment, Surroundings
from serialformer.sweeps.row import FAILED, Row, one_line

MAX_REASON = 500
"""Characters of a reason that are kept."""


def carry_out(run: Experiment, surroundings: Surroundings) -> list[Row]:
    """The rows of an experiment, or of its remainder after an interruption; the first row holds the time.

    Raises:
        SerialformerError: it fails; what is raised is its own.
    """
    started, seconds = time.process_time(), time.perf_counter()
    rows = run.carry_out(surroundings)
    if rows and not rows[0].seconds:
        cpu_seconds = round(time.process_time() - started, 3)
        rows[0] = replace(rows[0], cpu_seconds=cpu_seconds, seconds=round(time.perf_counter() - seconds, 3))
    return rows


def explain(error: Exception, directory: Path) -> str:
    """Why an experiment failed, without the place where it happened to lie, which is not its own."""
    if not isinstance(error, SerialformerError):
        return f"{type(error).__name__}: {error}"
    where = "" if error.where is None or error.where == str(directory) else f"{error.where}: "
    return f"{where}{error.message}" + (f"\nhint: {error.hint}" if error.hint else "")


def failed_row(run: Experiment, reason: str, *, device: str = "cpu", seconds: float = 0.0) -> Row:
    """The row of an experiment that came to nothing."""
    text = one_line(reason)
    surroundings = Surroundings(directory=Path(), device=device)
    return run.row(
        surroundings,
        evaluation="",
        status=FAILED,
        reason=text if len(text) <= MAX_REASON else f"{text[: MAX_REASON - 3]}...",
        seconds=round(seconds, 3),
    )
