"""Schedule: which chain token writes which gate.

One gate a token, in topological order, and the output bits as the last tokens, in order. A gate that is an output is
written right there if nothing that comes earlier needs it; only other outputs (inputs, repeats, gates that are also
read inside the circuit) take a token of their own, a copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from serialformer.arrays import Int32
from serialformer.circuits.circuit import Circuit

Chain = Literal["gates", "none"]
"""Whether the gates are written as a chain of tokens, or computed by layers, each in a column."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Schedule:
    """The order of the chain.

    Attributes:
        wire: the wire of the circuit whose value each chain token is.
        gate: the gate that each chain token computes, or -1 where it copies ``wire`` from an earlier token.
        token_of_gate: for each gate the index of its chain token, or -1 where it is not written.
    """

    wire: Int32[np.ndarray, " chain"]
    gate: Int32[np.ndarray, " chain"]
    token_of_gate: Int32[np.ndarray, " gates"]


def schedule_chain(circuit: Circuit) -> Schedule:
    """Puts the gates in the circuit's order, the outputs last."""
    in_place = _outputs_in_place(circuit)
    outputs = circuit.outputs
    gate_of_output = np.where(in_place, outputs - circuit.num_inputs, -1).astype(np.int32)
    inner = np.ones(circuit.num_gates, dtype=bool)
    inner[gate_of_output[in_place]] = False
    gate = np.concatenate([np.flatnonzero(inner).astype(np.int32), gate_of_output])
    wire = np.concatenate([np.flatnonzero(inner).astype(np.int32) + np.int32(circuit.num_inputs), outputs])
    token_of_gate = np.empty(circuit.num_gates, dtype=np.int32)
    written = np.flatnonzero(gate >= 0)
    token_of_gate[gate[written]] = written
    return Schedule(wire=wire, gate=gate, token_of_gate=token_of_gate)


def schedule_answer(circuit: Circuit) -> Schedule:
    """Of a model without a chain: it writes the outputs alone, and computes no gate as it writes."""
    return Schedule(
        wire=circuit.outputs,
        gate=np.full(len(circuit.outputs), -1, dtype=np.int32),
        token_of_gate=np.full(circuit.num_gates, -1, dtype=np.int32),
    )


def _outputs_in_place(circuit: Circuit) -> np.ndarray:
    """For each output bit whether its gate can be computed at the output's own token.

    That is so for the first output of a gate whose every reader is such a gate too, at a later output. Going from the
    last output to the first, every reader has been decided before it is asked about.
    """
    outputs = circuit.outputs.astype(np.int64)
    in_place = np.zeros(len(outputs), dtype=bool)
    first = np.zeros(len(outputs), dtype=bool)
    first[np.unique(outputs, return_index=True)[1]] = True
    candidate = first & (outputs >= circuit.num_inputs)
    is_candidate = np.zeros(circuit.num_wires + 1, dtype=bool)  # the last entry stands for NO_WIRE
    is_candidate[outputs[candidate]] = True
    read_gate, column = np.nonzero(is_candidate[circuit.fan_in])
    read_wire = circuit.fan_in[read_gate, column]
    order = np.argsort(read_wire, kind="stable")
    read_gate, read_wire = read_gate[order], read_wire[order]
    starts, ends = np.searchsorted(read_wire, outputs), np.searchsorted(read_wire, outputs, side="right")
    placed = np.zeros(circuit.num_gates, dtype=bool)
    for output in np.flatnonzero(candidate)[::-1]:
        if placed[read_gate[starts[output] : ends[output]]].all():
            in_place[output] = True
            placed[outputs[output] - circuit.num_inputs] = True
    return in_place
