"""Counts to the tables of README.md, which this prints:

    python recipes/robustness/summary.py recipes/robustness/expected.csv

One table of thresholds, one of quantisations.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from math import frexp
from pathlib import Path

from serialformer.figures.damage import Counts, sum_levels
from serialformer.sweeps.row import Row
from serialformer.sweeps.store import read_rows

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


def first_break(levels: Counts, part: int) -> str:
    """The first level at which not all checkpoints are certified (part 1), or right (part 2)."""
    for level, counts in levels.items():
        if counts[part] < counts[0]:
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


def threshold_lines(rows: Sequence[Row]) -> list[str]:
    """A line an ablation and number format: where not all certificates hold any more, and where a token changes."""
    lines = []
    for ablation, weights in THRESHOLDS:
        for dtype in DTYPES:
            cells = [
                first_break(sum_levels(rows, ablation, weights, dtype, large=large), part)
                for large in (False, True)
                for part in (1, 2)
            ]
            lines.append(f"| `{ablation}` | {weights} | {dtype} | {' | '.join(cells)} |")
    return lines


def quantisation_lines(rows: Sequence[Row]) -> list[str]:
    """A line a quantisation and number format: certified and right of all checkpoints, large circuit included."""
    lines = []
    for ablation in QUANTISATIONS:
        for weights in ("all", "position_embedding"):
            for dtype in DTYPES:
                small, large = (sum_levels(rows, ablation, weights, dtype, large=large) for large in (False, True))
                cells = [f"{small[level][1] + large[level][1]}, {small[level][2] + large[level][2]}" for level in small]
                lines.append(f"| `{ablation}` | {weights} | {dtype} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    made = read_rows(Path(sys.argv[1]))
    print("\n".join(threshold_lines(made)), "\n".join(quantisation_lines(made)), sep="\n\n")
