"""The compiled loop that decodes token by token, with a bound on float32's error beside every coordinate.

The sums are those of ``rounding``, but each coordinate j of the stream carries a bound e_j of its own, so that what a
layer computes with a large error does not blur what the embedding gave exactly. Layer norm mixes the coordinates only
by their mean and variance: the mean errs by the mean of the e_j, and by the Cauchy-Schwarz inequality the variance v
by 2 sqrt(v) r + r^2, r the root of the mean of the e_j^2.
"""

from __future__ import annotations

import numpy as np

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
from serialformer.decode.records import Bounded, Norm, Settings
from serialformer.decode.rounding import LARGEST_LEAK
from serialformer.loops import loop

ROUNDOFF = 2.0**-24


@loop()
def stream_norm(stream, model, position):
    """The layer norm of the stream at a position, with its infinite ``slope`` where nothing is known."""
    x, errors, width = stream.values, stream.errors, model.width
    settings = Settings(
        model.passive_sum[position], model.passive_square[position], width, model.epsilon, model.is_relu
    )
    mean, inverse, deviation = norm_of(x, settings)
    total, square, largest = 0.0, 0.0, 0.0
    for column in range(len(x)):
        total += errors[column]
        square += errors[column] * errors[column]
        largest = max(largest, errors[column])
    root = np.sqrt(square / width)
    rounding = gamma(width + np.sqrt(width) + 4) * (deviation + abs(mean) + largest)
    shift = total / width + rounding
    if not deviation > 0:
        return Norm(mean, inverse, np.inf, shift, 0.0, largest, width)
    ratio = (root + rounding) / deviation
    of_variance = 2 * ratio + ratio * ratio + gamma(width + 6)
    if not of_variance < 0.5:
        return Norm(mean, inverse, np.inf, shift, 0.0, largest, width)
    rest = 1 - of_variance
    spread = 0.5 * of_variance / (rest * np.sqrt(rest)) + 8 * ROUNDOFF
    return Norm(mean, inverse, inverse * (1 + spread), shift, spread + gamma(width + 8), largest, width)


@loop(inline="always")
def _output(maps, output, stream, norm):
    """One output of a map behind a folded layer norm, and how it errs."""
    start, index, value, x, errors, mean = maps.start, maps.inputs, maps.value, stream.values, stream.errors, norm.mean
    dot, size, inherited = 0.0, 0.0, 0.0
    for entry in range(np.uint64(start[output]), np.uint64(start[output + 1])):
        column = np.uint64(index[entry])
        term = value[entry] * (x[column] - mean)
        dot += term
        size += abs(term)
        inherited += abs(value[entry]) * errors[column]
    error = norm.slope * (inherited + norm.shift * maps.size[output, 0]) + norm.spread * norm.inverse * size
    return norm.inverse * dot + maps.bias[output], error + gamma(norm.width + 8) * maps.size[output, 1]


@loop(inline="always")
def _rough_error(maps, output, norm, furthest):
    """A bound on how an output errs, from the largest error and the largest centred coordinate of the stream."""
    reach = norm.slope * (norm.largest + norm.shift) + norm.spread * norm.inverse * furthest
    return maps.size[output, 0] * reach + gamma(norm.width + 8) * maps.size[output, 1]


@loop()
def _apply(maps, first, count, stream, norm, out):
    """Some outputs of a map behind a folded layer norm; returns their norm and the norm of their errors."""
    square, error_square = 0.0, 0.0
    for place in range(count):
        output, error = _output(maps, first + place, stream, norm)
        out.values[place], out.errors[place] = output, error
        square += output * output
        error_square += error * error
    return np.sqrt(square), np.sqrt(error_square)


@loop()
def _add(model, first, last, source, terms, stream):
    """Adds outputs first..last-1 of a map to their dimensions of the stream; each is a sum of so many ``terms``."""
    start, index, value, bias = model.maps.start, model.maps.inputs, model.maps.value, model.maps.bias
    x, errors, inputs, input_errors = stream.values, stream.errors, source.values, source.errors
    relative = gamma(terms + 3)
    for output in range(first, last):
        dot, size, inherited = bias[output], abs(bias[output]), 0.0
        for entry in range(np.uint64(start[output]), np.uint64(start[output + 1])):
            column = np.uint64(index[entry])
            term = value[entry] * inputs[column]
            dot += term
            size += abs(term)
            inherited += abs(value[entry]) * input_errors[column]
        place = model.dimension[output]
        x[place] += dot
        errors[place] += inherited + relative * (size + inherited) + 4 * ROUNDOFF * (abs(x[place]) + errors[place])


@loop()
def _activate_units(maps, first, count, stream, norm, is_relu, hidden):
    """The hidden units. How one errs is worked out only where a rough bound does not show that it is far below 0."""
    start, index, value, x, mean = maps.start, maps.inputs, maps.value, stream.values, norm.mean
    furthest = _furthest(x, mean)
    for unit in range(count):
        output = first + unit
        dot = 0.0
        for entry in range(np.uint64(start[output]), np.uint64(start[output + 1])):
            dot += value[entry] * (x[np.uint64(index[entry])] - mean)
        before = norm.inverse * dot + maps.bias[output]
        rough = _rough_error(maps, output, norm, furthest)
        after, error = activate(before, is_relu), TINY
        if before + rough > FAR_BELOW:
            _, error = _output(maps, output, stream, norm)
            error = 1.13 * error + 2.0**-20 * abs(before) if before + error > FAR_BELOW else TINY
        hidden.values[unit], hidden.errors[unit] = after, error


@loop()
def _choose(maps, first, stream, norm, is_aligned, gathered, logits):
    """The token with the largest logit, and whether it leads by more than float32 can err."""
    start, index, value, x, mean, count = maps.start, maps.inputs, maps.value, stream.values, norm.mean, len(logits)
    furthest = _furthest(x, mean)
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
        logits[token] = norm.inverse * dot + maps.bias[first + token]
        best = token if logits[token] > logits[best] else best
    _, error = _output(maps, first + best, stream, norm)
    lowest = logits[best] - error
    for token in range(count):
        if token == best:
            continue
        if not logits[token] + _rough_error(maps, first + token, norm, furthest) < lowest:
            _, error = _output(maps, first + token, stream, norm)
            if not logits[token] + error < lowest:
                return best, False
    return best, True


@loop()
def _furthest(x, mean):
    furthest = 0.0
    for column in range(len(x)):
        furthest = max(furthest, abs(x[column] - mean))
    return furthest


@loop(nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def decode_tokens(sequence, position, stop, prompt_length, model, search, values, value_errors):
    """Goes through the sequence from ``position`` to ``stop`` - 1 and writes the tokens behind the prompt into it.

    ``search`` grows by the keys of these positions, ``values`` by their values. ``value_errors`` keeps for each value
    how far it errs at most, and how large it is at most, over all positions. Returns the position it has come to,
    and why it stopped there: DONE, or what could not be proven (and of which layer and head).
    """
    tokens, positions, maps, layout, width = model.tokens, model.positions, model.maps, model.layout, model.width
    value_head, routes, route_of_head = model.value_head, model.routes, model.route_of_head
    num_layers, num_heads = route_of_head.shape
    num_active = tokens.shape[1]
    x, errors = np.empty(num_active), np.empty(num_active)
    stream = Bounded(x, errors)
    widest = max(1, values.shape[1], np.max(layout[:, 5] - layout[:, 4]))
    fetched, fetched_errors = np.empty(widest), np.empty(widest)
    hidden = Bounded(np.empty(widest), np.empty(widest))
    target = np.zeros(num_heads, dtype=np.int64)
    longest = search.codes.shape[2]
    most = np.max(search.layout[:, 2]) + 1
    vector, wanted = Bounded(np.empty(most), np.empty(most)), np.zeros((1, longest), dtype=np.int8)
    logits, gathered = np.empty(len(tokens)), np.empty(num_active)
    unembed = layout[num_layers, 0]
    while position < stop:
        token = sequence[position]
        for column in range(num_active):
            x[column] = tokens[token, column] + np.float64(positions[position, column])
            errors[column] = ROUNDOFF * abs(x[column])
        writes = position >= prompt_length - 1
        for layer in range(num_layers):
            norm = stream_norm(stream, model, position)
            if not norm.slope < np.inf:
                return position, SMALL_VARIANCE, layer, 0
            first_value = layout[layer, 6]
            first, last = layout[layer, 0], layout[layer, 1]
            row = values[position, first_value : first_value + last - first]
            _apply(maps, first, last - first, stream, norm, Bounded(row, fetched_errors))
            for column in range(last - first):
                known = value_errors[first_value + column]
                known[0] = max(known[0], fetched_errors[column])
                known[1] = max(known[1], abs(row[column]))
            for head in range(num_heads):
                number = search.of_head[layer, head]
                if number < 0:
                    continue
                key, size, coded = search.layout[number, 1], search.layout[number, 2], search.layout[number, 3]
                _, key_error = _apply(maps, key, size, stream, norm, vector)
                search.key_error[number] = max(search.key_error[number], key_error)
                offset, step, codes = search.offset[number], search.step[number], search.codes[number]
                distance = round_to_grid(vector.values, size, coded, 1.0, offset, step, codes, position)
                if distance == np.inf:
                    return position, OFF_GRID, layer, head
                search.furthest[number] = max(search.furthest[number], distance)
                longest_square = search.wanted_norm[number] * search.wanted_norm[number] * (1 + 1e-12)
                if grid_norm(codes, position, coded, offset, step) > longest_square:
                    return position, LONG_KEY, layer, head
                if insert_code(codes, position, search.slots[number], search.again[number]):
                    if search.num_distinct[number] < FEW_KEYS:
                        search.distinct[number, search.num_distinct[number]] = position
                    search.num_distinct[number] += 1
            if layer == num_layers - 1 and not writes:
                break
            for head in range(num_heads):
                route, number = route_of_head[layer, head], search.of_head[layer, head]
                if route >= 0:
                    target[head] = routes[position, route]
                    if target[head] < 0:
                        return position, NOT_ROUTED, layer, head
                elif number >= 0:
                    query, size, coded = search.layout[number, 0], search.layout[number, 2], search.layout[number, 3]
                    query_norm, query_error = _apply(maps, query, size, stream, norm, vector)
                    offset, step, codes = search.offset[number], search.step[number], search.codes[number]
                    wanted_norm, furthest = search.wanted_norm[number], search.furthest[number]
                    if search.num_distinct[number] <= FEW_KEYS:
                        found, lead = compare_keys(
                            vector.values, coded, offset, step, codes, search.distinct[number],
                            search.num_distinct[number],
                        )  # fmt: skip
                        gap = lead - 2 * query_norm * furthest
                    else:
                        scale = query_norm / wanted_norm
                        if not scale > 0:
                            return position, SMALL_GAP, layer, head
                        distance = round_to_grid(vector.values, size, coded, scale, offset, step, wanted, 0)
                        for column in range(coded, longest):
                            wanted[0, column] = 0
                        longest_square = wanted_norm * wanted_norm * (1 + 1e-12)
                        shortfall = longest_square - grid_norm(wanted, 0, coded, offset, step)
                        gap = score_gap(query_norm, scale, distance, shortfall, step, furthest)
                        found = find_code(codes, wanted, 0, search.slots[number]) if gap > 0 else NO_MATCH
                    key_norm = wanted_norm + furthest
                    error = product_error(query_norm, query_error, key_norm, search.key_error[number], width)
                    if not gap - 2 * error >= search.needed[number]:
                        return position, SMALL_GAP, layer, head
                    if found < 0 or search.again[number, found] != NEVER:
                        return position, UNPROVEN_HEAD, layer, head
                    target[head] = found
            for column in range(last - first):
                place = first_value + column
                fetched[column] = values[target[value_head[place]], place]
                of_weight = (4 * LARGEST_LEAK + 8 * ROUNDOFF) * value_errors[place, 1]
                fetched_errors[column] = value_errors[place, 0] + of_weight
            _add(model, layout[layer, 2], layout[layer, 3], Bounded(fetched, fetched_errors), width, stream)
            norm = stream_norm(stream, model, position)
            if not norm.slope < np.inf:
                return position, SMALL_VARIANCE, layer, 0
            first, last = layout[layer, 4], layout[layer, 5]
            _activate_units(maps, first, last - first, stream, norm, model.is_relu, hidden)
            _add(model, layout[layer, 7], layout[layer, 8], hidden, last - first, stream)
        if writes:
            norm = stream_norm(stream, model, position)
            if not norm.slope < np.inf:
                return position, SMALL_VARIANCE, num_layers, 0
            best, is_certain = _choose(maps, unembed, stream, norm, model.is_aligned, gathered, logits)
            if not is_certain:
                return position, SMALL_MARGIN, num_layers, 0
            sequence[position + 1] = best
            if best == model.end_token:
                return position + 1, DONE, 0, 0
        position += 1
    return position, DONE, 0, 0
