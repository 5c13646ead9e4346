"""Rows of self-training as Markdown tables: what README.md shows.

    python recipes/self-training/tables.py RESULTS.csv

Shares are of whole generated chains, the median of the seeds and each seed in brackets.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from serialformer.sweeps.row import DONE, Row
from serialformer.sweeps.store import read_rows

SHOWN = (8, 9, 10, 12, 14, 16)
"""Lengths, of those in the rows."""


def make_table(rows: Sequence[Row]) -> str:
    """A line for each variant, before and after its rounds."""
    groups: dict[tuple[str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in sorted(rows, key=lambda row: row.seed):
        if row.status == DONE and row.evaluation in ("before", "after"):
            share = row.generated_chains / row.generated_samples
            groups[_variant(row), row.evaluation][row.evaluated_length].append(share)
    lines = [f"| positions | trained on | | {' | '.join(map(str, SHOWN))} |", f"|---|---|---|{'---|' * len(SHOWN)}"]
    for (variant, evaluation), by_length in groups.items():
        cells = [_cell(by_length[length]) for length in SHOWN]
        lines.append(f"| {variant} | {evaluation} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def make_label_table(rows: Sequence[Row]) -> str:
    """A line for each variant: how many of the chains that it wrote were right, round by round."""
    groups: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in sorted(rows, key=lambda row: row.seed):
        if row.status == DONE and "labels_right" in row.measure:
            groups[_variant(row)][row.evaluated_length].append(float(row.measure["labels_right"] or 0))
    lengths = sorted({length for by_length in groups.values() for length in by_length})
    lines = [f"| positions | trained on | {' | '.join(map(str, lengths))} |", f"|---|---|{'---|' * len(lengths)}"]
    for variant, by_length in groups.items():
        lines.append(f"| {variant} | {' | '.join(f'{median(by_length[length]):.3f}' for length in lengths)} |")
    return "\n".join(lines) + "\n"


def _variant(row: Row) -> str:
    """Two cells: its positions and what the rounds trained on."""
    content = json.loads(row.config)
    positions = "a bias for each distance" if content["config"]["model"]["relative_bias"] else "learned"
    return f"{positions} | {'own chains' if content['has_longer'] else 'true chains to 8'}"


def _cell(shares: Sequence[float]) -> str:
    return f"{median(shares):.3f} ({', '.join(f'{share:.3f}' for share in shares)})"


if __name__ == "__main__":
    found = read_rows(Path(sys.argv[1]))
    print(f"{make_table(found)}\n{make_label_table(found)}", end="")
