"""From gates in any order over numbered nets, as files give them, to a circuit in topological order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from serialformer.arrays import Int, UInt8, UInt64
from serialformer.circuits.circuit import NO_WIRE, Circuit
from serialformer.circuits.name_table import NameTable
from serialformer.circuits.words import Word, names_to_words
from serialformer.errors import FormatError

MAX_WIRES = 2**31 - 2
"""Wires and nets are numbered by 32-bit integers."""

_UNDRIVEN = -2


@dataclass(frozen=True, kw_only=True)
class Netlist:
    """Gates in any order. Nets are integers 0..num_nets-1; each is an input, or driven by one gate, or undriven.

    Attributes:
        num_nets: how many nets there are, fewer than 2^31.
        inputs: the net of each input bit.
        outputs: the net of each output bit.
        driven: the net that each gate drives.
        fan_in: the nets that each gate reads, padded with ``NO_WIRE``.
        arity: how many nets each gate reads.
        table: the gates' truth tables, as in ``Circuit.table``.
    """

    num_nets: int
    inputs: Int[np.ndarray, " inputs"]
    outputs: Int[np.ndarray, " outputs"]
    driven: Int[np.ndarray, " gates"]
    fan_in: Int[np.ndarray, "gates K"]
    arity: UInt8[np.ndarray, " gates"]
    table: UInt64[np.ndarray, " gates"]


def netlist_to_circuit(
    netlist: Netlist,
    *,
    net_name: Callable[[int], str],
    where: Callable[[int], str],
    input_names: Sequence[str | None] | None = None,
    output_names: Sequence[str | None] | None = None,
    input_words: tuple[Word, ...] | None = None,
    output_words: tuple[Word, ...] | None = None,
    gate_names: Sequence[str] = (),
) -> Circuit:
    """Orders the gates topologically, keeping the file's order wherever it already is one. Linear time.

    Args:
        netlist: the gates as the file gives them.
        net_name: a net's name, for messages.
        where: ``file:line`` of the gate (by index in the file), for messages.
        input_names: names of the input bits, grouped into words; or give ``input_words``.
        output_names: names of the output bits, grouped into words; or give ``output_words``.
        gate_names: a name for each gate in file order, or empty.

    Raises:
        FormatError: a net is driven twice, or never but read, or the gates form a cycle.
    """
    num_inputs, num_gates = len(netlist.inputs), len(netlist.driven)
    if netlist.num_nets > MAX_WIRES:
        raise FormatError(
            f"expected at most {MAX_WIRES:,} nets, found {netlist.num_nets:,}",
            where=where(-1),
            hint="split the circuit",
        )
    # The wire of each net: input i has i, gate g has num_inputs + g. The last entry maps NO_WIRE to itself.
    driver = np.full(netlist.num_nets + 1, _UNDRIVEN, dtype=np.int32)
    driver[netlist.inputs] = np.arange(num_inputs, dtype=np.int32)
    driver[netlist.driven] = np.arange(num_inputs, num_inputs + num_gates, dtype=np.int32)
    driver[-1] = NO_WIRE
    if netlist.num_nets - np.count_nonzero(driver[:-1] == _UNDRIVEN) < num_inputs + num_gates:
        counts = np.bincount(netlist.driven, minlength=netlist.num_nets)
        np.add.at(counts, netlist.inputs, 1)
        net = int(np.argmax(counts > 1))
        gates = np.flatnonzero(netlist.driven == net)
        place = where(int(gates[-1])) if len(gates) else where(-1)
        twice = "an input and driven by a gate" if len(gates) == 1 else "defined twice"
        raise FormatError(f"{net_name(net)!r} is {twice}", where=place, hint="every net has one driver")
    sources = driver[netlist.fan_in]
    if len(sources) and int(sources.min()) == _UNDRIVEN:
        gate, column = divmod(int(np.argmax(sources == _UNDRIVEN)), sources.shape[1])
        net = int(netlist.fan_in[gate, column])
        raise FormatError(
            f"{net_name(net)!r} is read but never defined", where=where(gate), hint="define it or make it an input"
        )
    outputs = driver[netlist.outputs]
    del driver
    if (outputs == _UNDRIVEN).any():
        net = int(netlist.outputs[int(np.argmax(outputs == _UNDRIVEN))])
        raise FormatError(f"output {net_name(net)!r} is never defined", where=where(-1), hint="define it")
    table, arity = netlist.table, netlist.arity
    names = NameTable.from_strings(gate_names)
    if (sources.max(axis=1, initial=NO_WIRE) >= np.arange(num_inputs, num_inputs + num_gates)).any():
        from serialformer.circuits.kernels import topological_order

        order, stuck = topological_order(num_inputs, sources, arity)
        if stuck >= 0:
            raise FormatError(
                f"{net_name(int(netlist.driven[stuck]))!r} depends on itself",
                where=where(int(stuck)),
                hint="a combinational circuit has no cycles",
            )
        new_wire = np.empty(num_inputs + num_gates + 1, dtype=np.int32)
        new_wire[:num_inputs] = np.arange(num_inputs)
        new_wire[num_inputs + order] = np.arange(num_inputs, num_inputs + num_gates, dtype=np.int32)
        new_wire[-1] = NO_WIRE
        sources = sources[order]
        for column in range(sources.shape[1]):
            sources[:, column] = new_wire[sources[:, column]]
        outputs, table, arity = new_wire[outputs], table[order], arity[order]
        if names:
            names = names.take(order)
    return Circuit(
        num_inputs=num_inputs,
        fan_in=sources,
        arity=arity,
        table=table,
        outputs=outputs,
        input_words=input_words or names_to_words(input_names or [None] * num_inputs, default="in"),
        output_words=output_words or names_to_words(output_names or [None] * len(outputs), default="out"),
        gate_names=names,
    )
