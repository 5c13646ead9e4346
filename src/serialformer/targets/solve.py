"""Exact linear maps between codes: few weights, and no rounding."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from serialformer.arrays import Float64, Shaped


def solve_exactly(
    inputs: Shaped[np.ndarray, "cases inputs"], outputs: Shaped[np.ndarray, "cases outputs"]
) -> Float64[np.ndarray, "inputs outputs"] | None:
    """The matrix M with ``inputs @ M == outputs``, in rational arithmetic; None if there is none.

    Inputs that depend on earlier ones get no weight, so the first inputs that suffice are used.

    >>> solve_exactly(np.array([[-1, 1], [1, -1]]), np.array([[3], [-3]]))
    array([[-3.],
           [ 0.]])
    """
    num_inputs = inputs.shape[1]
    rows = [[Fraction(int(value)) for value in row] for row in np.concatenate([inputs, outputs], axis=1).tolist()]
    pivots: list[int] = []
    for column in range(num_inputs):
        done = len(pivots)
        chosen = next((row for row in range(done, len(rows)) if rows[row][column] != 0), None)
        if chosen is None:
            continue
        rows[done], rows[chosen] = rows[chosen], rows[done]
        head = rows[done][column]
        rows[done] = [value / head for value in rows[done]]
        for row in range(len(rows)):
            if row != done and (factor := rows[row][column]) != 0:
                rows[row] = [value - factor * other for value, other in zip(rows[row], rows[done], strict=True)]
        pivots.append(column)
    if any(value != 0 for row in rows[len(pivots) :] for value in row[num_inputs:]):
        return None
    weights = np.zeros((num_inputs, outputs.shape[1]))
    for row, column in enumerate(pivots):
        weights[column] = [float(value) for value in rows[row][num_inputs:]]
    return weights


def solve_evenly(
    inputs: Shaped[np.ndarray, "cases inputs"], outputs: Shaped[np.ndarray, "cases outputs"]
) -> Float64[np.ndarray, "inputs outputs"] | None:
    """The matrix M of least norm with ``inputs @ M == outputs``, if its entries are multiples of 1/64; otherwise None.

    >>> solve_evenly(np.array([[-1, 1], [1, -1]]), np.array([[3], [-3]]))
    array([[-1.5],
           [ 1.5]])
    """
    weights = np.linalg.lstsq(inputs.astype(np.float64), outputs.astype(np.float64), rcond=None)[0]
    weights = np.rint(weights * 64) / 64 + 0.0
    return weights if np.array_equal(inputs @ weights, outputs) else None


def split_rank_one(
    weights: Float64[np.ndarray, "inputs outputs"],
) -> tuple[Float64[np.ndarray, "inputs rank"], Float64[np.ndarray, "rank outputs"]]:
    """The same map by way of one number, where its outputs are multiples of the first; otherwise unchanged.

    >>> [part.tolist() for part in split_rank_one(np.array([[0.5, -0.5], [-0.5, 0.5]]))]
    [[[0.5], [-0.5]], [[1.0, -1.0]]]
    """
    first = weights[:, :1]
    if weights.shape[1] > 1 and first.any():
        row = int(np.flatnonzero(first[:, 0])[0])
        factors = weights[row] / first[row]
        if np.array_equal(first * factors, weights):
            return first, factors[None]
    return weights, np.eye(weights.shape[1])
