"""Packed schedule: which gates share a chain token, where a token carries several bits.

A token has room for ``num_slots`` bits. Gates that share a token may depend on one another through up to ``num_levels``
levels, as many as the model has layers; with one layer they are independent. The outputs are the last tokens' bits, in
order. An output whose gate nothing else reads is computed right there, any other is copied.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from serialformer.arrays import Int64
from serialformer.circuits.circuit import NO_WIRE, Circuit
from serialformer.constructions.schedule import Schedule

EMPTY = -1
"""The wire of a slot that holds none; its bit is 0."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedSchedule:
    """The bits of a chain.

    Attributes:
        wire: for each chain token and each of its slots the wire whose value it holds, or EMPTY.
        num_levels: through how many levels gates of one token may depend on one another.
        num_answer_tokens: how many of the last tokens hold the outputs.
    """

    wire: Int64[np.ndarray, "chain slots"]
    num_levels: int
    num_answer_tokens: int

    @property
    def num_tokens(self) -> int:
        return len(self.wire)

    @property
    def num_slots(self) -> int:
        return int(self.wire.shape[1])


def schedule_packed(circuit: Circuit, num_slots: int, num_levels: int = 1) -> PackedSchedule:
    """Fills token after token with gates that are ready, those with the longest way to an output first.

    Args:
        circuit: what is to be computed.
        num_slots: bits of a token.
        num_levels: levels within a token.

    >>> from serialformer import CircuitBuilder
    >>> build = CircuitBuilder()
    >>> a, b, c = build.inputs("a", 3)
    >>> build.output("y", build.xor(build.and_(a, b), build.or_(b, c)))
    >>> schedule_packed(build.circuit(), 2).wire.tolist()
    [[3, 4], [5, -1]]
    >>> schedule_packed(build.circuit(), 3, 2).wire.tolist()
    [[3, 4, -1], [5, -1, -1]]
    """
    num_inputs, num_gates = circuit.num_inputs, circuit.num_gates
    sources = [[int(wire) for wire in set(row.tolist()) if wire != NO_WIRE] for row in circuit.fan_in]
    readers: list[list[int]] = [[] for _ in range(circuit.num_wires)]
    for gate, reads in enumerate(sources):
        for wire in reads:
            readers[wire].append(gate)
    outputs = circuit.outputs.tolist()
    in_place = {wire for wire in outputs if wire >= num_inputs and not readers[wire] and outputs.count(wire) == 1}
    urgency = [0] * num_gates
    for gate in reversed(range(num_gates)):
        urgency[gate] = 1 + max((urgency[reader] for reader in readers[num_inputs + gate]), default=0)
    missing = [sum(wire >= num_inputs for wire in reads) for reads in sources]
    inner = [gate for gate in range(num_gates) if num_inputs + gate not in in_place]
    ready = [(-urgency[gate], gate) for gate in inner if missing[gate] == 0]
    heapq.heapify(ready)
    level_in_token: dict[int, int] = {}
    rows: list[list[int]] = []
    while ready:
        row: list[int] = []
        level_in_token.clear()
        later = []
        while ready and len(row) < num_slots:
            entry = heapq.heappop(ready)
            gate = entry[1]
            level = 1 + max((level_in_token.get(wire, 0) for wire in sources[gate]), default=0)
            if level > num_levels:
                later.append(entry)
                continue
            wire = num_inputs + gate
            row.append(wire)
            level_in_token[wire] = level
            for reader in readers[wire]:
                missing[reader] -= 1
                if missing[reader] == 0 and num_inputs + reader not in in_place:
                    heapq.heappush(ready, (-urgency[reader], reader))
        for entry in later:
            heapq.heappush(ready, entry)
        rows.append(row)
    num_answer_tokens = -(-len(outputs) // num_slots)
    rows += [outputs[start : start + num_slots] for start in range(0, len(outputs), num_slots)]
    wires = np.full((len(rows), num_slots), EMPTY, dtype=np.int64)
    for number, row in enumerate(rows):
        wires[number, : len(row)] = row
    return PackedSchedule(wire=wires, num_levels=num_levels, num_answer_tokens=num_answer_tokens)


def plain_schedule(circuit: Circuit, packed: PackedSchedule) -> Schedule:
    """The same chain bit by bit: tokens in order, in each its slots in order, those that are empty left out."""
    wires = packed.wire[packed.wire != EMPTY].astype(np.int32)
    first = np.zeros(len(wires), dtype=bool)
    first[np.unique(wires, return_index=True)[1]] = True
    computes = first & (wires >= circuit.num_inputs)
    gate = np.where(computes, wires - circuit.num_inputs, -1).astype(np.int32)
    token_of_gate = np.full(circuit.num_gates, -1, dtype=np.int32)
    token_of_gate[gate[computes]] = np.flatnonzero(computes)
    return Schedule(wire=wires, gate=gate, token_of_gate=token_of_gate)
