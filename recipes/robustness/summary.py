"""Counts to the tables of README.md, which this prints:

    python recipes/robustness/summary.py recipes/robustness/expected.csv

One table of thresholds, one of quantisations.
"""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass
from math import frexp
from pathlib import Path

LARGE = "multiplier16"
DTYPES = ("float32", "bfloat16")

THRESHOLDS = (
    ("noise", "all"),
    ("noise", "position_embedding"),
    ("bit_flips", "all"),
    ("dropped_coordinates", "names"),
    ("levels_of_names", "names"),
    ("attention_gap", "queries"),
    ("attention_gap_asked", "queries"),
    ("answer", "mlp_output"),
)

QUANTISATIONS = ("integers_per_tensor", "integers_per_channel", "integers_per_channel_power_of_two", "casts")


@dataclass(frozen=True, kw_only=True)
class Level:
    """What became of the checkpoints of one level."""

    checkpoints: int = 0
    certified: int = 0
    right: int = 0

    def __add__(self, other: Level) -> Level:
        return Level(
            checkpoints=self.checkpoints + other.checkpoints,
            certified=self.certified + other.certified,
            right=self.right + other.right,
        )


@dataclass(frozen=True, kw_only=True)
class Counts:
    """The rows of the table."""

    rows: tuple[dict[str, str], ...]

    def levels(self, ablation: str, weights: str, dtype: str, *, large: bool = False) -> dict[str, Level]:
        """For each level, least damage first, the sum over the small circuits, or the large one's."""
        levels: dict[str, Level] = {}
        for row in self.rows:
            is_it = (row["ablation"], row["weights"], row["dtype"]) == (ablation, weights, dtype)
            if is_it and (row["circuit"] == LARGE) == large:
                count = Level(**{name: int(row[name]) for name in ("checkpoints", "certified", "right")})
                levels[row["level"]] = levels.get(row["level"], Level()) + count
        return levels


def read_counts(path: Path) -> Counts:
    with path.open(encoding="utf-8") as file:
        return Counts(rows=tuple(csv.DictReader(file)))


def first_break(levels: dict[str, Level], kind: str) -> str:
    """The first level at which not all checkpoints are certified, or right."""
    for level, count in levels.items():
        if getattr(count, kind) < count.checkpoints:
            return _short(level)
    return "none"


def _short(level: str) -> str:
    """Small powers of two as such, anything else as it is.

    >>> _short("0.00390625"), _short("0.35"), _short("16")
    ('2^-8', '0.35', '16')
    """
    try:
        mantissa, exponent = frexp(float(level))
    except ValueError:
        return level
    return f"2^{exponent - 1}" if mantissa == 0.5 and exponent < -2 else level


def threshold_lines(counts: Counts) -> list[str]:
    """A line an ablation and number format: where not all certificates hold any more, and where a token changes."""
    lines = []
    for ablation, weights in THRESHOLDS:
        for dtype in DTYPES:
            cells = [
                first_break(counts.levels(ablation, weights, dtype, large=large), kind)
                for large in (False, True)
                for kind in ("certified", "right")
            ]
            lines.append(f"| `{ablation}` | {weights} | {dtype} | {' | '.join(cells)} |")
    return lines


def quantisation_lines(counts: Counts) -> list[str]:
    """A line a quantisation and number format: certified and right of all checkpoints, large circuit included."""
    lines = []
    for ablation in QUANTISATIONS:
        for weights in ("all", "position_embedding"):
            for dtype in DTYPES:
                small, large = (counts.levels(ablation, weights, dtype, large=large) for large in (False, True))
                sums = {level: count + large[level] for level, count in small.items()}
                cells = [f"{count.certified}, {count.right}" for count in sums.values()]
                lines.append(f"| `{ablation}` | {weights} | {dtype} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    made = read_counts(Path(sys.argv[1]))
    print("\n".join(threshold_lines(made)), "\n".join(quantisation_lines(made)), sep="\n\n")
