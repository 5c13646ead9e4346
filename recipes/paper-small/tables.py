"""The rows of a sweep as Markdown tables, one a task: what README.md shows of expected.csv.

    python recipes/paper-small/tables.py RESULTS.csv

Shares are the paper's measure (base and hint: the whole answer; cot: every token of the chain, given the true tokens
before it): of one seed, with Wilson's 95 % interval of its samples in square brackets; of several, their median, with
the share of each in round brackets. Chance is always giving the most common answer; steps and CPU seconds are means,
for base, hint and cot.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from serialformer.figures.chance import chance_level
from serialformer.figures.measures import MEASURES
from serialformer.figures.points import Point, describe_variant, pool, select_final, split_variants
from serialformer.sweeps.row import DONE, Row
from serialformer.sweeps.store import read_rows

SETTINGS = ("base", "hint", "cot")


def make_tables(rows: Sequence[Row]) -> str:
    """All tables, in the order of the rows' tasks."""
    rows = [row for row in rows if row.status == DONE]
    tasks = list(dict.fromkeys((row.task, row.parameters) for row in rows))
    tables = []
    for task, parameters in tasks:
        own = [row for row in rows if (row.task, row.parameters) == (task, parameters)]
        named = ", ".join(f"{name} {value}" for name, value in json.loads(parameters).items())
        title = f"**{task}**" + (f" ({named})" if named else "")
        for fields, part in split_variants(select_final(own)):
            apart = f", {describe_variant(fields)}" if fields else ""
            tables.append("\n".join((title + apart, "", *_table(part))))
    return "\n\n".join(tables) + "\n"


def _table(rows: Sequence[Row]) -> Iterator[str]:
    points: dict[tuple[int, int], dict[str, Point]] = defaultdict(dict)
    for setting in SETTINGS:
        chosen = [row for row in rows if row.setting == setting]
        for point in pool(chosen, MEASURES["paper"]):
            points[point.length, point.depth][setting] = point
    generated: dict[tuple[int, int], Point] = {}
    for point in pool([row for row in rows if row.setting == "cot"], MEASURES["generated"]):
        generated[point.length, point.depth] = point
    seconds: dict[tuple[int, int, str], list[float]] = defaultdict(list)
    steps: dict[tuple[int, int, str], list[int]] = defaultdict(list)
    for row in rows:
        seconds[row.length, row.depth, row.setting].append(row.cpu_seconds)
        steps[row.length, row.depth, row.setting].append(row.steps)
    yield "| length | chance | depth | base | hint | cot | cot, generated | steps: base, hint, cot | CPU s |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for length, depth in sorted(points):
        found = points[length, depth]
        made, chance = generated.get((length, depth)), chance_level(rows[0].task, rows[0].parameters, length)
        cells = [
            str(length),
            "" if chance is None else f"{chance:.3f}",
            str(depth),
            *(_share(found.get(setting)) for setting in SETTINGS),
            "" if made is None else f"{made.share:.3f}",
            ", ".join(_mean(steps.get((length, depth, setting), [])) for setting in SETTINGS),
            ", ".join(_mean(seconds.get((length, depth, setting), [])) for setting in SETTINGS),
        ]
        yield f"| {' | '.join(cells)} |"


def _share(point: Point | None) -> str:
    if point is None:
        return ""
    if point.interval is None:
        seeds = ", ".join(f"{right / total:.3f}" for right, total in point.seeds)
        return f"{point.share:.3f} ({seeds})"
    low, high = point.interval
    return f"{point.share:.3f} [{low:.3f}, {high:.3f}]"


def _mean(numbers: Sequence[float]) -> str:
    return f"{sum(numbers) / len(numbers):,.0f}" if numbers else "-"


if __name__ == "__main__":
    print(make_tables(read_rows(Path(sys.argv[1]))), end="")
