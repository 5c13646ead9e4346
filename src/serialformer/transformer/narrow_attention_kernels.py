"""Causal attention of narrow heads on one core, forward and backward, compiled by numba.

Sixteen queries pass over the keys together, one in each lane, with all dimensions of the head in registers. No sum runs
across lanes, and a block of queries reads the keys only up to its last position. Probabilities are not kept: the
backward pass computes them again from each query's highest score and the sum of its exponentials.

A head wider than the vectors is taken in parts, one after the other.

Shapes: B rows, L queries, T keys, N blocks of queries, the first of which may have fewer than sixteen. A tensor is a
span: its memory in one dimension, and the steps there from row to row and from token to token.
"""

import numpy as np
from numba import njit

from serialformer.transformer.lane_kernels import (
    LANES,
    add_outer,
    exp2,
    inner,
    larger,
    load,
    load_all,
    read,
    reciprocal,
    spread,
    store,
    store_all,
    turn,
    up_to,
    write,
)

LOG2_E = np.float32(1 / np.log(2))
ALL_LANES = tuple(range(LANES))


@njit(cache=True, error_model="numpy", no_cfunc_wrapper=True)
def attend(queries, keys, values, num_keys, positions, parts, places, scale, mixed, statistics):
    """``mixed`` is the attention's result; ``statistics`` each query's highest score and one over its denominator.

    Args:
        queries, keys, values, mixed: spans; they have B rows, and L or T tokens.
        num_keys: T.
        positions: L; query i sees the keys 0..positions[i].
        parts, places: tuples whose lengths alone matter: how many parts a head has, and how wide each is, at most 16.
        scale: what scores are multiplied by.
        statistics: B heads N 2 16.
    """
    num_rows, num_heads, num_blocks = statistics.shape[:3]
    num_parts, width = len(parts), len(places)
    head_keys = np.empty((num_parts, num_keys * width), np.float32)
    head_values = np.empty((num_parts, num_keys * width), np.float32)
    block, zeros = np.zeros((LANES, LANES), np.float32), np.zeros((LANES, LANES), np.float32)
    scores = np.empty((num_keys, LANES), np.float32)
    unseen, nothing = spread(np.float32(-np.inf)), spread(np.float32(0))
    for row in range(num_rows):
        for head in range(num_heads):
            for part in range(num_parts):
                _gather(keys, row, head * num_parts + part, places, head_keys[part])
                _gather(values, row, head * num_parts + part, places, head_values[part])
            for index in range(num_blocks):
                first = len(positions) - (num_blocks - index) * LANES
                last, limits = _limits(positions, first, block)
                highest = unseen
                for part in range(num_parts):
                    _take(queries, row, first, head * num_parts + part, places, scale * LOG2_E, block)
                    turn(block, block)
                    own = load_all(block, places)
                    for key in range(last + 1):
                        score = inner(own, head_keys[part], key)
                        if part > 0:
                            score = score + load(scores, key)
                        if part == num_parts - 1:
                            score = up_to(limits, np.float32(key), score, unseen)
                            highest = larger(score, highest)
                        store(scores, key, score)
                total = nothing
                for part in range(num_parts):
                    sums = load_all(zeros, places)
                    for key in range(last + 1):
                        weight = load(scores, key)
                        if part == 0:
                            weight = exp2(weight - highest)
                            total = total + weight
                            store(scores, key, weight)
                        sums = add_outer(sums, weight, head_values[part], key)
                    if part == 0:
                        store(statistics[row, head, index], 0, highest)
                        store(statistics[row, head, index], 1, reciprocal(total))
                    store_all(block, sums)
                    turn(block, block)
                    _give(block, statistics[row, head, index, 1], row, first, head * num_parts + part, places, mixed)


@njit(cache=True, error_model="numpy", no_cfunc_wrapper=True)
def attend_backward(
    queries, keys, values, num_keys, positions, parts, places, scale, statistics, gradient, by_query, by_key, by_value
):
    """The derivatives by queries, keys and values, written into the last three.

    Args:
        queries, keys, values, num_keys, positions, parts, places, scale: as in ``attend``.
        statistics: from there.
        gradient: the derivative by ``mixed``.
        by_query, by_key, by_value: spans like those of queries, keys and values.
    """
    num_rows, num_heads, num_blocks = statistics.shape[:3]
    num_parts, width = len(parts), len(places)
    head_keys = np.empty((num_parts, num_keys * width), np.float32)
    head_values = np.empty((num_parts, num_keys * width), np.float32)
    by_head_key = np.empty((num_parts, num_keys * width), np.float32)
    by_head_value = np.empty((num_parts, num_keys * width), np.float32)
    block, zeros = np.zeros((LANES, LANES), np.float32), np.zeros((LANES, LANES), np.float32)
    query_rows = np.empty((num_parts, LANES, LANES), np.float32)
    gradient_rows = np.empty((num_parts, LANES, LANES), np.float32)
    weights, changes = np.empty((num_keys, LANES), np.float32), np.empty((num_keys, LANES), np.float32)
    one, scales = np.float32(1), np.full(LANES, scale, np.float32)
    nothing = spread(np.float32(0))
    for row in range(num_rows):
        for head in range(num_heads):
            for part in range(num_parts):
                _gather(keys, row, head * num_parts + part, places, head_keys[part])
                _gather(values, row, head * num_parts + part, places, head_values[part])
            by_head_key[:] = 0
            by_head_value[:] = 0
            for index in range(num_blocks):
                first = len(positions) - (num_blocks - index) * LANES
                last, limits = _limits(positions, first, block)
                highest, share = load(statistics[row, head, index], 0), load(statistics[row, head, index], 1)
                mean = nothing
                for part in range(num_parts):
                    _take(queries, row, first, head * num_parts + part, places, scale * LOG2_E, query_rows[part])
                    turn(query_rows[part], block)
                    own = load_all(block, places)
                    for key in range(last + 1):
                        score = inner(own, head_keys[part], key)
                        if part > 0:
                            score = score + load(weights, key)
                        if part == num_parts - 1:
                            score = up_to(limits, np.float32(key), exp2(score - highest) * share, nothing)
                        store(weights, key, score)
                for part in range(num_parts):
                    _take(gradient, row, first, head * num_parts + part, places, one, gradient_rows[part])
                    turn(gradient_rows[part], block)
                    own = load_all(block, places)
                    for key in range(last + 1):
                        change = inner(own, head_values[part], key)
                        mean = mean + change * load(weights, key)
                        if part > 0:
                            change = change + load(changes, key)
                        store(changes, key, change)
                for part in range(num_parts):
                    sums = load_all(zeros, places)
                    for key in range(last + 1):
                        change = load(changes, key)
                        if part == 0:
                            change = (change - mean) * load(weights, key)
                            store(changes, key, change)
                        sums = add_outer(sums, change, head_keys[part], key)
                    store_all(block, sums)
                    turn(block, block)
                    _give(block, scales, row, first, head * num_parts + part, places, by_query)
                for part in range(num_parts):
                    rows = load_all(query_rows[part], ALL_LANES)
                    for key in range(last + 1):
                        before = read(by_head_key[part], key * width, places)
                        write(by_head_key[part], key * width, places, before + inner(rows, changes, key))
                    rows = load_all(gradient_rows[part], ALL_LANES)
                    for key in range(last + 1):
                        before = read(by_head_value[part], key * width, places)
                        write(by_head_value[part], key * width, places, before + inner(rows, weights, key))
            for part in range(num_parts):
                _scatter(by_head_key[part], one / LOG2_E, row, head * num_parts + part, places, by_key)
                _scatter(by_head_value[part], one, row, head * num_parts + part, places, by_value)


@njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _gather(span, row, head, places, gathered):
    """A head's part of every token of a row."""
    numbers, row_step, step = span
    for token in range(len(gathered) // len(places)):
        offset = row * row_step + token * step + head * len(places)
        write(gathered, token * len(places), places, read(numbers, offset, places))


@njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _scatter(gathered, factor, row, head, places, span):
    """The inverse of ``_gather``, times a factor."""
    numbers, row_step, step = span
    for token in range(len(gathered) // len(places)):
        offset = row * row_step + token * step + head * len(places)
        write(numbers, offset, places, read(gathered, token * len(places), places) * spread(factor))


@njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _take(span, row, first, head, places, factor, block):
    """A head's part of sixteen tokens of a row, a row each, times a factor; 0 before the row's first token."""
    numbers, row_step, step = span
    for lane in range(LANES):
        if first + lane < 0:
            store(block, lane, spread(np.float32(0)))
        else:
            offset = row * row_step + (first + lane) * step + head * len(places)
            store(block, lane, read(numbers, offset, places) * spread(factor))


@njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _give(block, factors, row, first, head, places, span):
    """The inverse of ``_take``, with a factor for each token."""
    numbers, row_step, step = span
    for lane in range(max(0, -first), LANES):
        offset = row * row_step + (first + lane) * step + head * len(places)
        write(numbers, offset, places, load(block, lane) * spread(factors[lane]))


@njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _limits(positions, first, block):
    """The last of sixteen positions, and each in its lane; -1 before the first query, which sees nothing."""
    last = -1
    for lane in range(LANES):
        position = positions[first + lane] if first + lane >= 0 else -1
        block[0, lane] = position
        last = max(last, position)
    return last, load(block, 0)
