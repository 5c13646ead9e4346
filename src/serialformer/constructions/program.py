"""Program: what each position of the sequence has to do, before any weight is chosen.

The prompt is the input bits and then ``=``; the chain follows. A position *writes* the token of the position after it:
it reads the tokens of a few earlier positions as bits (``=`` reads as 0) and looks their combination up in a truth
table. The last position writes ``=``, which ends the chain. Every compile target realises the same program.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serialformer.arrays import Int32, UInt8, UInt64
from serialformer.circuits.circuit import Circuit
from serialformer.constructions.schedule import Schedule

VOCABULARY = ("0", "1", "=", "<unk>")
"""``<unk>`` is what the tokenizer makes of anything but a bit. Its embedding is zero: it reads as neither bit, and a
gate that reads it writes ``=``, which ends the chain."""

ZERO, ONE, EQUALS = 0, 1, 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Program:
    """For each chain token what it reads and its truth table.

    Attributes:
        num_inputs: input bits of the prompt; position num_inputs holds ``=``.
        reads: for each chain token the positions that its heads attend to; K >= 1 columns. A token of fewer than K
            inputs reads its first input again, and one of none reads ``=``.
        arity: how many of the columns count.
        table: the truth table over those, as in ``Circuit.table``.
    """

    num_inputs: int
    reads: Int32[np.ndarray, "chain K"]
    arity: UInt8[np.ndarray, " chain"]
    table: UInt64[np.ndarray, " chain"]

    @property
    def num_chain_tokens(self) -> int:
        return len(self.arity)

    @property
    def num_heads(self) -> int:
        return int(self.reads.shape[1])

    @property
    def num_positions(self) -> int:
        """Prompt, ``=`` and chain."""
        return self.num_inputs + 1 + self.num_chain_tokens

    def entry(self, chain: slice, combination: int) -> UInt8[np.ndarray, " some"]:
        """The entries of the truth tables of a stretch of the chain for one combination of all K bits.

        Bits beyond a gate's arity do not matter.
        """
        counted = (np.uint64(1) << self.arity[chain].astype(np.uint64)) - np.uint64(1)
        return (self.table[chain] >> (np.uint64(combination) & counted) & np.uint64(1)).astype(np.uint8)


def schedule_to_program(circuit: Circuit, schedule: Schedule) -> Program:
    """Wires become positions: input i stands at i, ``=`` at num_inputs, chain token t at num_inputs + 1 + t."""
    first = circuit.num_inputs + 1
    position = np.arange(circuit.num_wires, dtype=np.int32)
    position[circuit.num_inputs :] = first + schedule.token_of_gate
    is_copy = schedule.gate < 0
    num_heads = max(1, circuit.max_arity)
    arity = np.ones(len(schedule.gate), dtype=np.uint8)
    table = np.full(len(schedule.gate), 0b10, dtype=np.uint64)
    reads = np.empty((len(schedule.gate), num_heads), dtype=np.int32)
    reads[is_copy] = position[schedule.wire[is_copy], None]
    gates = schedule.gate[~is_copy]
    if len(gates):
        arity[~is_copy], table[~is_copy] = circuit.arity[gates], circuit.table[gates]
        fan_in = circuit.fan_in[gates, :num_heads]
        if fan_in.shape[1] < num_heads:
            fan_in = np.repeat(fan_in[:, :1], num_heads, axis=1) if fan_in.shape[1] else np.full((len(gates), 1), -1)
        places = position[fan_in]
        unread = np.where(arity[~is_copy, None] > 0, places[:, :1], circuit.num_inputs)
        reads[~is_copy] = np.where(np.arange(num_heads) < arity[~is_copy, None], places, unread)
    return Program(num_inputs=circuit.num_inputs, reads=reads, arity=arity, table=table)
