"""Simplifying a circuit by ourselves: hashing into an AND graph, then covering that with as few K-input gates as found.

1. Gates are lowered to ANDs and XORs with complements on their edges (``and_graph``): constants, buffers and inverters
   go away, and equal nodes are one.
2. Each node gets a few cuts of up to K leaves that cost the least *area flow* (a node's cost shared among its readers),
   twice, the second time with the readers that the first cover has. A cover takes one cut a node, from the outputs on.
3. *Exact area*: node by node, the cut with which the fewest nodes stay in use.
4. Each cut becomes a gate with the truth table of what it covers, without inputs that it does not depend on; gates that
   compute the same, or the complement, of the same wires are one, whatever they were made of.

Steps 2 and 3 follow Mishchenko, Cho, Chatterjee and Brayton, "Combinational and sequential mapping with priority cuts",
2007. All is linear in the gates but for small factors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from serialformer.arrays import Bool, Int32, Int64, UInt8
from serialformer.circuits.circuit import MAX_FAN_IN, NO_WIRE, Circuit
from serialformer.circuits.name_table import NameTable
from serialformer.circuits.passes import arrays_of_pairs, split_gates
from serialformer.errors import CircuitError

_KEPT_CUTS = 8
_EXACT_PASSES = 3
_ROUNDS = 3


@dataclass(frozen=True, kw_only=True)
class _Graph:
    """A circuit as an AND graph, and which literal each of its wires is; see ``and_graph.AndGraph``."""

    num_inputs: int
    operands: Int64[np.ndarray, "nodes 2"]
    is_xor: Bool[np.ndarray, " nodes"]
    literals: Int64[np.ndarray, " wires"]
    outputs: Int64[np.ndarray, " outputs"]
    names: NameTable


def simplify(circuit: Circuit, *, max_fan_in: int | None = None) -> Circuit:
    """A circuit that computes the same with no more gates, mapped again and again until that saves nothing.

    Input and output words are kept; a gate keeps its name where a gate computes the same as before.

    Args:
        circuit: any circuit.
        max_fan_in: how many wires a gate may read, 2 to ``MAX_FAN_IN``; left out, as many as in the circuit, at least
            2. Gates wider than that are split first, and then there may be more gates than before.

    Raises:
        CircuitError: ``max_fan_in`` is out of range.

    >>> from serialformer.circuits.builder import CircuitBuilder
    >>> build = CircuitBuilder()
    >>> a, b = build.inputs("x", 2)
    >>> neither, both = build.and_(build.not_(a), build.not_(b)), build.and_(a, b)
    >>> build.output("equal", build.or_(neither, both))
    >>> build.circuit(), simplify(build.circuit())
    (Circuit(2 inputs, 5 gates, 1 outputs), Circuit(2 inputs, 1 gates, 1 outputs))
    """
    widest = max(2, circuit.max_arity) if max_fan_in is None else max_fan_in
    best = drop_dead_gates(split_gates(circuit, max_fan_in=widest))
    for _ in range(_ROUNDS):
        mapped = map_gates(best, max_fan_in=widest)
        if mapped.num_gates >= best.num_gates:
            break
        best = mapped
    return best


def map_gates(circuit: Circuit, *, max_fan_in: int = 2) -> Circuit:
    """The circuit covered anew with gates of up to ``max_fan_in`` inputs; see the top of this file.

    Raises:
        CircuitError: ``max_fan_in`` is out of range.
    """
    from serialformer.circuits.mapping import kernels

    if not 2 <= max_fan_in <= MAX_FAN_IN:
        raise CircuitError(f"expected max_fan_in from 2 to {MAX_FAN_IN}, found {max_fan_in}")
    graph = _circuit_to_graph(circuit)
    first = graph.num_inputs + 1
    num_variables = first + len(graph.operands)
    best = np.zeros((num_variables, max_fan_in), dtype=np.int32)
    best_size = np.zeros(num_variables, dtype=np.uint8)
    uses = np.zeros(num_variables, dtype=np.int32)
    flow = np.zeros(num_variables)
    cuts = np.zeros((num_variables, _KEPT_CUTS, max_fan_in), dtype=np.int32)
    sizes = np.zeros((num_variables, _KEPT_CUTS), dtype=np.uint8)
    counts = np.zeros(num_variables, dtype=np.int32)
    readers = np.concatenate([graph.operands.ravel(), graph.outputs]) >> 1
    references = np.bincount(readers, minlength=num_variables).astype(np.float64)
    for _ in range(2):
        kernels.enumerate_cuts(first, graph.operands, references, flow, cuts, sizes, counts, best, best_size)
        kernels.count_uses(first, graph.outputs, best, best_size, uses)
        references = (2 * references + uses) / 3
    for _ in range(_EXACT_PASSES):
        if not kernels.recover_area(first, cuts, sizes, counts, best, best_size, uses):
            break
    del cuts, sizes
    return _cover_to_circuit(circuit, graph, best, best_size, uses)


def drop_dead_gates(circuit: Circuit) -> Circuit:
    """The circuit without the gates that no output needs; inputs stay."""
    from serialformer.circuits.mapping.kernels import mark_live

    live = mark_live(circuit.num_inputs, circuit.fan_in, circuit.arity, circuit.outputs)
    return circuit if live.all() else _take_gates(circuit, np.flatnonzero(live))


def _take_gates(circuit: Circuit, gates: Int64[np.ndarray, " kept"]) -> Circuit:
    """The circuit of these gates only, which must be all that they and the outputs read."""
    new_wire = np.full(circuit.num_wires + 1, NO_WIRE, dtype=np.int32)  # the last entry is that of NO_WIRE
    new_wire[: circuit.num_inputs] = np.arange(circuit.num_inputs)
    new_wire[circuit.num_inputs + gates] = np.arange(circuit.num_inputs, circuit.num_inputs + len(gates))
    names = NameTable.from_strings(circuit.gate_names)
    return Circuit(
        num_inputs=circuit.num_inputs,
        fan_in=new_wire[circuit.fan_in[gates]],
        arity=circuit.arity[gates],
        table=circuit.table[gates],
        outputs=new_wire[circuit.outputs],
        input_words=circuit.input_words,
        output_words=circuit.output_words,
        gate_names=names.take(gates) if names else (),
    )


def _circuit_to_graph(circuit: Circuit) -> _Graph:
    from serialformer.circuits.kernels import lower_to_ands

    narrow = split_gates(circuit, max_fan_in=2)
    operands, is_xor, literals = lower_to_ands(narrow.num_inputs, *arrays_of_pairs(narrow), True)
    return _Graph(
        num_inputs=narrow.num_inputs,
        operands=operands,
        is_xor=is_xor,
        literals=literals,
        outputs=literals[narrow.outputs],
        names=NameTable.from_strings(narrow.gate_names),
    )


def _cover_to_circuit(
    circuit: Circuit,
    graph: _Graph,
    best: Int32[np.ndarray, "variables K"],
    best_size: UInt8[np.ndarray, " variables"],
    uses: Int32[np.ndarray, " variables"],
) -> Circuit:
    """A gate for each node in use."""
    from serialformer.circuits.mapping import kernels

    first, num_variables = graph.num_inputs + 1, len(uses)
    tables = np.zeros(num_variables, dtype=np.uint64)
    kernels.tables_of_cuts(first, graph.operands, graph.is_xor, best, best_size, uses, tables)
    capacity = int(np.count_nonzero(uses[first:])) + len(graph.outputs) + 2
    fan_in = np.full((capacity, best.shape[1]), NO_WIRE, dtype=np.int32)
    arity, table = np.zeros(capacity, dtype=np.uint8), np.zeros(capacity, dtype=np.uint64)
    wires, flips = np.full(num_variables, -1, dtype=np.int32), np.zeros(num_variables, dtype=np.uint8)
    wires[1:first] = np.arange(graph.num_inputs)
    node_of_gate = np.full(capacity, -1, dtype=np.int64)
    outputs = np.zeros(len(graph.outputs), dtype=np.int32)
    wanted = _wanted_polarity(graph, num_variables)
    cover = kernels.Cover(best=best, best_size=best_size, uses=uses, tables=tables)
    held = kernels.Held(wires=wires, flips=flips)
    gates = kernels.Gates(fan_in=fan_in, arity=arity, table=table, node_of_gate=node_of_gate, outputs=outputs)
    num_gates = kernels.cover_to_gates(first, cover, wanted, graph.outputs, held, gates)
    node_of_gate = node_of_gate[:num_gates]
    mapped = Circuit(
        num_inputs=circuit.num_inputs,
        fan_in=fan_in[:num_gates],
        arity=arity[:num_gates],
        table=table[:num_gates],
        outputs=outputs,
        input_words=circuit.input_words,
        output_words=circuit.output_words,
        gate_names=_names_of_gates(graph, node_of_gate, wires, flips),
    )
    return drop_dead_gates(mapped)


def _wanted_polarity(graph: _Graph, num_variables: int) -> UInt8[np.ndarray, " variables"]:
    """For each variable 1 where a gate had better hold its complement: because an output is that, or a named gate."""
    wanted = np.zeros(num_variables, dtype=np.uint8)
    gates = graph.literals[graph.num_inputs :][::-1]  # the first gate of a variable has the last word, then outputs
    if graph.names:
        gates = np.concatenate([gates, gates[graph.names.lengths[::-1] > 0]])
    wanted[gates >> 1] = gates & 1
    wanted[graph.outputs[::-1] >> 1] = graph.outputs[::-1] & 1
    return wanted


def _names_of_gates(
    graph: _Graph,
    node_of_gate: Int64[np.ndarray, " gates"],
    wires: Int32[np.ndarray, " variables"],
    flips: UInt8[np.ndarray, " variables"],
) -> NameTable:
    """For each new gate the name of an old one that has the same value, the first in the old order."""
    if not graph.names:
        return NameTable()
    literals = graph.literals[graph.num_inputs :]
    named = np.flatnonzero(graph.names.lengths > 0)[::-1]
    wire_of_old = wires[literals[named] >> 1].astype(np.int64)
    same = (flips[literals[named] >> 1] == (literals[named] & 1)) & (wire_of_old >= graph.num_inputs)
    old_of_new = np.full(len(node_of_gate), -1, dtype=np.int64)
    old_of_new[wire_of_old[same] - graph.num_inputs] = named[same]
    return graph.names.take(old_of_new)


def copy_names(named: Circuit, circuit: Circuit) -> Circuit:
    """The second circuit, with the names of the gates of the first that give the same AND graph.

    Names that it has already are kept. The circuits have the same inputs.
    """
    names = NameTable.from_strings(named.gate_names)
    if not names or circuit.gate_names:
        return circuit
    assert named.num_inputs == circuit.num_inputs
    columns = max(named.fan_in.shape[1], circuit.fan_in.shape[1])
    fan_in = np.full((named.num_gates + circuit.num_gates, columns), NO_WIRE, dtype=np.int32)
    fan_in[: named.num_gates, : named.fan_in.shape[1]] = named.fan_in
    behind = circuit.fan_in + np.where(circuit.fan_in >= circuit.num_inputs, named.num_gates, 0).astype(np.int32)
    fan_in[named.num_gates :, : circuit.fan_in.shape[1]] = behind
    both = Circuit(
        num_inputs=named.num_inputs,
        fan_in=fan_in,
        arity=np.concatenate([named.arity, circuit.arity]),
        table=np.concatenate([named.table, circuit.table]),
        outputs=named.outputs,
        gate_names=[*map(str, range(named.num_gates + circuit.num_gates))],
    )
    graph = _circuit_to_graph(both)
    last = graph.names.lengths > 0  # where a gate was split, the last of its parts has its name, and its value
    literals = graph.literals[graph.num_inputs :][last]
    old, new = literals[: named.num_gates], literals[named.num_gates :]
    kept = np.flatnonzero(names.lengths > 0)[::-1]
    gate_of_literal = np.full(int(literals.max(initial=0)) + 1, -1, dtype=np.int64)
    gate_of_literal[old[kept]] = kept
    gate_of_new = gate_of_literal[new]
    _, first = np.unique(gate_of_new, return_index=True)
    once = np.full(len(gate_of_new), -1, dtype=np.int64)
    once[first] = gate_of_new[first]
    return replace(circuit, gate_names=names.take(once))
