"""Causal attention of narrow heads on one core, forward and backward, compiled by numba.

Sixteen queries pass over the keys together, one in each lane, with all dimensions of the head in registers. No sum runs
across lanes, and a block of queries reads the keys only up to its last position. Probabilities are not kept: the
backward pass computes them again from each query's highest score and the sum of its exponentials.

Shapes: B rows, L queries, T keys, N blocks of queries, the first of which may have fewer than sixteen. A head is a part
of the width. A tensor is given as a span: its memory in one dimension, and the steps there from row to row and from
token to token.
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
def attend(queries, keys, values, num_keys, positions, places, scale, mixed, statistics):
    """``mixed`` is the attention's result; ``statistics`` each query's highest score and one over its denominator.

    Args:
        queries, keys, values, mixed: spans; they have B rows, and L or T tokens.
        num_keys: T.
        positions: L; query i sees the keys 0..positions[i].
        places: a tuple as long as a head is wide, at most 16.
        scale: what scores are multiplied by.
        statistics: B heads N 2 16.
    """
    num_rows, num_heads, num_blocks = statistics.shape[:3]
    width = len(places)
    head_keys, head_values = np.empty(num_keys * width, np.float32), np.empty(num_keys * width, np.float32)
    block, zeros = np.zeros((LANES, LANES), np.float32), np.zeros((LANES, LANES), np.float32)
    scores = np.empty((num_keys, LANES), np.float32)
    unseen, nothing = spread(np.float32(-np.inf)), spread(np.float32(0))
    for row in range(num_rows):
        for head in range(num_heads):
            _gather(keys, row, head, places, head_keys)
            _gather(values, row, head, places, head_values)
            for index in range(num_blocks):
                first = len(positions) - (num_blocks - index) * LANES
                last, limits = _limits(positions, first, block)
                _take(queries, row, first, head, places, scale * LOG2_E, block)
                turn(block)
                own = load_all(block, places)
                highest = unseen
                for key in range(last + 1):
                    score = up_to(limits, np.float32(key), inner(own, head_keys, key), unseen)
                    highest = larger(score, highest)
                    store(scores, key, score)
                total, sums = nothing, load_all(zeros, places)
                for key in range(last + 1):
                    weight = exp2(load(scores, key) - highest)
                    total = total + weight
                    sums = add_outer(sums, weight, head_values, key)
                store(statistics[row, head, index], 0, highest)
                store(statistics[row, head, index], 1, reciprocal(total))
                store_all(block, sums)
                turn(block)
                _give(block, statistics[row, head, index, 1], row, first, head, places, mixed)


@njit(cache=True, error_model="numpy", no_cfunc_wrapper=True)
def attend_backward(
    queries, keys, values, num_keys, positions, places, scale, statistics, gradient, by_query, by_key, by_value
):
    """The derivatives by queries, keys and values, written into the last three.

    Args:
        queries, keys, values, num_keys, positions, places, scale: as in ``attend``.
        statistics: from there.
        gradient: the derivative by ``mixed``.
        by_query, by_key, by_value: spans like those of queries, keys and values.
    """
    num_rows, num_heads, num_blocks = statistics.shape[:3]
    width = len(places)
    head_keys, head_values = np.empty(num_keys * width, np.float32), np.empty(num_keys * width, np.float32)
    by_head_key, by_head_value = np.empty(num_keys * width, np.float32), np.empty(num_keys * width, np.float32)
    block, zeros = np.zeros((LANES, LANES), np.float32), np.zeros((LANES, LANES), np.float32)
    weights, changes = np.empty((num_keys, LANES), np.float32), np.empty((num_keys, LANES), np.float32)
    one, scales = np.float32(1), np.full(LANES, scale, np.float32)
    nothing = spread(np.float32(0))
    for row in range(num_rows):
        for head in range(num_heads):
            _gather(keys, row, head, places, head_keys)
            _gather(values, row, head, places, head_values)
            by_head_key[:] = 0
            by_head_value[:] = 0
            for index in range(num_blocks):
                first = len(positions) - (num_blocks - index) * LANES
                last, limits = _limits(positions, first, block)
                highest, share = load(statistics[row, head, index], 0), load(statistics[row, head, index], 1)
                _take(queries, row, first, head, places, scale * LOG2_E, block)
                query_rows = load_all(block, ALL_LANES)
                turn(block)
                own = load_all(block, places)
                for key in range(last + 1):
                    weight = exp2(inner(own, head_keys, key) - highest) * share
                    store(weights, key, up_to(limits, np.float32(key), weight, nothing))
                _take(gradient, row, first, head, places, one, block)
                gradient_rows = load_all(block, ALL_LANES)
                turn(block)
                own = load_all(block, places)
                mean = nothing
                for key in range(last + 1):
                    change = inner(own, head_values, key)
                    mean = mean + change * load(weights, key)
                    store(changes, key, change)
                sums = load_all(zeros, places)
                for key in range(last + 1):
                    change = (load(changes, key) - mean) * load(weights, key)
                    sums = add_outer(sums, change, head_keys, key)
                    store(changes, key, change)
                store_all(block, sums)
                turn(block)
                _give(block, scales, row, first, head, places, by_query)
                for key in range(last + 1):
                    before = read(by_head_key, key * width, places)
                    write(by_head_key, key * width, places, before + inner(query_rows, changes, key))
                for key in range(last + 1):
                    before = read(by_head_value, key * width, places)
                    write(by_head_value, key * width, places, before + inner(gradient_rows, weights, key))
            _scatter(by_head_key, one / LOG2_E, row, head, places, by_key)
            _scatter(by_head_value, one, row, head, places, by_value)


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
