"""Error bounds for vectors of known numbers: the roundings of ``rounding_kernels`` for whole layers at once.

Every bound here is about how far a covered runtime's number can be from an *ideal* one, a small whole number most of
the time. What exact arithmetic itself is away from the ideal, for instance by a layer norm's epsilon, counts as error
too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serialformer.architecture import DTYPES
from serialformer.arrays import Float64
from serialformer.proofs.rounding import FLOAT64_SLACK, Rounding
from serialformer.proofs.rounding_kernels import LARGEST_SUM, SMALLEST_PRODUCT, gamma, rounded_all

Numbers = Float64[np.ndarray, "..."]
"""Shapes broadcast as in numpy."""


@dataclass(frozen=True, kw_only=True)
class NormInput:
    """What a layer norm sees, over everything that can stand there.

    Attributes:
        sums: the least and the largest sum of the stream.
        squares: the least and the largest square norm.
        error: the 2-norm of the stream's error.
        width: dimensions.
        epsilon: what is added to the variance.
        error_sum: the sum of the magnitudes of the stream's error, if that is known.
        largest: the largest magnitude of an ideal coordinate, if that is known.
        product: the sum over dimensions of the magnitude of an ideal coordinate times that of its error, if known.
    """

    sums: tuple[float, float]
    squares: tuple[float, float]
    error: float
    width: int
    epsilon: float
    error_sum: float = np.inf
    largest: float = np.inf
    product: float = np.inf

    @property
    def mean(self) -> float:
        """The largest magnitude of the mean."""
        return max(abs(self.sums[0]), abs(self.sums[1])) / self.width

    @property
    def deviations(self) -> tuple[float, float]:
        """The least and the largest root of variance plus epsilon."""
        least = max(0.0, self.squares[0] / self.width - self.mean**2)
        return float(np.sqrt(least + self.epsilon)), float(np.sqrt(self.squares[1] / self.width + self.epsilon))

    def errors(self, rounding: Rounding) -> tuple[float, float]:
        """How far a coordinate after the norm errs: relative to itself, and an absolute share of the deviation.

        With r the root of the mean square, m the mean, s the deviation and g the error rate of a sum: no partial sum
        exceeds half the sum of the magnitudes by more than half of |m|, so a computed mean errs by g (r + |m|) / 2. A
        computed variance, in one pass or two, errs by g r^2 + |m| g (r + |m|) + g^2 r^2 at most, and its root by that
        over 2 s. Errors of the stream move the root by their 2-norm over the root of the width, and the mean by as
        much. Where few coordinates err, e by e, other bounds are smaller: |e|_1 over the width for the mean; for the
        root what the variance changes by, over the sum of the roots before and after. With x - m for the stream less
        its mean that is at most (2 <|x - m|, |e|> + |e|_2^2) over the width, and <|x - m|, |e|> is at most
        |x|_max |e|_1 + |m| |e|_1; <|x|, |e|> may stand for the first of these. A stream of whole numbers without error
        is summed exactly.
        """
        least, most = self.deviations
        roundoff = rounding.accumulation_roundoff
        sums = gamma(self.width + 8, roundoff) if self.error > 0 else 2 * roundoff
        stream = self.error / np.sqrt(self.width)
        shift, of_root = min(stream, self.error_sum / self.width), stream
        if self.error_sum < np.inf and self.largest < np.inf:
            product = min(self.largest * self.error_sum, self.product) + self.mean * self.error_sum
            change = (2 * product + self.error**2) / self.width
            if change <= 0.4 * least**2:  # then the root after is at least 0.75 times the one before
                of_root = min(stream, change / (1.75 * least))
        size = most + of_root
        middle = self.mean + shift
        mean = sums * (size + middle) / 2
        variance = sums * size**2 + 2 * middle * mean + 2 * mean**2
        spread = (of_root + variance / (2 * least) * 1.1) / least
        if not (spread < 0.25 and size**2 * self.width < LARGEST_SUM):
            return np.inf, np.inf
        mean = mean if self.error > 0 else 0.0
        return spread / (1 - spread) + 6 * roundoff, (shift + mean) * (1 + 2 * spread) / least


def round_values(ideal: Numbers, errors: Numbers, rounding: Rounding) -> Numbers:
    """How far results can be from ideal values once they are stored, or kept wider."""
    ideals, bounds = np.broadcast_arrays(np.asarray(ideal, dtype=np.float64), np.asarray(errors, dtype=np.float64))
    flat = rounded_all(ideals.ravel(), bounds.ravel() * (1 + FLOAT64_SLACK), rounding.constants()).reshape(ideals.shape)
    return np.where(vanishing(ideals, bounds, rounding), 0.0, flat) if rounding.always_stored else flat


def round_any(ideals: Numbers, errors: Numbers, rounding: Rounding) -> Numbers:
    """How far results can be from any of some ideal values once they are stored, for each error before.

    The largest value need not be the worst: a small one lies among closer numbers, to which a result may be rounded.

    >>> from serialformer.proofs.rounding import covered_rounding
    >>> errors, rounding = np.array([0.0117]), covered_rounding("bfloat16")
    >>> [float(round_any(np.array(values), errors, rounding)[0].round(4)) for values in ([6.0], [2.0, 6.0])]
    [0.0117, 0.0196]
    """
    most: Numbers = round_values(ideals[:, None], errors[None], rounding).max(axis=0)
    return most


def vanishing(ideal: np.ndarray, errors: np.ndarray, rounding: Rounding) -> np.ndarray:
    """Where storing a result makes it the ideal value itself: the format holds that, and no other number is so near."""
    size = np.abs(ideal)
    near = errors * (1 + FLOAT64_SLACK) < rounding.storage_roundoff * size / 2
    stored = size.astype(DTYPES[rounding.storage]).astype(np.float64)
    return near & (stored == size) & (size > 2 * rounding.smallest)


def normed_errors(
    values: Numbers, own: Numbers, seen: NormInput, deviation: float, gain: Numbers, bias: Numbers, rounding: Rounding
) -> Numbers:
    """How far coordinates after a layer norm can be from the stream's ideal ``values``.

    Args:
        values: ideal coordinates of the stream.
        own: how far the stream can be from them.
        seen: what the norm sees.
        deviation: the ideal deviation, which the gain undoes.
        gain: of each coordinate.
        bias: of each coordinate.
        rounding: the runtimes to cover.
    """
    relative, absolute = seen.errors(rounding)
    least, most = seen.deviations
    ideal, reach = values / deviation, np.abs(values) + seen.mean
    exact = np.abs(values) * max(abs(1 / least - 1 / deviation), abs(1 / most - 1 / deviation)) + seen.mean / least
    errors = round_values(
        ideal, exact + relative * reach / least + absolute + (1 + 2 * relative) * own / least, rounding
    )
    scaled = np.abs(gain) * errors + np.abs(ideal * gain - values)
    errors = round_values(values, scaled + 2 * rounding.accumulation_roundoff * np.abs(ideal * gain), rounding)
    return np.where(bias == 0, errors, np.inf)


def sum_errors(weight: np.ndarray, largest: Numbers, errors: Numbers, rounding: Rounding) -> Numbers:
    """How far sums of products can be from the ideal, before they are stored.

    Args:
        weight: a matrix from the terms to the sums.
        largest: the largest magnitude of each term's ideal factor.
        errors: how far each factor can be from it.
        rounding: the runtimes to cover.
    """
    magnitude = np.abs(weight)
    terms = np.count_nonzero(weight, axis=0)
    inherited, size = errors @ magnitude, largest @ magnitude
    rates = np.array(
        [gamma(count + 2, rounding.accumulation_roundoff) for count in range(int(terms.max(initial=0)) + 1)]
    )
    total = inherited + rates[terms] * (size + inherited) + SMALLEST_PRODUCT * terms
    return np.where(size + inherited < LARGEST_SUM, total, np.inf)
