"""The compiled loop behind ``reading``: what each position writes, over the tokens of the positions it reads.

Linear maps are sparse: (start, index, value, bias) over the active dimensions, as in ``Columns``.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from serialformer.proofs.rounding_kernels import linear_output, norm_errors, normed_coordinate, rounded

MAX_VARIABLES = 7
"""Positions that a token can depend on before those that make no difference are left out: six heads and its own."""

MAX_FAN_IN = 6

PROVEN, UNCERTAIN, STRANGE_TOKEN, MANY_SOURCES = range(4)


@njit(cache=True)
def activation_error(before, error, is_relu, constants):
    """A hidden unit whose input is within ``error`` of ``before``: its value there, and how far it can err."""
    if is_relu:
        return (before if before > 0.0 else 0.0), (error if before + error > 0.0 else 0.0)
    storage, accumulation = constants[0], constants[1]
    furthest = abs(before) + error
    nearest = max(0.0, abs(before) - error)
    inner = 0.7978845608028654 * (before + 0.044715 * before * before * before)
    value = 0.5 * before * (1 + np.tanh(inner)) if abs(inner) < 20 else max(before, 0.0)
    # How far the tangent is from -1 or 1 at the end of the interval that is nearest to zero.
    near_inner = 0.7978845608028654 * (nearest + 0.044715 * nearest * nearest * nearest)
    tail = 2 * np.exp(-2 * near_inner)
    # What a relative error of the tangent's argument does: |x / 2| |inner| sech^2(inner), 0.25 at most.
    of_argument = 0.3 if nearest < 2 else nearest * near_inner * tail
    # The largest slope; from 5 on it is 1 to within 1e-4.
    error *= 1.0001 if before > 0.0 and nearest >= 5.0 else 1.13
    if before < 0.0 and nearest >= 2.0:
        # |x| / (1 + exp(2 |inner|)), which falls from there on.
        error = min(error, nearest * tail)
    # The tangent and one plus it may be rounded, which moves them no further than to -1 or 1, and 0 or 2.
    error += furthest * min(2 * storage, 2 * tail + 16 * accumulation) + 6 * storage * of_argument
    return value, rounded(value, error, constants)


@njit(cache=True, nogil=True, error_model="numpy")
def list_variables(first, states, targets, variables, count, rank):
    """For each writing position the positions it reads whose token can vary, itself included, in order.

    ``rank`` says where among them its own position and each head's target is; -1 if its token cannot vary.
    """
    for row in range(len(targets)):
        number = 0
        for column in range(-1, targets.shape[1]):
            where = first + row if column < 0 else targets[row, column]
            if states[where, 0] != states[where, 1]:
                number = insert_position(variables[row], number, where)
        count[row] = number
        for column in range(-1, targets.shape[1]):
            where = first + row if column < 0 else targets[row, column]
            rank[row, column + 1] = -1
            for place in range(number):
                if variables[row, place] == where:
                    rank[row, column + 1] = place


@njit(cache=True, nogil=True)
def group_rows(rows, slots, group, leaders):
    """Groups equal rows: ``leaders`` are the first of each group, ``group`` says which each row is in.

    ``slots`` is room for a hash table, filled with -1, of a power of two and more than the number of rows. Returns how
    many groups there are.
    """
    mask, number = np.uint64(len(slots) - 1), 0
    for row in range(len(rows)):
        digest = np.uint64(14695981039346656037)
        for column in range(rows.shape[1]):
            digest = (digest ^ rows[row, column]) * np.uint64(1099511628211)
            digest ^= digest >> np.uint64(29)
        place = digest & mask
        while slots[place] >= 0:
            leader = leaders[slots[place]]
            same = True
            for column in range(rows.shape[1]):
                same = same and rows[row, column] == rows[leader, column]
            if same:
                break
            place = (place + np.uint64(1)) & mask
        if slots[place] < 0:
            slots[place] = number
            leaders[number] = row
            number += 1
        group[row] = slots[place]
    return number


@njit(cache=True, nogil=True, error_model="numpy")
def tabulate_tokens(
    active, passive, own_norm, width, epsilon, is_relu, tokens, offered, count, rank, value_head, leak,
    attention_out, out_dims, mlp_gain, mlp_norm_bias, mlp_in, mlp_out, mlp_dims, final_gain, final_bias, unembedding,
    bits, end, is_last, constants, places, fan_in, table, margins, hull,
):  # fmt: skip
    """Tabulates what positions write, each a row of the arrays.

    Row r has the position embedding ``active[r]`` and, by sum and square norm, ``passive[r]``; its own token is one of
    two, with embeddings ``tokens[r, s]`` and rounding errors ``own_norm[r, s]``. ``offered[r, c, s]`` is what value
    column c brings if its head's target holds its token s, and how far that can err. ``count`` and ``rank`` are as in
    ``list_variables``. ``leak`` bounds how far attention's mixture of values is from the value looked up. Output j of
    ``attention_out`` and of ``mlp_out`` goes to dimension ``out_dims[j]`` and ``mlp_dims[j]``. Where ``is_last`` the
    token written must be ``end``, elsewhere one of the two ``bits``.

    Fills ``places`` and ``fan_in`` (which of the varying tokens make a difference), ``table`` and ``margins`` (the
    least lead of the logit, in exact arithmetic and less what rounding can take); ``hull`` gathers the extremes of mean
    and deviation before the feed-forward layer's norm and the final one. Returns how many rows hold, why not the next,
    and a detail of that.
    """
    num_active, num_values = active.shape[1], len(value_head)
    num_units, num_tokens = len(mlp_in[3]), len(unembedding[3])
    x, own, sums = np.empty((2, num_active)), np.empty((2, num_active)), np.empty((2, 2))
    stream, stream_error = np.empty(num_active), np.empty(num_active)
    normed, normed_error = np.empty(num_active), np.empty(num_active)
    mixed, mixed_error = np.empty(num_values), np.empty(num_values)
    hidden, hidden_error = np.empty(num_units), np.empty(num_units)
    logit, logit_error = np.empty(num_tokens), np.empty(num_tokens)
    is_read, is_unembedded = np.zeros(num_active, dtype=np.bool_), np.zeros(num_active, dtype=np.bool_)
    is_read[mlp_in[1]], is_unembedded[unembedding[1]] = True, True
    written = np.empty(1 << MAX_VARIABLES, dtype=np.int64)
    for row in range(len(active)):
        for s in range(2):
            sums[s, 0], sums[s, 1] = passive[row, 0], passive[row, 1]
            for i in range(num_active):
                x[s, i] = active[row, i] + tokens[row, s, i]
                own[s, i] = rounded(x[s, i], 0.0, constants)
                sums[s, 0] += x[s, i]
                sums[s, 1] += x[s, i] * x[s, i]
        least_lead, least_margin = np.inf, np.inf
        for combination in range(1 << count[row]):
            s = bit_of(combination, rank[row, 0])
            for column in range(num_values):
                state = bit_of(combination, rank[row, 1 + value_head[column]])
                mixed[column] = offered[row, column, state, 0]
                mixed_error[column] = offered[row, column, state, 1] + leak[column]
            stream[:], stream_error[:] = x[s], own[s]
            total, square, error_square = add_to_stream(
                attention_out, out_dims, mixed, mixed_error, stream, stream_error,
                sums[s, 0], sums[s, 1], own_norm[row, s] ** 2, constants,
            )  # fmt: skip
            norm_stream(
                stream, stream_error, is_read, total, square, error_square, width, epsilon,
                mlp_gain, mlp_norm_bias, normed, normed_error, hull[0], constants,
            )  # fmt: skip
            for u in range(num_units):
                before, error = linear_output(mlp_in, u, normed, normed_error, constants)
                hidden[u], hidden_error[u] = activation_error(before, error, is_relu, constants)
            total, square, error_square = add_to_stream(
                mlp_out, mlp_dims, hidden, hidden_error, stream, stream_error, total, square, error_square, constants
            )
            norm_stream(
                stream, stream_error, is_unembedded, total, square, error_square, width, epsilon,
                final_gain, final_bias, normed, normed_error, hull[1], constants,
            )  # fmt: skip
            best = 0
            for v in range(num_tokens):
                logit[v], logit_error[v] = linear_output(unembedding, v, normed, normed_error, constants)
                if logit[v] > logit[best]:
                    best = v
            for v in range(num_tokens):
                if v != best:
                    lead = logit[best] - logit[v]
                    least_lead = min(least_lead, lead)
                    lead -= logit_error[best] + logit_error[v]
                    if not lead >= least_margin:  # what is not a number is no proof either
                        least_margin = lead if lead == lead else -np.inf
            margins[row, 0], margins[row, 1] = least_lead, least_margin
            if not least_margin > 0:
                return row, UNCERTAIN, best
            written[combination] = best
        for combination in range(1 << count[row]):
            token = written[combination]
            if (token != end) if is_last[row] else (token != bits[0] and token != bits[1]):
                return row, STRANGE_TOKEN, token
        # Bits that make no difference are left out.
        number = 0
        for place in range(count[row]):
            for combination in range(1 << count[row]):
                if written[combination] != written[combination ^ (1 << place)]:
                    if number < MAX_FAN_IN:
                        places[row, number] = place
                    number += 1
                    break
        if number > MAX_FAN_IN:
            return row, MANY_SOURCES, number
        truth = np.uint64(0)
        for combination in range(1 << number):
            if written[spread_bits(combination, places[row], number)] == bits[1]:
                truth |= np.uint64(1) << np.uint64(combination)
        fan_in[row], table[row] = number, truth
    return len(active), PROVEN, 0


@njit(cache=True)
def bit_of(combination, place):
    """A bit of a number; 0 where there is no such place."""
    return combination >> place & 1 if place >= 0 else 0


@njit(cache=True)
def add_to_stream(out, dims, inputs, errors, stream, stream_error, total, square, error_square, constants):
    """Adds a linear map's outputs to the stream; returns the stream's sum, square norm and square norm of errors."""
    for j in range(len(dims)):
        i = dims[j]
        added, error = linear_output(out, j, inputs, errors, constants)
        after = stream[i] + added
        stream_error[i] = rounded(after, stream_error[i] + error, constants)
        total += added
        square += after * after - stream[i] * stream[i]
        error_square += stream_error[i] * stream_error[i]
        stream[i] = after
    return total, square, error_square


@njit(cache=True)
def norm_stream(
    stream, stream_error, is_wanted, total, square, error_square, width, epsilon,
    gain, bias, normed, normed_error, hull, constants,
):  # fmt: skip
    """Layer norm of the wanted coordinates of the stream, and how far they can err."""
    mean = total / width
    deviation = np.sqrt(max(0.0, square / width - mean * mean) + epsilon)
    size = np.sqrt(square / width + epsilon)
    relative, absolute = norm_errors(deviation, size, width, np.sqrt(error_square), constants[1])
    for i in range(len(stream)):
        if is_wanted[i]:
            normed[i], normed_error[i] = normed_coordinate(
                stream[i] - mean, stream_error[i], deviation, relative, absolute, gain[i], bias[i], constants
            )
    hull[0] = max(hull[0], abs(mean))
    hull[1], hull[2] = min(hull[1], deviation), max(hull[2], deviation)


@njit(cache=True)
def insert_position(variables, count, where):
    """Puts a position among those in order, unless it is there; returns how many there are."""
    place = 0
    while place < count and variables[place] < where:
        place += 1
    if place < count and variables[place] == where:
        return count
    for later in range(count, place, -1):
        variables[later] = variables[later - 1]
    variables[place] = where
    return count + 1


@njit(cache=True)
def spread_bits(combination, places, number):
    """The bits of a number, at these places."""
    spread = 0
    for place in range(number):
        spread |= (combination >> place & 1) << places[place]
    return spread


@njit(cache=True, nogil=True, error_model="numpy")
def canonical_tables(reads, arity, table, sources, fan_in, canonical):
    """Truth tables over distinct positions in order, of which each makes a difference: equal for equal functions."""
    variables, kept = np.empty(6, dtype=np.int64), np.empty(6, dtype=np.int64)
    for row in range(len(reads)):
        count = 0
        for column in range(arity[row]):
            count = insert_position(variables, count, reads[row, column])
        spread = np.uint64(0)
        for combination in range(1 << count):
            entry = 0
            for column in range(arity[row]):
                for place in range(count):
                    if variables[place] == reads[row, column]:
                        entry |= (combination >> place & 1) << column
            spread |= (table[row] >> np.uint64(entry) & np.uint64(1)) << np.uint64(combination)
        number = 0
        for place in range(count):
            for combination in range(1 << count):
                other = combination ^ (1 << place)
                if (spread >> np.uint64(combination) ^ spread >> np.uint64(other)) & np.uint64(1):
                    kept[number] = place
                    number += 1
                    break
        bits = np.uint64(0)
        for combination in range(1 << number):
            entry = spread_bits(combination, kept, number)
            bits |= (spread >> np.uint64(entry) & np.uint64(1)) << np.uint64(combination)
        fan_in[row], canonical[row] = number, bits
        for place in range(number):
            sources[row, place] = variables[kept[place]]
