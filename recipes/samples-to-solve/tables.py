"""Rows of bisections as a Markdown table: what README.md shows.

python recipes/samples-to-solve/tables.py RESULTS.csv
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from serialformer.sweeps.row import DONE, Row
from serialformer.sweeps.store import read_rows


def make_table(rows: Sequence[Row]) -> str:
    """A line for each setting: the smallest pool that was enough, a seed each, and what the trainings cost."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.status == DONE and row.evaluation == "solved":
            groups[row.setting].append(row)
    lines = ["| setting | prompts needed, seed by seed | trainings | CPU s |", "|---|---|---|---|"]
    for setting, found in groups.items():
        found.sort(key=lambda row: row.seed)
        needed = [row.measure["samples"] for row in found]
        cells = ", ".join("more than there are" if samples is None else f"{samples:g}" for samples in needed)
        trainings = sum(int(row.measure["trainings"] or 0) for row in found)
        lines.append(f"| {setting} | {cells} | {trainings} | {sum(row.cpu_seconds or 0 for row in found):.0f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(make_table(read_rows(Path(sys.argv[1]))), end="")
