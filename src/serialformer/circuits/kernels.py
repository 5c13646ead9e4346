"""Compiled loops over gates. Modules named ``kernels`` hold what numba compiles, and nothing else."""

from __future__ import annotations

import numpy as np
from numba import njit

from serialformer.circuits.circuit import MAX_FAN_IN


@njit(cache=True, nogil=True)
def evaluate_packed(
    num_inputs: int, fan_in: np.ndarray, arity: np.ndarray, table: np.ndarray, values: np.ndarray
) -> None:
    """Fills rows num_inputs.. of ``values`` (uint64[wires, words]) from the rows before them."""
    num_words = values.shape[1]
    entries = np.empty(1 << MAX_FAN_IN, dtype=np.uint64)
    for gate in range(len(arity)):
        row = values[num_inputs + gate]
        if arity[gate] == 2:
            # The table as a polynomial over GF(2): t0 + (t0+t1) a + (t0+t2) b + (t0+t1+t2+t3) ab.
            bits = np.int64(table[gate])
            t0, t1, t2, t3 = bits & 1, bits >> 1 & 1, bits >> 2 & 1, bits >> 3 & 1
            constant, on_a = np.uint64(-t0), np.uint64(-(t0 ^ t1))
            on_b, on_ab = np.uint64(-(t0 ^ t2)), np.uint64(-(t0 ^ t1 ^ t2 ^ t3))
            a, b = values[fan_in[gate, 0]], values[fan_in[gate, 1]]
            for word in range(num_words):
                row[word] = constant ^ (a[word] & on_a) ^ (b[word] & (on_b ^ (a[word] & on_ab)))
        else:
            for word in range(num_words):
                size = 1 << arity[gate]
                for entry in range(size):
                    entries[entry] = np.uint64(-np.int64(table[gate] >> np.uint64(entry) & np.uint64(1)))
                for column in range(arity[gate]):
                    select = values[fan_in[gate, column], word]
                    size >>= 1
                    for entry in range(size):
                        low, high = entries[2 * entry], entries[2 * entry + 1]
                        entries[entry] = low ^ (select & (low ^ high))
                row[word] = entries[0]


@njit(cache=True, nogil=True)
def wire_levels(num_inputs: int, fan_in: np.ndarray, arity: np.ndarray) -> np.ndarray:
    """For each wire the longest path of gates behind it (int32[wires])."""
    levels = np.zeros(num_inputs + len(arity), dtype=np.int32)
    for gate in range(len(arity)):
        level = 0
        for column in range(arity[gate]):
            level = max(level, levels[fan_in[gate, column]] + 1)
        levels[num_inputs + gate] = level
    return levels


@njit(cache=True)
def topological_order(num_inputs: int, sources: np.ndarray, arity: np.ndarray) -> tuple[np.ndarray, int]:
    """Depth-first order of the gates, in file order where possible; and a gate on a cycle, or -1."""
    num_gates = len(arity)
    order = np.empty(num_gates, dtype=np.int64)
    state = np.zeros(num_gates, dtype=np.uint8)  # 0 unseen, 1 on the stack, 2 placed
    column = np.zeros(num_gates, dtype=np.uint8)
    stack = np.empty(num_gates + 1, dtype=np.int64)
    placed = 0
    for root in range(num_gates):
        if state[root]:
            continue
        stack[0], size, state[root] = root, 1, 1
        while size:
            gate = stack[size - 1]
            if column[gate] == arity[gate]:
                state[gate] = 2
                order[placed] = gate
                placed += 1
                size -= 1
                continue
            source = sources[gate, column[gate]] - num_inputs
            column[gate] += 1
            if source < 0 or state[source] == 2:
                continue
            if state[source] == 1:
                return order, source
            stack[size], state[source] = source, 1
            size += 1
    return order, -1
