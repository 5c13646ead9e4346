"""Compiled gates: what is emitted into a circuit, with constants folded on the way.

A *signal* is an int64: the literal in its lower 32 bits (0 false, 1 true, ``2 (wire + 1)`` a wire, odd its negation),
the wire's level above them. Constants have level 0, so the signals 0 and 1 are the constants, and ``signal ^ 1`` is
the negation.

A *thermometer* of a value with the ranks -M .. M holds 2 M signals: entry ``v + M - 1`` says that the rank is at least
v, for v from 1 - M to M.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

GATES, LITERALS, INPUTS = 0, 1, 2

PAIRS_UP_TO = 12
"""Gates with at most this many signals are searched for repeats, pair by pair."""


class Sink(NamedTuple):
    """Where gates go; arrays of size 0 make it a counter that keeps nothing.

    Attributes:
        threshold: int32[gates], as in ``UnboundedCircuit``.
        start: int64[gates + 1].
        fan_in: int32[literals].
        counts: int64[3]: gates so far, literals so far, and inputs of the circuit.
        pair: int64[2]: what ``both`` and ``either`` put their signals into.
    """

    threshold: np.ndarray
    start: np.ndarray
    fan_in: np.ndarray
    counts: np.ndarray
    pair: np.ndarray


leaf = njit(cache=True, nogil=True, _nrt=False)
"""For what makes no arrays: it counts no references to those that it reads, so that there is less to compile."""


@leaf
def emit(sink, signals, threshold):
    """Adds a gate over the signals and returns its own."""
    gate, first = sink.counts[GATES], sink.counts[LITERALS]
    keeps = len(sink.threshold) > 0
    level = np.int64(0)
    for place in range(len(signals)):
        level = max(level, signals[place] >> 32)
        if keeps:
            sink.fan_in[first + place] = signals[place] & 0xFFFFFFFF
    if keeps:
        sink.threshold[gate] = threshold
        sink.start[gate + 1] = first + len(signals)
    sink.counts[GATES] += 1
    sink.counts[LITERALS] += len(signals)
    return ((level + 1) << 32) | np.int64(2 * (sink.counts[INPUTS] + gate + 1))


@leaf
def _join(sink, signals, neutral):
    """The AND of the signals (neutral: 1) or their OR (0)."""
    kept = 0
    for place in range(len(signals)):
        signal = signals[place]
        if signal == neutral:
            continue
        if signal == 1 - neutral:
            return 1 - neutral
        repeated = False
        if len(signals) <= PAIRS_UP_TO:
            for other in range(kept):
                if signals[other] == signal:
                    repeated = True
                elif signals[other] == signal ^ 1:
                    return 1 - neutral
        if not repeated:
            signals[kept] = signal
            kept += 1
    if kept == 0:
        return neutral
    if kept == 1:
        return signals[0]
    return emit(sink, signals[:kept], np.int64(kept if neutral == 1 else 1))


# Two functions each for AND and OR, and slices instead of counts, keep numba from compiling each constant separately.


@leaf
def all_of(sink, signals):
    """The AND of the signals, which are overwritten."""
    return _join(sink, signals, np.int64(1))


@leaf
def any_of(sink, signals):
    """The OR of the signals, which are overwritten."""
    return _join(sink, signals, np.int64(0))


@leaf
def both(sink, first, second):
    """The AND of two signals."""
    sink.pair[0], sink.pair[1] = first, second
    return all_of(sink, sink.pair)


@leaf
def either(sink, first, second):
    """The OR of two signals."""
    sink.pair[0], sink.pair[1] = first, second
    return any_of(sink, sink.pair)


@leaf
def at_least_so_many(sink, signals, threshold):
    """Whether at least ``threshold`` of the signals are true; repeats count. Overwrites them."""
    kept = 0
    for place in range(len(signals)):
        if signals[place] == 1:
            threshold -= 1
        elif signals[place] != 0:
            signals[kept] = signals[place]
            kept += 1
    if threshold <= 0:
        return np.int64(1)
    if threshold > kept:
        return np.int64(0)
    if threshold == 1:
        return any_of(sink, signals[:kept])
    if threshold == kept:
        return all_of(sink, signals[:kept])
    return emit(sink, signals[:kept], threshold)


@leaf
def delay(sink, signals, level):
    """Copies every signal until it has the level; constants are left alone."""
    one = sink.pair[:1]
    for place in range(len(signals)):
        if signals[place] > 1:
            while signals[place] >> 32 < level:
                one[0] = signals[place]
                signals[place] = emit(sink, one, np.int64(1))


@leaf
def is_at_least(thermometer, rank):
    """The signal that says whether the value's rank is at least ``rank``."""
    largest = len(thermometer) // 2
    if rank <= -largest:
        return np.int64(1)
    if rank > largest:
        return np.int64(0)
    return thermometer[rank + largest - 1]


@leaf
def constant_rank(thermometer):
    """The rank of a value that is constant, or a number above every rank."""
    largest = len(thermometer) // 2
    rank = -largest
    for place in range(2 * largest):
        if thermometer[place] > 1:
            return largest + 1
        rank += thermometer[place]
    return rank


@leaf
def set_constant(thermometer, rank):
    """Makes it the thermometer of a constant."""
    largest = len(thermometer) // 2
    for place in range(2 * largest):
        thermometer[place] = 1 if place < rank + largest else 0


@njit(cache=True, nogil=True)
def merge_sorted(sink, first, second, out):
    """Of two rows that say "at least 1, 2, ... of these", as much of the row that says it of both as fits; depth 2."""
    sizes = len(first), len(second)
    terms = np.empty(sizes[0] + 1, dtype=np.int64)
    for number in range(1, min(sizes[0] + sizes[1], len(out)) + 1):
        count = 0
        for left in range(max(0, number - sizes[1]), min(sizes[0], number) + 1):
            right = number - left
            # What another term implies is left out: the same signal on one side, a weaker one on the other.
            if right > 0 and 0 < left < sizes[0] and first[left] == first[left - 1]:
                continue
            weaker = left > 0 and 0 < right < sizes[1] and second[right] == second[right - 1]
            if weaker and (left == 1 or first[left - 2] != first[left - 1]):
                continue
            term = first[left - 1] if left > 0 else np.int64(1)
            if right > 0:
                term = both(sink, term, second[right - 1])
            terms[count] = term
            count += 1
        out[number - 1] = any_of(sink, terms[:count])


@njit(cache=True, nogil=True)
def count_true(sink, signals, most, out):
    """The row that says "at least 1, 2, ..., most of these signals are true": pairs are merged, then pairs of pairs."""
    size = len(signals)
    now, after = signals.copy(), np.zeros(size, dtype=np.int64)
    width = 1
    while width < size:
        for first in range(0, size, 2 * width):
            middle, last = min(first + width, size), min(first + 2 * width, size)
            left, right = now[first : min(middle, first + most)], now[middle : min(last, middle + most)]
            merge_sorted(sink, left, right, after[first : min(last, first + most)])
        now, after = after, now
        width *= 2
    out[:most] = now[:most]
