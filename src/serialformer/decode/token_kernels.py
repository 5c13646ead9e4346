"""The compiled loop that decodes token by token, with a bound on float32's error beside every coordinate.

The sums are those of ``rounding``, but each coordinate j of the stream carries a bound e_j of its own, so that what a
layer computes with a large error does not blur what the embedding gave exactly. Layer norm mixes the coordinates only
by their mean and variance: the mean errs by the mean of the e_j, and by the Cauchy-Schwarz inequality the variance v
by 2 sqrt(v) r + r^2, r the root of the mean of the e_j^2.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from serialformer.decode.kernels import (
    DONE,
    FAR_BELOW,
    FEW_KEYS,
    LONG_KEY,
    NEVER,
    NO_MATCH,
    NOT_ROUTED,
    OFF_GRID,
    SMALL_GAP,
    SMALL_MARGIN,
    SMALL_VARIANCE,
    TINY,
    UNPROVEN_HEAD,
    activate,
    compare_keys,
    find_code,
    gamma,
    grid_norm,
    insert_code,
    norm_of,
    product_error,
    round_to_grid,
    score_gap,
)

ROUNDOFF = 2.0**-24


@njit(cache=True)
def stream_norm(x, errors, aside_sum, aside_square, width, epsilon):
    """Layer norm of the stream: mean, 1 / deviation, and how a following linear map errs in float32.

    An output errs by ``slope`` (sum of |w| e + ``shift`` |w|_1) + ``spread`` (its terms' magnitudes) + gamma |bias|;
    ``slope`` is infinite where nothing can be said.
    """
    mean, inverse, deviation = norm_of(x, aside_sum, aside_square, width, epsilon)
    total, square, largest = 0.0, 0.0, 0.0
    for column in range(len(x)):
        total += errors[column]
        square += errors[column] * errors[column]
        largest = max(largest, errors[column])
    root = np.sqrt(square / width)
    rounding = gamma(width + np.sqrt(width) + 4) * (deviation + abs(mean) + largest)
    shift = total / width + rounding
    if not deviation > 0:
        return mean, inverse, np.inf, shift, 0.0, largest
    ratio = (root + rounding) / deviation
    of_variance = 2 * ratio + ratio * ratio + gamma(width + 6)
    if not of_variance < 0.5:
        return mean, inverse, np.inf, shift, 0.0, largest
    rest = 1 - of_variance
    spread = 0.5 * of_variance / (rest * np.sqrt(rest)) + 8 * ROUNDOFF
    return mean, inverse, inverse * (1 + spread), shift, spread + gamma(width + 8), largest


@njit(cache=True, inline="always")
def _output(start, index, value, bias, size_of, output, x, errors, mean, inverse, slope, shift, spread, width):
    """One output of a map behind a folded layer norm, and how it errs."""
    dot, size, inherited = 0.0, 0.0, 0.0
    for entry in range(np.uint64(start[output]), np.uint64(start[output + 1])):
        column = np.uint64(index[entry])
        term = value[entry] * (x[column] - mean)
        dot += term
        size += abs(term)
        inherited += abs(value[entry]) * errors[column]
    error = slope * (inherited + shift * size_of[output, 0]) + spread * inverse * size
    return inverse * dot + bias[output], error + gamma(width + 8) * size_of[output, 1]


@njit(cache=True)
def _apply(
    start, index, value, bias, size_of, first, count, x, errors, mean, inverse, slope, shift, spread, width,
    out, out_errors,
):  # fmt: skip
    """Some outputs of a map behind a folded layer norm; returns their norm and the norm of their errors."""
    square, error_square = 0.0, 0.0
    for place in range(count):
        out[place], out_errors[place] = _output(
            start, index, value, bias, size_of, first + place, x, errors, mean, inverse, slope, shift, spread, width
        )
        square += out[place] * out[place]
        error_square += out_errors[place] * out_errors[place]
    return np.sqrt(square), np.sqrt(error_square)


@njit(cache=True)
def _add(start, index, value, bias, dimension, first, last, source, source_errors, width, x, errors):
    """Adds outputs first..last-1 of a map to their dimensions of the stream."""
    relative = gamma(width + 3)
    for output in range(first, last):
        dot, size, inherited = bias[output], abs(bias[output]), 0.0
        for entry in range(np.uint64(start[output]), np.uint64(start[output + 1])):
            column = np.uint64(index[entry])
            term = value[entry] * source[column]
            dot += term
            size += abs(term)
            inherited += abs(value[entry]) * source_errors[column]
        place = dimension[output]
        x[place] += dot
        errors[place] += inherited + relative * (size + inherited) + 4 * ROUNDOFF * (abs(x[place]) + errors[place])


@njit(cache=True)
def _activate_units(
    start, index, value, bias, size_of, first, count, x, errors, mean, inverse, slope, shift, spread, largest,
    furthest_out, width, is_relu, hidden, hidden_errors,
):  # fmt: skip
    """The hidden units. How one errs is worked out only where a rough bound does not show that it is far below 0."""
    for unit in range(count):
        output = first + unit
        dot = 0.0
        for entry in range(np.uint64(start[output]), np.uint64(start[output + 1])):
            dot += value[entry] * (x[np.uint64(index[entry])] - mean)
        before = inverse * dot + bias[output]
        rough = size_of[output, 0] * (slope * (largest + shift) + spread * inverse * furthest_out)
        rough += gamma(width + 8) * size_of[output, 1]
        after, error = activate(before, is_relu), TINY
        if before + rough > FAR_BELOW:
            _, error = _output(
                start, index, value, bias, size_of, output, x, errors, mean, inverse, slope, shift, spread, width
            )
            error = 1.13 * error + 2.0**-20 * abs(before) if before + error > FAR_BELOW else TINY
        hidden[unit], hidden_errors[unit] = after, error


@njit(cache=True)
def _choose(
    start, index, value, bias, size_of, first, count, x, errors, mean, inverse, slope, shift, spread, largest,
    furthest_out, width, is_aligned, gathered, logits,
):  # fmt: skip
    """The token with the largest logit, and whether it leads by more than float32 can err."""
    entries = np.int64(start[first + 1] - start[first])
    if is_aligned:  # all outputs read the same inputs
        for entry in range(entries):
            gathered[entry] = x[index[start[first] + entry]] - mean
    best = 0
    for token in range(count):
        dot = 0.0
        if is_aligned:
            row = value[start[first + token] : start[first + token] + entries]
            for entry in range(entries):
                dot += row[entry] * gathered[entry]
        else:
            for entry in range(np.uint64(start[first + token]), np.uint64(start[first + token + 1])):
                dot += value[entry] * (x[np.uint64(index[entry])] - mean)
        logits[token] = inverse * dot + bias[first + token]
        best = token if logits[token] > logits[best] else best
    _, error = _output(
        start, index, value, bias, size_of, first + best, x, errors, mean, inverse, slope, shift, spread, width
    )
    lowest = logits[best] - error
    for token in range(count):
        if token == best:
            continue
        rough = size_of[first + token, 0] * (slope * (largest + shift) + spread * inverse * furthest_out)
        rough += gamma(width + 8) * size_of[first + token, 1]
        if not logits[token] + rough < lowest:
            _, error = _output(
                start, index, value, bias, size_of, first + token, x, errors, mean, inverse, slope, shift, spread,
                width,
            )  # fmt: skip
            if not logits[token] + error < lowest:
                return best, False
    return best, True


@njit(cache=True)
def _furthest(x, mean):
    furthest = 0.0
    for column in range(len(x)):
        furthest = max(furthest, abs(x[column] - mean))
    return furthest


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def decode_tokens(
    sequence, position, stop, prompt_length, end_token,
    tokens, positions, passive_sum, passive_square, width, epsilon, is_relu,
    start, index, value, bias, dimension, size_of, layout, value_head,
    routes, route_of_head, search_of_head,
    search_layout, grid_offset, grid_step, wanted_norm, needed, codes, slots, again, distinct, num_distinct,
    furthest, key_errors, values, value_errors, largest_leak, is_aligned,
):  # fmt: skip
    """Goes through the sequence from ``position`` to ``stop`` - 1 and writes the tokens behind the prompt into it.

    ``value_errors`` keeps for each value how far it errs at most, and how large it is at most, over all positions.
    Returns the position it has come to, and why it stopped there: DONE, or what could not be proven (and of which
    layer and head).
    """
    num_layers, num_heads = route_of_head.shape
    num_active = tokens.shape[1]
    x, errors = np.empty(num_active), np.empty(num_active)
    widest = max(1, values.shape[1], np.max(layout[:, 5] - layout[:, 4]))
    fetched, fetched_errors = np.empty(widest), np.empty(widest)
    hidden, hidden_errors = np.empty(widest), np.empty(widest)
    target = np.zeros(num_heads, dtype=np.int64)
    longest = codes.shape[2]
    most = np.max(search_layout[:, 2]) + 1
    vector, vector_errors, wanted = np.empty(most), np.empty(most), np.zeros((1, longest), dtype=np.int8)
    logits, gathered = np.empty(len(tokens)), np.empty(num_active)
    unembed = layout[num_layers, 0]
    while position < stop:
        token = sequence[position]
        for column in range(num_active):
            x[column] = tokens[token, column] + np.float64(positions[position, column])
            errors[column] = ROUNDOFF * abs(x[column])
        aside_sum, aside_square = passive_sum[position], passive_square[position]
        writes = position >= prompt_length - 1
        for layer in range(num_layers):
            mean, inverse, slope, shift, spread, largest = stream_norm(
                x, errors, aside_sum, aside_square, width, epsilon
            )
            if not slope < np.inf:
                return position, SMALL_VARIANCE, layer, 0
            first_value = layout[layer, 6]
            first, last = layout[layer, 0], layout[layer, 1]
            row = values[position, first_value : first_value + last - first]
            _apply(
                start, index, value, bias, size_of, first, last - first, x, errors, mean, inverse, slope, shift, spread,
                width, row, fetched_errors,
            )  # fmt: skip
            for column in range(last - first):
                known = value_errors[first_value + column]
                known[0] = max(known[0], fetched_errors[column])
                known[1] = max(known[1], abs(row[column]))
            for head in range(num_heads):
                search = search_of_head[layer, head]
                if search < 0:
                    continue
                key, size, coded = search_layout[search, 1], search_layout[search, 2], search_layout[search, 3]
                _, key_error = _apply(
                    start, index, value, bias, size_of, key, size, x, errors, mean, inverse, slope, shift, spread,
                    width, vector, vector_errors,
                )  # fmt: skip
                key_errors[search] = max(key_errors[search], key_error)
                offset, step = grid_offset[search], grid_step[search]
                distance = round_to_grid(vector, size, coded, 1.0, offset, step, codes[search], position)
                if distance == np.inf:
                    return position, OFF_GRID, layer, head
                furthest[search] = max(furthest[search], distance)
                norm = grid_norm(codes[search], position, coded, offset, step)
                if norm > wanted_norm[search] * wanted_norm[search] * (1 + 1e-12):
                    return position, LONG_KEY, layer, head
                if insert_code(codes[search], position, slots[search], again[search]):
                    if num_distinct[search] < FEW_KEYS:
                        distinct[search, num_distinct[search]] = position
                    num_distinct[search] += 1
            if layer == num_layers - 1 and not writes:
                break
            for head in range(num_heads):
                route, search = route_of_head[layer, head], search_of_head[layer, head]
                if route >= 0:
                    target[head] = routes[position, route]
                    if target[head] < 0:
                        return position, NOT_ROUTED, layer, head
                elif search >= 0:
                    query, size, coded = search_layout[search, 0], search_layout[search, 2], search_layout[search, 3]
                    query_norm, query_error = _apply(
                        start, index, value, bias, size_of, query, size, x, errors, mean, inverse, slope, shift, spread,
                        width, vector, vector_errors,
                    )  # fmt: skip
                    offset, step = grid_offset[search], grid_step[search]
                    if num_distinct[search] <= FEW_KEYS:
                        found, lead = compare_keys(
                            vector, coded, offset, step, codes[search], distinct[search], num_distinct[search]
                        )
                        gap = lead - 2 * query_norm * furthest[search]
                    else:
                        scale = query_norm / wanted_norm[search]
                        if not scale > 0:
                            return position, SMALL_GAP, layer, head
                        distance = round_to_grid(vector, size, coded, scale, offset, step, wanted, 0)
                        for column in range(coded, longest):
                            wanted[0, column] = 0
                        longest_square = wanted_norm[search] * wanted_norm[search] * (1 + 1e-12)
                        shortfall = longest_square - grid_norm(wanted, 0, coded, offset, step)
                        gap = score_gap(query_norm, scale, distance, shortfall, step, furthest[search])
                        found = find_code(codes[search], wanted, 0, slots[search]) if gap > 0 else NO_MATCH
                    key_norm = wanted_norm[search] + furthest[search]
                    error = product_error(query_norm, query_error, key_norm, key_errors[search], width)
                    if not gap - 2 * error >= needed[search]:
                        return position, SMALL_GAP, layer, head
                    if found < 0 or again[search, found] != NEVER:
                        return position, UNPROVEN_HEAD, layer, head
                    target[head] = found
            for column in range(last - first):
                place = first_value + column
                fetched[column] = values[target[value_head[place]], place]
                of_weight = (4 * largest_leak + 8 * ROUNDOFF) * value_errors[place, 1]
                fetched_errors[column] = value_errors[place, 0] + of_weight
            _add(
                start, index, value, bias, dimension, layout[layer, 2], layout[layer, 3], fetched, fetched_errors,
                width, x, errors,
            )  # fmt: skip
            mean, inverse, slope, shift, spread, largest = stream_norm(
                x, errors, aside_sum, aside_square, width, epsilon
            )
            if not slope < np.inf:
                return position, SMALL_VARIANCE, layer, 0
            first, last = layout[layer, 4], layout[layer, 5]
            _activate_units(
                start, index, value, bias, size_of, first, last - first, x, errors, mean, inverse, slope, shift, spread,
                largest, _furthest(x, mean), width, is_relu, hidden, hidden_errors,
            )  # fmt: skip
            _add(
                start, index, value, bias, dimension, layout[layer, 7], layout[layer, 8], hidden, hidden_errors,
                last - first, x, errors,
            )  # fmt: skip
        if writes:
            mean, inverse, slope, shift, spread, largest = stream_norm(
                x, errors, aside_sum, aside_square, width, epsilon
            )
            if not slope < np.inf:
                return position, SMALL_VARIANCE, num_layers, 0
            best, is_certain = _choose(
                start, index, value, bias, size_of, unembed, len(tokens), x, errors, mean, inverse, slope, shift,
                spread, largest, _furthest(x, mean), width, is_aligned, gathered, logits,
            )  # fmt: skip
            if not is_certain:
                return position, SMALL_MARGIN, num_layers, 0
            sequence[position + 1] = best
            if best == end_token:
                return position + 1, DONE, 0, 0
        position += 1
    return position, DONE, 0, 0
