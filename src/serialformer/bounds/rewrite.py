"""Circuits of unbounded fan-in as circuits that other tools take: without threshold gates, or of two-input gates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from serialformer.bounds.making import DEFAULT_MAX_WIRES, Limit, input_signal, make_circuit
from serialformer.bounds.unbounded import TRUE, UnboundedCircuit
from serialformer.circuits.builder import BUFFER, NOT
from serialformer.circuits.circuit import NO_WIRE, Circuit
from serialformer.errors import CircuitError


def expand_thresholds(circuit: UnboundedCircuit, *, max_wires: int = DEFAULT_MAX_WIRES) -> UnboundedCircuit:
    """The same circuit with ANDs and ORs in place of its threshold gates.

    "At least k of f" becomes a tree of merges: each merges two rows "at least 1, 2, ... of these" into one, up to k, by
    an OR of ANDs of two. It has depth 2 ceil(log2 f) and about f k literals for each level of the tree; where k is more
    than half of f, the false ones are counted instead.

    Raises:
        CircuitError: there are too many wires.
    """
    if not circuit.gates_by_kind["threshold"]:
        return circuit
    return _rewrite(circuit, is_tree=False, max_wires=max_wires)


def to_fan_in_two(circuit: UnboundedCircuit, *, max_wires: int = DEFAULT_MAX_WIRES) -> UnboundedCircuit:
    """The same circuit with gates of two inputs: balanced trees in place of larger ones, and no copies.

    Raises:
        CircuitError: there are too many wires.

    >>> from serialformer.bounds.sums import make_sum
    >>> from serialformer.transformer.precision import fixed_point
    >>> circuit = make_sum(fixed_point(1), 5)
    >>> circuit.max_fan_in, to_fan_in_two(circuit).max_fan_in
    (4, 2)
    """
    if circuit.gates_by_kind["threshold"]:  # a merge has larger gates, so that there are two passes
        circuit = expand_thresholds(circuit, max_wires=max_wires)
    return _rewrite(circuit, is_tree=True, max_wires=max_wires)


def to_circuit(circuit: UnboundedCircuit) -> Circuit:
    """The same as a ``Circuit`` of two-input gates, which take negations into their truth tables.

    An output that is a constant, an input, or a negation takes a gate of its own.

    Raises:
        CircuitError: there are too many wires.
    """
    two = to_fan_in_two(circuit)
    sizes = np.diff(two.start)
    if len(sizes) and int(sizes.max()) > 2:
        raise CircuitError("expected gates of two inputs")
    num_inputs, num_gates = two.num_inputs, two.num_gates
    literals = np.full((num_gates, 2), 2 * (NO_WIRE + 1), dtype=np.int32)
    literals[np.repeat(np.arange(num_gates), sizes), np.arange(len(two.fan_in)) - np.repeat(two.start[:-1], sizes)] = (
        two.fan_in
    )
    flips = (literals[:, 0] & 1) | (literals[:, 1] & 1) << 1
    # Entry i of a table: the literals' values are the bits of i, each flipped where its literal is a negation.
    entry = np.arange(4)[None, :] ^ flips[:, None]
    is_and = two.threshold == 2
    values = np.where(is_and[:, None], entry == 3, entry > 0)
    single = sizes == 1
    tables = np.where(single, np.where(literals[:, 0] & 1, NOT, BUFFER), values @ (1 << np.arange(4)))
    outputs: list[int] = []
    extra: list[int] = []
    for literal in two.outputs.tolist():
        if literal > TRUE and literal % 2 == 0:
            outputs.append(literal // 2 - 1)
        else:
            outputs.append(num_inputs + num_gates + len(extra))
            extra.append(literal)
    added = [(literal // 2 - 1 if literal > TRUE else NO_WIRE, literal) for literal in extra]
    return Circuit(
        num_inputs=num_inputs,
        fan_in=np.concatenate(
            [literals // 2 - 1, np.array([[wire, NO_WIRE] for wire, _ in added], dtype=np.int32).reshape(-1, 2)]
        ).astype(np.int32),
        arity=np.concatenate([sizes, [int(wire != NO_WIRE) for wire, _ in added]]).astype(np.uint8),
        table=np.concatenate(
            [tables, [int(literal == TRUE) if wire == NO_WIRE else NOT for wire, literal in added]]
        ).astype(np.uint64),
        outputs=np.array(outputs, dtype=np.int32),
        input_words=two.input_words,
        output_words=two.output_words,
    )


def _rewrite(circuit: UnboundedCircuit, *, is_tree: bool, max_wires: int) -> UnboundedCircuit:
    from serialformer.bounds.rewrite_kernels import rewrite_gates

    def make(limit: Limit) -> Sequence[int]:
        signals = np.zeros(1 + circuit.num_wires, dtype=np.int64)
        signals[1 : 1 + circuit.num_inputs] = [input_signal(place) for place in range(circuit.num_inputs)]
        rewrite_gates(limit.sink, circuit.threshold, circuit.start, circuit.fan_in, is_tree, signals)
        limit.check()
        return [int(signals[literal // 2]) ^ (literal & 1) for literal in circuit.outputs.tolist()]

    return make_circuit(
        circuit.num_inputs,
        make,
        max_wires=max_wires,
        input_words=circuit.input_words,
        output_words=circuit.output_words,
    )
