"""A circuit as two-input ANDs (and XORs) between literals, where a negation costs nothing: what writers lower to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serialformer.arrays import Bool, Int64
from serialformer.circuits.circuit import Circuit
from serialformer.circuits.kernels import lower_to_ands
from serialformer.circuits.passes import arrays_of_pairs, split_gates


@dataclass(frozen=True, kw_only=True)
class AndGraph:
    """Nodes between literals, numbered as in AIGER.

    Literal 2 v is variable v, 2 v + 1 its complement. Variable 0 is the constant false, 1..num_inputs are the inputs,
    num_inputs + 1 + n is node n. Nodes stand in topological order and no two are the same.

    Attributes:
        num_inputs: how many inputs there are.
        operands: the two literals that each node reads, the larger first.
        is_xor: which nodes are XORs; the others are ANDs. An XOR reads even literals.
        outputs: the literal of each output bit.
    """

    num_inputs: int
    operands: Int64[np.ndarray, "nodes 2"]
    is_xor: Bool[np.ndarray, " nodes"]
    outputs: Int64[np.ndarray, " outputs"]

    @property
    def num_nodes(self) -> int:
        return len(self.operands)


def circuit_to_and_graph(circuit: Circuit, *, xor_nodes: bool) -> AndGraph:
    """Lowers a circuit, with structural hashing; gates that no output needs stay.

    Args:
        circuit: any circuit.
        xor_nodes: whether an XOR is one node, else it is three ANDs.

    >>> from serialformer.circuits.builder import CircuitBuilder
    >>> build = CircuitBuilder()
    >>> build.output("either", build.or_(build.input("a"), build.input("b")))
    >>> graph = circuit_to_and_graph(build.circuit(), xor_nodes=True)
    >>> graph.operands.tolist(), graph.outputs.tolist()
    ([[5, 3]], [7])
    """
    narrow = split_gates(circuit, max_fan_in=2, xor_cost=1 if xor_nodes else 3)
    operands, is_xor, literals = lower_to_ands(narrow.num_inputs, *arrays_of_pairs(narrow), xor_nodes)
    return AndGraph(num_inputs=narrow.num_inputs, operands=operands, is_xor=is_xor, outputs=literals[narrow.outputs])
