"""Compiled loops of the rounded engine: maps with few weights, attention scores, mixtures.

Where a weight, a query or an attention weight is 0 its product is left out: it is 0 exactly, and adding 0 to a number
of the format gives that number. All other sums keep their order.
"""

from __future__ import annotations

import math

import numpy as np

from serialformer.loops import loop
from serialformer.transformer.precision_kernels import add, divide, multiply


@loop(nogil=True, error_model="numpy")
def apply_sparse(x, start, index, value, bias, rule):
    """Rows of x times a matrix given by the non-zero weights of its columns, plus the bias."""
    result = np.empty((len(x), len(bias)))
    for row in range(len(x)):
        for column in range(len(bias)):
            total = 0.0
            for place in range(start[column], start[column + 1]):
                total = add(total, multiply(x[row, index[place]], value[place], rule), rule)
            result[row, column] = add(total, bias[column], rule)
    return result


@loop(nogil=True, error_model="numpy")
def rows_are_alike(x):
    """Whether all rows are the first one."""
    for row in range(1, len(x)):
        for column in range(x.shape[1]):
            if x[row, column] != x[0, column]:
                return False
    return True


@loop(nogil=True, error_model="numpy")
def evenly_spaced_scores(query, keys, length, rule, result):
    """The inner products of a query with the first keys, in a format whose numbers are all multiples of one step.

    ``keys[w, s]`` is coordinate w of the key at s: the inner loop runs over the context, each score's sum over w stays
    in its order, and a sum of two numbers needs no rounding, only the largest number as a limit.
    """
    result[:length] = 0.0
    per_step = 1.0 / rule.step
    for coordinate in range(len(query)):
        wanted = query[coordinate] * per_step
        if wanted == 0.0:
            continue
        row = keys[coordinate]
        for place in range(length):
            product = wanted * row[place]
            size = math.ceil(abs(product) - 0.5) * rule.step
            total = result[place] + math.copysign(rule.largest if size > rule.largest else size, product)
            total = rule.largest if total > rule.largest else total
            result[place] = -rule.largest if total < -rule.largest else total


@loop(nogil=True, error_model="numpy")
def scores_of(query, keys, length, rule, result):
    """The inner products of a query with the first keys, in any format."""
    result[:length] = 0.0
    for coordinate in range(len(query)):
        if query[coordinate] != 0.0:
            for place in range(length):
                result[place] = add(result[place], multiply(query[coordinate], keys[coordinate, place], rule), rule)


@loop(nogil=True, error_model="numpy")
def mix_values(exponentials, values, rule, result):
    """Divides each row's exponentials by their sum and mixes the row's values with these weights.

    One row of exponentials may serve all rows of values. Returns the first row whose sum is 0, or -1.
    """
    places = np.empty(exponentials.shape[1], np.int64)
    weights = np.empty(exponentials.shape[1])
    count = 0
    for row in range(len(values)):
        if row < len(exponentials):
            total = 0.0
            for place in range(exponentials.shape[1]):
                if exponentials[row, place] != 0.0:
                    total = add(total, exponentials[row, place], rule)
            if total == 0.0:
                return row
            count = 0
            for place in range(exponentials.shape[1]):
                if exponentials[row, place] != 0.0:
                    weight = divide(exponentials[row, place], total, rule)
                    if weight != 0.0:
                        places[count], weights[count] = place, weight
                        count += 1
        for column in range(values.shape[2]):
            mixed = 0.0
            for number in range(count):
                mixed = add(mixed, multiply(weights[number], values[row, places[number], column], rule), rule)
            result[row, column] = mixed
    return -1
