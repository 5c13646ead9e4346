"""The bound on layer norm in float32, against layer norm in float32."""

from __future__ import annotations

import numpy as np
import pytest

from serialformer.decode.kernels import column_error, norm_of_sums, norm_rounding

EPSILON = 1e-5


def column_after_norm(x: np.ndarray, weight: np.ndarray, bias: float) -> np.ndarray:
    """One column of a map after a layer norm, in the precision of its arguments."""
    centred = x - x.mean(axis=-1, keepdims=True, dtype=x.dtype)
    variance = (centred * centred).mean(axis=-1, keepdims=True, dtype=x.dtype)
    normed = centred / np.sqrt(variance + x.dtype.type(EPSILON))
    return (normed * weight).sum(axis=-1, dtype=x.dtype) + weight.dtype.type(bias)


@pytest.mark.parametrize("deviation", [1e-4, 3e-3, 0.1, 1.0, 30.0])
@pytest.mark.parametrize("middle", [0.0, 1.0, 50.0])
@pytest.mark.parametrize("error", [0.0, 1e-6, 1e-3])
def test_float32_is_within_the_bound(deviation: float, middle: float, error: float) -> None:
    random, shares = np.random.default_rng(7), []
    for width in (4, 17, 60):
        x = middle + deviation * random.standard_normal(width)
        weight, bias = random.standard_normal(width).astype(np.float32).astype(np.float64), 3.0
        total, square = x.sum(), (x * x).sum()
        mean, inverse, root = norm_of_sums.run_plain(total, square, width, EPSILON)
        assert root >= x.std() * (1 - 1e-6)
        # What no float32 is off by counts as the error of a coordinate.
        off = error + float(np.abs(x).max()) * 2.0**-23
        factors = norm_rounding.run_plain(mean, root, inverse, off, width)
        terms = float(np.abs(weight * (x - mean)).sum() * inverse)
        size = np.array([[np.abs(weight).sum(), abs(bias)]])
        bound = column_error.run_plain(size, 0, factors, terms)
        # Every coordinate is off by so much at most, in the direction that matters most or in any.
        worst = np.stack([np.sign(weight), np.sign(x - mean)])
        signs = np.concatenate([random.choice([-1.0, 1.0], (200, width)), worst, -worst])
        made = column_after_norm((x + error * signs).astype(np.float32), weight.astype(np.float32), bias)
        exact = column_after_norm(x[None], weight, bias)[0]
        largest = float(np.abs(made.astype(np.float64) - exact).max())
        assert largest <= bound
        shares.append(largest / bound)
    if error == 1e-3 and deviation >= 0.1 and middle <= 1:
        assert max(shares) > 0.1, "the bound is not far too wide"


def test_nothing_is_said_where_the_error_is_as_large_as_the_deviation() -> None:
    for deviation, error in ((1.0, 0.5), (1e-6, 1e-2), (0.0, 1.0)):
        mean, inverse, root = norm_of_sums.run_plain(0.0, 4 * deviation**2, 4, EPSILON)
        factors = norm_rounding.run_plain(mean, root, inverse, error, 4)
        assert factors[0] == np.inf
        assert factors[1] == np.inf
