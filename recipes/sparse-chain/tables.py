"""Rows of models of parity as a Markdown table: what README.md of this folder and of recipes/filler show.

    python recipes/sparse-chain/tables.py RESULTS.csv

Shares are of whole chains given the true tokens before (``cot``) or of answers, a seed each; *solved* is the number of
samples seen until the first evaluation in which 99 % were right.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from serialformer.sweeps.row import DONE, Row
from serialformer.sweeps.store import read_rows
from serialformer.sweeps.training_experiment import FINAL

SOLVED = 0.99


def make_table(rows: Sequence[Row]) -> str:
    """A line for each setting, value of the task's parameter, and curriculum or none."""
    groups: dict[tuple[bool, str, str], dict[int, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row.status == DONE:
            groups[not row.curriculum, row.setting, row.parameters][row.seed].append(row)
    lines = ["| setting | parameter | curriculum | right, seed by seed | samples until 99 % |", "|---|---|---|---|---|"]
    for (is_uniform, setting, parameters), seeds in sorted(groups.items()):
        named = ", ".join(f"{name} {value}" for name, value in json.loads(parameters).items())
        finals = [next(row for row in found if row.evaluation == FINAL) for _, found in sorted(seeds.items())]
        shares = ", ".join(f"{_share(row):.3f}" for row in finals)
        solved = ", ".join(_samples_to_solve(found) for _, found in sorted(seeds.items()))
        lines.append(f"| {setting} | {named} | {'no' if is_uniform else 'yes'} | {shares} | {solved} |")
    return "\n".join(lines) + "\n"


def _share(row: Row) -> float:
    return (row.chains if row.setting == "cot" else row.answers) / row.samples


def _samples_to_solve(rows: Sequence[Row]) -> str:
    """Steps times the size of a batch."""
    solved = [row.steps * row.batch_size for row in rows if _share(row) >= SOLVED]
    return f"{min(solved):,}" if solved else "not reached"


if __name__ == "__main__":
    print(make_table(read_rows(Path(sys.argv[1]))), end="")
