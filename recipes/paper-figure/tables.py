"""Answers by the number of squarings, as the Markdown table in README.md.

    python recipes/paper-figure/tables.py RESULTS.csv

The seeds of a cell are added up. *Always 1* is exact, over all primes and residues.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from serialformer.models.score import wilson_interval
from serialformer.python_file import load_python
from serialformer.sweeps.row import DONE, Row
from serialformer.sweeps.store import read_rows

SETTINGS = ("base", "hint", "cot")


def make_table(rows: Sequence[Row]) -> str:
    """A line for each setting and depth."""
    rows = [row for row in rows if row.status == DONE and "squarings" in row.variable]
    length = max(row.length for row in rows)
    (bound,) = {json.loads(row.parameters)["bound"] for row in rows}
    numbers = range(1, length + 1)
    counts: dict[tuple[str, int], np.ndarray] = defaultdict(lambda: np.zeros((length + 1, 2), dtype=np.int64))
    for row in rows:
        counts[row.setting, row.depth][row.variable["squarings"]] += row.answers, row.samples
    always_one = load_python(Path(__file__).parents[1] / "paper-small" / "by_number.py").module.always_one
    lines = [
        f"| setting | layers | {' | '.join(map(str, numbers))} |",
        f"|---|---|{'---|' * length}",
        f"| always 1 | | {' | '.join(f'{always_one(bound, number):.3f}' for number in numbers)} |",
    ]
    for (setting, depth), found in sorted(counts.items(), key=lambda item: (SETTINGS.index(item[0][0]), item[0][1])):
        shares = [f"{right / total:.3f}" for right, total in found[1:]]
        low, high = wilson_interval(*(int(count) for count in found[length]))
        lines.append(f"| {setting} | {depth} | {' | '.join(shares)} [{low:.3f}, {high:.3f}] |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(make_table(read_rows(Path(sys.argv[1]))), end="")
