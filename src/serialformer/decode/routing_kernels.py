"""Compiled loops that find which position each head of the first layer attends to; ``routing`` uses them."""

from __future__ import annotations

import numpy as np

from serialformer.decode.kernels import (
    NEVER,
    NO_MATCH,
    apply_embedded,
    column_error,
    find_code,
    gamma,
    grid_norm,
    hash_code,
    insert_code,
    product_error,
    round_to_grid,
    same_code,
    score_gap,
    vector_error,
)
from serialformer.loops import loop

BLOCK = 64
"""How many queries are made at once, before their keys are looked up."""


@loop(inline="always")
def _apply_normed(sparse, tokens, positions, norms, token, position, out, sizes):
    """All outputs of a map for a token at a position; returns the factors of their error."""
    mean, inverse = norms[position, token, 0], norms[position, token, 1]
    apply_embedded(sparse, 0, len(sparse[3]), tokens, positions, token, position, mean, inverse, out, sizes)
    return norms[position, token, 2], norms[position, token, 3], gamma(positions.shape[1] + 8)


@loop(nogil=True, error_model="numpy")
def key_codes(key, inputs, offset, step, codes):
    """Codes of every position's key, of one head of the first layer.

    Returns the position of the first key that is off the grid or whose code depends on the token (or -1), the largest
    distance from the grid, the least and largest code sum, the largest square norm of a grid point, and the largest
    2-norm of a key's float32 error.
    """
    tokens, positions, norms = inputs.tokens, inputs.positions, inputs.norms
    sparse, size_of = (key.start, key.inputs, key.value, key.bias), key.size
    size, coded = len(key.bias), codes.shape[1]
    vector, sizes = np.empty(size), np.empty(size)
    scratch = np.empty((1, coded), dtype=np.int8)
    furthest, key_error = 0.0, 0.0
    least_sum, largest_sum, largest_norm = np.inf, -np.inf, -np.inf
    for position in range(len(positions)):
        for token in range(len(tokens)):
            factors = _apply_normed(sparse, tokens, positions, norms, token, position, vector, sizes)
            key_error = max(key_error, vector_error(size_of, 0, size, factors, sizes))
            target, row = (codes, position) if token == 0 else (scratch, 0)
            furthest = max(furthest, round_to_grid(vector, size, coded, 1.0, offset, step, target, row))
            if furthest == np.inf or (token and not same_code(scratch, 0, codes, position)):
                return position, furthest, 0.0, 0.0, 0.0, 0.0
        code_sum = 0.0
        for column in range(coded):
            code_sum += codes[position, column]
        norm = grid_norm(codes, position, coded, offset, step)
        least_sum, largest_sum = min(least_sum, code_sum), max(largest_sum, code_sum)
        largest_norm = max(largest_norm, norm)
    return -1, furthest, least_sum, largest_sum, largest_norm, key_error


@loop(nogil=True, error_model="numpy")
def index_codes(codes):
    """The hash table of the positions' codes, and for each position the next one with its code."""
    num_positions = len(codes)
    num_slots = 16
    while num_slots < 2 * num_positions:
        num_slots *= 2
    slots = np.full(num_slots, -1, dtype=np.int32)
    again = np.full(num_positions, NEVER, dtype=np.int32)
    for position in range(num_positions):
        insert_code(codes, position, slots, again)
    return slots, again


@loop(nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def route_queries(query, inputs, keys, needed, routed):
    """Fills ``routed`` with the position that one head of the first layer attends to from each position.

    NO_MATCH stands where that depends on the current token, is not there to be seen, or the gap is less than needed.
    Returns the least gap of those found, in units of a product.

    Queries are made a block at a time and an output at a time: the processor does several positions in one instruction,
    and the look-ups of a block do not wait for each other's memory.
    """
    tokens, positions, norms = inputs.tokens, inputs.positions, inputs.norms
    codes, slots, again, offset, step = keys.codes, keys.slots, keys.again, keys.offset, keys.step
    norm, least, furthest, key_error = keys.norm, keys.least, keys.furthest, keys.error
    start, index, value, bias, size_of = query.start, query.inputs, query.value, query.bias, query.size
    size, coded = len(bias), codes.shape[1]
    num_positions, width = positions.shape
    read = np.empty((len(index), BLOCK))
    means, inverses, spreads, slopes = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    dots, sizes, squares, errors = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    vectors, scales, per_step = np.empty((size, BLOCK)), np.empty(BLOCK), np.empty(BLOCK)
    distances, points, largest = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    wanted, other = np.zeros((BLOCK, coded), dtype=np.int8), np.zeros((BLOCK, coded), dtype=np.int8)
    gaps, found = np.empty(BLOCK), np.empty(BLOCK, dtype=np.int64)
    mask, of_bias = np.uint64(len(slots) - 1), gamma(width + 8)
    least_gap = np.inf
    for first in range(0, num_positions, BLOCK):
        count = min(BLOCK, num_positions - first)
        for entry in range(len(index)):
            column = index[entry]
            for row in range(count):
                read[entry, row] = positions[first + row, column]
        for row in range(count):
            gaps[row] = np.inf
        for token in range(len(tokens)):
            for row in range(count):
                means[row], inverses[row] = norms[first + row, token, 0], norms[first + row, token, 1]
                spreads[row] = norms[first + row, token, 2]
                slopes[row] = norms[first + row, token, 3] * inverses[row]
                squares[row] = errors[row] = 0.0
            for output in range(size):
                for row in range(count):
                    dots[row] = sizes[row] = 0.0
                for entry in range(start[output], start[output + 1]):
                    weight, own = value[entry], tokens[token, index[entry]]
                    for row in range(count):
                        term = weight * (own + read[entry, row] - means[row])
                        dots[row] += term
                        sizes[row] += abs(term)
                for row in range(count):
                    coordinate = inverses[row] * dots[row] + bias[output]
                    vectors[output, row] = coordinate
                    squares[row] += coordinate * coordinate
                    error = column_error(size_of, output, (spreads[row], slopes[row], of_bias), sizes[row])
                    errors[row] += error * error
            for row in range(count):
                squares[row] = np.sqrt(squares[row])
                errors[row] = np.sqrt(errors[row])
                scales[row] = squares[row] / norm
                per_step[row] = 1 / (scales[row] * step)
                distances[row] = points[row] = largest[row] = 0.0
            for output in range(coded, size):
                for row in range(count):
                    distances[row] += vectors[output, row] * vectors[output, row]
            target = wanted if token == 0 else other
            for output in range(coded):
                for row in range(count):
                    # Which point is taken need not be the nearest: the distance counts, and is that of the point taken.
                    steps = np.rint(vectors[output, row] * per_step[row] - offset / step)
                    point = offset + step * steps
                    difference = vectors[output, row] - scales[row] * point
                    distances[row] += difference * difference
                    points[row] += point * point
                    largest[row] = max(largest[row], abs(steps))
                    vectors[output, row] = min(max(steps, -128.0), 127.0)
                for row in range(count):
                    target[row, output] = np.int8(vectors[output, row])
            for row in range(count):
                distance, shortfall = np.sqrt(distances[row]), norm * norm - points[row]
                gap = score_gap(squares[row], scales[row], distance, shortfall, least, furthest)
                gap_error = product_error(squares[row], errors[row], norm + furthest, key_error, width)
                is_sure = scales[row] > 0 and largest[row] <= 127 and gap - 2 * gap_error >= needed
                if not is_sure or (token and not same_code(wanted, row, other, row)):
                    gap = -np.inf
                gaps[row] = min(gaps[row], gap)
        for row in range(count):
            found[row] = slots[np.int64(hash_code(wanted, row) & mask)] if gaps[row] > 0 else NO_MATCH
        for row in range(count):
            position, target_of_row = first + row, found[row]
            if target_of_row >= 0 and not same_code(wanted, row, codes, target_of_row):
                target_of_row = find_code(codes, wanted, row, slots)
            if target_of_row > position or (target_of_row >= 0 and again[target_of_row] <= position):
                target_of_row = NO_MATCH
            if target_of_row >= 0:
                least_gap = min(least_gap, gaps[row])
            routed[position] = target_of_row
    return least_gap
