"""Compiled sums of terms in order, with saturation or rounding after every addition.

Four ways, by what the depth of the circuit is allowed to grow with: a cascade of flip-flops or of resets (the formats'
size alone), threshold gates (nothing), and one addition after another (the number of terms).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from serialformer.bounds.signal_kernels import (
    all_of,
    any_of,
    at_least_so_many,
    both,
    constant_rank,
    count_true,
    either,
    is_at_least,
    leaf,
    set_constant,
)

FLIP_FLOPS, RESETS, THRESHOLDS, SERIAL = 0, 1, 2, 3


class SumRule(NamedTuple):
    """How to sum.

    Attributes:
        method: FLIP_FLOPS, RESETS, THRESHOLDS or SERIAL.
        largest: M; ranks are -M .. M. Flip-flops and thresholds need a format where ranks are multiples of one step.
        sums: int64[2M+1, 2M+1]: the rank of the rounded sum of two ranks, both counted from -M.
        corner_start: int32: for each rank from 1 - M on where its corners begin.
        corner_first, corner_second: int32: a sum's rank is at least r where, for a corner of r, the ranks of both
            summands are at least these.
        missing: int64[letters of all levels]: the value that a letter leaves out, or -1 for the identity.
        following: int64[letters of all levels, 2M+1]: by the value that the level held before, the letter of the next
            level.
        letter_start: int64[levels + 1]: where the letters of each level begin.
        holds: bool[levels, 2M+1]: the values that each level may hold.
    """

    method: int
    largest: int
    sums: np.ndarray
    corner_start: np.ndarray
    corner_first: np.ndarray
    corner_second: np.ndarray
    missing: np.ndarray
    following: np.ndarray
    letter_start: np.ndarray
    holds: np.ndarray


@leaf
def block_size(count):
    """Terms are cut into blocks of about (12 m)^(1/3), where looking into blocks and at blocks costs the same."""
    size = 1
    while size * size * size < 12 * count:
        size += 1
    return size


@njit(cache=True, nogil=True)
def last_signs(sink, plus, minus, initial, held):
    """``held[t]``: whether the last of the first t steps that is not 0 is a plus; ``initial`` where all are 0.

    A plus at i counts if no minus stands between i and t. Within the block of t that is said directly; of each block
    before, only whether its last step is a plus and whether it has a minus. Depth 4, whatever the count.
    """
    count = len(plus)
    size = block_size(count)
    num_blocks = count // size + 1
    ends_in_plus = np.zeros(num_blocks, dtype=np.int64)
    has_no_minus = np.ones(num_blocks, dtype=np.int64)
    signals = np.empty(count + 3, dtype=np.int64)
    terms = np.empty(size + num_blocks + 2, dtype=np.int64)
    for stop in range(count + 1):
        block = stop // size
        first = block * size
        if stop == first and block > 0:  # the block before is complete
            number = 0
            for place in range(first - size, first):
                if plus[place] != 0:
                    signals[0] = plus[place]
                    for between in range(place + 1, first):
                        signals[between - place] = minus[between] ^ 1
                    terms[number] = all_of(sink, signals[: first - place])
                    number += 1
            ends_in_plus[block - 1] = any_of(sink, terms[:number])
            signals[:size] = minus[first - size : first]
            has_no_minus[block - 1] = any_of(sink, signals[:size]) ^ 1
        no_minus_here = np.int64(1)
        if block > 0 or initial == 1:
            signals[: stop - first] = minus[first:stop]
            no_minus_here = any_of(sink, signals[: stop - first]) ^ 1
        number = 0
        if initial == 1:
            signals[:block] = has_no_minus[:block]
            signals[block] = no_minus_here
            terms[0] = all_of(sink, signals[: block + 1])
            number = 1
            if terms[0] == 1:
                held[stop] = 1
                continue
        for place in range(first, stop):
            if plus[place] != 0:
                signals[0] = plus[place]
                for between in range(place + 1, stop):
                    signals[between - place] = minus[between] ^ 1
                terms[number] = all_of(sink, signals[: stop - place])
                number += 1
        for earlier in range(block):
            if ends_in_plus[earlier] != 0:
                signals[0] = ends_in_plus[earlier]
                for between in range(earlier + 1, block):
                    signals[between - earlier] = has_no_minus[between]
                signals[block - earlier] = no_minus_here
                terms[number] = all_of(sink, signals[: block - earlier + 1])
                number += 1
        held[stop] = any_of(sink, terms[:number])


@njit(cache=True, nogil=True)
def sum_by_flip_flops(sink, terms, initial, largest, out):
    """A saturating sum: level k holds the sign of the last step it saw and shortens a step of the other sign by one.

    The state is the number of levels that hold a plus; the first ``initial + largest`` levels begin with one.
    """
    count, num_levels = len(terms), 2 * largest
    up = np.empty((count, largest), dtype=np.int64)
    down = np.empty((count, largest), dtype=np.int64)
    for term in range(count):
        for size in range(1, largest + 1):
            up[term, size - 1] = is_at_least(terms[term], size)
            down[term, size - 1] = is_at_least(terms[term], 1 - size) ^ 1
    held = np.empty(count + 1, dtype=np.int64)
    final = np.empty(num_levels, dtype=np.int64)
    for level in range(num_levels):
        kept = 0
        for term in range(count):
            if up[term, 0] != 0 or down[term, 0] != 0:
                if kept < term:
                    up[kept], down[kept] = up[term], down[term]
                kept += 1
        count = kept
        begins = np.int64(1 if level < initial + largest else 0)
        last_signs(sink, up[:count, 0].copy(), down[:count, 0].copy(), begins, held)
        final[level] = held[count]
        if level == num_levels - 1:
            break
        for term in range(count):
            for side in range(2):
                steps = up[term] if side == 0 else down[term]
                same = held[term] if side == 0 else held[term] ^ 1
                for size in range(largest):
                    larger = steps[size + 1] if size + 1 < largest else np.int64(0)
                    if steps[size] != larger:
                        steps[size] = either(sink, larger, both(sink, steps[size], same))
    count_true(sink, final, num_levels, out)


@njit(cache=True, nogil=True)
def sum_by_resets(sink, terms, initial, rule, out):
    """Any rounded sum: level k holds which of its values the last letter left out that is not the identity."""
    count, largest = len(terms), rule.largest
    num_values = 2 * largest + 1
    num_levels = num_values - 1
    most = 1
    for level in range(num_levels):
        most = max(most, rule.letter_start[level + 1] - rule.letter_start[level])
    letters = np.zeros((count, most), dtype=np.int64)
    following = np.zeros((count, most), dtype=np.int64)
    scratch = np.empty(most * num_values + 2, dtype=np.int64)
    found = np.empty(most * num_values, dtype=np.int64)
    of_letter = np.empty(most * num_values, dtype=np.int64)
    numbers = np.zeros(most + 1, dtype=np.int64)
    for term in range(count):
        for value in range(num_values):
            rank = value - largest
            letters[term, value] = both(sink, is_at_least(terms[term], rank), is_at_least(terms[term], rank + 1) ^ 1)
    plus = np.empty(count, dtype=np.int64)
    minus = np.empty(count, dtype=np.int64)
    held = np.zeros((num_values, count + 1), dtype=np.int64)
    held_at_end = np.zeros((num_levels, num_values), dtype=np.int64)
    place = initial + largest
    for level in range(num_levels):
        size = num_values - level
        first, last = rule.letter_start[level], rule.letter_start[level + 1]
        beginning = 0
        while beginning == place or not rule.holds[level, beginning]:
            beginning += 1
        held[:] = 0
        for value in range(size):
            if not rule.holds[level, value]:
                continue
            for term in range(count):
                number = 0
                others = 0
                for letter in range(last - first):
                    if rule.missing[first + letter] == value:
                        scratch[number] = letters[term, letter]
                        number += 1
                plus[term] = any_of(sink, scratch[:number])
                for letter in range(last - first):
                    left_out = rule.missing[first + letter]
                    if left_out >= 0 and left_out != value:
                        scratch[others] = letters[term, letter]
                        others += 1
                minus[term] = any_of(sink, scratch[:others])
            last_signs(sink, plus, minus, np.int64(1 if value == beginning else 0), held[value])
            held_at_end[level, value] = held[value, count]
        if place > beginning:
            place -= 1
        if level == num_levels - 1:
            break
        num_next = rule.letter_start[level + 2] - last
        for term in range(count):
            # The ANDs of the letters of the next level, first one by one, then sorted by letter.
            number = 0
            numbers[:] = 0
            for letter in range(last - first):
                if letters[term, letter] == 0:
                    continue
                targets = rule.following[first + letter]
                same = True
                for value in range(size):
                    if rule.holds[level, value]:
                        same = same and targets[value] == targets[beginning]
                for value in range(size):
                    if not rule.holds[level, value]:
                        continue
                    signal = letters[term, letter]
                    if not same:
                        signal = both(sink, signal, held[value, term])
                    if signal != 0:
                        found[number], of_letter[number] = signal, targets[value]
                        numbers[targets[value]] += 1
                        number += 1
                    if same:
                        break
            for target in range(num_next, 0, -1):
                numbers[target] = numbers[target - 1]
            numbers[0] = 0
            for target in range(1, num_next + 1):
                numbers[target] += numbers[target - 1]
            for place_of_pair in range(number):
                target = of_letter[place_of_pair]
                scratch[numbers[target]] = found[place_of_pair]
                numbers[target] += 1
            begin = 0
            for target in range(num_next):
                following[term, target] = any_of(sink, scratch[begin : numbers[target]])
                begin = numbers[target]
        letters, following = following, letters
    # From the last level back: the place among a level's values is the place among those that remain, plus one if it
    # is not below the value left out. ``row[v]`` says that the place is above v.
    row = np.zeros(num_values, dtype=np.int64)
    other = np.zeros(num_values, dtype=np.int64)
    for level in range(num_levels - 1, -1, -1):
        size = num_values - level
        for value in range(1, size):
            above = row[value - 1] if value < size - 1 else np.int64(0)
            for left_out in range(value):
                scratch[left_out] = held_at_end[level, left_out]
            moved = any_of(sink, scratch[:value])
            if value > 1:
                moved = both(sink, row[value - 2], moved)
            other[value - 1] = either(sink, above, moved)
        row[: size - 1] = other[: size - 1]
    out[: num_values - 1] = row[: num_values - 1]


@njit(cache=True, nogil=True)
def sum_by_thresholds(sink, terms, initial, largest, out):
    """A saturating sum by plain sums of its ends: depth 3, whatever the format and the count.

    The sum is at least k if and only if, for some i, the plain sum of the terms after i would bring the sum to k from
    the least rank (from ``initial``, for i = 0), and from no later place on would it fail to do so from the largest.
    """
    count = len(terms)
    entries = np.empty(count * 2 * largest, dtype=np.int64)
    signals = np.empty(count + 2, dtype=np.int64)
    ends = np.empty(count + 2, dtype=np.int64)
    reaches = np.empty(count + 1, dtype=np.int64)
    stays = np.empty(count + 1, dtype=np.int64)
    for rank in range(1 - largest, largest + 1):
        for first in range(count + 1):
            # A plain sum is the number of true entries of the thermometers, less ``largest`` for each of them.
            lowest = initial if first == 0 else -largest
            base = largest * (count - first)
            for side in range(2):
                number = 0
                for term in range(first, count):
                    entries[number : number + 2 * largest] = terms[term]
                    number += 2 * largest
                needed = rank - (lowest if side == 0 else largest) + base
                found = at_least_so_many(sink, entries[:number], np.int64(needed))
                if side == 0:
                    reaches[first] = found
                else:
                    stays[first] = found
        number = 0
        for first in range(count + 1):
            signals[0] = reaches[first]
            signals[1 : count - first + 1] = stays[first + 1 :]
            ends[number] = all_of(sink, signals[: count - first + 1])
            number += 1
        out[rank + largest - 1] = any_of(sink, ends[:number])


@njit(cache=True, nogil=True)
def add_two(sink, first, second, rule, out):
    """The rounded sum of two values; depth 2."""
    largest = rule.largest
    firsts, seconds = rule.corner_first, rule.corner_second
    terms = np.empty(2 * largest + 2, dtype=np.int64)
    for rank in range(1 - largest, largest + 1):
        count = 0
        begin, end = rule.corner_start[rank + largest - 1], rule.corner_start[rank + largest]
        for corner in range(begin, end):
            left = is_at_least(first, firsts[corner])
            right = is_at_least(second, seconds[corner])
            # Corners stand in the order of their first ranks, which is the opposite order of the second ones.
            if corner + 1 < end and is_at_least(first, firsts[corner + 1]) == left:
                continue
            weaker = corner > begin and is_at_least(second, seconds[corner - 1]) == right
            if weaker and is_at_least(first, firsts[corner - 1]) != left:
                continue
            terms[count] = both(sink, left, right)
            count += 1
        out[rank + largest - 1] = any_of(sink, terms[:count])


@leaf
def add_constant(value, constant, rule, out):
    """The rounded sum of a value and a constant, which takes no gates: the entries of the thermometer move."""
    largest = rule.largest
    for rank in range(1 - largest, largest + 1):
        needed = largest + 1
        for candidate in range(largest, -largest - 1, -1):
            if rule.sums[candidate + largest, constant + largest] - largest < rank:
                break
            needed = candidate
        out[rank + largest - 1] = is_at_least(value, needed)


@njit(cache=True, nogil=True)
def sum_terms(sink, terms, rule, out):
    """The sum of the rows of ``terms``, left to right, rounded after every addition.

    The constants at the beginning are added here. Where at most two terms are no constants, and always with SERIAL,
    the sum is made term by term, a table each.
    """
    largest = rule.largest
    initial, first, varying = np.int64(0), 0, 0
    for term in range(len(terms)):
        rank = constant_rank(terms[term])
        if rank > largest:
            varying += 1
        elif varying == 0:
            initial = np.int64(rule.sums[initial + largest, rank + largest]) - largest
            first = term + 1
    if varying <= 2 or rule.method == SERIAL:
        other = np.empty(2 * largest, dtype=np.int64)
        set_constant(out, initial)
        for term in range(first, len(terms)):
            rank = constant_rank(terms[term])
            if rank <= largest:
                add_constant(out, rank, rule, other)
            elif constant_rank(out) <= largest:
                add_constant(terms[term], constant_rank(out), rule, other)
            else:
                add_two(sink, out, terms[term], rule, other)
            out[:] = other
        return
    rest = terms[first:]
    if rule.method == FLIP_FLOPS:
        sum_by_flip_flops(sink, rest, initial, largest, out)
    elif rule.method == RESETS:
        sum_by_resets(sink, rest, initial, rule, out)
    else:
        sum_by_thresholds(sink, rest, initial, largest, out)
