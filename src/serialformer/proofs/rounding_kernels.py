"""Rounding errors as compiled functions, derived in docs/concepts/certificate.md; ``rounding`` says what they cover.

``constants`` is what ``Rounding.constants`` gives: the roundoffs of storage and accumulation, the splitter of the
storage format, its smallest normal and its largest number.
"""

from __future__ import annotations

import numpy as np

from serialformer.loops import loop

SMALLEST_PRODUCT = 2.0**-126
"""Products below the smallest normal number of float32 may be flushed to zero."""

LARGEST_SUM = 2.0**126
"""Sums inside a result must stay below this, for float32 to hold them."""


@loop(plain_work=1 << 12)
def gamma(terms, roundoff):
    """The relative error of a sum of n products in any order: n u / (1 - n u); infinite if n u >= 1/2."""
    product = terms * roundoff
    return product / (1 - product) if product < 0.5 else np.inf


@loop()
def rounded(exact, error, constants):
    """The error of a result after it was rounded to the storage format, or was kept wider.

    ``exact`` is what exact arithmetic gives and ``error`` how far the result is from it before. Rounding moves a number
    by at most the roundoff; and no further than to any number of the format, such as the one nearest to ``exact``; and
    to just that one, if it is nearer than half the least distance between numbers of the format there. Infinite where
    the format may not hold it.
    """
    roundoff, _, splitter, smallest, largest = constants
    if not abs(exact) + error < largest:
        return np.inf
    product = exact * splitter
    nearest = product - (product - exact)
    distance = abs(exact - nearest)
    if error + distance < roundoff * abs(nearest) / 2 and abs(nearest) > 2 * smallest:
        return max(error, distance)
    if error == 0.0 and distance == 0.0 and (exact == 0.0 or abs(exact) >= smallest):
        return 0.0  # smaller ones may be flushed to zero
    if exact == 0.0:
        return error * (1 + roundoff) + roundoff * smallest  # flushing to zero does no harm here
    return min(error + roundoff * (abs(exact) + error), 2 * error + distance) + 2 * smallest


@loop()
def norm_errors(deviation, size, width, stream_error, roundoff):
    """Layer norm's errors before its result is rounded: a relative one, and an absolute one over the deviation.

    ``deviation`` is the root of variance plus epsilon, ``size`` the root of the mean square plus epsilon,
    ``stream_error`` the 2-norm of the error of what is normed. A coordinate c / deviation, c centred, errs by at most
    ``relative |c| / deviation + absolute``, and by its own error over the deviation. Infinite where nothing is known.
    """
    root = np.sqrt(width)
    sums = gamma(width + 8, roundoff)
    spread = (stream_error / root + 4 * sums * size * size / deviation) / deviation
    if not (spread < 0.25 and size * size * width < LARGEST_SUM):
        return np.inf, np.inf
    relative = spread / (1 - spread) + 6 * roundoff
    absolute = (stream_error / root + sums * size) * (1 + 2 * spread) / deviation
    return relative, absolute


@loop()
def normed_coordinate(centred, stream_error, deviation, relative, absolute, gain, bias, constants):
    """A coordinate after a layer norm and how far it can err; normed, scaled and shifted may each be rounded."""
    scaled = centred / deviation
    error = rounded(scaled, relative * abs(scaled) + absolute + 2 * stream_error / deviation, constants)
    result = scaled * gain
    error = rounded(result, abs(gain) * error + 2 * constants[1] * abs(result), constants)
    if bias != 0.0:
        result += bias
        error = rounded(result, error + constants[1] * abs(result), constants)
    return result, error


@loop()
def linear_output(columns, output, inputs, errors, constants):
    """An output of a sparse linear map and how far it can err; the sum may be rounded before its bias is added."""
    start, index, value, bias = columns
    result, error, size = 0.0, 0.0, 0.0
    for entry in range(start[output], start[output + 1]):
        term = value[entry] * inputs[index[entry]]
        result += term
        error += abs(value[entry]) * errors[index[entry]]
        size += abs(term)
    rate = gamma(start[output + 1] - start[output] + 2, constants[1])
    if not size + error < LARGEST_SUM:
        error = np.inf
    error += rate * (size + error) + SMALLEST_PRODUCT * (start[output + 1] - start[output])
    error = rounded(result, error, constants)
    if bias[output] != 0.0:
        result += bias[output]
        error = rounded(result, error + constants[1] * (abs(result) + error), constants)
    return result, error


@loop(plain_work=1 << 16)
def rounded_all(exact, errors, constants):
    """The same for arrays."""
    result = np.empty(len(exact))
    for index in range(len(exact)):
        result[index] = rounded(exact[index], errors[index], constants)
    return result
