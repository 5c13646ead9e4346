"""The compiled loop that decodes a tabulated model in groups of positions, for either of two tokens at each.

Decoded one at a time, a token waits for the arg max of the token before. All that it needs from there is which token
stands at its position: what the heads fetch was written long before, and the rest is tabulated. So the loop computes
what follows each of two tokens at every position of a group, and then the chain takes the result that applies, with its
own proof. The processor handles several positions in one instruction, and none waits for another.
"""

from __future__ import annotations

import numpy as np

from serialformer.decode.kernels import (
    DONE,
    FAR_BELOW,
    GROUP,
    NOT_GROUPED,
    NOT_ROUTED,
    SMALL_MARGIN,
    TINY,
    gamma,
    norm_of_sums,
    norm_rounding,
)
from serialformer.loops import loop

LANES = np.uint64(2 * GROUP)
"""A position with either token."""

MAX_WASTED = 8
"""How many groups may be of little use, in one call: those in which more than two tokens stand."""

# The rows of a group's numbers, one for each lane. They are one array, since loops over several arrays would first have
# to find out whether these overlap. After these rows come the fetched values, the late dimensions, the logits and their
# errors. Indices are unsigned, since numba checks whether others count from the end.
_TOTAL, _SQUARE, _MEAN, _INVERSE, _DEVIATION, _ERROR, _SLOPE, _SPREAD, _OF_SIZE, _BEFORE, _AFTER, _FETCHED = (
    LANES * np.uint64(row) for row in range(12)
)
_ONE, _TWO = np.uint64(1), np.uint64(2)


@loop(nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def decode_grouped(sequence, position, stop, prompt_length, tables, values):
    """``tabulated_kernels.decode_tabulated``, or NOT_GROUPED where the chain holds more than two tokens.

    A group ends with the tables' groups, and before a position that reads one of the group other than the first.
    """
    # Read once, outside the loops: a field that is read inside one counts references there.
    width, epsilon, is_relu, end_token = tables.width, tables.epsilon, tables.is_relu, tables.end_token
    targets, latest, tabulated, moments = tables.targets, tables.latest, tables.values, tables.moments
    still, token_still, fetched_hidden = tables.still, tables.token_still, tables.fetched_hidden
    hidden_total, hidden_bias, hidden_onward = tables.hidden_total, tables.hidden_bias, tables.hidden_onward
    hidden_size, hidden_bias_size, hidden_late = tables.hidden_size, tables.hidden_bias_size, tables.hidden_late
    late_fetched, late_bias = tables.late_fetched, tables.late_bias
    fetched_sum, fetched_products = tables.fetched_sum, tables.fetched_products
    unembedding, unembedding_bias = tables.unembedding, tables.unembedding_bias
    unembedding_size, stream_error, furthest = tables.unembedding_size, tables.stream_error, tables.furthest
    num_values, num_late = np.uint64(len(fetched_sum)), np.uint64(len(late_bias))
    num_units, num_tokens = np.uint64(len(hidden_total)), np.uint64(len(unembedding))
    late = _FETCHED + LANES * num_values
    logits = late + LANES * num_late
    errors = logits + LANES * num_tokens
    room, following, slacks = np.zeros(errors + LANES * num_tokens), np.empty(LANES, dtype=np.int64), np.empty(LANES)
    root, of_bias, sum_rounding = 2.0**-24 * np.sqrt(width), gamma(width + 8), gamma(len(hidden_total) + 2)
    num_wasted, first_token, second_token = 0, np.uint64(sequence[position]), np.uint64(sequence[position])
    while position < stop:
        token, start = np.uint64(sequence[position]), np.uint64(position)
        for column in range(num_values):
            values[start, column] = tabulated[start, token, column]
        if position < prompt_length - 1:
            position += 1
            continue
        if latest[position] > position:
            return position, NOT_ROUTED
        if token not in (first_token, second_token):
            first_token, second_token = second_token, token
        most, num_together = min(stop - position, GROUP - position % GROUP), 1
        while num_together < most and latest[position + num_together] <= position:
            num_together += 1
        group, first = np.uint64(position // GROUP), np.uint64(position % GROUP)
        # Lanes below ``half`` hold the positions with the first token, those from there on the same with the second.
        half, count = np.uint64(num_together), np.uint64(2 * num_together)
        for column in range(num_values):
            own = _FETCHED + LANES * column
            for place in range(half):
                value = values[np.uint64(targets[start + place, column]), column]
                room[own + place] = value
                room[own + half + place] = value
        for which in range(2):
            own_token, begin = (first_token, np.uint64(0)) if which == 0 else (second_token, half)
            total, square = _TOTAL + begin, _SQUARE + begin
            for place in range(half):
                room[total + place] = moments[group, own_token, np.uint64(0), first + place]
                room[square + place] = moments[group, own_token, _ONE, first + place]
            for column in range(num_values):
                own, weight = _FETCHED + LANES * column + begin, fetched_sum[column]
                for place in range(half):
                    value = room[own + place]
                    room[total + place] += value * weight
                    room[square + place] += 2 * value * moments[group, own_token, _TWO + column, first + place]
            for column in range(num_late):
                own, weight = late + LANES * column + begin, token_still[own_token, column]
                for place in range(half):
                    room[own + place] = still[group, column, first + place] + weight
        for column in range(num_values):
            for other in range(column + _ONE):
                own, others = _FETCHED + LANES * column, _FETCHED + LANES * other
                weight = (1.0 if other == column else 2.0) * fetched_products[column, other]
                if weight != 0.0:
                    for place in range(count):
                        room[_SQUARE + place] += weight * room[own + place] * room[others + place]
        for place in range(count):
            mean, inverse, deviation = norm_of_sums(room[_TOTAL + place], room[_SQUARE + place], width, epsilon)
            error = stream_error + 4 * root * (deviation + abs(mean))
            factors = norm_rounding(mean, deviation, inverse, error, width)
            room[_MEAN + place], room[_INVERSE + place], room[_DEVIATION + place] = mean, inverse, deviation
            room[_OF_SIZE + place] = factors[0] + factors[1] * inverse * (furthest + abs(mean))
            room[_ERROR + place] = error
        for column in range(num_late):
            own, bias = late + LANES * column, late_bias[column]
            for source in range(num_values):
                weight, other = late_fetched[source, column], _FETCHED + LANES * source
                if weight != 0.0:
                    for place in range(count):
                        room[own + place] += weight * room[other + place]
            for place in range(count):
                before = room[own + place]
                room[_TOTAL + place] -= before
                room[_SQUARE + place] -= before * before
                room[own + place] = before + bias
        for unit in range(num_units):
            row = num_late + unit
            weight, second_weight = token_still[first_token, row], token_still[second_token, row]
            for place in range(half):
                alone = still[group, row, first + place]
                room[_BEFORE + place] = alone + weight
                room[_BEFORE + half + place] = alone + second_weight
            for source in range(num_values):
                weight, other = fetched_hidden[source, unit], _FETCHED + LANES * source
                if weight != 0.0:
                    for place in range(count):
                        room[_BEFORE + place] += weight * room[other + place]
            weight, bias, num_bent = hidden_total[unit], hidden_bias[unit], 0
            for place in range(count):
                before = room[_INVERSE + place] * (room[_BEFORE + place] - room[_MEAN + place] * weight) + bias
                room[_BEFORE + place] = before
                num_bent += 1 if abs(before) < 6.0 else 0
            size, own_bias, onward = hidden_size[unit], of_bias * hidden_bias_size[unit], hidden_onward[unit]
            if num_bent > 0 and not is_relu:  # some input is where gelu is neither 0 nor its input
                for place in range(count):
                    before = room[_BEFORE + place]
                    inner = 0.7978845608028654 * (before + 0.044715 * before**3)
                    after = 0.5 * before * (1 + np.tanh(inner))
                    own_error = room[_OF_SIZE + place] * size + own_bias
                    counted = 1.13 * own_error + 2.0**-20 * abs(before) + sum_rounding * abs(after)
                    room[_ERROR + place] += onward * (counted if before + own_error > FAR_BELOW else TINY)
                    room[_AFTER + place] = after
            else:
                for place in range(count):
                    before = room[_BEFORE + place]
                    after = before if before > 0.0 else 0.0
                    own_error = room[_OF_SIZE + place] * size + own_bias
                    counted = 1.13 * own_error + 2.0**-20 * abs(before) + sum_rounding * after + TINY
                    room[_ERROR + place] += onward * (counted if before + own_error > FAR_BELOW else TINY)
                    room[_AFTER + place] = after
            for column in range(num_late):
                weight, own = hidden_late[column, unit], late + LANES * column
                if weight != 0.0:
                    for place in range(count):
                        room[own + place] += weight * room[_AFTER + place]
        for column in range(num_late):
            own = late + LANES * column
            for place in range(count):
                after = room[own + place]
                room[_TOTAL + place] += after
                room[_SQUARE + place] += after * after
        for place in range(count):
            error = room[_ERROR + place] + 4 * root * (room[_DEVIATION + place] + abs(room[_MEAN + place]))
            mean, inverse, deviation = norm_of_sums(room[_TOTAL + place], room[_SQUARE + place], width, epsilon)
            factors = norm_rounding(mean, deviation, inverse, error + 4 * root * (deviation + abs(mean)), width)
            room[_MEAN + place], room[_INVERSE + place], room[_SPREAD + place] = mean, inverse, factors[1] * inverse
            room[_SLOPE + place] = factors[0] if room[_OF_SIZE + place] < np.inf else np.inf
        for choice in range(num_tokens):
            own, own_error = logits + LANES * choice, errors + LANES * choice
            for place in range(count):
                room[own + place], room[own_error + place] = 0.0, 0.0
            for column in range(num_late):
                weight, other = unembedding[choice, column], late + LANES * column
                if weight != 0.0:
                    for place in range(count):
                        term = weight * (room[other + place] - room[_MEAN + place])
                        room[own + place] += term
                        room[own_error + place] += abs(term)
            bias, size = unembedding_bias[choice], unembedding_size[choice, 0]
            own_bias = of_bias * unembedding_size[choice, 1]
            for place in range(count):
                room[own + place] = room[_INVERSE + place] * room[own + place] + bias
                error = room[_SLOPE + place] * size + room[_SPREAD + place] * room[own_error + place]
                room[own_error + place] = error + own_bias
        _choose(room, logits, errors, num_tokens, count, following, slacks)
        num_used = 0
        while num_used < num_together and token in (first_token, second_token):
            # Not by a branch: which of the two tokens it is cannot be predicted.
            lane = num_used + num_together * np.int64(token != first_token)
            if not slacks[lane] > 0:
                return position, SMALL_MARGIN
            token = np.uint64(following[lane])
            num_used += 1
            position += 1
            sequence[position] = token
            if token == np.uint64(end_token):
                return position, DONE
        for known in range(start + _ONE, np.uint64(position)):
            for column in range(num_values):
                values[known, column] = tabulated[known, np.uint64(sequence[known]), column]
        num_wasted += 1 if 4 * num_used < num_together else 0
        if num_wasted > MAX_WASTED:
            return position, NOT_GROUPED
    return position, DONE


@loop(allocates=False, error_model="numpy", fastmath={"reassoc", "contract"})
def _choose(room, logits, errors, num_tokens, count, following, slacks):
    """The token with the largest logit in each lane, and by how much it leads beyond what float32 can err.

    That is not positive where nothing is known. Overwrites four rows.
    """
    best, lead, own_slack, error = _TOTAL, _BEFORE, _AFTER, _ERROR
    for place in range(count):
        room[best + place], room[lead + place], room[error + place] = 0.0, room[logits + place], room[errors + place]
        room[own_slack + place] = np.inf
    for choice in range(_ONE, num_tokens):
        own, own_error, number = logits + LANES * choice, errors + LANES * choice, np.float64(choice)
        for place in range(count):
            is_larger = room[own + place] > room[lead + place]
            room[best + place] = number if is_larger else room[best + place]
            room[error + place] = room[own_error + place] if is_larger else room[error + place]
            room[lead + place] = room[own + place] if is_larger else room[lead + place]
    for choice in range(num_tokens):
        own, own_error, number = logits + LANES * choice, errors + LANES * choice, np.float64(choice)
        for place in range(count):
            ahead = room[lead + place] - room[error + place] - (room[own + place] + room[own_error + place])
            ahead = np.inf if room[best + place] == number else ahead
            room[own_slack + place] = ahead if ahead < room[own_slack + place] else room[own_slack + place]
    for place in range(count):
        following[place] = np.int64(room[best + place])
        slacks[place] = room[own_slack + place] if room[_SLOPE + place] < np.inf else -1.0
