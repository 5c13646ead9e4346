"""Compiled loops for one-layer models whose heads are all routed: what depends on position and token is tabulated."""

from __future__ import annotations

import numpy as np

from serialformer.decode.kernels import (
    DONE,
    FAR_BELOW,
    GROUP,
    GROUP_BITS,
    NOT_ROUTED,
    SMALL_MARGIN,
    SMALL_VARIANCE,
    TINY,
    apply_embedded,
    column_error,
    gamma,
    norm_of_sums,
    norm_rounding,
    written_columns,
)
from serialformer.loops import loop


@loop(inline="always")
def _place_of_positions(moments):
    """By how much to shift a position for its group, and the mask that leaves its place there."""
    return (GROUP_BITS, GROUP - 1) if moments.shape[3] == GROUP else (0, 0)


@loop(nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def tabulate_positions(model, into_hidden, attention_bias, fetched_out, late, values, moments, still):
    """For every token at every position: its values, and the moments of the stream before anything is fetched.

    Fills ``values``, ``moments`` and ``still`` as ``records.Tabulated`` describes them, from the weights of the hidden
    units, the bias of the attention output, the directions that fetched values write and the late dimensions.

    Returns largest error of a value, largest value, largest error of the embedding, largest coordinate that hidden
    units read; the first is infinite where float32 cannot be bounded.
    """
    tokens, positions, width, reads = model.tokens, model.positions, model.width, model.reads[0]
    first_value, last_value, size_of = model.layout[0, 0], model.layout[0, 1], model.maps.size
    passive_sum, passive_square, epsilon = model.passive_sum, model.passive_square, model.epsilon
    sparse = model.maps.start, model.maps.inputs, model.maps.value, model.maps.bias
    num_active, num_values, num_units, num_late = tokens.shape[1], values.shape[2], into_hidden.shape[1], len(late)
    shift, mask = _place_of_positions(moments)
    counts, columns = written_columns(tokens)
    products, hidden = np.empty(num_values), np.empty(num_units)
    row, sizes = np.empty(num_values), np.empty(num_values)
    value_error, largest, embedding_error, furthest = 0.0, 0.0, 0.0, 0.0
    root = 2.0**-24 * np.sqrt(width)
    for position in range(len(positions)):
        # Of the position alone: the sums of its embedding, before and after the bias of attention is added.
        total, square = passive_sum[position], passive_square[position]
        later_total, later_square = total, square
        for column in range(num_active):
            part = np.float64(positions[position, column])
            later = part + attention_bias[column]
            total += part
            square += part * part
            later_total += later
            later_square += later * later
            furthest = max(furthest, reads[column] * abs(later))
        for unit in range(num_units):
            hidden[unit] = 0.0
        for fetched in range(num_values):
            products[fetched] = 0.0
        for column in range(num_active):
            later = np.float64(positions[position, column]) + attention_bias[column]
            for unit in range(num_units):
                hidden[unit] += into_hidden[column, unit] * later
            for fetched in range(num_values):
                products[fetched] += later * fetched_out[fetched, column]
        group, lane = position >> shift, position & mask
        for place in range(num_late):
            column = late[place]
            still[group, place, lane] = np.float64(positions[position, column]) + attention_bias[column]
        for unit in range(num_units):
            still[group, num_late + unit, lane] = hidden[unit]
        for token in range(len(tokens)):
            all_total, all_square, moment, square_moment = total, square, later_total, later_square
            for fetched in range(num_values):
                moments[group, token, 2 + fetched, lane] = products[fetched]
            for place in range(counts[token]):
                column = columns[token, place]
                own, part = tokens[token, column], np.float64(positions[position, column])
                later = part + attention_bias[column]
                all_total += own
                all_square += own * (own + 2 * part)
                moment += own
                square_moment += own * (own + 2 * later)
                furthest = max(furthest, reads[column] * abs(own + later))
                for fetched in range(num_values):
                    moments[group, token, 2 + fetched, lane] += own * fetched_out[fetched, column]
            moments[group, token, 0, lane], moments[group, token, 1, lane] = moment, square_moment
            mean, inverse, deviation = norm_of_sums(all_total, all_square, width, epsilon)
            error = root * (deviation + abs(mean))
            embedding_error = max(embedding_error, error)
            factors = norm_rounding(mean, deviation, inverse, error, width)
            if not factors[0] < np.inf:
                return np.inf, largest, embedding_error, furthest
            apply_embedded(
                sparse, first_value, last_value, tokens, positions, token, position, mean, inverse, row, sizes
            )
            for column in range(num_values):
                error = column_error(size_of, first_value + column, factors, sizes[column])
                value_error = max(value_error, error)
                largest = max(largest, abs(row[column]))
                values[position, token, column] = row[column]
    return value_error, largest, embedding_error, furthest


@loop(nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def decode_tabulated(sequence, position, stop, prompt_length, tables, values):
    """``token_kernels.decode_tokens`` for tabulated models; writes the values of the positions into ``values``."""
    # Read once, outside the loops: a field that is read inside one counts references there.
    width, epsilon, is_relu, end_token = tables.width, tables.epsilon, tables.is_relu, tables.end_token
    targets, tabulated, moments = tables.targets, tables.values, tables.moments
    still, token_still, fetched_hidden = tables.still, tables.token_still, tables.fetched_hidden
    hidden_total, hidden_bias, hidden_onward = tables.hidden_total, tables.hidden_bias, tables.hidden_onward
    hidden_size, hidden_bias_size, hidden_late = tables.hidden_size, tables.hidden_bias_size, tables.hidden_late
    late_fetched, late_bias = tables.late_fetched, tables.late_bias
    fetched_sum, fetched_products = tables.fetched_sum, tables.fetched_products
    unembedding, unembedding_bias = tables.unembedding, tables.unembedding_bias
    unembedding_size, stream_error, furthest = tables.unembedding_size, tables.stream_error, tables.furthest
    num_values, num_units, num_late = values.shape[1], len(hidden_total), len(late_bias)
    num_tokens = len(unembedding)
    shift, mask = _place_of_positions(moments)
    fetched, hidden, late = np.empty(max(1, num_values)), np.empty(max(1, num_units)), np.empty(num_late)
    logits, errors = np.empty(num_tokens), np.empty(num_tokens)
    root, sum_rounding = 2.0**-24 * np.sqrt(width), gamma(num_units + 2)
    while position < stop:
        token = sequence[position]
        for column in range(num_values):
            values[position, column] = tabulated[position, token, column]
        if position < prompt_length - 1:
            position += 1
            continue
        group, lane = position >> shift, position & mask
        total, square = moments[group, token, 0, lane], moments[group, token, 1, lane]
        for column in range(num_values):
            where = targets[position, column]
            if where < 0:
                return position, NOT_ROUTED
            fetched[column] = values[where, column]
            total += fetched[column] * fetched_sum[column]
            square += 2 * fetched[column] * moments[group, token, 2 + column, lane]
            for other in range(column + 1):
                double = 1.0 if other == column else 2.0
                square += double * fetched[column] * fetched[other] * fetched_products[column, other]
        mean, inverse, deviation = norm_of_sums(total, square, width, epsilon)
        error = stream_error + 4 * root * (deviation + abs(mean))
        factors = norm_rounding(mean, deviation, inverse, error, width)
        if not factors[0] < np.inf:
            return position, SMALL_VARIANCE
        of_size = factors[0] + factors[1] * inverse * (furthest + abs(mean))
        for unit in range(num_units):
            row = num_late + unit
            hidden[unit] = still[group, row, lane] + token_still[token, row] - mean * hidden_total[unit]
        for column in range(num_values):
            for unit in range(num_units):
                hidden[unit] += fetched[column] * fetched_hidden[column, unit]
        smallest = np.inf
        for unit in range(num_units):
            before = inverse * hidden[unit] + hidden_bias[unit]
            hidden[unit] = before
            smallest = min(smallest, abs(before))
        if not is_relu and smallest < 6.0:  # some unit's input is where gelu is neither 0 nor its input
            for unit in range(num_units):
                inner = 0.7978845608028654 * (hidden[unit] + 0.044715 * hidden[unit] ** 3)
                after = 0.5 * hidden[unit] * (1 + np.tanh(inner))
                own = of_size * hidden_size[unit] + factors[2] * hidden_bias_size[unit]
                counted = 1.13 * own + 2.0**-20 * abs(hidden[unit]) + sum_rounding * abs(after)
                error += hidden_onward[unit] * (counted if hidden[unit] + own > FAR_BELOW else TINY)
                hidden[unit] = after
        else:
            for unit in range(num_units):
                before = hidden[unit]
                after = before if before > 0.0 else 0.0
                own = of_size * hidden_size[unit] + factors[2] * hidden_bias_size[unit]
                counted = 1.13 * own + 2.0**-20 * abs(before) + sum_rounding * after + TINY
                error += hidden_onward[unit] * (counted if before + own > FAR_BELOW else TINY)
                hidden[unit] = after
        for column in range(num_late):
            before = still[group, column, lane] + token_still[token, column]
            for source in range(num_values):
                before += fetched[source] * late_fetched[source, column]
            after = before + late_bias[column]
            for unit in range(num_units):
                after += hidden[unit] * hidden_late[column, unit]
            late[column] = after
            total += after - before
            square += after * after - before * before
        error += 4 * root * (deviation + abs(mean))
        mean, inverse, deviation = norm_of_sums(total, square, width, epsilon)
        factors = norm_rounding(mean, deviation, inverse, error + 4 * root * (deviation + abs(mean)), width)
        for choice in range(num_tokens):
            dot, size = 0.0, 0.0
            for column in range(num_late):
                term = unembedding[choice, column] * (late[column] - mean)
                dot += term
                size += abs(term)
            logits[choice] = inverse * dot + unembedding_bias[choice]
            errors[choice] = factors[0] * unembedding_size[choice, 0] + factors[1] * inverse * size
            errors[choice] += factors[2] * unembedding_size[choice, 1]
        best = 0
        for choice in range(1, num_tokens):
            best = choice if logits[choice] > logits[best] else best
        highest, slack = logits[best] - errors[best], np.inf
        for choice in range(num_tokens):
            slack = min(slack, np.inf if choice == best else highest - (logits[choice] + errors[choice]))
        if not slack > 0:
            return position, SMALL_MARGIN
        sequence[position + 1] = best
        if best == end_token:
            return position + 1, DONE
        position += 1
    return position, DONE
