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
    product_error,
    round_to_grid,
    score_gap,
)
from serialformer.decode.records import Norm
from serialformer.decode.rounding import LARGEST_LEAK
from serialformer.loops import loop

ROUNDOFF = 2.0**-24


TOTAL, SQUARE, ERROR_TOTAL, ERROR_SQUARE, LARGEST_ERROR, LARGEST = range(6)
"""The running sums over the stream: of its coordinates, their squares, their errors and the squares of these, and the
largest error and the largest coordinate that there have been."""


@loop(inline="always")
def _change(x, errors, sums, place, after, error):
    """Gives a coordinate of the stream a new value and a new error."""
    before, error_before = x[place], errors[place]
    sums[TOTAL] += after - before
    sums[SQUARE] += after * after - before * before
    sums[ERROR_TOTAL] += error - error_before
    sums[ERROR_SQUARE] += error * error - error_before * error_before
    sums[LARGEST_ERROR] = error if error > sums[LARGEST_ERROR] else sums[LARGEST_ERROR]
    sums[LARGEST] = abs(after) if abs(after) > sums[LARGEST] else sums[LARGEST]
    x[place], errors[place] = after, error


@loop(allocates=False, error_model="numpy", fastmath={"reassoc", "contract"})
def _embed(tokens, positions, passive_sum, passive_square, x, errors, sums):
    """The stream of a position before the first layer, and its sums."""
    for column in range(len(x)):
        x[column] = tokens[column] + np.float64(positions[column])
    for column in range(len(x)):
        errors[column] = ROUNDOFF * abs(x[column])
    total, square, size, largest = passive_sum, passive_square, 0.0, 0.0
    for column in range(len(x)):
        magnitude = abs(x[column])
        total += x[column]
        square += x[column] * x[column]
        size += magnitude
        largest = magnitude if magnitude > largest else largest
    sums[TOTAL], sums[SQUARE], sums[ERROR_TOTAL] = total, square, ROUNDOFF * size
    sums[ERROR_SQUARE] = ROUNDOFF * ROUNDOFF * (square - passive_square)
    sums[LARGEST_ERROR], sums[LARGEST] = ROUNDOFF * largest, largest


@loop(allocates=False, error_model="numpy")
def stream_norm(sums, width, epsilon):
    """The layer norm of a stream with these sums, with its infinite ``slope`` where nothing is known."""
    mean = sums[TOTAL] / width
    variance = max(0.0, sums[SQUARE] / width - mean * mean)
    deviation, inverse, largest = np.sqrt(variance), 1 / np.sqrt(variance + epsilon), sums[LARGEST_ERROR]
    root = np.sqrt(max(0.0, sums[ERROR_SQUARE]) / width)
    rounding = gamma(width + np.sqrt(width) + 4) * (deviation + abs(mean) + largest)
    shift = sums[ERROR_TOTAL] / width + rounding
    if not deviation > 0:
        return Norm(mean, inverse, np.inf, shift, 0.0, largest, 0.0)
    ratio = (root + rounding) / deviation
    of_variance = 2 * ratio + ratio * ratio + gamma(width + 6)
    if not of_variance < 0.5:
        return Norm(mean, inverse, np.inf, shift, 0.0, largest, 0.0)
    rest = 1 - of_variance
    spread = 0.5 * of_variance / (rest * np.sqrt(rest)) + 8 * ROUNDOFF
    return Norm(mean, inverse, inverse * (1 + spread), shift, spread + gamma(width + 8), largest, gamma(width + 8))


@loop(inline="always")
def _output(start, index, value, bias, size_of, output, x, errors, norm):
    """One output of a map after a folded layer norm, and how it errs."""
    dot, size, inherited, mean = 0.0, 0.0, 0.0, norm.mean
    for entry in range(np.uint64(start[output]), np.uint64(start[output + 1])):
        column = np.uint64(index[entry])
        term = value[entry] * (x[column] - mean)
        dot += term
        size += abs(term)
        inherited += abs(value[entry]) * errors[column]
    error = norm.slope * (inherited + norm.shift * size_of[output, 0]) + norm.spread * norm.inverse * size
    return norm.inverse * dot + bias[output], error + norm.of_bias * size_of[output, 1]


@loop(inline="always")
def _rough_error(size, bias_size, norm, furthest):
    """A bound on how an output errs, from the largest error and the largest centred coordinate of the stream.

    ``size`` is the 1-norm of its weights, ``bias_size`` the size of its bias.
    """
    reach = norm.slope * (norm.largest + norm.shift) + norm.spread * norm.inverse * furthest
    return size * reach + norm.of_bias * bias_size


@loop(allocates=False)
def _apply(start, index, value, bias, size_of, first, count, x, errors, norm, out, out_errors):
    """Some outputs of a map after a folded layer norm; returns their norm and the norm of their errors."""
    square, error_square = 0.0, 0.0
    for place in range(count):
        output, error = _output(start, index, value, bias, size_of, first + place, x, errors, norm)
        out[place], out_errors[place] = output, error
        square += output * output
        error_square += error * error
    return np.sqrt(square), np.sqrt(error_square)


@loop(allocates=False)
def _add(start, index, value, bias, dimension, first, last, inputs, input_errors, terms, x, errors, sums):
    """Adds outputs first..last-1 of a map to their dimensions of the stream; each is a sum of ``terms`` terms."""
    relative = gamma(terms + 3)
    for output in range(first, last):
        dot, size, inherited = bias[output], abs(bias[output]), 0.0
        for entry in range(np.uint64(start[output]), np.uint64(start[output + 1])):
            column = np.uint64(index[entry])
            term = value[entry] * inputs[column]
            dot += term
            size += abs(term)
            inherited += abs(value[entry]) * input_errors[column]
        place = dimension[output]
        after, error = x[place] + dot, errors[place]
        error += inherited + relative * (size + inherited) + 4 * ROUNDOFF * (abs(after) + error)
        _change(x, errors, sums, place, after, error)


@loop(allocates=False, error_model="numpy")
def find_row(span, block, column, value, mark, slots, row_pattern, x, mean, chosen):
    """The row of an indexed group with the largest product with the centred stream; see ``records.RowIndex``.

    ``span`` is the group's row of ``RowIndex.group``, ``chosen`` room for the patterns of its blocks. Returns the row's
    number among all groups', or -1 if no row has the best pattern in every block; the product of a row that does; and
    how much less any other row's product is, at least.
    """
    first, last, begin, num_slots = span[2], span[3], span[4], span[5]
    whole, loss, digest = 0.0, np.inf, np.uint64(0)
    for number in range(first, last):
        first_column, last_column = np.uint64(block[number, 0]), np.uint64(block[number, 1])
        entry = np.uint64(block[number, 4])
        best, second, which = -np.inf, -np.inf, 0
        for pattern in range(block[number, 2], block[number, 3]):
            product = 0.0
            for place in range(first_column, last_column):
                product += value[entry] * (x[np.uint64(column[place])] - mean)
                entry += np.uint64(1)
            if product > best:
                best, second, which = product, best, pattern
            elif product > second:
                second = product
        chosen[number - first] = which - block[number, 2]
        digest ^= mark[which]
        whole += best
        loss = min(loss, best - second)
    slot = np.int64(digest & np.uint64(num_slots - 1))
    while slots[begin + slot] >= 0:
        row, same = slots[begin + slot], True
        for place in range(last - first):
            if row_pattern[row, place] != chosen[place]:
                same = False
                break
        if same:
            return np.int64(row), whole, loss
        slot = (slot + 1) & (num_slots - 1)
    return -1, whole, loss


@loop(allocates=False)
def _reach_of_others(span, block, column, largest, size, product, loss, x, errors, norm, furthest, limit):
    """What an output of an indexed group is below, in float32, unless it is that of the row that was found.

    How they err is worked out column by column only where a rough bound does not show that they are below the limit.
    """
    lead = norm.inverse * (product - loss) + size[2]
    reach = lead + _rough_error(size[0], size[1], norm, furthest)
    if reach <= limit:
        return reach
    terms, inherited = 0.0, 0.0
    for place in range(block[span[2], 0], block[span[3] - 1, 1]):
        terms += largest[place] * abs(x[column[place]] - norm.mean)
        inherited += largest[place] * errors[column[place]]
    error = norm.slope * (inherited + norm.shift * size[0]) + norm.spread * norm.inverse * terms
    return lead + error + norm.of_bias * size[1]


@loop(allocates=False)
def _write_unit(
    start, index, value, bias, size_of, output, unit_start, target, weight, unit, x, errors, norm, furthest, is_relu,
    written,
):  # fmt: skip
    """Adds what a hidden unit writes, unless it is silent: rows of ``written`` are value, magnitudes and error."""
    dot, mean = 0.0, norm.mean
    for entry in range(np.uint64(start[output]), np.uint64(start[output + 1])):
        dot += value[entry] * (x[np.uint64(index[entry])] - mean)
    before = norm.inverse * dot + bias[output]
    # How it errs is worked out only where a rough bound does not show that it is far below 0.
    if before + _rough_error(size_of[output, 0], size_of[output, 1], norm, furthest) <= FAR_BELOW:
        return
    _, error = _output(start, index, value, bias, size_of, output, x, errors, norm)
    if before + error <= FAR_BELOW:
        return
    after, error = activate(before, is_relu), 1.13 * error + 2.0**-20 * abs(before)
    for entry in range(unit_start[unit], unit_start[unit + 1]):
        place, term = target[entry], weight[entry] * after
        written[0, place] += term
        written[1, place] += abs(term)
        written[2, place] += abs(weight[entry]) * error


@loop(allocates=False)
def _choose(start, index, value, bias, size_of, first, x, errors, norm, is_aligned, gathered, logits, furthest):
    """The token with the largest logit, and whether it leads by more than float32 can err, from all logits."""
    mean, count = norm.mean, len(logits)
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
        logits[token] = norm.inverse * dot + bias[first + token]
        best = token if logits[token] > logits[best] else best
    _, error = _output(start, index, value, bias, size_of, first + best, x, errors, norm)
    lowest = logits[best] - error
    for token in range(count):
        if token == best:
            continue
        rough = _rough_error(size_of[first + token, 0], size_of[first + token, 1], norm, furthest)
        if not logits[token] + rough < lowest:
            _, error = _output(start, index, value, bias, size_of, first + token, x, errors, norm)
            if not logits[token] + error < lowest:
                return best, False
    return best, True


@loop(allocates=False, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def decode_tokens(sequence, position, stop, prompt_length, model, units, search, values, value_errors, room):
    """Goes through the sequence from ``position`` to ``stop`` - 1 and writes the tokens after the prompt into it.

    ``search`` grows by the keys of these positions, ``values`` by their values. ``value_errors`` keeps for each value
    how far it errs at most, and how large it is at most, over all positions. Returns the position it has come to,
    and why it stopped there: DONE, or what could not be proven (and of which layer and head). ``room`` is a record
    ``Room``, whose arrays are overwritten.
    """
    tokens, positions, layout, width = model.tokens, model.positions, model.layout, model.width
    passive_sum, passive_square, epsilon, is_relu = (
        model.passive_sum,
        model.passive_square,
        model.epsilon,
        model.is_relu,
    )
    start, index, value, bias, size_of = (
        model.maps.start, model.maps.inputs, model.maps.value, model.maps.bias, model.maps.size
    )  # fmt: skip
    dimension, is_aligned, end_token = model.dimension, model.is_aligned, model.end_token
    groups, first_units, unit_start, target, weight = units.groups, units.first, units.start, units.output, units.value
    reach, rows = units.reach, units.rows
    group_span, group_size, row_number, row_pattern = rows.group, rows.group_size, rows.row, rows.pattern
    block, block_column, block_value, mark, slots = rows.block, rows.column, rows.value, rows.mark, rows.slots
    largest = rows.largest
    value_head, routes, route_of_head = model.value_head, model.routes, model.route_of_head
    num_layers, num_heads = route_of_head.shape
    x, errors, sums, fetched, fetched_errors, written = (
        room.x,
        room.errors,
        room.sums,
        room.fetched,
        room.fetched_errors,
        room.written,
    )
    vector, vector_errors, wanted, where = room.vector, room.vector_errors, room.wanted, room.where
    logits, gathered, chosen = room.logits, room.gathered, room.chosen
    longest = search.codes.shape[2]
    unembed = layout[num_layers, 0]
    while position < stop:
        token = sequence[position]
        _embed(tokens[token], positions[position], passive_sum[position], passive_square[position], x, errors, sums)
        writes = position >= prompt_length - 1
        for layer in range(num_layers):
            norm = stream_norm(sums, width, epsilon)
            if not norm.slope < np.inf:
                return position, SMALL_VARIANCE, layer, 0
            first_value = layout[layer, 6]
            first, last = layout[layer, 0], layout[layer, 1]
            row = values[position, first_value : first_value + last - first]
            _apply(start, index, value, bias, size_of, first, last - first, x, errors, norm, row, fetched_errors)
            for column in range(last - first):
                known = value_errors[first_value + column]
                known[0] = max(known[0], fetched_errors[column])
                known[1] = max(known[1], abs(row[column]))
            for head in range(num_heads):
                number = search.of_head[layer, head]
                if number < 0:
                    continue
                key, size, coded = search.layout[number, 1], search.layout[number, 2], search.layout[number, 3]
                _, key_error = _apply(
                    start, index, value, bias, size_of, key, size, x, errors, norm, vector, vector_errors
                )
                search.key_error[number] = max(search.key_error[number], key_error)
                offset, step, codes = search.offset[number], search.step[number], search.codes[number]
                distance = round_to_grid(vector, size, coded, 1.0, offset, step, codes, position)
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
                    where[head] = routes[position, route]
                    if where[head] < 0:
                        return position, NOT_ROUTED, layer, head
                elif number >= 0:
                    query, size, coded = search.layout[number, 0], search.layout[number, 2], search.layout[number, 3]
                    query_norm, query_error = _apply(
                        start, index, value, bias, size_of, query, size, x, errors, norm, vector, vector_errors
                    )
                    offset, step, codes = search.offset[number], search.step[number], search.codes[number]
                    wanted_norm, furthest = search.wanted_norm[number], search.furthest[number]
                    if search.num_distinct[number] <= FEW_KEYS:
                        found, lead = compare_keys(
                            vector, coded, offset, step, codes, search.distinct[number],
                            search.num_distinct[number],
                        )  # fmt: skip
                        gap = lead - 2 * query_norm * furthest
                    else:
                        scale = query_norm / wanted_norm
                        if not scale > 0:
                            return position, SMALL_GAP, layer, head
                        distance = round_to_grid(vector, size, coded, scale, offset, step, wanted, 0)
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
                    where[head] = found
            for column in range(last - first):
                place = first_value + column
                fetched[column] = values[where[value_head[place]], place]
                of_weight = (4 * LARGEST_LEAK + 8 * ROUNDOFF) * value_errors[place, 1]
                fetched_errors[column] = value_errors[place, 0] + of_weight
            _add(
                start, index, value, bias, dimension, layout[layer, 2], layout[layer, 3], fetched, fetched_errors,
                width, x, errors, sums,
            )  # fmt: skip
            if layout[layer, 7] == layout[layer, 8]:
                continue
            norm = stream_norm(sums, width, epsilon)
            if not norm.slope < np.inf:
                return position, SMALL_VARIANCE, layer, 0
            # The hidden units: silent ones write less than TINY each, and most are never looked at.
            first, first_out, last_out = layout[layer, 4], layout[layer, 7], layout[layer, 8]
            furthest = sums[LARGEST] + abs(norm.mean)
            for output in range(first_out, last_out):
                place = output - first_out
                written[0, place], written[1, place] = bias[output], abs(bias[output])
                written[2, place] = TINY * reach[output]
            for group in range(groups[layer, 0], groups[layer, 1]):
                first_row, last_row = group_span[group, 0], group_span[group, 1]
                if group_span[group, 5]:
                    found, product, loss = find_row(
                        group_span[group],
                        block,
                        block_column,
                        block_value,
                        mark,
                        slots,
                        row_pattern,
                        x,
                        norm.mean,
                        chosen,
                    )
                    others = _reach_of_others(
                        group_span[group], block, block_column, largest, group_size[group], product, loss,
                        x, errors, norm, furthest, FAR_BELOW,
                    )  # fmt: skip
                    if others <= FAR_BELOW:
                        first_row, last_row = found, found + 1 if found >= 0 else found
                for number in range(first_row, last_row):
                    unit = row_number[number]
                    _write_unit(
                        start, index, value, bias, size_of, first + unit, unit_start, target, weight,
                        first_units[layer] + unit, x, errors, norm, furthest, is_relu, written,
                    )  # fmt: skip
            relative = gamma(layout[layer, 5] - first + 3)
            for output in range(first_out, last_out):
                place, row_of = dimension[output], output - first_out
                after, error, inherited = x[place] + written[0, row_of], errors[place], written[2, row_of]
                inherited += relative * (written[1, row_of] + inherited)
                error += inherited + 4 * ROUNDOFF * (abs(after) + error)
                _change(x, errors, sums, place, after, error)
        if writes:
            norm = stream_norm(sums, width, epsilon)
            if not norm.slope < np.inf:
                return position, SMALL_VARIANCE, num_layers, 0
            furthest, group, is_certain, best = sums[LARGEST] + abs(norm.mean), groups[num_layers, 0], False, 0
            if group_span[group, 5] and group + 1 == groups[num_layers, 1]:
                found, product, loss = find_row(
                    group_span[group], block, block_column, block_value, mark, slots, row_pattern, x, norm.mean, chosen
                )
                if found >= 0:
                    best = np.int64(row_number[found])
                    logit, error = _output(start, index, value, bias, size_of, unembed + best, x, errors, norm)
                    others = _reach_of_others(
                        group_span[group], block, block_column, largest, group_size[group], product, loss,
                        x, errors, norm, furthest, logit - error,
                    )  # fmt: skip
                    is_certain = others < logit - error
            if not is_certain:
                best, is_certain = _choose(
                    start, index, value, bias, size_of, unembed, x, errors, norm, is_aligned, gathered, logits, furthest
                )
            if not is_certain:
                return position, SMALL_MARGIN, num_layers, 0
            sequence[position + 1] = best
            if best == end_token:
                return position + 1, DONE, 0, 0
        position += 1
    return position, DONE, 0, 0
