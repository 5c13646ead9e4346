"""What precision the paper's construction needs: circuits run in F_1, and codes that are not interleaved beside it.

    python recipes/precision/recipe.py -o DIR [--largest 14] [--figure PRECISION.png]

writes ``circuits.csv`` and ``codes.csv``; ``expected/`` holds what they should be. See README.md for cost and findings.
"""

from __future__ import annotations

import argparse
import csv
import time
from math import comb
from pathlib import Path

import numpy as np

import serialformer
from serialformer import Circuit, CircuitBuilder
from serialformer.circuits.evaluate import evaluate_wires
from serialformer.compile.sign_codes import sign_codes
from serialformer.transformer.exponential import exponential_bounds
from serialformer.transformer.precision import fixed_point

SMALLEST, LARGEST = 4, 14
NUM_INPUT_BITS = 16
LARGEST_PRECISION = 40

FINEST_SCALE = 6
"""Scales of plain codes are tried in steps of 2^-s, or of 2^-6 if that is coarser."""


def random_circuit(num_gates: int, seed: int) -> Circuit:
    """Gates of two inputs and every table, each reading any earlier wires."""
    random = np.random.default_rng(seed)
    build = CircuitBuilder()
    wires = build.inputs("x", NUM_INPUT_BITS)
    for _ in range(num_gates):
        reads = random.integers(0, len(wires), 2)
        wires.append(build.gate(int(random.integers(0, 16)), *(wires[read] for read in reads)))
    build.outputs("y", wires[-8:])
    return build.circuit()


def run_circuits(exponent: int) -> dict[str, int]:
    """Compiles a circuit of 2^exponent gates to F_1 and counts the chain tokens that are the circuit's."""
    circuit = random_circuit(1 << exponent, seed=exponent)
    model = serialformer.compile(circuit, target="paper", precision=1)
    architecture = model.transformer.architecture
    num_runs = 256 if exponent <= 10 else 64 if exponent <= 12 else 8
    bits = np.random.default_rng(exponent).integers(0, 2, (num_runs, NUM_INPUT_BITS)).astype(np.uint8)
    chains = model.think(bits, model.engine())
    expected = evaluate_wires(circuit, bits)[:, model.schedule.wire]
    assert architecture.arithmetic is not None
    return {
        "gates": circuit.num_gates,
        "width": architecture.width,
        "layers": architecture.num_layers,
        "heads": architecture.num_heads,
        "precision": architecture.arithmetic.precision,
        "inputs_run": num_runs,
        "tokens": expected.size,
        "tokens_right": int((chains == expected).sum()) if chains.shape == expected.shape else 0,
    }


def scores(scale: float, length: int, *, offset: bool) -> list[float]:
    """The score of a key whose code differs in m signs, for m = 0 .. length, where nothing saturates."""
    return [scale * (length - 2 * unequal - (length if offset else 0)) for unequal in range(length + 1)]


def finds_all(precision: int, length: int, scale: float, *, offset: bool) -> bool:
    """Whether each of 2^length positions is found: its value outvotes the opposite value in all others.

    In integers, in steps of 2^-s. Sums of positive numbers saturate alike in every order, so the denominator is
    min(B, sum); a mixture that reaches -B is lost, since a weight is at most 1. So the number of keys at each distance
    is all that matters.
    """
    largest = 4**precision - 1
    exponentials = [
        min(largest, exponential_in_steps(score, precision)) for score in scores(scale, length, offset=offset)
    ]
    total = min(largest, sum(comb(length, unequal) * value for unequal, value in enumerate(exponentials)))
    if total == 0:
        return False
    weights = []
    for value in exponentials:
        whole, rest = divmod(value << precision, total)
        weights.append(whole + (2 * rest > total))
    return weights[0] > sum(comb(length, unequal) * weight for unequal, weight in enumerate(weights) if unequal)


def exponential_in_steps(score: float, precision: int, bits: int = 256) -> int:
    """exp(score) in steps of 2^-s, rounded to nearest."""
    if score == 0:
        return 1 << precision
    numerator, denominator = abs(score).as_integer_ratio()
    lower, upper = exponential_bounds(numerator, denominator.bit_length() - 1, bits)
    if score < 0:
        lower, upper = (1 << 2 * bits) // upper, -(-(1 << 2 * bits) // lower)
    low, high = (((bound << precision + 1) + (1 << bits)) >> bits + 1 for bound in (lower, upper))
    return low if low == high else exponential_in_steps(score, precision, 2 * bits)


def least_precision(length: int, *, offset: bool) -> tuple[int, float] | None:
    """The smallest s, and a scale, with which plain codes of this length find all positions."""
    for precision in range(1, LARGEST_PRECISION + 1):
        step = 2.0 ** -min(precision, FINEST_SCALE)
        largest = 2.0**precision - 2.0**-precision
        for number in range(1, int(min(largest / length, 16) / step) + 1):
            if finds_all(precision, length, number * step, offset=offset):
                return precision, number * step
    return None


def brute_force(length: int, precision: int, *, offset: bool) -> bool:
    """Whether any scale finds all positions, by the arithmetic itself: every query, every key, saturation and all."""
    rounded = fixed_point(precision)
    codes = sign_codes(np.arange(1 << length), length).astype(np.float64)
    numbers = rounded.numbers()
    for scale in numbers[numbers > 0]:
        products = rounded.multiply(codes[:, None, :], (scale * codes)[None, :, :])
        if offset:
            shift = -rounded.sum(np.full(length, scale))
            products = np.concatenate([products, np.full((*products.shape[:2], 1), shift)], axis=2)
        exponentials = rounded.exp(rounded.sum(products))
        totals = rounded.sum(exponentials)
        if (totals == 0).any():
            continue
        weights = rounded.divide(exponentials, totals[:, None])
        values = 2.0 * np.eye(1 << length) - 1
        if (rounded.inner(weights, values) > 0).all():
            return True
    return False


def find_precisions(exponent: int) -> dict[str, int | float | str]:
    """The least precision of each kind of code for 2^exponent positions."""
    row: dict[str, int | float | str] = {"positions": 1 << exponent, "interleaved": 1}
    for name, offset in (("plain_with_offset", True), ("plain", False)):
        found = least_precision(exponent, offset=offset)
        row[name], row[f"{name}_scale"] = found if found else (f">{LARGEST_PRECISION}", "")
        if exponent <= SMALLEST + 1:
            precision = found[0] if found else LARGEST_PRECISION
            for smaller in range(max(1, precision - 2), min(precision, 6)):
                assert not brute_force(exponent, smaller, offset=offset), (exponent, smaller, name)
            assert precision > 6 or brute_force(exponent, precision, offset=offset), (exponent, precision, name)
    return row


def write_table(path: Path, rows: list[dict]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def plot(rows: list[dict], path: Path) -> None:
    """Least precision against positions, one line a kind of code, for one column of a page."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    series = (
        ("plain", "plain codes", "#D55E00", "s"),
        ("plain_with_offset", "plain codes, offset", "#0072B2", "^"),
        ("interleaved", "interleaved codes", "#000000", "o"),
    )
    figure, axes = plt.subplots(figsize=(3.5, 2.6), layout="constrained")
    for name, label, colour, marker in series:
        points = [(row["positions"], row[name]) for row in rows if isinstance(row[name], int)]
        x, y = zip(*points, strict=True)
        axes.plot(x, y, color=colour, marker=marker, markersize=4, linewidth=1.2, label=label)
    axes.set_xscale("log", base=2)
    axes.set_xticks([2**exponent for exponent in range(SMALLEST, LARGEST + 1, 2)])
    axes.set_ylim(0, None)
    axes.set_xlabel("positions", fontsize=8)
    axes.set_ylabel("least precision $s$", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=7, frameon=False)
    figure.savefig(path, dpi=200)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--largest", type=int, default=LARGEST, help="log2 of the longest chain")
    parser.add_argument("--codes-only", action="store_true", help="leave the circuits out")
    parser.add_argument("--figure", type=Path, metavar="FILE.png", help="needs the extra plot")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    exponents = range(SMALLEST, options.largest + 1)
    started = time.perf_counter()
    codes = [find_precisions(exponent) for exponent in exponents]
    write_table(options.output / "codes.csv", codes)
    if options.figure:
        plot(codes, options.figure)
    print(f"codes.csv: {time.perf_counter() - started:.0f} s")
    if options.codes_only:
        return
    circuits = []
    for exponent in exponents:
        started = time.perf_counter()
        circuits.append(run_circuits(exponent))
        print(*(f"{key}={value}" for key, value in circuits[-1].items()), f"{time.perf_counter() - started:.1f} s")
    write_table(options.output / "circuits.csv", circuits)


if __name__ == "__main__":
    main()
