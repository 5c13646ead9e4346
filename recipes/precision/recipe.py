"""What precision the paper's construction needs: circuits run in F_1, and codes that are not interleaved beside it.

    serialformer sweep recipes/precision -o DIR/precision.csv           # recipe.py:codes and :circuits are the parts
    serialformer plot DIR/precision.csv -o DIR/precision.png

See README.md for cost and findings; ``expected.csv`` is what the rows should be. ``recipe.py:small`` takes ten seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import ClassVar

import numpy as np

import serialformer
from serialformer import Circuit, CircuitBuilder
from serialformer.circuits.evaluate import evaluate_wires
from serialformer.sweeps.experiment import Experiment, Surroundings
from serialformer.sweeps.row import Row
from serialformer.targets.sign_codes import sign_codes
from serialformer.transformer.exponential import exponential_bounds
from serialformer.transformer.precision import fixed_point

SMALLEST, LARGEST = 4, 14
NUM_INPUT_BITS = 16
LARGEST_PRECISION = 40

FINEST_SCALE = 6
"""Scales of plain codes are tried in steps of 2^-s, or of 2^-6 if that is coarser."""

BRUTE_FORCE_EXPONENT = SMALLEST + 1
"""Up to so many positions the search is checked by the arithmetic itself."""

INTERLEAVED, OFFSET, PLAIN = "interleaved", "plain, offset", "plain"
"""Kinds of codes. Interleaved ones are the paper's, and need one bit whatever their length."""


@dataclass(frozen=True, kw_only=True)
class CodePrecision(Experiment):
    """The least precision with which a kind of code finds each of 2^exponent positions."""

    kind: ClassVar[str] = "precision"

    code: str
    exponent: int

    @property
    def work(self) -> float:
        return float(4**self.exponent)

    def carry_out(self, surroundings: Surroundings) -> list[Row]:
        variables = {"code": self.code, "positions": 1 << self.exponent}
        if self.code == INTERLEAVED:
            return [self.row(surroundings, variables=variables, measures={"precision": 1, "scale": None})]
        offset = self.code == OFFSET
        found = least_precision(self.exponent, offset=offset)
        if self.exponent <= BRUTE_FORCE_EXPONENT:
            precision = found[0] if found else LARGEST_PRECISION
            for smaller in range(max(1, precision - 2), min(precision, 6)):
                assert not brute_force(self.exponent, smaller, offset=offset), (self, smaller)
            assert precision > 6 or brute_force(self.exponent, precision, offset=offset), self
        precision_and_scale = found or (None, None)
        measures = dict(zip(("precision", "scale"), precision_and_scale, strict=True))
        return [self.row(surroundings, variables=variables, measures=measures)]


@dataclass(frozen=True, kw_only=True)
class PaperCircuit(Experiment):
    """Compiles a circuit of 2^exponent gates to F_1 and counts the chain tokens that are the circuit's."""

    kind: ClassVar[str] = "paper-circuit"

    exponent: int

    @property
    def work(self) -> float:
        return float(5**self.exponent)

    def carry_out(self, surroundings: Surroundings) -> list[Row]:
        circuit = random_circuit(1 << self.exponent, seed=self.exponent)
        model = serialformer.compile(circuit, target="paper", precision=1)
        architecture = model.transformer.architecture
        num_runs = 256 if self.exponent <= 10 else 64 if self.exponent <= 12 else 8
        bits = np.random.default_rng(self.exponent).integers(0, 2, (num_runs, NUM_INPUT_BITS)).astype(np.uint8)
        chains = model.think(bits, model.engine())
        expected = evaluate_wires(circuit, bits)[:, model.schedule.wire]
        right = chains == expected if chains.shape == expected.shape else np.zeros(expected.shape, dtype=bool)
        assert architecture.arithmetic is not None
        row = self.row(
            surroundings,
            variables={"gates": circuit.num_gates},
            measures={"precision": architecture.arithmetic.precision},
            width=architecture.width,
            depth=architecture.num_layers,
            heads=architecture.num_heads,
            generated_samples=num_runs,
            generated_chains=int(right.all(axis=1).sum()),
            generated_tokens=expected.size,
            generated_tokens_right=int(right.sum()),
        )
        return [row]


def codes(largest: int = LARGEST) -> list[Experiment]:
    """The precision of each kind of code."""
    exponents = range(SMALLEST, largest + 1)
    return [
        CodePrecision(code=code, exponent=exponent) for exponent in exponents for code in (INTERLEAVED, OFFSET, PLAIN)
    ]


def circuits(largest: int = LARGEST) -> list[Experiment]:
    """Circuits in F_1."""
    return [PaperCircuit(exponent=exponent) for exponent in range(SMALLEST, largest + 1)]


def runs() -> list[Experiment]:
    """Both parts."""
    return [*codes(), *circuits()]


def small() -> list[Experiment]:
    """The same up to 2^5 positions and gates."""
    return [*codes(5), *circuits(5)]


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
