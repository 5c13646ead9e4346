"""The bounds on rounding, against runtimes drawn at random that do what a certificate covers."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from serialformer.architecture import DTYPES
from serialformer.proofs.columns import to_columns
from serialformer.proofs.rounding import covered_rounding, roundoff
from serialformer.proofs.rounding_kernels import linear_output, norm_errors, normed_coordinate, rounded
from serialformer.proofs.token_kernels import activation_error
from serialformer.transformer.forward import activate, layer_norm

FORMATS = ["float32", "float16", "bfloat16"]


class Runtime:
    """One way to compute, drawn at random: float32 inside results, these rounded to the storage format or not."""

    def __init__(self, random: np.random.Generator, storage: str) -> None:
        self.random, self.storage = random, DTYPES[storage]

    def store(self, x: np.ndarray) -> np.ndarray:
        return x.astype(self.storage).astype(np.float32) if self.random.random() < 0.7 else x

    def sum(self, terms: np.ndarray) -> np.float32:
        """A sum in float32 along a random tree."""
        left = list(self.random.permutation(terms.astype(np.float32)))
        while len(left) > 1:
            place = int(self.random.integers(len(left))) if self.random.random() < 0.5 else 0
            one = left.pop(place)
            other = left.pop(int(self.random.integers(len(left))))
            left.insert(0, np.float32(one + other))
        return left[0]

    def layer_norm(self, x: np.ndarray, gain: np.ndarray, bias: np.ndarray, epsilon: float) -> np.ndarray:
        x, width = x.astype(np.float32), np.float32(len(x))
        mean = np.float32(self.sum(x) / width)
        if self.random.random() < 0.5:
            variance = np.float32(self.sum((x - mean) ** 2) / width)
        else:
            variance = np.float32(np.float32(self.sum(x * x) / width) - mean * mean)
        inverse = np.float32(1 / np.sqrt(np.float32(variance + np.float32(epsilon))))
        scaled = self.store((x - mean) * inverse)
        return self.store(self.store(scaled * gain.astype(np.float32)) + bias.astype(np.float32))

    def linear(self, x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
        sums = np.array([self.sum(x * column) for column in weight.T.astype(np.float32)], dtype=np.float32)
        return self.store(self.store(sums) + bias.astype(np.float32))

    def gelu(self, x: np.ndarray) -> np.ndarray:
        x = x.astype(np.float32)
        inner = self.store(
            np.float32(np.sqrt(2 / np.pi)) * self.store(x + self.store(np.float32(0.044715) * x * x * x))
        )
        tangent = self.store(np.tanh(inner))
        return self.store(self.store(np.float32(0.5) * x) * self.store(1 + tangent))


def drawn(random: np.random.Generator, size: tuple[int, ...], storage: str) -> np.ndarray:
    """Numbers of the format: small integers, which sums leave exact, or anything."""
    if random.random() < 0.5:
        return random.integers(-4, 5, size).astype(np.float64)
    return (random.standard_normal(size) * 4.0 ** random.integers(-2, 3)).astype(DTYPES[storage]).astype(np.float64)


@pytest.mark.parametrize("storage", FORMATS)
def test_roundoff_is_the_formats_own(storage: str) -> None:
    number = DTYPES[storage].type
    half = roundoff(storage)
    assert number(1 + 2 * half) > number(1) and number(1 + half) == number(1)


@pytest.mark.parametrize("storage", FORMATS)
def test_rounding_moves_no_number_further(storage: str) -> None:
    random = np.random.default_rng(0)
    constants = covered_rounding(storage).constants()
    for _ in range(3000):
        exact = (
            float(drawn(random, (), storage)) + float(random.choice([0, 1e-9, 1e-4, 0.3])) * random.standard_normal()
        )
        error = abs(exact) * 2.0 ** -int(random.integers(4, 40))
        before = exact + error * random.uniform(-1, 1)
        after = float(np.float64(before).astype(DTYPES[storage]))
        bound = rounded(exact, error, constants)
        assert abs(after - exact) <= bound * (1 + 1e-12)
        assert error * (1 - 1e-12) <= bound, "kept wider, it is as it was"


@pytest.mark.parametrize("storage", FORMATS)
def test_layer_norm_and_linear_map(storage: str) -> None:
    random, constants = np.random.default_rng(1), covered_rounding(storage).constants()
    epsilon, checked = 1e-5, 0
    for _ in range(150):
        width, runtime = int(random.integers(2, 50)), Runtime(random, storage)
        x = drawn(random, (width,), storage) + random.choice([0, 0, 3])
        x = x.astype(DTYPES[storage]).astype(np.float64)
        gain, bias = drawn(random, (width,), storage), drawn(random, (width,), storage) * random.integers(0, 2)
        weight, own = (
            drawn(random, (width, 3), storage) * random.integers(0, 2, (width, 3)),
            drawn(random, (3,), storage),
        )
        exact = layer_norm(x, gain, bias, epsilon)
        deviation, size = np.sqrt(x.var() + epsilon), np.sqrt((x**2).mean() + epsilon)
        relative, absolute = norm_errors(deviation, size, width, 0.0, constants[1])
        pairs = [
            normed_coordinate(x[i] - x.mean(), 0.0, deviation, relative, absolute, gain[i], bias[i], constants)
            for i in range(width)
        ]
        values, errors = (np.array(part) for part in zip(*pairs, strict=True))
        assert np.allclose(values, exact, rtol=1e-9, atol=1e-12)
        columns = to_columns(weight, own).arrays()
        for _ in range(4):
            normed = runtime.layer_norm(x, gain, bias, epsilon)
            assert (np.abs(normed - exact) <= errors).all()
            out = runtime.linear(normed, weight, own)
            for column in range(3):
                value, error = linear_output(columns, column, values, errors, constants)
                assert abs(float(out[column]) - value) <= error
                checked += np.isfinite(error) and error < 1
    assert checked > 100, "bounds that say nothing test nothing"


@pytest.mark.parametrize("storage", FORMATS)
def test_activation(storage: str) -> None:
    random, constants = np.random.default_rng(2), covered_rounding(storage).constants()
    for _ in range(3000):
        before = float(random.choice([-1, 1]) * 2.0 ** random.uniform(-4, 5.5))
        error = 2.0 ** -float(random.integers(2, 30))
        at = np.array([before + error * random.uniform(-1, 1)], dtype=np.float32)
        value, bound = activation_error(before, error + abs(before) * 2.0**-24, False, constants)
        assert value == pytest.approx(float(activate(np.array([before]), "gelu_new")[0]), abs=1e-12)
        assert abs(float(Runtime(random, storage).gelu(at)[0]) - value) <= bound, (before, error)
        value, bound = activation_error(before, error, True, constants)
        assert abs(max(0.0, float(at[0])) - value) <= bound + abs(before) * 2.0**-23


@pytest.mark.parametrize("storage", FORMATS)
def test_smallest_numbers_may_be_flushed_to_zero(storage: str) -> None:
    smallest = float(ml_dtypes.finfo(DTYPES[storage]).smallest_normal)
    for share in (0.99, 0.5, 0.3):
        assert rounded(smallest * share, 0.0, covered_rounding(storage).constants()) >= smallest * share


@pytest.mark.parametrize("storage", FORMATS)
def test_what_the_format_may_not_hold_has_no_bound(storage: str) -> None:
    largest, constants = covered_rounding(storage).largest, covered_rounding(storage).constants()
    assert rounded(0.8 * largest, 0.1 * largest, constants) < largest
    assert rounded(0.9 * largest, 0.2 * largest, constants) == np.inf
    columns = to_columns(np.array([[1e30], [-1e30]]), np.zeros(1)).arrays()
    assert linear_output(columns, 0, np.array([1e9, 1e9]), np.zeros(2), constants)[1] == np.inf
