"""How far the activation of a hidden unit can be from the ideal, when what it sees is off and it is rounded itself."""

from __future__ import annotations

import numpy as np

from serialformer.arrays import Float64
from serialformer.proofs.bounds import round_values
from serialformer.proofs.rounding import Rounding
from serialformer.proofs.token_kernels import activation_error

SILU_SLOPE = 1.1
"""Silu changes by no more than this times what its argument changes by."""


def silu_errors(ideal: float, errors: np.ndarray, rounding: Rounding) -> Float64[np.ndarray, " units"]:
    """How far silu of something near ``ideal``, 0 or many, can be from ``ideal``: exponential and quotient may err."""
    tail = ideal * np.exp(-np.maximum(0.0, ideal - errors)) if ideal else 0.0
    own = 8 * rounding.accumulation_roundoff * (ideal + errors)
    return np.asarray(round_values(np.full(len(errors), ideal), SILU_SLOPE * errors + tail + own, rounding))


def activation_errors(ideal: float, errors: np.ndarray, is_relu: bool, rounding: Rounding) -> np.ndarray:
    """How far what units give can be from the ideal, when what they see is off by this much."""
    different, which = np.unique(errors, return_inverse=True)
    bounds = np.array([activation_error(ideal, error, is_relu, rounding.constants()) for error in different.tolist()])
    bounds = bounds.reshape(-1, 2)
    result: np.ndarray = np.abs(bounds[:, 0] - ideal) + bounds[:, 1]
    return result[which.reshape(-1)]
