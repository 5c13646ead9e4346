"""The rows of circuit value as Markdown tables: what README.md shows.

    python recipes/circuit-value/tables.py RESULTS.csv

The first table has the final evaluation of every run: whole chains given the true tokens (``cot``), or answers. The
second has answers by the depth of the circuit, with the seeds of a cell added up.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from serialformer.figures.circuit_depth import CIRCUIT_DEPTH, FEWEST_SAMPLES
from serialformer.figures.measures import MEASURES
from serialformer.models.score import wilson_interval
from serialformer.sweeps.row import DONE, Row
from serialformer.sweeps.store import read_rows
from serialformer.sweeps.training_experiment import FINAL


def make_tables(rows: Sequence[Row]) -> str:
    """Both tables."""
    rows = [row for row in rows if row.status == DONE]
    lines = ["| setting | gates | layers | seed | steps | accuracy | CPU s |", "|---|---|---|---|---|---|---|"]
    finals = [row for row in rows if row.evaluation == FINAL]
    for row in sorted(finals, key=lambda row: (row.setting, row.length, row.depth, row.seed)):
        right, total = MEASURES["paper"].count(row)
        low, high = wilson_interval(right, total)
        lines.append(
            f"| {row.setting} | {row.length} | {row.depth} | {row.seed} | {row.steps:,} |"
            f" {right / total:.4f} [{low:.4f}, {high:.4f}] | {row.cpu_seconds:,.0f} |"
        )
    return "\n".join([*lines, "", *_by_depth(rows)]) + "\n"


def _by_depth(rows: Sequence[Row]) -> list[str]:
    counts: dict[tuple[str, int, int], dict[int, np.ndarray]] = defaultdict(dict)
    for row in rows:
        if CIRCUIT_DEPTH in row.variable:
            cell = counts[row.setting, row.length, row.depth]
            depth = row.variable[CIRCUIT_DEPTH]
            cell[depth] = cell.get(depth, np.zeros(2, dtype=np.int64)) + np.array([row.answers, row.samples])
    depths = sorted({depth for cell in counts.values() for depth, (_, total) in cell.items() if total > FEWEST_SAMPLES})
    lines = [f"| setting | gates | layers | {' | '.join(map(str, depths))} |", "|---|---|---|" + "---|" * len(depths)]
    for (setting, length, layers), cell in sorted(counts.items()):
        right_and_total = (cell.get(depth, (0, 0)) for depth in depths)
        shares = [f"{right / total:.3f}" if total > FEWEST_SAMPLES else "" for right, total in right_and_total]
        lines.append(f"| {setting} | {length} | {layers} | {' | '.join(shares)} |")
    return lines


if __name__ == "__main__":
    print(make_tables(read_rows(Path(sys.argv[1]))), end="")
