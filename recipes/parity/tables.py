"""Rows of sums modulo 2 as a Markdown table: what README.md shows.

    python recipes/parity/tables.py RESULTS.csv

Shares are of answers (``base``) or of whole chains given the true tokens before (``cot``), a seed each.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from serialformer.sweeps.row import DONE, Row
from serialformer.sweeps.store import read_rows


def make_table(rows: Sequence[Row]) -> str:
    """A line for each curriculum or none, length and setting."""
    groups: dict[tuple[bool, int, str], list[Row]] = defaultdict(list)
    for row in rows:
        if row.status == DONE:
            groups[bool(row.curriculum), row.length, row.setting].append(row)
    lines = [
        "| samples | length | setting | right, seed by seed | answers after the model's own chain | steps | CPU s |",
        "|---|---|---|---|---|---|---|",
    ]
    for (has_curriculum, length, setting), found in sorted(groups.items()):
        found.sort(key=lambda row: row.seed)
        has_chain = setting == "cot"
        shares = ", ".join(f"{(row.chains if has_chain else row.answers) / row.samples:.3f}" for row in found)
        own = ", ".join(f"{row.generated_answers / row.generated_samples:.3f}" for row in found) if has_chain else ""
        steps = ", ".join(f"{row.steps:,}" for row in found)
        seconds = sum(row.cpu_seconds or 0 for row in found) / len(found)
        samples = "annealed" if has_curriculum else "uniform"
        lines.append(f"| {samples} | {length} | {setting} | {shares} | {own} | {steps} | {seconds:.0f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(make_table(read_rows(Path(sys.argv[1]))), end="")
