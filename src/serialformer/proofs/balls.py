"""Numbers with error bounds: the values of exact arithmetic, and how far a covered runtime can be off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serialformer.architecture import Activation
from serialformer.arrays import Float64
from serialformer.proofs.rounding import FLOAT64_SLACK, Rounding
from serialformer.proofs.rounding_kernels import SMALLEST_PRODUCT, gamma

ROOT = 0.7978845608028654
"""The root of 2 / pi, as in gelu."""

LINEAR_FROM = 5.0
"""From here on gelu's slope is 1 to within ``SLOPE_ERROR``, and as near to 0 on the other side."""

SLOPE_ERROR = 1e-4


@dataclass(frozen=True, kw_only=True, eq=False)
class Ball:
    """Numbers, and how far a covered runtime can be from each."""

    value: Float64[np.ndarray, "*shape"]
    error: Float64[np.ndarray, "*shape"]

    def stored(self, rounding: Rounding) -> Ball:
        """The same once they were stored, or kept wider."""
        moved = rounding.storage_roundoff * (np.abs(self.value) + self.error) + 2 * rounding.smallest
        return Ball(value=self.value, error=(self.error + moved) * (1 + FLOAT64_SLACK))

    def plus(self, other: Ball, rounding: Rounding) -> Ball:
        return Ball(value=self.value + other.value, error=self.error + other.error).stored(rounding)

    def times(self, weight: np.ndarray, bias: np.ndarray, rounding: Rounding) -> Ball:
        """A linear map; the sum may be stored before its bias is added, and afterwards."""
        flat, errors = (part.reshape(-1, part.shape[-1]) for part in (self.value, self.error))
        size = np.abs(flat)
        rate = gamma(len(weight) + 2, rounding.accumulation_roundoff)
        inherited = errors @ np.abs(weight)
        error = inherited + rate * (size @ np.abs(weight) + inherited) + SMALLEST_PRODUCT * len(weight)
        shape = (*self.value.shape[:-1], weight.shape[1])
        product = Ball(value=(flat @ weight).reshape(shape), error=error.reshape(shape)).stored(rounding)
        if not bias.any():
            return product
        return product.plus(Ball(value=np.broadcast_to(bias, shape), error=np.zeros(shape)), rounding)


def activation_value(x: np.ndarray, activation: Activation) -> np.ndarray:
    """What hidden units give, in exact arithmetic."""
    if activation == "relu":
        return np.maximum(x, 0.0)
    return 0.5 * x * (1 + np.tanh(ROOT * (x + 0.044715 * x**3)))


def activation_rounding(seen: Ball, activation: Activation, rounding: Rounding) -> np.ndarray:
    """How far computing a hidden unit can be from what exact arithmetic gives for the same input, before storing."""
    if activation == "relu":
        return np.zeros_like(seen.value)
    size = np.abs(seen.value)
    nearest = np.maximum(0.0, size - seen.error)
    inner, tail = _tail(nearest)
    of_argument = np.where(nearest < 2, 0.3, nearest * inner * tail)
    u, v = rounding.storage_roundoff, rounding.accumulation_roundoff
    return (size + seen.error) * np.minimum(2 * u, 2 * tail + 16 * v) + 6 * u * of_argument


def activate(seen: Ball, activation: Activation, rounding: Rounding) -> Ball:
    """The hidden units: gelu's slope is at most 1.13, and hardly anything where its input is far below 0."""
    x, e = seen.value, seen.error
    value = activation_value(x, activation)
    if activation == "relu":
        return Ball(value=value, error=np.where(x + e > 0, e, 0.0))
    nearest = np.maximum(0.0, np.abs(x) - e)
    _, tail = _tail(nearest)
    error = np.where((x > 0) & (nearest >= LINEAR_FROM), 1 + SLOPE_ERROR, 1.13) * e
    error = np.where((x < 0) & (nearest >= 2), np.minimum(error, nearest * tail), error)
    return Ball(value=value, error=error + activation_rounding(seen, activation, rounding)).stored(rounding)


def activation_slopes(seen: Ball, activation: Activation) -> tuple[np.ndarray, np.ndarray]:
    """A slope for each hidden unit, and how far the slope can be from it anywhere in the ball."""
    x, e = seen.value, seen.error
    least = 0.0 if activation == "relu" else LINEAR_FROM
    known = np.abs(x) - e > least
    away = 0.0 if activation == "relu" else SLOPE_ERROR
    # Elsewhere relu's slope is between 0 and 1, and gelu's between -0.13 and 1.13.
    return np.where(known, (x > 0).astype(np.float64), 0.5), np.where(known, away, 0.63)


def _tail(nearest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The argument of gelu's tangent where it is least, and how far the tangent is from 1 or -1 there, at most."""
    inner = ROOT * (nearest + 0.044715 * nearest**3)
    return inner, 2 * np.exp(-2 * inner)
