"""The rows of the sweep as the tables of README.md.

python recipes/training/tables.py RESULTS.csv
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean

from recipe import CASES, WATCHED, Case
from watched import FINE_TUNINGS, RANDOM

from serialformer.figures.chance import chance_level
from serialformer.figures.learning import STEP, curves_of
from serialformer.sweeps.row import DONE, Row
from serialformer.sweeps.store import read_rows

SETTINGS = ("cot", "base", "hint")


def learnt_lines(rows: Sequence[Row]) -> Iterator[str]:
    """A line for each task and setting; "each" lists the seeds in their order."""
    yield (
        "| task | setting | seeds | at 99.9 % | steps, each | CPU s, each | whole chains | answers "
        "| most common answer |"
    )
    yield "|" + "---|" * 9
    for name, case in CASES.items():
        for setting in SETTINGS:
            group = [
                row
                for row in rows
                if row.experiment == "training" and row.evaluation == "final" and row.status == DONE
                and row.setting == setting and _is_of(row, case)
            ]  # fmt: skip
            group.sort(key=lambda row: row.seed)
            if group:
                yield _learnt_line(name, setting, group)


def _learnt_line(name: str, setting: str, group: Sequence[Row]) -> str:
    accuracies = [row.teacher_forced.accuracies for row in group]
    # A run may get there at its last step, when nothing is left to end early.
    reached = sum(found["chain_accuracy"] >= 0.999 for found in accuracies)
    first = group[0]
    chance = chance_level(first.task, first.parameters, first.length)
    cells = (
        name,
        setting,
        str(len(group)),
        str(reached),
        ", ".join(str(row.steps) for row in group),
        ", ".join(f"{row.cpu_seconds:.1f}" for row in group),
        ", ".join(f"{found['chain_accuracy']:.4f}" for found in accuracies),
        ", ".join(f"{found['answer_accuracy']:.4f}" for found in accuracies),
        "" if chance is None else f"{chance:.4f}",
    )
    return f"| {' | '.join(cells)} |"


def watched_lines(rows: Sequence[Row]) -> Iterator[str]:
    """A line for each task and start, of rows with their curves; means over seeds, but for the worst."""
    yield (
        "| task | start | seeds | share at the first evaluation | at 25 % | at 50 % | at the end "
        "| worst whole chains at any evaluation | worst whole chains at the end | largest change of a weight |"
    )
    yield "|" + "---|" * 10
    for name, case in WATCHED.items():
        for start in (RANDOM, *FINE_TUNINGS):
            group = [row for row in rows if row.experiment == "watched" and _is_of(row, case)]
            group = [row for row in group if row.variable["start"] == start]
            finals = [row for row in group if not row.evaluation.startswith(STEP)]
            curves = [
                [*curve, *(row for row in finals if row.run == curve[0].run)] for curve in curves_of(group) if curve
            ]
            if curves:
                yield _watched_line(name, start, finals, curves)


def _watched_line(name: str, start: str, finals: Sequence[Row], curves: Sequence[Sequence[Row]]) -> str:
    shares = [
        mean(curve[round(part * (len(curve) - 1))].measure["pointer_share"] for curve in curves)
        for part in (0, 0.25, 0.5, 1)
    ]
    worst = min(row.chains / row.samples for curve in curves for row in curve)
    end = min(row.chains / row.samples for row in finals)
    changes = [change for row in finals if (change := row.measure.get("largest_change")) is not None]
    moved = "" if len(changes) < len(finals) or not changes else f"{max(changes):.3g}"
    cells = (name, start, str(len(finals)), *(f"{share:.3f}" for share in shares), f"{worst:.4f}", f"{end:.4f}", moved)
    return f"| {' | '.join(cells)} |"


def _is_of(row: Row, case: Case) -> bool:
    config = case.config("cot", 0)
    parameters = {name: str(value) for name, value in config.parameters.items()}
    same = (row.task, row.length, row.depth) == (config.task, config.length, config.model.num_layers)
    return same and {name: str(value) for name, value in row.task_parameters.items()} == parameters


if __name__ == "__main__":
    found = read_rows(Path(sys.argv[1]))
    print("\n".join(learnt_lines(found)), "\n".join(watched_lines(found)), sep="\n\n")
