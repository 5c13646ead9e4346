"""From gates in any order over numbered nets, as files give them, to a circuit in topological order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, UInt8, UInt64

from serialformer.circuits.circuit import NO_WIRE, Circuit
from serialformer.circuits.words import Word, names_to_words
from serialformer.errors import FormatError


@dataclass(frozen=True, kw_only=True)
class Netlist:
    """Gates in any order. Nets are integers 0..num_nets-1; each is an input, or driven by one gate, or undriven.

    Attributes:
        num_nets: how many nets there are.
        inputs: the net of each input bit.
        outputs: the net of each output bit.
        driven: the net that each gate drives.
        fan_in: the nets that each gate reads, padded with ``NO_WIRE``.
        arity: how many nets each gate reads.
        table: the gates' truth tables, as in ``Circuit.table``.
    """

    num_nets: int
    inputs: Int64[np.ndarray, " inputs"]
    outputs: Int64[np.ndarray, " outputs"]
    driven: Int64[np.ndarray, " gates"]
    fan_in: Int64[np.ndarray, "gates K"]
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
    driver = np.full(netlist.num_nets, -1, dtype=np.int64)  # input i: i; gate g: num_inputs + g
    driver[netlist.inputs] = np.arange(num_inputs)
    driver[netlist.driven] = num_inputs + np.arange(num_gates)
    counts = np.bincount(netlist.driven, minlength=netlist.num_nets)
    np.add.at(counts, netlist.inputs, 1)
    if (counts > 1).any():
        net = int(np.argmax(counts > 1))
        gates = np.flatnonzero(netlist.driven == net)
        place = where(int(gates[-1])) if len(gates) else where(-1)
        twice = "an input and driven by a gate" if len(gates) == 1 else "defined twice"
        raise FormatError(f"{net_name(net)!r} is {twice}", where=place, hint="every net has one driver")
    used = np.arange(netlist.fan_in.shape[1]) < netlist.arity[:, None]
    sources = np.where(used, driver[netlist.fan_in], NO_WIRE)
    missing = used & (sources < 0)
    if missing.any():
        gate = int(np.argmax(missing.any(axis=1)))
        net = int(netlist.fan_in[gate, int(np.argmax(missing[gate]))])
        raise FormatError(
            f"{net_name(net)!r} is read but never defined", where=where(gate), hint="define it or make it an input"
        )
    outputs = driver[netlist.outputs] if len(netlist.outputs) else np.zeros(0, dtype=np.int64)
    if (outputs < 0).any():
        net = int(netlist.outputs[int(np.argmax(outputs < 0))])
        raise FormatError(f"output {net_name(net)!r} is never defined", where=where(-1), hint="define it")
    table, arity = netlist.table, netlist.arity
    if (sources >= num_inputs + np.arange(num_gates)[:, None]).any():
        from serialformer.circuits.kernels import topological_order

        order, stuck = topological_order(num_inputs, sources, arity)
        if stuck >= 0:
            raise FormatError(
                f"{net_name(int(netlist.driven[stuck]))!r} depends on itself",
                where=where(int(stuck)),
                hint="a combinational circuit has no cycles",
            )
        rank = np.empty(num_gates, dtype=np.int64)
        rank[order] = np.arange(num_gates)
        place = np.concatenate([np.arange(num_inputs), num_inputs + rank, [NO_WIRE]])  # place[-1] is NO_WIRE
        sources, outputs = place[sources[order]], place[outputs]
        table, arity = table[order], arity[order]
        gate_names = [gate_names[gate] for gate in order] if gate_names else ()
    return Circuit(
        num_inputs=num_inputs,
        fan_in=sources.astype(np.int32),
        arity=arity,
        table=table,
        outputs=outputs.astype(np.int32),
        input_words=input_words or names_to_words(input_names or [None] * num_inputs, default="in"),
        output_words=output_words or names_to_words(output_names or [None] * len(outputs), default="out"),
        gate_names=tuple(gate_names),
    )
