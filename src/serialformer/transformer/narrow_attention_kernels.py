"""Causal attention of narrow heads on one core, forward and backward, compiled by numba.

A matrix product over a head eight wide keeps a core waiting for memory. Here the loops run along the keys instead, four
dimensions of the head at a time, and a query reads only the keys up to its own position. Probabilities are not kept:
the backward pass makes them again from each query's log-sum-exp.

Shapes: B rows, L queries, T keys, D width; P is T rounded up to whole blocks of keys. A head is a span of the width.
"""

import numpy as np
from numba import njit

BLOCK = 32
"""Keys that the loops take at once: four vectors of eight, so that none are left over to be done one by one."""


@njit(cache=True, fastmath={"reassoc", "contract", "arcp", "nsz"}, error_model="numpy", boundscheck=False)
def attend(queries, keys, values, positions, num_heads, scale, mixed, log_sums):
    """``mixed`` (B L D) is the attention's result; ``log_sums`` (B heads L) the logarithm of each query's denominator.

    Args:
        queries, keys, values: B L D, B T D, B T D, float32.
        positions: L; query i sees the keys 0..positions[i].
        num_heads: the width is as many heads wide.
        scale: what scores are multiplied by.
    """
    num_rows, num_queries, width = queries.shape
    head_width = width // num_heads
    padded = (keys.shape[1] + BLOCK - 1) // BLOCK * BLOCK
    keys_wP = np.zeros((head_width, padded), np.float32)
    values_wP = np.zeros((head_width, padded), np.float32)
    scores, bits = np.empty(padded, np.float32), np.empty(padded, np.int32)
    for row in range(num_rows):
        for head in range(num_heads):
            start = head * head_width
            _turn(keys[row], start, keys_wP)
            _turn(values[row], start, values_wP)
            for query in range(num_queries):
                seen = positions[query] + 1
                count = (seen + BLOCK - 1) // BLOCK * BLOCK
                _weighted_sum(queries[row, query, start : start + head_width], keys_wP, count, scale, scores)
                highest = _highest(scores, seen)
                _exponentiate(scores, bits, highest, seen, count)
                total = np.float32(0)
                for key in range(count):
                    total += scores[key]
                _products(
                    scores, values_wP, count, np.float32(1) / total, mixed[row, query, start : start + head_width]
                )
                log_sums[row, head, query] = highest + np.log(total)


@njit(cache=True, fastmath={"reassoc", "contract", "arcp", "nsz"}, error_model="numpy", boundscheck=False)
def attend_backward(
    queries, keys, values, positions, num_heads, scale, mixed, log_sums, gradient, by_query, by_key, by_value
):
    """The derivatives by queries (B L D), keys and values (B T D), written into the last three.

    Args:
        queries, keys, values, positions, num_heads, scale: as in ``attend``.
        mixed, log_sums: its results.
        gradient: the derivative by ``mixed``, B L D.
    """
    num_rows, num_queries, width = queries.shape
    num_keys = keys.shape[1]
    head_width = width // num_heads
    padded = (num_keys + BLOCK - 1) // BLOCK * BLOCK
    keys_wP = np.zeros((head_width, padded), np.float32)
    values_wP = np.zeros((head_width, padded), np.float32)
    by_key_wP = np.empty((head_width, padded), np.float32)
    by_value_wP = np.empty((head_width, padded), np.float32)
    # Four queries at a time, so that a sum over queries is read and written a quarter as often.
    scores, by_score = np.zeros((4, padded), np.float32), np.zeros((4, padded), np.float32)
    bits = np.empty(padded, np.int32)
    for row in range(num_rows):
        for head in range(num_heads):
            start, stop = head * head_width, (head + 1) * head_width
            _turn(keys[row], start, keys_wP)
            _turn(values[row], start, values_wP)
            by_key_wP[:] = 0
            by_value_wP[:] = 0
            for first in range(0, num_queries, 4):
                longest = 0
                for lane in range(4):
                    if first + lane < num_queries:
                        longest = max(longest, positions[first + lane] + 1)
                count = (longest + BLOCK - 1) // BLOCK * BLOCK
                for lane in range(4):
                    query = first + lane
                    if query >= num_queries:
                        scores[lane, :count] = 0
                        by_score[lane, :count] = 0
                        continue
                    wanted = gradient[row, query, start:stop]
                    _weighted_sum(queries[row, query, start:stop], keys_wP, count, scale, scores[lane])
                    _exponentiate(scores[lane], bits, log_sums[row, head, query], positions[query] + 1, count)
                    _weighted_sum(wanted, values_wP, count, np.float32(1), by_score[lane])
                    mean = np.float32(0)
                    for place in range(head_width):
                        mean += wanted[place] * mixed[row, query, start + place]
                    for key in range(count):
                        by_score[lane, key] = scores[lane, key] * (by_score[lane, key] - mean) * scale
                    _products(by_score[lane], keys_wP, count, np.float32(1), by_query[row, query, start:stop])
                for place in range(head_width):
                    _add_four(queries[row], first, start + place, by_score, count, by_key_wP[place])
                    _add_four(gradient[row], first, start + place, scores, count, by_value_wP[place])
            for key in range(num_keys):
                for place in range(head_width):
                    by_key[row, key, start + place] = by_key_wP[place, key]
                    by_value[row, key, start + place] = by_value_wP[place, key]


@njit(inline="always")
def _turn(rows, start, turned):
    """A head's span of each row, the keys along the last axis."""
    for key in range(rows.shape[0]):
        for place in range(turned.shape[0]):
            turned[place, key] = rows[key, start + place]


@njit(inline="always")
def _weighted_sum(weights, vectors, count, scale, result):
    """``result`` is scale times the sum of the vectors, each with its weight; a head's width is a multiple of four."""
    for place in range(0, weights.shape[0], 4):
        a, b = weights[place] * scale, weights[place + 1] * scale
        c, d = weights[place + 2] * scale, weights[place + 3] * scale
        first, second, third, fourth = vectors[place], vectors[place + 1], vectors[place + 2], vectors[place + 3]
        if place == 0:
            for key in range(count):
                result[key] = a * first[key] + b * second[key] + c * third[key] + d * fourth[key]
        else:
            for key in range(count):
                result[key] += a * first[key] + b * second[key] + c * third[key] + d * fourth[key]


@njit(inline="always")
def _products(weights, vectors, count, scale, result):
    """``result`` is scale times the inner product of the weights with each vector."""
    for place in range(0, result.shape[0], 4):
        first, second, third, fourth = vectors[place], vectors[place + 1], vectors[place + 2], vectors[place + 3]
        a = b = c = d = np.float32(0)
        for key in range(count):
            weight = weights[key]
            a += weight * first[key]
            b += weight * second[key]
            c += weight * third[key]
            d += weight * fourth[key]
        result[place], result[place + 1] = a * scale, b * scale
        result[place + 2], result[place + 3] = c * scale, d * scale


@njit(inline="always")
def _add_four(rows, first, column, vectors, count, result):
    """Adds four vectors to the result, weighted by a column of four rows; where those end, the vectors are 0."""
    last = rows.shape[0] - 1
    a, b = rows[first, column], rows[min(first + 1, last), column]
    c, d = rows[min(first + 2, last), column], rows[min(first + 3, last), column]
    one, two, three, four = vectors[0], vectors[1], vectors[2], vectors[3]
    for key in range(count):
        result[key] += a * one[key] + b * two[key] + c * three[key] + d * four[key]


@njit(cache=True, fastmath={"reassoc", "nnan", "nsz"}, error_model="numpy")
def _highest(vector, count):
    """The greatest of the first numbers. A NaN may go unseen here: it comes out of the exponentials."""
    highest = vector[0]
    for key in range(count):
        highest = max(highest, vector[key])
    return highest


@njit(inline="always")
def _exponentiate(scores, bits, offset, seen, count):
    """exp(score - offset) in place, to 2e-7 of itself; 0 after the keys that are seen.

    2^n by the exponent's bits, and the rest, at most log(2) / 2 away from 0, by its Taylor polynomial.
    """
    powers = bits.view(np.float32)
    for key in range(count):
        x = max(scores[key] - offset, np.float32(-87))
        n = np.floor(x * np.float32(1.4426950408889634) + np.float32(0.5))
        bits[key] = (np.int32(n) + 127) << 23
        r = (x - n * np.float32(0.693359375)) - n * np.float32(-2.12194440054690583e-4)
        y = np.float32(1 / 720) + r * np.float32(1 / 5040)
        y = np.float32(1 / 120) + r * y
        y = np.float32(1 / 24) + r * y
        y = np.float32(1 / 6) + r * y
        y = np.float32(1 / 2) + r * y
        scores[key] = np.float32(1) + r * (np.float32(1) + r * y)
    for key in range(count):
        scores[key] *= powers[key]
    for key in range(seen, count):
        scores[key] = 0
