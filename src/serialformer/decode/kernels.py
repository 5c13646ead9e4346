"""Compiled loops of the indexed engine, in float64; ``records`` describes what they take."""

from __future__ import annotations

import numpy as np

from serialformer.loops import loop

NO_MATCH = -1
"""In a routing table: no position is known to be the one that the head attends to."""

# Why the decoding loop stopped.
DONE, UNPROVEN_HEAD, SMALL_GAP, OFF_GRID, LONG_KEY, SMALL_VARIANCE, SMALL_MARGIN, NOT_ROUTED = range(8)
TOO_MANY_SOURCES, TOO_MANY_TOKENS, UNEVEN_END = range(8, 11)

MAX_SOURCES = 7
"""How many positions a folded position may depend on: six heads and itself."""

NEVER = np.int32(2**31 - 1)

FEW_KEYS = 16
"""So many different keys of a searched head are compared one by one with every query; more are looked up."""

FAR_BELOW, TINY = -7.0, 1e-8
"""A hidden unit's input below the first gives relu 0 and gelu_new less than the second, whatever its rounding."""


@loop(inline="always")
def gamma(terms):
    """The relative error of a float32 sum of a number of products; see ``rounding``."""
    return terms * 2.0**-24 / (1 - terms * 2.0**-24)


@loop(allocates=False)
def norm_rounding(mean, deviation, inverse, stream_error, width):
    """Layer norm in float32: factors, in a following column's error, of its 1-norm, its terms and its bias.

    Infinite where nothing can be said.
    """
    bias_factor = gamma(width + 8)
    shift = 2 * stream_error + gamma(width + 4) * (deviation + abs(mean) + stream_error)
    if not deviation > 0:
        return np.inf, np.inf, bias_factor
    ratio = shift / deviation
    of_variance = 2 * ratio + ratio * ratio + gamma(width + 6)
    if not of_variance < 0.5:
        return np.inf, np.inf, bias_factor
    rest = 1 - of_variance
    spread = 0.5 * of_variance / (rest * np.sqrt(rest)) + 8 * 2.0**-24
    return inverse * shift * (1 + spread), spread + bias_factor, bias_factor


@loop(inline="always")
def column_error(size, output, factors, terms):
    """The error of an output of a map after a layer norm whose terms have the sum of magnitudes ``terms``.

    ``size`` holds the outputs' 1-norms and biases.
    """
    return factors[0] * size[output, 0] + factors[1] * terms + factors[2] * size[output, 1]


@loop(inline="always")
def _vector_error(size, first, count, factors, terms):
    """The 2-norm of the errors of some outputs."""
    square = 0.0
    for output in range(first, first + count):
        error = column_error(size, output, factors, terms[output - first])
        square += error * error
    return np.sqrt(square)


@loop(inline="always")
def apply_sized(start, index, value, bias, first, last, x, mean, inverse, out, sizes):
    """Outputs first..last-1 of a map after a folded layer norm, and the sum of the magnitudes of each one's terms."""
    for output in range(first, last):
        dot, size = 0.0, 0.0
        for entry in range(np.uint64(start[output]), np.uint64(start[output + 1])):
            term = value[entry] * (x[np.uint64(index[entry])] - mean)
            dot += term
            size += abs(term)
        out[output - first] = inverse * dot + bias[output]
        sizes[output - first] = inverse * size


@loop(inline="always")
def _apply_centred(start, index, value, bias, first, last, centred, inverse, out):
    """The same from the centred stream, without the sums of magnitudes."""
    for output in range(first, last):
        dot = 0.0
        for entry in range(np.uint64(start[output]), np.uint64(start[output + 1])):
            dot += value[entry] * centred[np.uint64(index[entry])]
        out[output - first] = inverse * dot + bias[output]


@loop(allocates=False)
def _hash_code(codes, row):
    digest = np.uint64(14695981039346656037)
    for column in range(codes.shape[1]):
        digest = (digest ^ np.uint64(np.uint8(codes[row, column]))) * np.uint64(1099511628211)
    return digest ^ (digest >> np.uint64(32))


@loop(allocates=False)
def _same_code(codes, row, others, other):
    for column in range(codes.shape[1]):
        if codes[row, column] != others[other, column]:
            return False
    return True


@loop(allocates=False)
def insert_code(codes, row, slots, again):
    """Adds position ``row`` to the index of codes; ``again[j]`` is the second position with the code of j.

    Returns whether the code is new.
    """
    mask = np.uint64(len(slots) - 1)
    place = np.int64(_hash_code(codes, row) & mask)
    while slots[place] >= 0:
        found = slots[place]
        if _same_code(codes, row, codes, found):
            if again[found] == NEVER:
                again[found] = row
            return False
        place = np.int64(np.uint64(place + 1) & mask)
    slots[place] = row
    return True


@loop(allocates=False)
def find_code(codes, wanted, row, slots):
    """The first position with the code ``wanted[row]``, or NO_MATCH."""
    mask = np.uint64(len(slots) - 1)
    place = np.int64(_hash_code(wanted, row) & mask)
    while slots[place] >= 0:
        if _same_code(wanted, row, codes, slots[place]):
            return slots[place]
        place = np.int64(np.uint64(place + 1) & mask)
    return NO_MATCH


@loop(allocates=False)
def round_to_grid(vector, size, coded, scale, offset, step, codes, row):
    """Rounds ``vector / scale`` to the grid; returns the distance (times scale), or inf if it is off the grid.

    Grid points are zero in the coordinates behind the first ``coded``.
    """
    distance, per_step, begin = 0.0, 1 / (scale * step), offset / step
    for column in range(coded, size):
        distance += vector[column] * vector[column]
    for column in range(coded):
        # Which point is taken need not be the nearest: the distance counts, and is that of the point taken.
        steps = np.rint(vector[column] * per_step - begin)
        if not -127 <= steps <= 127:
            return np.inf
        codes[row, column] = np.int8(steps)
        difference = vector[column] - scale * (offset + step * steps)
        distance += difference * difference
    return np.sqrt(distance)


@loop(allocates=False)
def product_error(query_norm, query_error, key_norm, key_error, terms):
    """How much a float32 product of query and key can err."""
    exact = query_norm * key_error + key_norm * query_error + query_error * key_error
    return exact + gamma(terms + 3) * (query_norm + query_error) * (key_norm + key_error)


@loop(allocates=False)
def grid_norm(codes, row, size, offset, step):
    """The square norm of a grid point."""
    norm = 0.0
    for column in range(size):
        norm += (offset + step * codes[row, column]) ** 2
    return norm


@loop(allocates=False)
def score_gap(query_norm, scale, distance, shortfall, least, key_distance):
    """A lower bound on how much the wanted key's product exceeds every other's.

    The query is scale times a grid point plus a rest of norm ``distance``. Keys are within ``key_distance`` of grid
    points, whose square norms exceed the wanted one's by at most ``shortfall``; other grid points are at least
    ``least`` away. For D >= least the bound scale D^2 / 2 - distance D grows with D as long as distance <= scale least.
    """
    if not distance <= scale * least:
        return -np.inf
    return scale * (least * least - max(0.0, shortfall)) / 2 - distance * least - 2 * query_norm * key_distance


@loop(allocates=False)
def compare_keys(vector, coded, offset, step, codes, distinct, num_distinct):
    """The grid point with the largest product among a few, and by how much that leads the next (inf if there is none).

    ``distinct`` holds a position for each point.
    """
    best, second, found = -np.inf, -np.inf, NO_MATCH
    for number in range(num_distinct):
        position = distinct[number]
        product = 0.0
        for column in range(coded):
            product += vector[column] * (offset + step * codes[position, column])
        if product > best:
            best, second, found = product, best, position
        elif product > second:
            second = product
    return found, best - second


@loop(nogil=True, error_model="numpy")
def key_codes(key, inputs, offset, step, codes):
    """Codes of every position's key, of one head of the first layer.

    Returns the position of the first key that is off the grid or whose code depends on the token (or -1), the largest
    distance from the grid, the least and largest code sum, the largest square norm of a grid point, and the largest
    2-norm of a key's float32 error.
    """
    num_positions, width = inputs.positions.shape
    start, index, value, bias, size_of = key.start, key.inputs, key.value, key.bias, key.size
    size, coded = len(bias), codes.shape[1]
    x, vector, sizes = np.empty(width), np.empty(size), np.empty(size)
    scratch = np.empty((1, coded), dtype=np.int8)
    furthest, key_error = 0.0, 0.0
    least_sum, largest_sum, largest_norm = np.inf, -np.inf, -np.inf
    for position in range(num_positions):
        for token in range(len(inputs.tokens)):
            mean, inverse, factors = _embed_norm(inputs, token, position, x)
            apply_sized(start, index, value, bias, 0, size, x, mean, inverse, vector, sizes)
            key_error = max(key_error, _vector_error(size_of, 0, size, factors, sizes))
            target, row = (codes, position) if token == 0 else (scratch, 0)
            furthest = max(furthest, round_to_grid(vector, size, coded, 1.0, offset, step, target, row))
            if furthest == np.inf or (token and not _same_code(scratch, 0, codes, position)):
                return position, furthest, 0.0, 0.0, 0.0, 0.0
        code_sum = 0.0
        for column in range(coded):
            code_sum += codes[position, column]
        norm = grid_norm(codes, position, coded, offset, step)
        least_sum, largest_sum = min(least_sum, code_sum), max(largest_sum, code_sum)
        largest_norm = max(largest_norm, norm)
    return -1, furthest, least_sum, largest_sum, largest_norm, key_error


@loop(inline="always")
def _embed_norm(inputs, token, position, x):
    """The embedding over all dimensions into x; its mean, 1 / standard deviation, and how it errs in float32."""
    width, tokens, positions = len(x), inputs.tokens, inputs.positions
    total, square, largest = 0.0, 0.0, 0.0
    for column in range(width):
        x[column] = tokens[token, column] + np.float64(positions[position, column])
        total += x[column]
        square += x[column] * x[column]
        largest = max(largest, abs(x[column]))
    mean = total / width
    variance = max(0.0, square / width - mean * mean)
    inverse = 1 / np.sqrt(variance + inputs.epsilon)
    return mean, inverse, norm_rounding(mean, np.sqrt(variance), inverse, 2.0**-24 * largest, width)


@loop(nogil=True, error_model="numpy")
def index_codes(codes):
    """The hash table of the positions' codes, and for each position the next one with its code."""
    num_positions = len(codes)
    num_slots = 16
    while num_slots < 2 * num_positions:
        num_slots *= 2
    slots = np.full(num_slots, -1, dtype=np.int32)
    again = np.full(num_positions, NEVER, dtype=np.int32)
    for position in range(num_positions):
        insert_code(codes, position, slots, again)
    return slots, again


@loop(nogil=True, error_model="numpy")
def route_queries(query, inputs, keys, needed, routed):
    """Fills ``routed`` with the position that one head of the first layer attends to from each position.

    NO_MATCH stands where that depends on the current token, is not there to be seen, or the gap is less than needed.
    Returns the least gap of those found, in units of a product.
    """
    num_positions, width = inputs.positions.shape
    start, index, value, bias, size_of = query.start, query.inputs, query.value, query.bias, query.size
    size, coded = len(bias), keys.codes.shape[1]
    x, vector, sizes = np.empty(width), np.empty(size), np.empty(size)
    wanted = np.empty((2, coded), dtype=np.int8)
    least_gap = np.inf
    for position in range(num_positions):
        target = NO_MATCH
        for token in range(len(inputs.tokens)):
            mean, inverse, factors = _embed_norm(inputs, token, position, x)
            apply_sized(start, index, value, bias, 0, size, x, mean, inverse, vector, sizes)
            query_norm = 0.0
            for column in range(size):
                query_norm += vector[column] * vector[column]
            query_norm = np.sqrt(query_norm)
            scale = query_norm / keys.norm
            row = 0 if token == 0 else 1
            if not scale > 0:
                target = NO_MATCH
                break
            distance = round_to_grid(vector, size, coded, scale, keys.offset, keys.step, wanted, row)
            shortfall = keys.norm * keys.norm - grid_norm(wanted, row, coded, keys.offset, keys.step)
            gap = score_gap(query_norm, scale, distance, shortfall, keys.least, keys.furthest)
            query_error = _vector_error(size_of, 0, size, factors, sizes)
            error = product_error(query_norm, query_error, keys.norm + keys.furthest, keys.error, width)
            if not gap - 2 * error >= needed or (token and not _same_code(wanted, 0, wanted, 1)):
                target = NO_MATCH
                break
            if token == 0:
                target = find_code(keys.codes, wanted, 0, keys.slots)
                if target > position or (target >= 0 and keys.again[target] <= position):
                    target = NO_MATCH
            if target == NO_MATCH:
                break
            least_gap = min(least_gap, gap)
        routed[position] = target
    return least_gap


@loop(inline="always")
def norm_of(x, settings):
    """Mean, 1 / deviation (epsilon inside) and deviation of the residual stream at a position."""
    total, square, width = settings.passive_sum, settings.passive_square, settings.width
    for column in range(len(x)):
        total += x[column]
        square += x[column] * x[column]
    mean = total / width
    variance = max(0.0, square / width - mean * mean)
    return mean, 1 / np.sqrt(variance + settings.epsilon), np.sqrt(variance)


@loop(inline="always")
def add_mapped(start, index, value, bias, dimension, first, last, source, x):
    """Adds outputs first..last-1 of a map to their dimensions of the residual stream."""
    for output in range(first, last):
        dot = bias[output]
        for entry in range(np.uint64(start[output]), np.uint64(start[output + 1])):
            dot += value[entry] * source[np.uint64(index[entry])]
        x[dimension[output]] += dot


@loop(inline="always")
def activate(x, is_relu):
    inner = 0.7978845608028654 * (x + 0.044715 * x * x * x)
    if is_relu or abs(inner) > 20.0:  # where the hyperbolic tangent is 1 or -1 in float64
        return x if x > 0.0 else 0.0
    return 0.5 * x * (1 + np.tanh(inner))


@loop(inline="always")
def add_mlp(x, centred, hidden, settings, spans, start, index, value, bias, dimension, size_of, reads, stream_error):
    """Adds a feed-forward layer to the stream; returns how far the stream errs then, inf where nothing is known."""
    width, is_relu = settings.width, settings.is_relu
    root = 2.0**-24 * np.sqrt(width)
    mean, inverse, deviation = norm_of(x, settings)
    stream_error += 4 * root * (deviation + abs(mean))
    factors = norm_rounding(mean, deviation, inverse, stream_error, width)
    first, last, first_out, last_out = spans
    furthest_out = 0.0
    for column in range(len(x)):
        centred[column] = x[column] - mean
        furthest_out = max(furthest_out, reads[column] * abs(centred[column]))
    _apply_centred(start, index, value, bias, first, last, centred, inverse, hidden)
    furthest_out *= inverse
    # Which unit fires cannot be predicted: both cases are computed and one is selected.
    for unit in range(last - first):
        before = hidden[unit]
        after = activate(before, is_relu)
        hidden[unit] = after
        error = column_error(size_of, first + unit, factors, furthest_out * size_of[first + unit, 0])
        counted = 1.13 * error + 2.0**-20 * abs(before) + gamma(last - first + 2) * abs(after)
        stream_error += size_of[first + unit, 2] * (counted if before + error > FAR_BELOW else TINY)
    add_mapped(start, index, value, bias, dimension, first_out, last_out, hidden, x)
    stream_error += 4 * root * (deviation + abs(mean))
    return stream_error if factors[0] < np.inf else np.inf


@loop(inline="always")
def choose_token(x, logits, sizes, settings, unembed, start, index, value, bias, size_of, stream_error):
    """The token with the largest logit, and by how much it leads beyond what float32 can err.

    They come apart so that the next token need not wait for the second, only for the guess that it is positive.
    """
    width = settings.width
    root = 2.0**-24 * np.sqrt(width)
    mean, inverse, deviation = norm_of(x, settings)
    factors = norm_rounding(mean, deviation, inverse, stream_error + 4 * root * (deviation + abs(mean)), width)
    apply_sized(start, index, value, bias, unembed, unembed + len(logits), x, mean, inverse, logits, sizes)
    best = 0
    for other in range(1, len(logits)):
        best = other if logits[other] > logits[best] else best
    highest = logits[best] - column_error(size_of, unembed + best, factors, sizes[best])
    slack = np.inf
    for other in range(len(logits)):
        reach = logits[other] + column_error(size_of, unembed + other, factors, sizes[other])
        slack = min(slack, np.inf if other == best else highest - reach)
    return best, slack
