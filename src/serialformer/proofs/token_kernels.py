"""The compiled loop behind ``reading``: what each position writes, over the tokens of the positions it reads.

Linear maps are sparse: (start, index, value, bias) over the active dimensions, as in ``Columns``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from serialformer.arrays import Bool, Float64, Int64, UInt8, UInt64
from serialformer.loops import loop
from serialformer.proofs.columns import ColumnArrays
from serialformer.proofs.rounding_kernels import linear_output, norm_errors, normed_coordinate, rounded

MAX_VARIABLES = 7
"""Positions that a token can depend on before those that make no difference are left out: six heads and its own."""

MAX_FAN_IN = 6

PROVEN, UNCERTAIN, STRANGE_TOKEN, MANY_SOURCES = range(4)


class Rows(NamedTuple):
    """Positions that write, a row each.

    Attributes:
        active: the position embedding over the active dimensions.
        passive: the sum and the square norm of its other dimensions.
        own_norm: for each of its two tokens the 2-norm of the embedding's rounding error.
        tokens: for each of them the token embedding over the active dimensions.
        offered: what each value column brings if its head's target holds its token s, and how far that can err.
        count: how many of the positions that are read have a token that varies, as in ``list_variables``.
        rank: where among them the row's own position and each head's target are, as in ``list_variables``.
        is_last: whether the token written must be the end mark.
    """

    active: Float64[np.ndarray, "rows active"]
    passive: Float64[np.ndarray, "rows 2"]
    own_norm: Float64[np.ndarray, "rows 2"]
    tokens: Float64[np.ndarray, "rows 2 active"]
    offered: Float64[np.ndarray, "rows values 2 2"]
    count: Int64[np.ndarray, " rows"]
    rank: Int64[np.ndarray, "rows sources"]
    is_last: Bool[np.ndarray, " rows"]


class Layer(NamedTuple):
    """A model of one layer over the active dimensions, after its attention's look-ups.

    Attributes:
        width: the dimensions of the residual stream.
        epsilon: of the layer norms.
        is_relu: whether the activation is relu, or gelu_new.
        value_head: for each value column its head.
        leak: for each value column how far attention's mixture of values can be from the value looked up.
        attention_out: the output projection; output j goes to dimension ``out_dims[j]``.
        out_dims: see above.
        mlp_gain: the gain of the feed-forward layer's norm.
        mlp_norm_bias: its bias.
        mlp_in: the map into the hidden units.
        mlp_out: the map out of them; output j goes to dimension ``mlp_dims[j]``.
        mlp_dims: see above.
        final_gain: the gain of the final norm.
        final_bias: its bias.
        unembedding: the map to the logits.
        bits: the token ids of the bits 0 and 1.
        end: the token id of the end mark.
    """

    width: int
    epsilon: float
    is_relu: bool
    value_head: Int64[np.ndarray, " values"]
    leak: Float64[np.ndarray, " values"]
    attention_out: ColumnArrays
    out_dims: Int64[np.ndarray, " outputs"]
    mlp_gain: Float64[np.ndarray, " active"]
    mlp_norm_bias: Float64[np.ndarray, " active"]
    mlp_in: ColumnArrays
    mlp_out: ColumnArrays
    mlp_dims: Int64[np.ndarray, " outputs"]
    final_gain: Float64[np.ndarray, " active"]
    final_bias: Float64[np.ndarray, " active"]
    unembedding: ColumnArrays
    bits: tuple[int, int]
    end: int


class Tokens(NamedTuple):
    """What ``tabulate_tokens`` finds.

    Attributes:
        places: for each row which of the varying tokens make a difference.
        fan_in: how many these are.
        table: the truth table over them.
        margins: the least lead of the logit, in exact arithmetic and less what rounding can take.
        hull: the largest magnitude of the mean and the extremes of the deviation, before the feed-forward layer's norm
            and before the final one; widened.
    """

    places: Int64[np.ndarray, "rows 6"]
    fan_in: UInt8[np.ndarray, " rows"]
    table: UInt64[np.ndarray, " rows"]
    margins: Float64[np.ndarray, "rows 2"]
    hull: Float64[np.ndarray, "2 3"]


class Moments(NamedTuple):
    """Sums over the residual stream: of its coordinates, of their squares, and of the squares of their errors."""

    width: int
    epsilon: float
    total: float
    square: float
    error_square: float


@loop(plain_work=1 << 12)
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


@loop(nogil=True, error_model="numpy")
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


@loop(nogil=True)
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


@loop(nogil=True, error_model="numpy")
def tabulate_tokens(rows, layer, constants, found):
    """Tabulates what positions write, each a row of the arrays.

    Args:
        rows: the positions, a record ``Rows``.
        layer: the weights, a record ``Layer``.
        constants: see ``rounding_kernels``.
        found: a record ``Tokens``; written.

    Returns:
        How many rows hold, why not the next, and a detail of that.
    """
    active, passive, own_norm, tokens = rows.active, rows.passive, rows.own_norm, rows.tokens
    offered, count, rank, is_last = rows.offered, rows.count, rows.rank, rows.is_last
    width, epsilon, is_relu, bits, end = layer.width, layer.epsilon, layer.is_relu, layer.bits, layer.end
    value_head, leak, out_dims, mlp_dims = layer.value_head, layer.leak, layer.out_dims, layer.mlp_dims
    attention_out, mlp_in, mlp_out, unembedding = layer.attention_out, layer.mlp_in, layer.mlp_out, layer.unembedding
    mlp_gain, mlp_norm_bias = layer.mlp_gain, layer.mlp_norm_bias
    final_gain, final_bias = layer.final_gain, layer.final_bias
    places, fan_in, table = found.places, found.fan_in, found.table
    margins, hull = found.margins, found.hull
    num_active, num_values = active.shape[1], len(value_head)
    num_units, num_tokens = len(mlp_in.bias), len(unembedding.bias)
    x, own, sums = np.empty((2, num_active)), np.empty((2, num_active)), np.empty((2, 2))
    stream, stream_error = np.empty(num_active), np.empty(num_active)
    normed, normed_error = np.empty(num_active), np.empty(num_active)
    mixed, mixed_error = np.empty(num_values), np.empty(num_values)
    hidden, hidden_error = np.empty(num_units), np.empty(num_units)
    logit, logit_error = np.empty(num_tokens), np.empty(num_tokens)
    is_read, is_unembedded = np.zeros(num_active, dtype=np.bool_), np.zeros(num_active, dtype=np.bool_)
    is_read[mlp_in.inputs], is_unembedded[unembedding.inputs] = True, True
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
            moments = Moments(width, epsilon, sums[s, 0], sums[s, 1], own_norm[row, s] ** 2)
            moments = add_to_stream(
                attention_out, out_dims, mixed, mixed_error, stream, stream_error, moments, constants
            )
            norm_stream(
                stream,
                stream_error,
                is_read,
                moments,
                mlp_gain,
                mlp_norm_bias,
                normed,
                normed_error,
                hull[0],
                constants,
            )
            for u in range(num_units):
                before, error = linear_output(mlp_in, u, normed, normed_error, constants)
                hidden[u], hidden_error[u] = activation_error(before, error, is_relu, constants)
            moments = add_to_stream(mlp_out, mlp_dims, hidden, hidden_error, stream, stream_error, moments, constants)
            norm_stream(
                stream, stream_error, is_unembedded, moments, final_gain, final_bias, normed, normed_error, hull[1],
                constants,
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


@loop()
def bit_of(combination, place):
    """A bit of a number; 0 where there is no such place."""
    return combination >> place & 1 if place >= 0 else 0


@loop()
def add_to_stream(out, dims, inputs, errors, stream, stream_error, moments, constants):
    """Adds a linear map's outputs to the stream; returns its moments then."""
    total, square, error_square = moments.total, moments.square, moments.error_square
    for j in range(len(dims)):
        i = dims[j]
        added, error = linear_output(out, j, inputs, errors, constants)
        after = stream[i] + added
        stream_error[i] = rounded(after, stream_error[i] + error, constants)
        total += added
        square += after * after - stream[i] * stream[i]
        error_square += stream_error[i] * stream_error[i]
        stream[i] = after
    return Moments(moments.width, moments.epsilon, total, square, error_square)


@loop()
def norm_stream(stream, stream_error, is_wanted, moments, gain, bias, normed, normed_error, hull, constants):
    """Layer norm of the wanted coordinates of the stream, and how far they can err."""
    width, epsilon, square = moments.width, moments.epsilon, moments.square
    mean = moments.total / width
    deviation = np.sqrt(max(0.0, square / width - mean * mean) + epsilon)
    size = np.sqrt(square / width + epsilon)
    relative, absolute = norm_errors(deviation, size, width, np.sqrt(moments.error_square), constants[1])
    for i in range(len(stream)):
        if is_wanted[i]:
            normed[i], normed_error[i] = normed_coordinate(
                stream[i] - mean, stream_error[i], deviation, relative, absolute, gain[i], bias[i], constants
            )
    hull[0] = max(hull[0], abs(mean))
    hull[1], hull[2] = min(hull[1], deviation), max(hull[2], deviation)


@loop()
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


def _num_entries(reads, arity, *_):
    """How many entries the tables have together."""
    return int((1 << arity.astype(np.int64)).sum())


@loop()
def spread_bits(combination, places, number):
    """The bits of a number, at these places."""
    spread = 0
    for place in range(number):
        spread |= (combination >> place & 1) << places[place]
    return spread


@loop(plain_work=40_000, work=_num_entries, nogil=True, error_model="numpy")
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
