"""Gates gathered from a file in bulk, in any order, before they become a circuit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from serialformer.arrays import Int, UInt8, UInt64
from serialformer.circuits.circuit import MAX_FAN_IN, NO_WIRE, Circuit
from serialformer.circuits.formats.netlist import MAX_WIRES, Netlist, netlist_to_circuit
from serialformer.circuits.formats.statements import Statements, shorten
from serialformer.circuits.words import names_to_words


class GateList:
    """Collects arrays of gates over numbered nets and assigns numbers to new nets.

    >>> gates = GateList(num_nets=4)  # net 3 = AND of nets 0, 1, 2
    >>> gates.add_trees(np.array([3]), np.array([[0, 1, 2]]), table=8, root_table=8, lines=np.array([7]))
    >>> driven, fan_in, arity, table, lines = gates.arrays()
    >>> driven.tolist(), fan_in.tolist()
    ([4, 3], [[0, 1], [4, 2]])
    """

    def __init__(self, num_nets: int) -> None:
        self.num_nets = num_nets
        self._driven: list[np.ndarray] = []
        self._fan_in: list[np.ndarray] = []
        self._table: list[np.ndarray] = []
        self._lines: list[np.ndarray] = []

    def new_nets(self, count: int) -> Int[np.ndarray, " count"]:
        """Nets that the file does not name."""
        self.num_nets += count
        assert self.num_nets <= MAX_WIRES
        return np.arange(self.num_nets - count, self.num_nets, dtype=np.int32)

    def reads(self, net: int) -> bool:
        """Whether a gate reads the net."""
        return any((part == net).any() for part in self._fan_in)

    def add(
        self,
        driven: Int[np.ndarray, " gates"],
        fan_in: Int[np.ndarray, "gates arity"],
        table: UInt64[np.ndarray, " gates"] | int,
        lines: Int[np.ndarray, " gates"],
    ) -> None:
        """Adds gates of one arity.

        Args:
            driven: the net that each gate drives.
            fan_in: the nets that it reads.
            table: its truth table.
            lines: the line of the file that says so, for messages and for the order of the gates.
        """
        if len(driven):
            self._driven.append(driven.astype(np.int32, copy=False))
            self._fan_in.append(fan_in.astype(np.int32, copy=False))
            self._table.append(np.broadcast_to(np.asarray(table, dtype=np.uint64), driven.shape))
            self._lines.append(lines.astype(np.int32 if int(lines.max()) <= MAX_WIRES else np.int64, copy=False))

    def add_trees(
        self,
        driven: Int[np.ndarray, " gates"],
        fan_in: Int[np.ndarray, "gates arity"],
        *,
        table: UInt64[np.ndarray, " gates"] | int,
        root_table: UInt64[np.ndarray, " gates"] | int,
        lines: Int[np.ndarray, " gates"],
    ) -> None:
        """Adds operators of two or more inputs as balanced trees of two-input gates; the root has its own table."""
        tables = np.broadcast_to(np.asarray(table, dtype=np.uint64), driven.shape)
        while (width := fan_in.shape[1]) > 2:
            pairs = width // 2
            nets = self.new_nets(len(driven) * pairs)
            self.add(
                nets,
                np.stack([fan_in[:, 0 : 2 * pairs : 2].ravel(), fan_in[:, 1 : 2 * pairs : 2].ravel()], axis=1),
                np.repeat(tables, pairs),
                np.repeat(lines, pairs),
            )
            fan_in = np.concatenate([nets.reshape(len(driven), pairs), fan_in[:, 2 * pairs :]], axis=1)
        self.add(driven, fan_in, root_table, lines)

    def arrays(
        self,
    ) -> tuple[
        Int[np.ndarray, " gates"],
        Int[np.ndarray, "gates K"],
        UInt8[np.ndarray, " gates"],
        UInt64[np.ndarray, " gates"],
        Int[np.ndarray, " gates"],
    ]:
        """Hands over the gates: driven nets, read nets, arities, tables and lines, in the order of their lines."""
        if not self._driven:
            nothing = np.zeros(0, dtype=np.int32)
            return nothing, np.zeros((0, 2), np.int32), nothing.astype(np.uint8), nothing.astype(np.uint64), nothing
        columns = max(2, *(part.shape[1] for part in self._fan_in))
        assert columns <= MAX_FAN_IN
        lines = _joined(self._lines)
        order = slice(None) if (lines[1:] >= lines[:-1]).all() else np.argsort(lines, kind="stable")
        fan_in = np.full((len(lines), columns), NO_WIRE, dtype=np.int32)
        arity = np.empty(len(lines), dtype=np.uint8)
        start = 0
        for part in self._fan_in:
            fan_in[start : start + len(part), : part.shape[1]] = part
            arity[start : start + len(part)] = part.shape[1]
            start += len(part)
        self._fan_in.clear()
        fan_in, arity, lines = fan_in[order], arity[order], lines[order]
        return _joined(self._driven)[order], fan_in, arity, _joined(self._table)[order], lines


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """The parts, one after the other; the list is empty then, so that they do not outlive it."""
    joined = np.concatenate(parts)
    parts.clear()
    return joined


def gates_to_circuit(
    statements: Statements,
    netlist: Netlist,
    *,
    lines: Int[np.ndarray, " gates"],
    net_name: Callable[[int], str],
    gate_names: Callable[[], Sequence[str]],
    input_lines: Int[np.ndarray, " inputs"],
    output_lines: Int[np.ndarray, " outputs"],
    port_names: Mapping[int, str] | None = None,
) -> Circuit:
    """The circuit, or an error that names the net and the line at fault.

    Args:
        statements: the file, for messages.
        netlist: its gates and ports.
        lines: the line of each gate.
        net_name: a net's name.
        gate_names: makes a name for each gate, or none.
        input_lines: the line that declares each input.
        output_lines: the line that declares each output.
        port_names: the names of the nets that are inputs and outputs; ``net_name`` says them unless given.

    Raises:
        FormatError: a net is driven twice, or never but read, or the gates form a cycle.
    """
    seen = np.zeros(netlist.num_nets, dtype=bool)
    seen[netlist.inputs] = True
    if np.count_nonzero(seen) != len(netlist.inputs):
        _, firsts = np.unique(netlist.inputs, return_index=True)
        again = np.setdiff1d(np.arange(len(netlist.inputs)), firsts)[0]
        raise statements.error(
            int(input_lines[again]),
            f"{shorten(net_name(int(netlist.inputs[again])))} is declared an input twice",
            hint="remove one of the declarations",
        )
    seen[netlist.driven] = True
    undriven = np.flatnonzero(~seen[netlist.outputs])
    if len(undriven):
        raise statements.error(
            int(output_lines[undriven[0]]),
            f"output {shorten(net_name(int(netlist.outputs[undriven[0]])))} is never defined",
            hint="define it by a gate or make it an input",
        )
    names = port_names
    if names is None:
        names = {net: net_name(net) for net in set(netlist.inputs.tolist()) | set(netlist.outputs.tolist())}
    return netlist_to_circuit(
        netlist,
        net_name=net_name,
        where=lambda gate: statements.where(int(lines[gate]) if gate >= 0 else -1),
        input_words=names_to_words([names[net] for net in netlist.inputs.tolist()], default="in"),
        output_words=names_to_words([names[net] for net in netlist.outputs.tolist()], default="out"),
        gate_names=gate_names(),
    )
