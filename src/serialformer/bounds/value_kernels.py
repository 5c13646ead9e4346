"""Compiled operations on values that are thermometers: products, quotients, exponentials, linear maps, attention."""

from __future__ import annotations

import numpy as np
from numba import njit

from serialformer.bounds.signal_kernels import (
    all_of,
    any_of,
    both,
    constant_rank,
    either,
    is_at_least,
    leaf,
    set_constant,
)
from serialformer.bounds.sum_kernels import sum_terms


@leaf
def multiply_by_constant(value, factor, factors, out):
    """The product with a number of rank ``factor``; takes no gates."""
    largest = len(value) // 2
    for rank in range(1, largest + 1):
        needed = factors[abs(factor), rank]
        above = is_at_least(value, needed)
        below = is_at_least(value, 1 - needed) ^ 1
        out[largest + rank - 1] = above if factor > 0 else below
        out[largest - rank] = (below if factor > 0 else above) ^ 1


@leaf
def _corner_terms(sink, first, second, corners, rank, flip_first, flip_second, terms, count):
    """Adds the ANDs of a rank's corners; a flipped value is at most minus what the corner asks for."""
    begin, end = corners.start[rank - 1], corners.start[rank]
    left_before, right_before = np.int64(-1), np.int64(-1)
    for corner in range(begin, end):
        left = _reaches(first, corners.first[corner], flip_first)
        right = _reaches(second, corners.second[corner], flip_second)
        weaker_next = corner + 1 < end and _reaches(first, corners.first[corner + 1], flip_first) == left
        weaker_before = corner > begin and right == right_before and left != left_before
        if not weaker_next and not weaker_before:
            terms[count] = both(sink, left, right)
            count += 1
        left_before, right_before = left, right
    return count


@leaf
def _reaches(value, rank, flipped):
    return is_at_least(value, 1 - rank) ^ 1 if flipped else is_at_least(value, rank)


@njit(cache=True, nogil=True)
def multiply_two(sink, first, second, tables, out):
    """The rounded product of two values; depth 2."""
    largest = tables.largest
    for side in range(2):
        rank = constant_rank(first if side == 0 else second)
        if rank <= largest:
            multiply_by_constant(second if side == 0 else first, rank, tables.factors, out)
            return
    terms = np.empty(2 * largest + 2, dtype=np.int64)
    for rank in range(1, largest + 1):
        for side in range(2):  # at least the rank; at most minus the rank
            count = np.int64(0)
            for flip in range(2):
                count = _corner_terms(sink, first, second, tables.products, rank, flip != side, flip == 1, terms, count)
            found = any_of(sink, terms[:count])
            out[largest - rank if side == 1 else largest + rank - 1] = found ^ side


@njit(cache=True, nogil=True)
def divide_two(sink, value, divisor, tables, out):
    """The rounded quotient of two values that are not negative; 0 where the divisor is 0, as no value then is above."""
    largest = tables.largest
    corners = tables.quotients
    terms = np.empty(largest + 1, dtype=np.int64)
    out[:largest] = 1
    for rank in range(1, largest + 1):
        count = 0
        begin, end = corners.start[rank - 1], corners.start[rank]
        for corner in range(begin, end):
            left = is_at_least(value, corners.first[corner])
            right = is_at_least(divisor, corners.second[corner] + 1) ^ 1
            if corner + 1 < end and is_at_least(value, corners.first[corner + 1]) == left:
                continue
            weaker = corner > begin and is_at_least(divisor, corners.second[corner - 1] + 1) ^ 1 == right
            if weaker and is_at_least(value, corners.first[corner - 1]) != left:
                continue
            terms[count] = both(sink, left, right)
            count += 1
        out[largest + rank - 1] = any_of(sink, terms[:count])


@leaf
def raise_e_to(value, exponentials, out):
    """The rounded exponential; takes no gates."""
    largest = len(value) // 2
    out[:largest] = 1
    for rank in range(1, largest + 1):
        out[largest + rank - 1] = is_at_least(value, exponentials[rank - 1])


@leaf
def cut_below_zero(values):
    """relu of every row; takes no gates."""
    values[:, : values.shape[1] // 2] = 1


@njit(cache=True, nogil=True)
def apply_weights(sink, x, start, index, weight, bias, tables, out):
    """Rows x times a matrix given by the ranks of the weights of its columns, plus the bias; a row a coordinate."""
    terms = np.empty((len(x) + 1, x.shape[1]), dtype=np.int64)
    for column in range(len(bias)):
        count = 0
        for place in range(start[column], start[column + 1]):
            multiply_by_constant(x[index[place]], weight[place], tables.factors, terms[count])
            if constant_rank(terms[count]) != 0:
                count += 1
        if bias[column] != 0:
            set_constant(terms[count], bias[column])
            count += 1
        sum_terms(sink, terms[:count], tables.rule, out[column])


@njit(cache=True, nogil=True)
def add_rows(sink, x, y, tables, out):
    """The rounded sums of the rows of x and y."""
    terms = np.empty((2, x.shape[1]), dtype=np.int64)
    for row in range(len(x)):
        terms[0], terms[1] = x[row], y[row]
        sum_terms(sink, terms, tables.rule, out[row])


@njit(cache=True, nogil=True)
def attend(sink, query, keys, values, tables, out):
    """What one head brings to one position, over the context from its first position on.

    Args:
        sink: where gates go.
        query: int64[head width, entries].
        keys: int64[context, head width, entries].
        values: the same of the values.
        tables: of the format.
        out: int64[head width, entries].

    Returns:
        The signal that says whether the denominator is 0.
    """
    context, width, entries = keys.shape
    exponentials = np.empty((context, entries), dtype=np.int64)
    score = np.empty(entries, dtype=np.int64)
    terms = np.empty((max(context, width), entries), dtype=np.int64)
    for position in range(context):
        count = 0
        for coordinate in range(width):
            if constant_rank(query[coordinate]) == 0 or constant_rank(keys[position, coordinate]) == 0:
                continue
            multiply_two(sink, query[coordinate], keys[position, coordinate], tables, terms[count])
            if constant_rank(terms[count]) != 0:
                count += 1
        sum_terms(sink, terms[:count], tables.rule, score)
        raise_e_to(score, tables.exponentials, exponentials[position])
    total = np.empty(entries, dtype=np.int64)
    count = 0
    for position in range(context):
        if constant_rank(exponentials[position]) != 0:
            terms[count] = exponentials[position]
            count += 1
    sum_terms(sink, terms[:count], tables.rule, total)
    weights = np.empty((context, entries), dtype=np.int64)
    for position in range(context):
        divide_two(sink, exponentials[position], total, tables, weights[position])
    for coordinate in range(width):
        count = 0
        for position in range(context):
            if constant_rank(weights[position]) == 0 or constant_rank(values[position, coordinate]) == 0:
                continue
            multiply_two(sink, weights[position], values[position, coordinate], tables, terms[count])
            if constant_rank(terms[count]) != 0:
                count += 1
        sum_terms(sink, terms[:count], tables.rule, out[coordinate])
    return is_at_least(total, 1) ^ 1


@njit(cache=True, nogil=True)
def choose_largest(sink, logits, out):
    """For each row whether it is the largest, the first of equals; depth 3."""
    count, entries = logits.shape
    terms = np.empty(max(entries, count), dtype=np.int64)
    # not_less[i, j], for j < i: row j is at least row i.
    not_less = np.zeros((count, count), dtype=np.int64)
    for row in range(count):
        for earlier in range(row):
            for place in range(entries):
                terms[place] = either(sink, logits[earlier, place], logits[row, place] ^ 1)
            not_less[row, earlier] = all_of(sink, terms[:entries])
    for row in range(count):
        for other in range(count):
            if other < row:
                terms[other] = not_less[row, other] ^ 1
            elif other == row:
                terms[other] = 1
            else:
                terms[other] = not_less[other, row]
        out[row] = all_of(sink, terms[:count])


@njit(cache=True, nogil=True)
def embed_codes(sink, codes, ranks, out):
    """The values of a token of which exactly one of the signals ``codes`` is true; ``ranks[code, coordinate]``."""
    largest = out.shape[1] // 2
    terms = np.empty(len(codes), dtype=np.int64)
    for coordinate in range(len(out)):
        for rank in range(1 - largest, largest + 1):
            count = 0
            for code in range(len(codes)):
                if ranks[code, coordinate] >= rank:
                    terms[count] = codes[code]
                    count += 1
            signal = np.int64(1) if count == len(codes) else any_of(sink, terms[:count])
            out[coordinate, rank + largest - 1] = signal
