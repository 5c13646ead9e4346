"""The compiled loop behind ``look_up``: queries, keys and values of every position, and how far each can err."""

from __future__ import annotations

import numpy as np
from numba import njit

from serialformer.proofs.rounding_kernels import linear_output, norm_errors, normed_coordinate, rounded


@njit(cache=True, nogil=True, error_model="numpy")
def project_positions(positions, states, tokens, gain, norm_bias, epsilon, columns, constants, out, errors, statistics):
    """Columns of the first layer's input projection, in exact arithmetic, and bounds on their errors.

    Row p of ``positions`` holds one of the two tokens ``states[p]``. Fills ``out[p, s]`` and ``errors[p, s]`` for the
    two tokens s, and ``statistics[p, s]`` with the mean, the deviation and the 2-norm of the embedding's own rounding
    error.
    """
    width = positions.shape[1]
    x, own = np.empty(width), np.empty(width)
    normed, error = np.empty(width), np.empty(width)
    is_read = np.zeros(width, dtype=np.bool_)
    is_read[columns[1]] = True
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
