"""Passes: pure functions from circuits to circuits that compute the same."""

from __future__ import annotations

import numpy as np

from serialformer.arrays import Int32, Int64, UInt8, UInt64
from serialformer.circuits.circuit import MAX_FAN_IN, NO_WIRE, Circuit
from serialformer.circuits.name_table import NameTable
from serialformer.circuits.synthesis import network_of_table
from serialformer.errors import CircuitError


def split_gates(circuit: Circuit, *, max_fan_in: int = 2, xor_cost: int = 1) -> Circuit:
    """The circuit with every gate wider than ``max_fan_in`` made a small network of narrower gates.

    Gates that are narrow enough stay as they are, in their order; a network stands where its gate stood, and its last
    gate has the old gate's name. Words and outputs are kept.

    Args:
        circuit: any circuit.
        max_fan_in: how many wires a gate may read, 2 to ``MAX_FAN_IN``.
        xor_cost: what a two-input XOR costs where an AND costs 1; 3 where it will be made of ANDs.

    Raises:
        CircuitError: ``max_fan_in`` is out of range.

    >>> from serialformer.circuits.builder import CircuitBuilder
    >>> build = CircuitBuilder()
    >>> build.output("all", build.gate(1 << 63, *build.inputs("x", 6)))
    >>> narrow = split_gates(build.circuit(), max_fan_in=2)
    >>> narrow, narrow.depth
    (Circuit(6 inputs, 5 gates, 1 outputs), 3)
    """
    if not 2 <= max_fan_in <= MAX_FAN_IN:
        raise CircuitError(f"expected max_fan_in from 2 to {MAX_FAN_IN}, found {max_fan_in}")
    wide = np.flatnonzero(circuit.arity > max_fan_in)
    if not len(wide):
        return circuit

    # Gates of one table share one network: all of them are rewritten at once.
    kinds, kind_of_gate = np.unique(
        np.stack([circuit.table[wide], circuit.arity[wide].astype(np.uint64)], axis=1), axis=0, return_inverse=True
    )
    networks = [network_of_table(int(table), int(arity), max_fan_in, xor_cost) for table, arity in kinds]
    num_new = np.ones(circuit.num_gates, dtype=np.int64)
    num_new[wide] = np.array([len(network) for network in networks])[kind_of_gate.ravel()]
    last = np.cumsum(num_new) - 1  # the new index of each old gate
    new_wire = np.concatenate([np.arange(circuit.num_inputs), circuit.num_inputs + last, [NO_WIRE]])  # [-1]: NO_WIRE

    total = int(num_new.sum())
    fan_in = np.full((total, max_fan_in), NO_WIRE, dtype=np.int32)
    arity, table = np.zeros(total, dtype=np.uint8), np.zeros(total, dtype=np.uint64)
    narrow = np.flatnonzero(circuit.arity <= max_fan_in)
    columns = min(max_fan_in, circuit.fan_in.shape[1])
    fan_in[last[narrow], :columns] = new_wire[circuit.fan_in[narrow, :columns]]
    arity[last[narrow]], table[last[narrow]] = circuit.arity[narrow], circuit.table[narrow]
    by_kind = wide[np.argsort(kind_of_gate.ravel(), kind="stable")]
    for network, gates in zip(
        networks, np.split(by_kind, np.cumsum(np.bincount(kind_of_gate.ravel()))[:-1]), strict=True
    ):
        _fill(network, gates, circuit, last, new_wire, fan_in, arity, table)

    names = NameTable.from_strings(circuit.gate_names)
    if names:
        old_gate = np.full(total, -1, dtype=np.int64)
        old_gate[last] = np.arange(circuit.num_gates)
        names = names.take(old_gate)
    return Circuit(
        num_inputs=circuit.num_inputs,
        fan_in=fan_in,
        arity=arity,
        table=table,
        outputs=new_wire[circuit.outputs].astype(np.int32),
        input_words=circuit.input_words,
        output_words=circuit.output_words,
        gate_names=names,
    )


def arrays_of_pairs(
    circuit: Circuit,
) -> tuple[Int32[np.ndarray, "gates 2"], UInt8[np.ndarray, " gates"], UInt64[np.ndarray, " gates"]]:
    """What gates of at most two inputs read, in two columns, their fan-in and their tables, for ``lower_to_ands``.

    They are copies, since numba would compile the loop again for the read-only arrays of some circuits.

    >>> from serialformer.circuits.builder import CircuitBuilder
    >>> build = CircuitBuilder()
    >>> build.output("y", build.not_(build.input("a")))
    >>> fan_in, arity, table = arrays_of_pairs(build.circuit())
    >>> fan_in.tolist(), arity.tolist(), table.tolist()
    ([[0, -1]], [1], [1])
    """
    fan_in = np.full((circuit.num_gates, 2), NO_WIRE, dtype=np.int32)
    columns = min(2, circuit.fan_in.shape[1])
    fan_in[:, :columns] = circuit.fan_in[:, :columns]
    return fan_in, circuit.arity.copy(), circuit.table.copy()


def _fill(
    network: tuple[tuple[int, tuple[int, ...]], ...],
    gates: Int64[np.ndarray, " gates"],
    circuit: Circuit,
    last: Int64[np.ndarray, " old"],
    new_wire: Int64[np.ndarray, " wires"],
    fan_in: Int32[np.ndarray, "new K"],
    arity: UInt8[np.ndarray, " new"],
    table: UInt64[np.ndarray, " new"],
) -> None:
    """Writes one network for each of the gates that have its table."""
    inputs = int(circuit.arity[gates[0]])
    first = last[gates] - (len(network) - 1)
    for step, (step_table, reads) in enumerate(network):
        arity[first + step], table[first + step] = len(reads), step_table
        for column, node in enumerate(reads):
            if node < inputs:
                fan_in[first + step, column] = new_wire[circuit.fan_in[gates, node]]
            else:
                fan_in[first + step, column] = circuit.num_inputs + first + node - inputs
