"""Compiled loops of the indexed engine, in float64; ``records`` describes what they take."""

from __future__ import annotations

import numpy as np

from serialformer.loops import loop

NO_MATCH = -1
"""In a routing table: no position is known to be the one that the head attends to."""

# Why the decoding loop stopped.
DONE, UNPROVEN_HEAD, SMALL_GAP, OFF_GRID, LONG_KEY, SMALL_VARIANCE, SMALL_MARGIN, NOT_ROUTED = range(8)
TOO_MANY_SOURCES, TOO_MANY_TOKENS, UNEVEN_END, NOT_GROUPED = range(8, 12)

MAX_SOURCES = 7
"""How many positions a folded position may depend on: six heads and itself."""

NEVER = np.int32(2**31 - 1)

FEW_KEYS = 16
"""Up to this many different keys of a searched head are compared with every query one by one; more are looked up."""

FAR_BELOW, TINY = -7.0, 1e-8
"""A hidden unit's input below the first gives relu 0 and gelu_new less than the second, whatever its rounding."""


GROUP_BITS = 6
GROUP = 1 << GROUP_BITS
"""How many positions ``group_kernels`` decodes together, at most."""


@loop(inline="always")
def gamma(terms):
    """The relative error of a float32 sum of a number of products; see ``rounding``."""
    return terms * 2.0**-24 / (1 - terms * 2.0**-24)


@loop(allocates=False)
def norm_rounding(mean, deviation, inverse, stream_error, width):
    """Layer norm in float32: factors, in a following column's error, of its 1-norm, its terms and its bias.

    See ``rounding``; ``deviation`` has epsilon in it, as from ``norm_of_sums``. Infinite where nothing can be said.
    """
    bias_factor = gamma(width + 8)
    shift = 2 * stream_error + gamma(width + 4) * (deviation + abs(mean) + stream_error)
    ratio = shift * inverse
    of_variance = 2 * ratio + ratio * ratio + gamma(width + 6)
    if not of_variance < 0.5:
        return np.inf, np.inf, bias_factor
    # (1 - x)^(-3/2) is convex, so below 1 + 4 x up to x = 1/2.
    spread = 0.5 * of_variance * (1 + 4 * of_variance) + 8 * 2.0**-24
    return inverse * shift * (1 + spread), spread + bias_factor, bias_factor


@loop(inline="always")
def norm_of_sums(total, square, width, epsilon):
    """Mean, 1 / deviation and deviation (both with epsilon inside) of coordinates with this sum and sum of squares.

    So it is at least the deviation of the coordinates alone, which is what the bounds on errors need.
    """
    per_width = 1 / width
    mean = total * per_width
    deviation = np.sqrt(max(0.0, square * per_width - mean * mean) + epsilon)
    return mean, 1 / deviation, deviation


@loop(inline="always")
def column_error(size, output, factors, terms):
    """The error of an output of a map after a layer norm whose terms have the sum of magnitudes ``terms``.

    ``size`` holds the outputs' 1-norms and biases.
    """
    return factors[0] * size[output, 0] + factors[1] * terms + factors[2] * size[output, 1]


@loop(inline="always")
def vector_error(size, first, count, factors, terms):
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
def hash_code(codes, row):
    digest = np.uint64(14695981039346656037)
    for column in range(codes.shape[1]):
        digest = (digest ^ np.uint64(np.uint8(codes[row, column]))) * np.uint64(1099511628211)
    return digest ^ (digest >> np.uint64(32))


@loop(allocates=False)
def same_code(codes, row, others, other):
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
    place = np.int64(hash_code(codes, row) & mask)
    while slots[place] >= 0:
        found = slots[place]
        if same_code(codes, row, codes, found):
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
    place = np.int64(hash_code(wanted, row) & mask)
    while slots[place] >= 0:
        if same_code(wanted, row, codes, slots[place]):
            return slots[place]
        place = np.int64(np.uint64(place + 1) & mask)
    return NO_MATCH


@loop(allocates=False)
def round_to_grid(vector, size, coded, scale, offset, step, codes, row):
    """Rounds ``vector / scale`` to the grid; returns the distance (times scale), or inf if it is off the grid.

    Grid points are zero in the coordinates after the first ``coded``.
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


@loop(inline="always")
def written_columns(tokens):
    """How many columns each row of a matrix writes, and which: what else is added to them is summed once for all."""
    counts, columns = np.zeros(len(tokens), dtype=np.int64), np.zeros(tokens.shape, dtype=np.int64)
    for token in range(len(tokens)):
        for column in range(tokens.shape[1]):
            if tokens[token, column] != 0:
                columns[token, counts[token]] = column
                counts[token] += 1
    return counts, columns


@loop(nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def embedded_norms(tokens, positions, epsilon, norms):
    """Layer norm of every token at every position: its mean, 1 / standard deviation, and how it errs in float32.

    The error is that of ``norm_rounding``: its first two factors; the third is the same everywhere.
    """
    num_positions, width = positions.shape
    bits = positions.view(np.int32)
    counts, columns = written_columns(tokens)
    word = np.zeros(1, dtype=np.int32)
    as_float = word.view(np.float32)
    for position in range(num_positions):
        total, square, highest = 0.0, 0.0, np.int32(0)
        for column in range(width):
            value = np.float64(positions[position, column])
            total += value
            square += value * value
        for column in range(width):
            highest = max(highest, bits[position, column] & np.int32(0x7FFFFFFF))
        word[0] = highest
        for token in range(len(tokens)):
            all_total, all_square, largest = total, square, np.float64(as_float[0])
            for place in range(counts[token]):
                column = columns[token, place]
                own, value = tokens[token, column], np.float64(positions[position, column])
                all_total += own
                all_square += own * (own + 2 * value)
                largest = max(largest, abs(own + value))
            mean, inverse, deviation = norm_of_sums(all_total, all_square, width, epsilon)
            factors = norm_rounding(mean, deviation, inverse, 2.0**-24 * largest, width)
            norms[position, token, 0], norms[position, token, 1] = mean, inverse
            norms[position, token, 2], norms[position, token, 3] = factors[0], factors[1]


@loop(inline="always")
def apply_embedded(sparse, first, last, tokens, positions, token, position, mean, inverse, out, sizes):
    """``apply_sized`` for a token at a position."""
    start, index, value, bias = sparse
    for output in range(first, last):
        dot, size = 0.0, 0.0
        for entry in range(np.uint64(start[output]), np.uint64(start[output + 1])):
            column = np.uint64(index[entry])
            term = value[entry] * (tokens[token, column] + np.float64(positions[position, column]) - mean)
            dot += term
            size += abs(term)
        out[output - first] = inverse * dot + bias[output]
        sizes[output - first] = inverse * size


@loop(inline="always")
def norm_of(x, settings):
    """``norm_of_sums`` of the residual stream at a position."""
    total, square = settings.passive_sum, settings.passive_square
    for column in range(len(x)):
        total += x[column]
        square += x[column] * x[column]
    return norm_of_sums(total, square, settings.width, settings.epsilon)


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
