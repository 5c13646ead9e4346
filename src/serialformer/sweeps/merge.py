"""Putting stores together: what two machines measured of one evaluation must be the same, and counts once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from serialformer.errors import SweepError
from serialformer.files import new_file
from serialformer.sweeps.row import CIRCUMSTANCES, COLUMNS, DONE, Row
from serialformer.sweeps.store import HEADER, Say, format_row, read_rows

MAX_CONFLICTS_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Merged:
    """Rows of several stores, each evaluation once.

    Attributes:
        rows: in the order of the stores.
        num_repeated: rows left out because another says the same of the same evaluation.
        num_overcome: failures left out because the run has been done elsewhere or later.
    """

    rows: tuple[Row, ...]
    num_repeated: int
    num_overcome: int


def merge_rows(stores: Iterable[tuple[str, list[Row]]]) -> Merged:
    """The rows of named stores together.

    A run is a pure function of its id, so a second row of one evaluation measures the same samples again: it is left
    out, not added. Rows that differ in more than the clock and the machine cannot both be right and are refused.

    Raises:
        SweepError: two rows of one evaluation differ; says which, and in what.
    """
    kept: dict[tuple[str, str, int], tuple[str, Row]] = {}
    failures: dict[Row, None] = {}
    conflicts, num_repeated = [], 0
    for name, rows in stores:
        for row in rows:
            if row.status != DONE:
                num_repeated += row in failures
                failures[row] = None
            elif row.key not in kept:
                kept[row.key] = (name, row)
            elif row.measured == kept[row.key][1].measured:
                num_repeated += 1
            else:
                conflicts.append(_describe(*kept[row.key], name, row))
    if conflicts:
        more = f"; and {len(conflicts) - MAX_CONFLICTS_SHOWN} more" if len(conflicts) > MAX_CONFLICTS_SHOWN else ""
        raise SweepError(
            f"{'; '.join(conflicts[:MAX_CONFLICTS_SHOWN])}{more}",
            where="merge",
            hint="rounding on another machine or another commit can do this; remove one of the two rows",
        )
    done = {run for run, _, _ in kept}
    left = [row for row in failures if row.run not in done]
    return Merged(
        rows=(*(row for _, row in kept.values()), *left),
        num_repeated=num_repeated,
        num_overcome=len(failures) - len(left),
    )


def merge_stores(paths: Iterable[str | Path], output: str | Path, say: Say = print) -> Merged:
    """Reads stores and writes what they hold together, whole or not at all."""
    merged = merge_rows((str(path), read_rows(path, say)) for path in paths)
    with new_file(output) as file:
        file.write(HEADER)
        for row in merged.rows:
            file.write(format_row(row))
    return merged


def _describe(one_name: str, one: Row, other_name: str, other: Row) -> str:
    """The first column in which two rows differ that may not."""
    for name in COLUMNS:
        if name not in CIRCUMSTANCES and getattr(one, name) != getattr(other, name):
            values = f"{getattr(one, name)} in {one_name}, {getattr(other, name)} in {other_name}"
            return f"run {one.run}, length {one.evaluated_length} ({one.evaluation}): {name} is {values}"
    raise AssertionError("rows that do not differ")
