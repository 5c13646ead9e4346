"""Stores of version 0.1: other names of columns, and trainings only. They are read as if they were today's."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from serialformer.errors import SweepError
from serialformer.sweeps.row import COLUMNS, DERIVED, FORMAT, Row
from serialformer.sweeps.run import SweepRun, rename_canonical

OLD_FORMAT = "1"

ADDED = ("experiment", "variables", "measures")
"""Columns that version 0.1 did not have."""

OLD_NAMES = {"curriculum": "sampling"}
"""Columns that had other names."""

OLD_COLUMNS = tuple(OLD_NAMES.get(name, name) for name in COLUMNS if name not in ADDED)

OLD_HEADER = (",".join(OLD_COLUMNS) + "\n").encode()


def row_of_old_cells(cells: Sequence[str], where: str) -> Row:
    """A row of version 0.1: the names in its configuration are today's, and so is the id that follows from it.

    Raises:
        SweepError: it is not one.
    """
    if len(cells) != len(OLD_COLUMNS):
        raise SweepError(f"expected {len(OLD_COLUMNS)} cells, found {len(cells)}", where=where)
    found = dict(zip(OLD_COLUMNS, cells, strict=True))
    if found["format"] != OLD_FORMAT:
        raise SweepError(f"expected format {OLD_FORMAT}, found {found['format']}", where=where)
    try:
        canonical = rename_canonical(found["config"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SweepError("config: expected the canonical form of a run", where=where) from None
    values = {name: found.get(OLD_NAMES.get(name, name), "{}") for name in COLUMNS}
    values |= {"format": str(FORMAT), "experiment": SweepRun.kind, "config": canonical}
    values["run"] = "r" + hashlib.sha256(canonical.encode()).hexdigest()[:16]
    return Row.from_cells([*(values[name] for name in COLUMNS), *[""] * len(DERIVED)], where)
