"""Compiled passes that write a circuit of unbounded fan-in anew: without threshold gates, or with two-input gates."""

from __future__ import annotations

import numpy as np
from numba import njit

from serialformer.bounds.signal_kernels import all_of, any_of, both, count_true, either, emit


@njit(cache=True, nogil=True)
def rewrite_gates(sink, threshold, start, fan_in, is_tree, signals):
    """Emits the gates of a circuit, thresholds as ANDs and ORs; with ``is_tree`` all of them as gates of two inputs.

    Args:
        sink: where gates go.
        threshold: of the circuit.
        start: of the circuit.
        fan_in: of the circuit.
        is_tree: whether gates of more than two inputs become balanced trees.
        signals: int64[1 + wires]: the signal of each wire, after that of the constant false; those of the inputs are
            given.
    """
    first_gate = len(signals) - len(threshold)
    for gate in range(len(threshold)):
        literals = fan_in[start[gate] : start[gate + 1]]
        size, needed = len(literals), threshold[gate]
        given = np.empty(size, dtype=np.int64)
        for place in range(size):
            given[place] = signals[literals[place] >> 1] ^ (literals[place] & 1)
        if needed == 1 or needed == size:
            if is_tree:
                signals[first_gate + gate] = _tree(sink, given, needed > 1)
            else:
                signals[first_gate + gate] = emit(sink, given, np.int64(needed))
            continue
        # At least k of f are true where not at least f - k + 1 are false: the smaller of the two is counted up to.
        negated = 2 * needed > size + 1
        if negated:
            needed = size - needed + 1
            for place in range(size):
                given[place] ^= 1
        counted = np.empty(needed, dtype=np.int64)
        count_true(sink, given, np.int64(needed), counted)
        signals[first_gate + gate] = counted[needed - 1] ^ (1 if negated else 0)


@njit(cache=True, nogil=True)
def _tree(sink, signals, is_and):
    size = len(signals)
    while size > 1:
        for place in range(size // 2):
            first, second = signals[2 * place], signals[2 * place + 1]
            signals[place] = both(sink, first, second) if is_and else either(sink, first, second)
        if size % 2:
            signals[size // 2] = signals[size - 1]
        size = (size + 1) // 2
    return all_of(sink, signals[:1]) if is_and else any_of(sink, signals[:1])
