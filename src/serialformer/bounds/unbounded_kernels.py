"""Compiled loops over the gates of circuits of unbounded fan-in."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def first_wrong_gate(num_inputs, threshold, start, fan_in):
    """The first gate that reads a constant or a wire that is not before it, or has no possible threshold; or -1."""
    for gate in range(len(threshold)):
        if not 1 <= threshold[gate] <= start[gate + 1] - start[gate]:
            return gate
        for place in range(start[gate], start[gate + 1]):
            if not 2 <= fan_in[place] < 2 * (num_inputs + gate + 1):
                return gate
    return -1


@njit(cache=True, nogil=True)
def gate_levels(num_inputs, start, fan_in, skips_copies):
    """For each wire the longest path of gates after it (int32[wires]); with ``skips_copies`` of those that join."""
    levels = np.zeros(num_inputs + len(start) - 1, dtype=np.int32)
    for gate in range(len(start) - 1):
        level = 0
        for place in range(start[gate], start[gate + 1]):
            level = max(level, levels[(fan_in[place] >> 1) - 1])
        levels[num_inputs + gate] = level + (0 if skips_copies and start[gate + 1] - start[gate] == 1 else 1)
    return levels


@njit(cache=True, nogil=True)
def evaluate_gates(num_inputs, threshold, start, fan_in, values):
    """Fills rows num_inputs + 1.. of ``values`` (uint64[1 + wires, words], row 0 is false) from the rows before."""
    num_words = values.shape[1]
    ones = ~np.uint64(0)
    planes = np.empty(64, dtype=np.uint64)
    for gate in range(len(threshold)):
        first, last, needed = start[gate], start[gate + 1], threshold[gate]
        row = values[num_inputs + 1 + gate]
        if needed == last - first or needed == 1:
            # An OR is the negation of the AND of the negations.
            flip = np.uint64(0) if needed == last - first else ones
            for word in range(num_words):
                row[word] = ones
            for place in range(first, last):
                source = values[fan_in[place] >> 1]
                mask = flip ^ (ones if fan_in[place] & 1 else np.uint64(0))
                for word in range(num_words):
                    row[word] &= source[word] ^ mask
            for word in range(num_words):
                row[word] ^= flip
            continue
        for word in range(num_words):
            # Counters of 64 rows, a bit plane each; they begin where ``needed`` true literals make them overflow.
            num_planes = 1
            while (1 << num_planes) < last - first + 1:
                num_planes += 1
            offset = (np.int64(1) << num_planes) - needed
            for plane in range(num_planes + 1):
                planes[plane] = ones if offset >> plane & 1 else np.uint64(0)
            for place in range(first, last):
                carry = values[fan_in[place] >> 1, word] ^ (ones if fan_in[place] & 1 else np.uint64(0))
                for plane in range(num_planes + 1):
                    total = planes[plane] ^ carry
                    carry &= planes[plane]
                    planes[plane] = total
                    if carry == 0:
                        break
            row[word] = planes[num_planes]


@njit(cache=True, nogil=True)
def mark_read(num_inputs, start, fan_in, outputs):
    """For each gate whether an output depends on it."""
    read = np.zeros(len(start) - 1, dtype=np.bool_)
    for literal in outputs:
        if (literal >> 1) > num_inputs:
            read[(literal >> 1) - 1 - num_inputs] = True
    for gate in range(len(read) - 1, -1, -1):
        if read[gate]:
            for place in range(start[gate], start[gate + 1]):
                wire = (fan_in[place] >> 1) - 1
                if wire >= num_inputs:
                    read[wire - num_inputs] = True
    return read


@njit(cache=True, nogil=True)
def keep_gates(num_inputs, threshold, start, fan_in, outputs, kept):
    """Moves the gates that are kept to the front of the arrays; returns how many gates and literals there are."""
    moved = np.empty(num_inputs + len(threshold) + 1, dtype=np.int32)
    for wire in range(num_inputs + 1):
        moved[wire] = wire
    gates, literals, first = 0, 0, start[0]
    for gate in range(len(threshold)):
        last = start[gate + 1]
        if kept[gate]:
            moved[num_inputs + 1 + gate] = num_inputs + 1 + gates
            for place in range(first, last):
                fan_in[literals] = 2 * moved[fan_in[place] >> 1] + (fan_in[place] & 1)
                literals += 1
            threshold[gates] = threshold[gate]
            gates += 1
            start[gates] = literals
        first = last
    for place in range(len(outputs)):
        outputs[place] = 2 * moved[outputs[place] >> 1] + (outputs[place] & 1)
    return gates, literals
