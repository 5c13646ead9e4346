"""A circuit as a chain whose tokens carry several bits each, and whose layers work within a token.

A token of the chain is one of 2^B symbols and holds B *slots*. For each slot two look-ups bring all bits of the tokens
in which the gate's inputs stand, and the position says which bit of each is meant (its *pick*), and which gate it is.
Gates of one token may depend on one another: then a pick names a slot of the own token, and a gate's value is right one
layer after those that it reads. So a model of L layers has gates of L levels in one token. Values within a token begin
as 0, which may be wrong, and every layer puts new ones in place of them, as in a circuit without a chain.

    hidden units = 8 B V^2 and 2 in the last layer,     V = B with one layer, otherwise 2 B,

in each layer, twice as many where they come in pairs; V is from how many bits a pick chooses. One gate a token with one
layer is ``circuit_chain``.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from serialformer.arrays import Int64
from serialformer.circuits.circuit import NO_WIRE, Circuit
from serialformer.constructions.claim import PackedClaim
from serialformer.constructions.construction import (
    Bring,
    Clause,
    Construction,
    ConstructionLayer,
    Field,
    LookUp,
    UnitTable,
    check_sizes,
    exact_table,
)
from serialformer.constructions.packed_schedule import EMPTY, PackedSchedule
from serialformer.constructions.program import EQUALS, VOCABULARY
from serialformer.errors import CompileError

MAX_SLOTS = 4
"""Bits of a token: the proof goes through all bits that the look-ups of a slot bring, 2^(3 B) combinations."""

FAN_IN = 2

SYMBOL_MARK, EQUALS_MARK, BIT_MARK, UNKNOWN_MARK = range(4)
"""The values of the field ``mark``, which tells symbols, ``=``, the bits of a prompt, and ``<unk>`` apart."""

WRITE, END = range(2)


def packed_vocabulary(num_slots: int) -> tuple[str, ...]:
    """The tokens of a circuit, then a symbol for each combination of bits, slot 0 first.

    >>> packed_vocabulary(2)
    ('0', '1', '=', '<unk>', '00', '10', '01', '11')
    """
    symbols = ["".join(str(number >> slot & 1) for slot in range(num_slots)) for number in range(1 << num_slots)]
    return (*VOCABULARY, *symbols)


def packed_chain_construction(circuit: Circuit, schedule: PackedSchedule) -> Construction:
    """The construction of a circuit of gates of up to two inputs.

    Args:
        circuit: what to compute.
        schedule: which gates share a token; through as many levels as the model has layers.

    Raises:
        CompileError: it would be too large, or a gate has more than two inputs.
    """
    num_slots, num_layers, num_inputs = schedule.num_slots, schedule.num_levels, circuit.num_inputs
    if not 2 <= num_slots <= MAX_SLOTS:
        raise CompileError(f"expected 2 to {MAX_SLOTS} gates per token, found {num_slots}")
    if schedule.num_tokens == 0:
        raise CompileError("expected a circuit that has outputs", hint="one gate per token takes any circuit")
    if circuit.max_arity > FAN_IN:
        raise CompileError(f"expected gates of up to {FAN_IN} inputs, found one of {circuit.max_arity}")
    num_positions = num_inputs + 1 + schedule.num_tokens
    num_picks = num_slots * (1 + (num_layers > 1))
    check_sizes("circuit", num_layers * 8 * num_slots * num_picks**2, num_positions)
    reads, picks, tables = _positions(circuit, schedule, num_positions)
    vocabulary = packed_vocabulary(num_slots)
    num_symbols = 1 << num_slots
    symbols = np.arange(num_symbols)
    mark = np.concatenate([[BIT_MARK, BIT_MARK, EQUALS_MARK, UNKNOWN_MARK], np.full(num_symbols, SYMBOL_MARK)])
    bits = np.zeros((len(vocabulary), num_slots), dtype=np.int64)
    bits[1, 0] = 1
    bits[-num_symbols:] = symbols[:, None] >> np.arange(num_slots) & 1
    mode = np.full(num_positions, WRITE, dtype=np.int64)
    mode[-1] = END
    slots, sides = range(num_slots), range(FAN_IN)
    zeros, num_values = np.zeros(len(vocabulary), dtype=np.int64), max(2, num_picks)
    inner = [Field(name=f"value[{slot}]", num_values=2, origin="token", values=zeros)
             for slot in slots if num_layers > 1]  # fmt: skip
    positional = [
        *(Field(name=f"table[{slot}][{entry}]", num_values=2, origin="position", values=tables[:, slot] >> entry & 1)
          for slot in slots for entry in range(4)),
        *(Field(name=f"pick[{slot}][{side}]", num_values=num_values, origin="position", values=picks[:, slot, side])
          for slot in slots for side in sides),
        Field(name="mode", num_values=2, origin="position", values=mode),
        Field(name="name", num_values=num_positions, origin="position", values=np.arange(num_positions)),
        *(Field(name=f"read[{slot}][{side}]", num_values=num_positions, origin="position", values=reads[:, slot, side])
          for slot in slots for side in sides),
    ]  # fmt: skip
    brought = [Field(name=_brought(slot, side, bit), num_values=2, origin="layers")
               for slot in slots for side in sides for bit in slots]  # fmt: skip
    claim = PackedClaim(
        num_inputs=num_inputs,
        reads=circuit.fan_in,
        arity=circuit.arity,
        table=circuit.table,
        answers=circuit.outputs,
        wire=schedule.wire,
        num_answer_tokens=schedule.num_answer_tokens,
    )
    look_ups = tuple(
        LookUp(
            name=f"slot {slot}, input {side}",
            clauses=(Clause(key="name", asked=f"read[{slot}][{side}]"),),
            brings=tuple(Bring(source=f"bit[{bit}]", target=_brought(slot, side, bit)) for bit in slots),
        )
        for slot in slots
        for side in sides
    )
    inner_names = tuple(part.name for part in inner)
    between = tuple(table for slot in slots for table in _gate_tables(slot, num_slots, num_picks, f"value[{slot}]"))
    last = tuple(table for slot in slots for table in _gate_tables(slot, num_slots, num_picks, f"bit[{slot}]"))
    marks = exact_table("mark", ["mode"], [[WRITE], [END]], ["mark"], [[SYMBOL_MARK], [EQUALS_MARK]])
    layers = [ConstructionLayer(look_ups=(), tables=between, clears=inner_names)] * (num_layers - 1)
    layers.append(ConstructionLayer(look_ups=(), tables=(*last, marks)))
    first = layers[0]
    layers[0] = ConstructionLayer(look_ups=look_ups, tables=first.tables, clears=first.clears)
    return Construction(
        name="circuit, several gates a token",
        vocabulary=vocabulary,
        end_token=EQUALS,
        num_positions=num_positions,
        fields=(
            *(Field(name=f"bit[{slot}]", num_values=2, origin="token", values=bits[:, slot]) for slot in slots),
            Field(name="mark", num_values=4, origin="token", values=mark),
            *inner,
            *positional,
            *brought,
        ),
        layers=tuple(layers),
        prompts=f"all 2^{num_inputs}",
        num_chain_tokens=schedule.num_tokens,
        claims=lambda: iter([claim]),
    )


def _brought(slot: int, side: int, bit: int) -> str:
    return f"fetched[{slot}][{side}][{bit}]"


def _positions(
    circuit: Circuit, schedule: PackedSchedule, num_positions: int
) -> tuple[Int64[np.ndarray, "positions slots 2"], Int64[np.ndarray, "positions slots 2"], np.ndarray]:
    """For each position and slot which positions it reads, which bits of them, and the gate's truth table.

    Position p writes the token at p + 1. A bit of the own token is picked as ``num_slots`` and its slot. What writes
    nothing reads itself.
    """
    num_slots, num_inputs = schedule.num_slots, circuit.num_inputs
    reads = np.tile(np.arange(num_positions)[:, None, None], (1, num_slots, FAN_IN))
    picks, tables = np.zeros_like(reads), np.zeros((num_positions, num_slots), dtype=np.int64)
    place = {wire: (wire, 0) for wire in range(num_inputs)}
    for number, row in enumerate(schedule.wire.tolist()):
        writer = num_inputs + number
        own = {wire: slot for slot, wire in enumerate(row) if wire != EMPTY and wire not in place}
        for slot, wire in enumerate(row):
            if wire == EMPTY:
                continue
            if own.get(wire) == slot:
                gate = wire - num_inputs
                sources = [int(one) for one in circuit.fan_in[gate] if one != NO_WIRE]
                tables[writer, slot] = _whole_table(int(circuit.table[gate]), len(sources))
            else:
                sources, tables[writer, slot] = [wire], _whole_table(0b10, 1)
            for side in range(FAN_IN):
                source = sources[min(side, len(sources) - 1)] if sources else None
                if source is None:
                    continue
                if source in own:
                    picks[writer, slot, side] = num_slots + own[source]
                else:
                    reads[writer, slot, side], picks[writer, slot, side] = place[source]
        place |= {wire: (writer + 1, slot) for wire, slot in own.items()}
    return reads, picks, tables


def _whole_table(table: int, arity: int) -> int:
    """A truth table over two bits, of which those beyond the arity do not matter."""
    return sum((table >> (entry & (1 << arity) - 1) & 1) << entry for entry in range(1 << FAN_IN))


def _gate_tables(slot: int, num_slots: int, num_picks: int, written: str) -> list[UnitTable]:
    """The units of a slot: for each pair of picks and of bits, one for each value of the gate's table."""
    tables = []
    for pick in product(range(num_picks), repeat=FAN_IN):
        sources = [
            _brought(slot, side, one) if one < num_slots else f"value[{one - num_slots}]"
            for side, one in enumerate(pick)
        ]
        same = sources[0] == sources[1]
        for left, right in product((0, 1), repeat=FAN_IN):
            if same and left != right:
                continue
            entry = left + 2 * right
            watched = [[left, right, *pick, value] for value in (0, 1)]
            names = [*sources, f"pick[{slot}][0]", f"pick[{slot}][1]", f"table[{slot}][{entry}]"]
            if same:
                names, watched = names[1:], [row[1:] for row in watched]
            tables.append(
                exact_table(f"slot {slot}, bits {pick[0]} and {pick[1]} are {left} and {right}", names, watched,
                            [written], [[0], [1]])
            )  # fmt: skip
    return tables
