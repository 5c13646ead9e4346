"""The width of compiled circuits against the length of their chains.

    python recipes/width/recipe.py -o DIR [--max-gates 100000]        # DIR/width.csv, DIR/width.png

Random circuits of two-input gates are compiled, and one row is written for each; ``expected.csv`` is what it should be.
The figure sets what came out beside 6 log2(T) + 14, what a twin for every signal would take, and needs the extra
``plot``.
"""

from __future__ import annotations

import argparse
import csv
from math import log2
from pathlib import Path

import numpy as np

import serialformer
from serialformer.figures.sheet import Band, Panel, make_sheet, styled, write_figure
from serialformer.figures.width import draw_width

COLUMNS = ("gates", "chain", "positions", "width")
NUM_INPUTS = 8
XOR, NAND = 6, 7


def measure(max_gates: int) -> list[dict[str, int]]:
    """One circuit at each of 1, 2, 5 times a power of ten of gates, from 10."""
    sizes = [step * 10**power for power in range(1, 8) for step in (1, 2, 5)]
    rows = []
    for num_gates in (size for size in sizes if size <= max_gates):
        model = serialformer.compile(random_circuit(num_gates))
        architecture = model.transformer.architecture
        facts = (num_gates, model.num_new_tokens, architecture.num_positions, architecture.width)
        rows.append(dict(zip(COLUMNS, facts, strict=True)))
    return rows


def random_circuit(num_gates: int) -> serialformer.Circuit:
    """Gates that read any two of the wires before them; the last ones are the outputs."""
    random = np.random.default_rng(num_gates)
    return serialformer.Circuit(
        num_inputs=NUM_INPUTS,
        fan_in=random.integers(0, NUM_INPUTS + np.arange(num_gates)[:, None], (num_gates, 2)).astype(np.int32),
        arity=np.full(num_gates, 2, dtype=np.uint8),
        table=random.choice(np.array([XOR, NAND], dtype=np.uint64), num_gates),
        outputs=np.arange(NUM_INPUTS + num_gates - 8, NUM_INPUTS + num_gates, dtype=np.int32),
    )


def draw(rows: list[dict[str, int]], path: Path) -> None:
    """Width against tokens of the chain."""
    compiled = [(row["chain"], row["width"]) for row in rows]
    twins = [(row["chain"], 6 * log2(row["positions"]) + 14) for row in rows]
    names = ("compiled", "6 log2(T) + 14")
    panel = Panel(title="", draw=lambda axes: draw_width(axes, {names[0]: compiled}, {names[1]: twins}))
    band = Band(
        heading="Compiled circuits", panels=[panel], across="tokens of the chain", upright="width", labels=names
    )
    with styled():
        write_figure(make_sheet([band], ["T: positions, prompt and chain. One circuit each, of random gates."]), path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", required=True)
    parser.add_argument("--max-gates", type=int, default=100_000)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    rows = measure(arguments.max_gates)
    with (arguments.output / "width.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    draw(rows, arguments.output / "width.png")


if __name__ == "__main__":
    main()
