"""The compiled loop that tabulates a one-layer model; see ``sliced``."""

from __future__ import annotations

import numpy as np

from serialformer.decode.kernels import (
    DONE,
    MAX_SOURCES,
    NOT_ROUTED,
    SMALL_MARGIN,
    SMALL_VARIANCE,
    TOO_MANY_SOURCES,
    TOO_MANY_TOKENS,
    UNEVEN_END,
    add_mapped,
    add_mlp,
    apply_sized,
    choose_token,
    column_error,
    gamma,
    norm_of,
    norm_rounding,
)
from serialformer.decode.records import Settings
from serialformer.decode.rounding import LARGEST_LEAK
from serialformer.loops import loop


@loop(nogil=True, error_model="numpy")
def fold_positions(low, high, first, stop, model, truth):
    """Tabulates what each position of a one-layer model writes, over the tokens of the positions it looks at.

    Position p holds ``low[p]`` or ``high[p]``; these are given up to ``first`` and found beyond. What position p + 1
    becomes is written into row p + 1 of ``truth``. Returns the position it has come to and why it stopped there.
    """
    tokens, positions, width, layout = model.tokens, model.positions, model.width, model.layout
    size_of, value_head, routes, route_of_head = model.maps.size, model.value_head, model.routes, model.route_of_head
    end_token, passive_sum, passive_square = model.end_token, model.passive_sum, model.passive_square
    maps, dimension, reads, fan_in = model.maps, model.dimension, model.reads[0], model.fan_in[0]
    start, index, value, bias = maps.start, maps.inputs, maps.value, maps.bias
    sources, arity, table = truth.sources, truth.arity, truth.table
    spans = layout[0, 4], layout[0, 5], layout[0, 7], layout[0, 8]
    num_heads = route_of_head.shape[1]
    num_active = tokens.shape[1]
    first_value, last_value = layout[0, 0], layout[0, 1]
    num_values = last_value - first_value
    x, centred = np.empty(num_active), np.empty(num_active)
    widest = max(1, num_values, layout[0, 5] - layout[0, 4])
    fetched, hidden, sizes = np.empty(widest), np.empty(widest), np.empty(max(widest, len(tokens)))
    values = np.empty((stop, 2, max(1, num_values)))
    logits = np.empty(len(tokens))
    target = np.zeros(num_heads, dtype=np.int64)
    seen, places = np.empty(MAX_SOURCES, dtype=np.int64), np.empty(MAX_SOURCES, dtype=np.int64)
    result = np.empty(1 << MAX_SOURCES, dtype=np.int64)
    roundoff = 2.0**-24
    root = roundoff * np.sqrt(width)
    value_error, largest = 0.0, 0.0
    own_error = np.zeros(2)
    for position in range(stop):
        settings = Settings(passive_sum[position], passive_square[position], width, model.epsilon, model.is_relu)
        for state in range(2):
            token = low[position] if state == 0 else high[position]
            for column in range(num_active):
                x[column] = tokens[token, column] + np.float64(positions[position, column])
            mean, inverse, deviation = norm_of(x, settings)
            own_error[state] = root * (deviation + abs(mean))
            factors = norm_rounding(mean, deviation, inverse, own_error[state], width)
            if not factors[0] < np.inf:
                return position, SMALL_VARIANCE
            row = values[position, state]
            apply_sized(start, index, value, bias, first_value, last_value, x, mean, inverse, row, sizes)
            for column in range(num_values):
                error = column_error(size_of, first_value + column, factors, sizes[column])
                value_error = max(value_error, error)
                largest = max(largest, abs(row[column]))
        if position < first:
            continue
        fetch_error = value_error + (4 * LARGEST_LEAK + 8 * roundoff) * largest
        fetch_error += gamma(width + 2) * (largest + fetch_error)
        count = 0
        for head in range(-1, num_heads):
            where = position
            if head >= 0:
                if route_of_head[0, head] < 0:
                    continue
                where = np.int64(routes[position, route_of_head[0, head]])
                if where < 0:
                    return position, NOT_ROUTED
                target[head] = where
            known = low[where] == high[where]
            for place in range(count):
                known = known or seen[place] == where
            if not known:
                if count == MAX_SOURCES:
                    return position, TOO_MANY_SOURCES
                seen[count] = where
                count += 1
        for combination in range(1 << count):
            own = 0
            for place in range(count):
                if seen[place] == position:
                    own = combination >> place & 1
            token = high[position] if own else low[position]
            for column in range(num_active):
                x[column] = tokens[token, column] + np.float64(positions[position, column])
            for column in range(num_values):
                where, state = target[value_head[column]], 0
                for place in range(count):
                    if seen[place] == where:
                        state = combination >> place & 1
                fetched[column] = values[where, state, column]
            stream_error = own_error[own] + fan_in * fetch_error
            add_mapped(start, index, value, bias, dimension, layout[0, 2], layout[0, 3], fetched, x)
            stream_error = add_mlp(
                x, centred, hidden, settings, spans, start, index, value, bias, dimension, size_of, reads, stream_error
            )
            best, slack = 0, -1.0
            if stream_error < np.inf:
                best, slack = choose_token(
                    x, logits, sizes, settings, layout[1, 0], start, index, value, bias, size_of, stream_error
                )
            if not slack > 0:
                return position, SMALL_MARGIN
            result[combination] = best
        least, most = np.min(result[: 1 << count]), np.max(result[: 1 << count])
        for combination in range(1 << count):
            if result[combination] != least and result[combination] != most:
                return position, TOO_MANY_TOKENS
        if least != most and (least == end_token or most == end_token):
            return position, UNEVEN_END
        low[position + 1], high[position + 1] = least, most
        # Sources that make no difference are left out.
        kept = 0
        for place in range(count):
            matters = False
            for combination in range(1 << count):
                matters = matters or result[combination] != result[combination ^ (1 << place)]
            if matters:
                places[kept] = place
                kept += 1
        if kept > 6:
            return position, TOO_MANY_SOURCES
        bits = np.uint64(0)
        for combination in range(1 << kept):
            spread = 0
            for number in range(kept):
                spread |= (combination >> number & 1) << places[number]
            if result[spread] != least:
                bits |= np.uint64(1) << np.uint64(combination)
        arity[position + 1], table[position + 1] = kept, bits
        for number in range(kept):
            sources[position + 1, number] = seen[places[number]]
        if least == end_token:
            return position + 1, DONE
    return stop, DONE
