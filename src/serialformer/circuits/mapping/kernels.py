"""Compiled loops of the mapping of an AND graph to gates of up to K inputs; ``mapping`` says what they are for.

Variables are numbered as in ``and_graph``: 0 is the constant, then the inputs, then the nodes; a literal is twice a
variable, plus one for its complement. A cut of a node is a set of variables, its leaves, that every path from an input
to it meets; leaves stand in ascending order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from serialformer.arrays import Int32, Int64, UInt8, UInt64
from serialformer.loops import loop

_FULL = np.uint64(0xFFFFFFFFFFFFFFFF)
_MASKS = np.array(
    [
        *(0xAAAAAAAAAAAAAAAA, 0xCCCCCCCCCCCCCCCC, 0xF0F0F0F0F0F0F0F0),
        *(0xFF00FF00FF00FF00, 0xFFFF0000FFFF0000, 0xFFFFFFFF00000000),
    ],
    dtype=np.uint64,
)
"""The tables of the six variables by themselves."""


class Cover(NamedTuple):
    """The nodes in use, each with the cut that was chosen for it.

    Attributes:
        best: the leaves of each variable's cut.
        best_size: how many these are.
        uses: how often each variable is read; 0 where it is not in use.
        tables: the table of each node in use over its leaves, repeated to 64 entries.
    """

    best: Int32[np.ndarray, "variables K"]
    best_size: UInt8[np.ndarray, " variables"]
    uses: Int32[np.ndarray, " variables"]
    tables: UInt64[np.ndarray, " variables"]


class Held(NamedTuple):
    """Where each variable is: its wire, -1 for a constant, and 1 where that holds its complement (or is 1)."""

    wires: Int32[np.ndarray, " variables"]
    flips: UInt8[np.ndarray, " variables"]


class Gates(NamedTuple):
    """The gates that a cover becomes.

    Attributes:
        fan_in: the wires that each gate reads, then -1.
        arity: how many these are.
        table: its truth table.
        node_of_gate: its variable, -1 for what only an output asks for.
        outputs: the wire of each output.
    """

    fan_in: Int32[np.ndarray, "capacity K"]
    arity: UInt8[np.ndarray, " capacity"]
    table: UInt64[np.ndarray, " capacity"]
    node_of_gate: Int64[np.ndarray, " capacity"]
    outputs: Int32[np.ndarray, " outputs"]


@loop(plain_work=1 << 17, nogil=True)
def enumerate_cuts(
    first: int,
    operands: np.ndarray,
    references: np.ndarray,
    flow: np.ndarray,
    cuts: np.ndarray,
    sizes: np.ndarray,
    counts: np.ndarray,
    best: np.ndarray,
    best_size: np.ndarray,
) -> None:
    """Gives each node its cuts of least area flow and takes the least of all as its ``best``.

    The area flow of a cut is 1 and the flow of its leaves, each shared among those that are thought to read it.

    Args:
        first: the variable of the first node.
        operands: the two literals that each node reads.
        references: how many readers each variable is thought to have.
        flow: of each variable; written.
        cuts: int32[variables, kept, K], written; so are ``sizes`` and ``counts``.
        best: int32[variables, K], the cut that was chosen before, if ``best_size`` is not 0; written.
    """
    kept, widest = cuts.shape[1], cuts.shape[2]
    merged = np.empty(widest, dtype=np.int32)
    costs = np.empty(kept + 1, dtype=np.float64)
    for node in range(len(operands)):
        variable = first + node
        a, b = operands[node, 0] >> 1, operands[node, 1] >> 1
        found = 0
        for i in range(-1, counts[a]):
            for j in range(-1, counts[b]):
                size = _merge(cuts, sizes, a, i, b, j, merged)
                if size:
                    found = _keep(merged, size, flow, references, cuts[variable], sizes[variable], costs, found)
        if best_size[variable]:
            size = np.int64(best_size[variable])
            merged[:size] = best[variable, :size]
            found = _keep(merged, size, flow, references, cuts[variable], sizes[variable], costs, found)
        counts[variable] = found
        best_size[variable] = sizes[variable, 0]
        best[variable] = cuts[variable, 0]
        flow[variable] = costs[0]


@loop(nogil=True)
def _merge(cuts: np.ndarray, sizes: np.ndarray, a: int, i: int, b: int, j: int, merged: np.ndarray) -> int:
    """The union of two cuts, and its size, or 0 where it is too wide; cut -1 is the variable itself."""
    widest = len(merged)
    size_a = 1 if i < 0 else np.int64(sizes[a, i])
    size_b = 1 if j < 0 else np.int64(sizes[b, j])
    at_a, at_b, size = 0, 0, 0
    while at_a < size_a or at_b < size_b:
        leaf_a = (np.int64(a) if i < 0 else np.int64(cuts[a, i, at_a])) if at_a < size_a else np.int64(1 << 40)
        leaf_b = (np.int64(b) if j < 0 else np.int64(cuts[b, j, at_b])) if at_b < size_b else np.int64(1 << 40)
        if size == widest:
            return 0
        merged[size] = min(leaf_a, leaf_b)
        size += 1
        at_a += leaf_a <= leaf_b
        at_b += leaf_b <= leaf_a
    return size


@loop(nogil=True)
def _keep(
    merged: np.ndarray,
    size: int,
    flow: np.ndarray,
    references: np.ndarray,
    cuts: np.ndarray,
    sizes: np.ndarray,
    costs: np.ndarray,
    found: int,
) -> int:
    """Puts a cut among a node's, which stand in the order of their costs; gives how many there are."""
    cost = 1.0
    for place in range(size):
        leaf = merged[place]
        cost += flow[leaf] / max(1.0, references[leaf])
    kept = cuts.shape[0]
    if found == kept and cost >= costs[found - 1]:
        return found
    for other in range(found):
        if sizes[other] <= size and _is_subset(cuts[other], np.int64(sizes[other]), merged, size):
            return found  # a cut with leaves to spare
    place = found if found < kept else kept - 1
    while place > 0 and (costs[place - 1] > cost or (costs[place - 1] == cost and sizes[place - 1] > size)):
        costs[place], sizes[place] = costs[place - 1], sizes[place - 1]
        cuts[place] = cuts[place - 1]
        place -= 1
    costs[place], sizes[place] = cost, size
    cuts[place, :size] = merged[:size]
    return min(found + 1, kept)


@loop(nogil=True)
def _is_subset(small: np.ndarray, small_size: int, large: np.ndarray, large_size: int) -> bool:
    at = 0
    for place in range(small_size):
        while at < large_size and large[at] < small[place]:
            at += 1
        if at == large_size or large[at] != small[place]:
            return False
    return True


@loop(plain_work=1 << 18, nogil=True)
def count_uses(first: int, outputs: np.ndarray, best: np.ndarray, best_size: np.ndarray, uses: np.ndarray) -> int:
    """How often each variable is a leaf of a node in use, or an output; gives the number of nodes in use."""
    uses[:] = 0
    area = 0
    for literal in outputs:
        uses[literal >> 1] += 1
    for variable in range(len(uses) - 1, first - 1, -1):
        if uses[variable]:
            area += 1
            for place in range(best_size[variable]):
                uses[best[variable, place]] += 1
    return area


@loop(plain_work=1 << 18, nogil=True)
def recover_area(
    first: int,
    cuts: np.ndarray,
    sizes: np.ndarray,
    counts: np.ndarray,
    best: np.ndarray,
    best_size: np.ndarray,
    uses: np.ndarray,
) -> int:
    """Gives each node in use the cut that leaves the fewest nodes in use, with all other cuts unchanged.

    What a cut costs is told by using it before giving up the old one, so that only what differs is walked through.
    Gives the number of nodes saved.
    """
    stack = np.empty(len(uses) * 2 + 64, dtype=np.int32)
    saved = 0
    for variable in range(first, len(uses)):
        if not uses[variable]:
            continue
        chosen, gain = -1, 0
        old, old_size = best[variable].copy(), np.int64(best_size[variable])
        for cut in range(counts[variable]):
            size = np.int64(sizes[variable, cut])
            added = _change_uses(cuts[variable, cut], size, 1, first, best, best_size, uses, stack)
            freed = _change_uses(old, old_size, -1, first, best, best_size, uses, stack)
            if freed - added > gain:
                chosen, gain = cut, freed - added
            _change_uses(old, old_size, 1, first, best, best_size, uses, stack)
            _change_uses(cuts[variable, cut], size, -1, first, best, best_size, uses, stack)
        if chosen >= 0:
            size = np.int64(sizes[variable, chosen])
            _change_uses(cuts[variable, chosen], size, 1, first, best, best_size, uses, stack)
            _change_uses(old, old_size, -1, first, best, best_size, uses, stack)
            best[variable], best_size[variable] = cuts[variable, chosen], size
            saved += gain
    return saved


@loop(nogil=True)
def _change_uses(
    leaves: np.ndarray,
    size: int,
    change: int,
    first: int,
    best: np.ndarray,
    best_size: np.ndarray,
    uses: np.ndarray,
    stack: np.ndarray,
) -> int:
    """Counts one use more (``change`` 1) or less (-1) of each leaf; gives how many nodes come into or out of use."""
    turning = 1 if change > 0 else 0  # the number of uses, once changed, that says so
    area, top = 0, 0
    for place in range(size):
        stack[top] = leaves[place]
        top += 1
    while top:
        top -= 1
        leaf = stack[top]
        uses[leaf] += change
        if uses[leaf] == turning and leaf >= first:
            area += 1
            for place in range(best_size[leaf]):
                stack[top] = best[leaf, place]
                top += 1
    return area


@loop(plain_work=1 << 17, nogil=True)
def tables_of_cuts(
    first: int,
    operands: np.ndarray,
    is_xor: np.ndarray,
    best: np.ndarray,
    best_size: np.ndarray,
    uses: np.ndarray,
    tables: np.ndarray,
) -> None:
    """The table of each node in use over the leaves of its cut, repeated to 64 entries."""
    values = np.zeros(len(uses), dtype=np.uint64)
    stamp = np.zeros(len(uses), dtype=np.int32)
    stack = np.empty(len(uses) + 1, dtype=np.int32)
    for variable in range(first, len(uses)):
        if not uses[variable]:
            continue
        for place in range(best_size[variable]):
            leaf = best[variable, place]
            values[leaf], stamp[leaf] = _MASKS[place], variable
        stack[0], top = variable, 1
        while top:
            node = stack[top - 1]
            a, b = operands[node - first]
            if stamp[a >> 1] != variable:
                stack[top] = a >> 1
                top += 1
            elif stamp[b >> 1] != variable:
                stack[top] = b >> 1
                top += 1
            else:
                left = values[a >> 1] ^ (_FULL if a & 1 else np.uint64(0))
                right = values[b >> 1] ^ (_FULL if b & 1 else np.uint64(0))
                values[node] = left ^ right if is_xor[node - first] else left & right
                stamp[node] = variable
                top -= 1
        tables[variable] = values[variable]


@loop(nogil=True)
def _cofactor(table: np.uint64, place: int, value: int) -> np.uint64:
    """The table where a variable is fixed."""
    shift = np.uint64(1 << place)
    if value:
        high = table & _MASKS[place]
        return high | high >> shift
    low = table & ~_MASKS[place]
    return low | low << shift


@loop(nogil=True)
def _swap(table: np.uint64, low: int, high: int) -> np.uint64:
    """The table with two variables exchanged, ``low`` below ``high``."""
    shift = np.uint64((1 << high) - (1 << low))
    up = table & (_MASKS[low] & ~_MASKS[high])
    down = table & (_MASKS[high] & ~_MASKS[low])
    return (table ^ up ^ down) | up << shift | down >> shift


@loop(plain_work=1 << 17, nogil=True)
def cover_to_gates(first: int, cover: Cover, wanted: np.ndarray, outputs: np.ndarray, held: Held, gates: Gates) -> int:
    """Makes a gate of each node in use, one for all that compute the same or the complement of it.

    Args:
        first: the variable of the first node.
        cover: the cut of each node in use, and its table.
        wanted: for each variable 1 where its complement is to be computed in its stead.
        outputs: the literal of each output.
        held: where each variable is; the wires of the inputs are set, the others written.
        gates: written.

    Returns:
        How many gates there are.
    """
    best, best_size, uses, tables = cover.best, cover.best_size, cover.uses, cover.tables
    wires, flips = held.wires, held.flips
    fan_in, arity, table = gates.fan_in, gates.arity, gates.table
    node_of_gate, output_wires = gates.node_of_gate, gates.outputs
    num_inputs = first - 1
    widest = fan_in.shape[1]
    num_slots = 16
    while num_slots < 2 * len(arity):
        num_slots *= 2
    slots = np.full(num_slots, -1, dtype=np.int32)
    constants = np.full(2, -1, dtype=np.int32)
    polarity = np.zeros(len(arity), dtype=np.uint8)
    leaves = np.empty(6, dtype=np.int32)
    num_gates = 0
    for variable in range(first, len(uses)):
        if not uses[variable]:
            continue
        value, size = tables[variable], np.int64(best_size[variable])
        for place in range(size):
            leaf = best[variable, place]
            leaves[place] = wires[leaf]
            if wires[leaf] < 0:
                value = _cofactor(value, place, flips[leaf])
            elif flips[leaf]:
                shift = np.uint64(1 << place)
                value = (value & _MASKS[place]) >> shift | (value & ~_MASKS[place]) << shift
        for place in range(size):  # a wire that is there twice
            for earlier in range(place):
                if leaves[earlier] == leaves[place] and leaves[place] >= 0:
                    low, high = _cofactor(value, place, 0), _cofactor(value, place, 1)
                    value = (low & ~_MASKS[earlier]) | (high & _MASKS[earlier])
                    leaves[place] = -1
                    break
        kept = 0
        for place in range(size):
            if leaves[place] >= 0 and _cofactor(value, place, 0) != _cofactor(value, place, 1):
                if kept != place:
                    value = _swap(value, kept, place)
                    leaves[kept] = leaves[place]
                kept += 1
        for place in range(1, kept):  # in ascending order
            at = place
            while at and leaves[at - 1] > leaves[at]:
                leaves[at - 1], leaves[at] = leaves[at], leaves[at - 1]
                value = _swap(value, at - 1, at)
                at -= 1
        flip = value & np.uint64(1)
        if flip:
            value = ~value
        if kept == 0:
            wires[variable], flips[variable] = -1, flip
            continue
        if kept == 1:
            wires[variable], flips[variable] = leaves[0], flip
            continue
        hashed = value * np.uint64(0x9E3779B97F4A7C15)
        for place in range(kept):
            hashed = (hashed ^ np.uint64(leaves[place]) ^ hashed >> np.uint64(29)) * np.uint64(0xBF58476D1CE4E5B9)
        slot = np.int64((hashed ^ hashed >> np.uint64(32)) & np.uint64(num_slots - 1))
        gate = slots[slot]
        while gate >= 0 and not _is_gate(fan_in, arity, table, polarity, gate, leaves, kept, value):
            slot = (slot + 1) & (num_slots - 1)
            gate = slots[slot]
        if gate < 0:
            gate = num_gates
            slots[slot] = gate
            num_gates += 1
            arity[gate] = kept
            for place in range(widest):
                fan_in[gate, place] = leaves[place] if place < kept else -1
            # The variable is ``value ^ flip``; the gate holds it, or its complement where that is wanted.
            polarity[gate] = flip ^ np.uint64(wanted[variable])
            used = _FULL if kept == 6 else (np.uint64(1) << np.uint64(1 << kept)) - np.uint64(1)
            table[gate] = (~value if polarity[gate] else value) & used
            node_of_gate[gate] = variable
        wires[variable] = num_inputs + gate
        flips[variable] = flip ^ np.uint64(polarity[gate])
    inverters = np.full(num_inputs + len(arity), -1, dtype=np.int32)
    for output in range(len(outputs)):
        variable = outputs[output] >> 1
        flip = flips[variable] ^ np.uint8(outputs[output] & 1)
        wire = wires[variable]
        if wire >= 0 and not flip:
            output_wires[output] = wire
            continue
        made = inverters[wire] if wire >= 0 else constants[flip]
        if made < 0:
            gate = num_gates
            num_gates += 1
            for place in range(widest):
                fan_in[gate, place] = -1
            node_of_gate[gate] = -1
            made = num_inputs + gate
            if wire >= 0:
                arity[gate], table[gate], fan_in[gate, 0] = 1, 1, wire
                inverters[wire] = made
            else:
                arity[gate], table[gate] = 0, flip
                constants[flip] = made
        output_wires[output] = made
    return num_gates


@loop(nogil=True)
def _is_gate(
    fan_in: np.ndarray,
    arity: np.ndarray,
    table: np.ndarray,
    polarity: np.ndarray,
    gate: int,
    leaves: np.ndarray,
    size: int,
    value: np.uint64,
) -> bool:
    if arity[gate] != size:
        return False
    for place in range(size):
        if fan_in[gate, place] != leaves[place]:
            return False
    used = _FULL if size == 6 else (np.uint64(1) << np.uint64(1 << size)) - np.uint64(1)
    return (table[gate] ^ value ^ (_FULL if polarity[gate] else np.uint64(0))) & used == 0


@loop(plain_work=1 << 18, nogil=True)
def mark_live(num_inputs: int, fan_in: np.ndarray, arity: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Which gates some output needs (bool[gates])."""
    live = np.zeros(len(arity), dtype=np.bool_)
    for wire in outputs:
        if wire >= num_inputs:
            live[wire - num_inputs] = True
    for gate in range(len(arity) - 1, -1, -1):
        if live[gate]:
            for column in range(arity[gate]):
                if fan_in[gate, column] >= num_inputs:
                    live[fan_in[gate, column] - num_inputs] = True
    return live
