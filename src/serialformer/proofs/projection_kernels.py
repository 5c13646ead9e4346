"""The compiled loop behind ``look_up``: queries, keys and values of every position, and how far each can err."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from serialformer.arrays import Float32, Float64, UInt8
from serialformer.loops import loop
from serialformer.proofs.rounding_kernels import linear_output, norm_errors, normed_coordinate, rounded


class Embedded(NamedTuple):
    """Rows of the position embedding, and the two tokens that may stand at each: ``states`` into ``tokens``."""

    positions: Float32[np.ndarray, "rows width"]
    states: UInt8[np.ndarray, "rows 2"]
    tokens: Float64[np.ndarray, "vocabulary width"]


class LayerNorm(NamedTuple):
    """Weights of a layer norm."""

    gain: Float64[np.ndarray, " width"]
    bias: Float64[np.ndarray, " width"]
    epsilon: float


class Projected(NamedTuple):
    """What ``project_positions`` writes, for each row and each of its two tokens.

    Attributes:
        out: the columns in exact arithmetic.
        errors: how far each can err.
        statistics: the mean, the deviation and the 2-norm of the embedding's own rounding error.
    """

    out: Float64[np.ndarray, "rows 2 columns"]
    errors: Float64[np.ndarray, "rows 2 columns"]
    statistics: Float64[np.ndarray, "rows 2 3"]


@loop(nogil=True, error_model="numpy")
def project_positions(embedded, norm, columns, constants, projected):
    """Columns of the first layer's input projection, in exact arithmetic, and bounds on their errors.

    Args:
        embedded: a record ``Embedded``: which tokens stand at which positions.
        norm: a record ``LayerNorm``.
        columns: the columns, as ``ColumnArrays``.
        constants: see ``rounding_kernels``.
        projected: a record ``Projected``; written.
    """
    positions, states, tokens = embedded.positions, embedded.states, embedded.tokens
    gain, norm_bias, epsilon = norm.gain, norm.bias, norm.epsilon
    out, errors, statistics = projected.out, projected.errors, projected.statistics
    width = positions.shape[1]
    x, own = np.empty(width), np.empty(width)
    normed, error = np.empty(width), np.empty(width)
    is_read = np.zeros(width, dtype=np.bool_)
    is_read[columns.inputs] = True
    for position in range(len(positions)):
        for state in range(2):
            token = states[position, state]
            total, square, own_square = 0.0, 0.0, 0.0
            for i in range(width):
                x[i] = np.float64(positions[position, i]) + tokens[token, i]
                own[i] = rounded(x[i], 0.0, constants)
                total += x[i]
                square += x[i] * x[i]
                own_square += own[i] * own[i]
            mean = total / width
            variance = 0.0
            for i in range(width):
                variance += (x[i] - mean) * (x[i] - mean)
            deviation = np.sqrt(variance / width + epsilon)
            size = np.sqrt(square / width + epsilon)
            own_norm = np.sqrt(own_square)
            relative, absolute = norm_errors(deviation, size, width, own_norm, constants[1])
            statistics[position, state, 0], statistics[position, state, 1] = mean, deviation
            statistics[position, state, 2] = own_norm
            for i in range(width):
                if is_read[i]:
                    normed[i], error[i] = normed_coordinate(
                        x[i] - mean, own[i], deviation, relative, absolute, gain[i], norm_bias[i], constants
                    )
            for column in range(out.shape[2]):
                out[position, state, column], errors[position, state, column] = linear_output(
                    columns, column, normed, error, constants
                )
