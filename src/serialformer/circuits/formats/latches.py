"""Latches of a text format: cut open, so that the gates between them are one clock cycle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from serialformer.arrays import Int
from serialformer.circuits.formats.gate_list import gates_to_circuit
from serialformer.circuits.formats.netlist import Netlist
from serialformer.circuits.formats.statements import Statements, shorten
from serialformer.circuits.sequential.sequential import SequentialCircuit, to_sequential

READS_LATCHES = "serialformer.read_sequential reads it; compile, and run --cycles, take it as it is"
"""The hint of those who read combinational circuits only."""


def count_latches(number: int) -> str:
    """What is wrong with latches in a file that is read as a combinational circuit.

    >>> count_latches(1), count_latches(14)
    ('1 latch: this is a sequential circuit', '14 latches: this is a sequential circuit')
    """
    return f"{number} latch{'es' * (number > 1)}: this is a sequential circuit"


@dataclass(frozen=True, kw_only=True)
class Latches:
    """The latches of a netlist.

    Attributes:
        names: what each is called: the name of the net that it drives.
        driven: the net that each drives.
        read: the net that each reads.
        initial: 0, 1 or None.
        lines: the line of each.
    """

    names: Sequence[str]
    driven: Int[np.ndarray, " latches"]
    read: Int[np.ndarray, " latches"]
    initial: Sequence[int | None]
    lines: Int[np.ndarray, " latches"]


def gates_to_sequential(
    statements: Statements,
    netlist: Netlist,
    latches: Latches,
    *,
    lines: Int[np.ndarray, " gates"],
    net_name: Callable[[int], str],
    gate_names: Callable[[], Sequence[str]],
    input_lines: Int[np.ndarray, " inputs"],
    output_lines: Int[np.ndarray, " outputs"],
) -> SequentialCircuit:
    """The circuit of one cycle: what latches drive are inputs, what they read are outputs.

    See ``gates_to_circuit`` for the arguments; the netlist does not hold the latches.

    Raises:
        FormatError: as there; or a latch drives what something else drives, or reads what nothing drives.
    """
    _check_nets(statements, netlist, latches, net_name)
    # Nets deep in a hierarchy take long to name; what latches read needs no name.
    names = dict.fromkeys(latches.read.tolist(), "")
    names |= zip(latches.driven.tolist(), latches.names, strict=True)
    names |= {net: net_name(net) for net in {*netlist.inputs.tolist(), *netlist.outputs.tolist()}}
    cycle = gates_to_circuit(
        statements,
        replace(
            netlist,
            inputs=np.concatenate([latches.driven, netlist.inputs]),
            outputs=np.concatenate([latches.read, netlist.outputs]),
        ),
        lines=lines,
        net_name=net_name,
        gate_names=gate_names,
        input_lines=np.concatenate([latches.lines, input_lines]),
        output_lines=np.concatenate([latches.lines, output_lines]),
        port_names=names,
    )
    return to_sequential(
        cycle,
        state_names=latches.names,
        input_names=[names[net] for net in netlist.inputs.tolist()],
        output_names=[names[net] for net in netlist.outputs.tolist()],
        initial=latches.initial,
    )


def _check_nets(statements: Statements, netlist: Netlist, latches: Latches, net_name: Callable[[int], str]) -> None:
    """Refuses a latch that shares its net with another driver, or whose next value nothing drives."""
    by = np.zeros(netlist.num_nets, dtype=np.uint8)
    by[netlist.driven] |= 1
    by[netlist.inputs] |= 2
    shared = np.flatnonzero(by[latches.driven])
    _, first = np.unique(latches.driven, return_index=True)
    repeated = np.setdiff1d(np.arange(len(latches.driven)), first)
    for places, other in ((shared, ""), (repeated, "another latch")):
        if len(places):
            latch = int(places[0])
            other = other or ("a gate" if by[latches.driven[latch]] & 1 else "an input")
            raise statements.error(
                int(latches.lines[latch]),
                f"{shorten(latches.names[latch])} is driven by a latch and by {other}",
                hint="every net has one driver",
            )
    by[latches.driven] |= 4
    undriven = np.flatnonzero(by[latches.read] == 0)
    if len(undriven):
        latch = int(undriven[0])
        name = net_name(int(latches.read[latch]))
        raise statements.error(
            int(latches.lines[latch]),
            f"{shorten(name)}, which latch {shorten(latches.names[latch])} reads, is never defined",
            hint="define it by a gate or make it an input",
        )
