"""The circuit value problem without a chain, in the paper's own prompt: the gates' own tokens are their columns.

A gate's fourth token, its number, hosts it. In the first layer it fetches the gate's type and the numbers of its inputs
from the three tokens before it; constants have their value now, and other gates hold FALSE. In each later layer it
fetches the present values of its inputs and puts its own in place of what stood there. So after l layers every gate
of level l or less is right, where constants are on level 1 and a gate is one above the higher of its inputs. ``=`` does
the same for the last gate, and the last layer writes the value as a token. So L layers are right for all circuits whose
last gate is on level L or less:

    width = 2 (4 p + 4 q + 9), rounded up to a multiple of 6,
    hidden units = 2 * 32 + 3 in each layer but the first (16) and the last (64),

for m gates, p = ceil(log2(4 m + 1)) and q = ceil(log2(m + 2)).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np

from serialformer.constructions.claim import ValueProblemClaim
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

KINDS = ("TRUE", "FALSE", "AND", "OR", "NOT", "NA", "=")
TRUE, FALSE, AND, OR, NOT, NA, EQUALS, NUMBER = range(8)
"""The values of the field ``kind``; NUMBER is that of the numbers of gates."""

SLOTS = 4
MAX_LAYERS = 256


def gate_value(kind: int, left: int, right: int) -> int:
    """The value of a gate of some kind on two bits; 0 for tokens that are not gates.

    >>> [gate_value(OR, 0, 1), gate_value(NOT, 1, 0), gate_value(TRUE, 0, 0)]
    [1, 0, 1]
    """
    return {TRUE: 1, AND: left & right, OR: left | right, NOT: 1 - left}.get(kind, 0)


def value_problem_construction(num_gates: int, num_layers: int | None = None, *, ends: bool = False) -> Construction:
    """The construction for circuits of up to ``num_gates`` gates.

    Args:
        num_gates: the most gates of a circuit.
        num_layers: by default as many as any circuit needs, ``num_gates``.
        ends: whether there is a position for the answer, and only ``=`` has it written, so that nothing follows it.

    Raises:
        CompileError: it would be too large.

    >>> construction = value_problem_construction(8, 3)
    >>> construction.prompts, construction.num_positions
    ('all circuits of up to 8 gates, the last of them on level 3 or less', 33)
    """
    num_layers = num_gates if num_layers is None else num_layers
    num_positions, num_values = SLOTS * num_gates + 1 + ends, num_gates + 2
    check_sizes("circuit-value", 40 * num_layers, num_positions)
    vocabulary = (*map(str, range(1, num_gates + 1)), *KINDS)
    tokens = np.arange(len(vocabulary))
    is_number = tokens < num_gates
    position = np.arange(num_positions, dtype=np.int64)
    gate, slot = position // SLOTS, position % SLOTS
    # A gate's last token reads the three before it; "=" and other first tokens read those of the gate before.
    end_of_gate = np.where(slot == 0, position - 1, position)
    gathers = ((slot == 0) & (position > 0)) | (slot == SLOTS - 1)
    host = np.where(slot == SLOTS - 1, gate + 1, num_gates + 1)
    host[0] = 0  # what an input that is absent reads
    level = "" if num_layers >= num_gates else f", the last of them on level {num_layers} or less"
    claim = ValueProblemClaim(num_gates=num_gates, num_layers=num_layers)
    gather = tuple(
        LookUp(
            name=target,
            clauses=(Clause(key="name", asked=f"read[{place}]"),),
            brings=(Bring(source=source, target=target),),
        )
        for place, (source, target) in enumerate((("kind", "gate"), ("number", "first"), ("number", "second")))
    )
    fetch = tuple(
        LookUp(
            name=f"value of {asked}",
            clauses=(Clause(key="host", asked=asked),),
            brings=(Bring(source="value", target=target),),
        )
        for asked, target in (("first", "left"), ("second", "right"))
    )
    round_ = ConstructionLayer(
        look_ups=fetch, tables=(_values(["value"], _as_value),), clears=("value", "left", "right")
    )
    layers = [ConstructionLayer(look_ups=gather, tables=(_constants(["value"], _as_value),))] * (num_layers > 1)
    layers += [round_] * max(0, num_layers - 2)
    if num_layers > 1:
        layers.append(ConstructionLayer(look_ups=fetch, tables=(_values(["kind", "number"], _as_token),)))
    else:
        layers.append(ConstructionLayer(look_ups=gather, tables=(_constants(["kind", "number"], _as_token),)))
    if ends:
        layers[-1] = replace(layers[-1], tables=tuple(map(_only_after_equals, layers[-1].tables)))
    return Construction(
        name="circuit-value without a chain",
        vocabulary=vocabulary,
        end_token=vocabulary.index("="),
        num_positions=num_positions,
        fields=(
            Field(name="kind", num_values=8, origin="token", values=np.where(is_number, NUMBER, tokens - num_gates)),
            Field(name="number", num_values=num_values, origin="token", values=np.where(is_number, tokens + 1, 0)),
            Field(name="name", num_values=num_positions, origin="position", values=position),
            *(
                Field(
                    name=f"read[{place}]",
                    num_values=num_positions,
                    origin="position",
                    values=np.where(gathers, end_of_gate - (3 - place), position),
                )
                for place in range(3)
            ),
            Field(name="host", num_values=num_values, origin="position", values=host),
            Field(name="gate", num_values=8, origin="layers"),
            Field(name="first", num_values=num_values, origin="layers"),
            Field(name="second", num_values=num_values, origin="layers"),
            Field(name="value", num_values=2, origin="layers"),
            Field(name="left", num_values=2, origin="layers"),
            Field(name="right", num_values=2, origin="layers"),
        ),
        layers=tuple(layers),
        prompts=f"all circuits of up to {num_gates} gates{level}",
        num_chain_tokens=1,
        claims=lambda: iter([claim]),
    )


def _only_after_equals(table: UnitTable) -> UnitTable:
    """The units of a table, which fire at ``=`` only."""
    is_equals = np.pad(table.watched, ((0, 0), (0, 1), (0, 0)), constant_values=EQUALS)
    return replace(table, reads=(*table.reads, "kind"), watched=is_equals)


def _as_value(value: int) -> list[int]:
    return [value]


def _as_token(value: int) -> list[int]:
    """The fields of the token TRUE or FALSE."""
    return [TRUE if value else FALSE, 0]


def _constants(writes: list[str], written: Callable[[int], list[int]]) -> UnitTable:
    """The value of a constant; of anything else 0."""
    return exact_table(
        "constants", ["gate"], [[kind] for kind in range(8)], writes, [written(int(kind == TRUE)) for kind in range(8)]
    )


def _values(writes: list[str], written: Callable[[int], list[int]]) -> UnitTable:
    """The value of each kind of gate for each pair of bits."""
    cases = list(product(range(8), (0, 1), (0, 1)))
    return exact_table(
        "values", ["gate", "left", "right"], cases, writes, [written(gate_value(*case)) for case in cases]
    )
