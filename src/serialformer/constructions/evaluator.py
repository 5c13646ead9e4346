"""The evaluator: one transformer that evaluates every circuit of up to M gates, given in the prompt.

The prompt is the circuit value problem of arXiv 2402.12875, four tokens per gate and then ``=``; the chain has four
tokens a
gate again: its type, the values of its inputs, its own value. Nothing of any circuit is in the construction, and what a
position decides is a formula in M: this is the uniform construction beside ``circuit_chain``.

Three look-ups, one after another, take three layers; a chain position p that writes slot j of gate g (from 0)

1. finds the one ``=``, at 4 m, so that m is known; unit tables make g = (p div 4) - m;
2. fetches the prompt's token of gate g that is to be copied or looked up: its type, or an input's id;
3. fetches the token that holds that gate's value from the chain, by the number that layer 1 gave its position.

With j = 3 it fetches the type once more instead, has the second value as its own token and the first one from a
look-up of layer 1, and the last unit tables make the gate's value.

Numbers are told by residues (``residues``), so a difference takes one small table a modulus. As signs, with L bits in
all residues of a number below 2 M + 1, that is a width of 8 L + 48, 2 heads, 3 layers, as many hidden units as the
moduli's squares (4 width unless that is more), 8 M + 1 positions and M + 8 tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from serialformer.architecture import UNKNOWN
from serialformer.constructions.claim import CircuitPromptClaim
from serialformer.constructions.construction import (
    Bring,
    Clause,
    Construction,
    ConstructionLayer,
    Field,
    LookUp,
    UnitTable,
    exact_table,
)
from serialformer.constructions.residues import moduli
from serialformer.errors import CompileError

KINDS = ("TRUE", "FALSE", "AND", "OR", "NOT", "NA", "=")
"""The tokens that are no number; an id has none of these kinds."""

TRUE, FALSE, AND, OR, NOT, NA, EQUALS = range(len(KINDS))
NO_KIND = len(KINDS)

SLOTS = 4
"""Tokens a gate, in prompt and chain: type, first input, second input, itself."""

MAX_GATES = 1 << 17
"""The largest evaluator: a million positions, whose embedding takes 0.9 GB in float32. The proof holds far beyond."""

IS_SECOND, IS_FIRST = 1, 2
"""Values of ``reads``: which input's value the position writes; 0 for neither."""


def evaluator_construction(num_gates: int) -> Construction:
    """The evaluator of circuits of up to ``num_gates`` gates.

    Raises:
        CompileError: ``num_gates`` is out of range.

    >>> evaluator_construction(64).num_positions
    513
    """
    if not 1 <= num_gates <= MAX_GATES:
        raise CompileError(f"expected from 1 to {MAX_GATES:,} gates, found {num_gates:,}")
    chosen = moduli(2 * num_gates + 1)
    # An id of each number, and all that is no number. What is no id, "<unk>" included, has the number 0.
    vocabulary = (*(str(gate) for gate in range(1, num_gates + 1)), *KINDS, UNKNOWN)
    numbers, kinds = np.zeros(len(vocabulary), dtype=np.int64), np.full(len(vocabulary), NO_KIND)
    numbers[:num_gates] = np.arange(1, num_gates + 1)
    kinds[num_gates + np.arange(len(KINDS))] = np.arange(len(KINDS))
    truths, every_kind = ("TRUE", "FALSE", "none"), (*KINDS, "none")
    return Construction(
        name="evaluator",
        vocabulary=vocabulary,
        end_token=num_gates + EQUALS,
        num_positions=2 * SLOTS * num_gates + 1,
        fields=(
            Field(name="kind", num_values=len(KINDS) + 1, origin="token", values=kinds, value_names=every_kind),
            *(
                Field(name=f"number%{modulus}", num_values=modulus, origin="token", values=numbers % modulus)
                for modulus in chosen
            ),
            *(
                Field(name=f"place%{modulus}", num_values=modulus, origin="position", values=_Place(modulus))
                for modulus in chosen
            ),
            # p mod 4, high bit first; which input it writes; whether p is 0.
            Field(name="slot.high", num_values=2, origin="position", values=_OfSlot((0, 0, 1, 1))),
            Field(name="slot.low", num_values=2, origin="position", values=_OfSlot((0, 1, 0, 1))),
            Field(name="reads", num_values=3, origin="position", values=_OfSlot((0, IS_FIRST, IS_SECOND, 0))),
            Field(name="first", num_values=2, origin="position", values=_is_first),
            *(Field(name=f"gate%{modulus}", num_values=modulus, origin="layers") for modulus in chosen),
            Field(name="in_chain", num_values=2, origin="layers"),
            Field(name="previous", num_values=3, origin="layers", value_names=truths),
            Field(name="fetched_kind", num_values=len(KINDS) + 1, origin="layers", value_names=every_kind),
            *(Field(name=f"fetched_number%{modulus}", num_values=modulus, origin="layers") for modulus in chosen),
            Field(name="value", num_values=3, origin="layers", value_names=truths),
        ),
        layers=(
            ConstructionLayer(look_ups=_find_circuit(chosen), tables=tuple(_subtract(chosen))),
            ConstructionLayer(look_ups=(_fetch_token(chosen),)),
            ConstructionLayer(look_ups=(_fetch_value(chosen),), tables=tuple(_answer())),
        ),
        default={"kind": EQUALS},
        prompts=f"all circuits of up to {num_gates} gates",
        num_chain_tokens=SLOTS * num_gates,
        claims=lambda: (CircuitPromptClaim(num_gates=number) for number in range(1, num_gates + 1)),
    )


class _Place:
    """p div 4 modulo a number."""

    def __init__(self, modulus: int) -> None:
        self.modulus = modulus

    def __call__(self, rows: slice) -> np.ndarray:
        return np.arange(rows.start, rows.stop) // SLOTS % self.modulus


class _OfSlot:
    """A value for each p mod 4."""

    def __init__(self, values: tuple[int, ...]) -> None:
        self.values = np.array(values)

    def __call__(self, rows: slice) -> np.ndarray:
        return self.values[np.arange(rows.start, rows.stop) % SLOTS]


def _is_first(rows: slice) -> np.ndarray:
    return (np.arange(rows.start, rows.stop) == 0).astype(np.int64)


def _truth_of_kind() -> tuple[int, ...]:
    """For each kind whether it is TRUE, FALSE, or neither."""
    return tuple({TRUE: 0, FALSE: 1}.get(kind, 2) for kind in range(len(KINDS) + 1))


def _find_circuit(chosen: tuple[int, ...]) -> tuple[LookUp, ...]:
    """Layer 1: the one ``=``, or position 0 as long as there is none; and the token before, where it is an input."""
    end = LookUp(
        name="end of the circuit",
        clauses=(Clause(key="kind", constant=EQUALS, weight=2), Clause(key="first", constant=1)),
        brings=(
            *(Bring(source=f"place%{modulus}", target=f"gate%{modulus}") for modulus in chosen),
            Bring(
                source="kind",
                target="in_chain",
                of_value=tuple(int(kind == EQUALS) for kind in range(len(KINDS) + 1)),
            ),
        ),
    )
    # In slot 3 it reads slot 2 of the same gate, which holds the first value; elsewhere itself.
    before = LookUp(
        name="token before",
        clauses=(
            *(Clause(key=f"place%{modulus}", asked=f"place%{modulus}") for modulus in chosen),
            Clause(key="slot.high", asked="slot.high"),
            Clause(key="slot.low", asked="reads", of_value=(0, 0, 1)),
        ),
        brings=(Bring(source="kind", target="previous", of_value=_truth_of_kind()),),
    )
    return end, before


def _subtract(chosen: tuple[int, ...]) -> Iterator[UnitTable]:
    """Turns ``gate`` from the number of gates m into (p div 4) - m: a table a modulus, one unit an entry."""
    for modulus in chosen:
        minuend, subtrahend = (grid.ravel() for grid in np.indices((modulus, modulus)))
        table = exact_table(
            f"subtract modulo {modulus}",
            [f"place%{modulus}", f"gate%{modulus}"],
            np.stack([minuend, subtrahend], axis=1),
            [f"gate%{modulus}"],
            ((minuend - subtrahend) % modulus)[:, None],
        )
        yield replace(table, replaced=subtrahend[:, None])


def _fetch_token(chosen: tuple[int, ...]) -> LookUp:
    """Layer 2: the prompt's token of the gate and slot that the position writes; in slot 3, of slot 0."""
    return LookUp(
        name="token of the gate",
        clauses=(
            *(Clause(key=f"place%{modulus}", asked=f"gate%{modulus}") for modulus in chosen),
            Clause(key="slot.high", asked="reads", of_value=(0, 1, 0)),
            Clause(key="slot.low", asked="reads", of_value=(0, 0, 1)),
        ),
        brings=(
            Bring(source="kind", target="fetched_kind"),
            *(Bring(source=f"number%{modulus}", target=f"fetched_number%{modulus}") for modulus in chosen),
        ),
    )


def _fetch_value(chosen: tuple[int, ...]) -> LookUp:
    """Layer 3: the value of the gate whose id was fetched, which stands where its successor's slot 0 is written.

    What is no id counts as the number 0, and ``=`` stands where gate 0's value would.
    """
    return LookUp(
        name="value of an input",
        clauses=(
            *(Clause(key=f"gate%{modulus}", asked=f"fetched_number%{modulus}") for modulus in chosen),
            Clause(key="in_chain", constant=1),
            Clause(key="slot.high", constant=0),
            Clause(key="slot.low", constant=0),
        ),
        brings=(Bring(source="kind", target="value", of_value=_truth_of_kind()),),
    )


def _answer() -> Iterator[UnitTable]:
    """Writes the kind of the next token: a copied type, NA or a looked-up value, or the gate's function of its inputs.

    One unit fires where the prompt is a circuit; elsewhere perhaps none does, and ``=`` is written.
    """
    slot = ("slot.high", "slot.low")
    copied = (TRUE, FALSE, AND, OR, NOT, EQUALS)
    yield exact_table(
        "copy the type", [*slot, "fetched_kind"], [[0, 0, kind] for kind in copied], ["kind"], [[x] for x in copied]
    )
    is_input = [IS_SECOND, IS_FIRST]
    yield UnitTable(
        name="no input",
        reads=("reads", "fetched_kind"),
        watched=np.array([[is_input, [NA, NA]]]),
        writes=("kind",),
        written=np.array([[NA]]),
    )
    for place, value in enumerate((TRUE, FALSE)):
        yield UnitTable(
            name=f"value of an input, {KINDS[value]}",
            reads=("reads", "value"),
            watched=np.array([[is_input, [place, place]]]),
            writes=("kind",),
            written=np.array([[value]]),
        )
        yield exact_table(f"constant {KINDS[value]}", [*slot, "fetched_kind"], [[1, 1, value]], ["kind"], [[value]])
    for one, one_is in enumerate((True, False)):
        before = [*slot, "fetched_kind", "previous"]
        negated = FALSE if one_is else TRUE
        yield exact_table(f"NOT {KINDS[one]}", before, [[1, 1, NOT, one]], ["kind"], [[negated]])
        for other, other_is in enumerate((True, False)):
            kind = (TRUE, FALSE)[other]
            for gate, holds in ((AND, one_is and other_is), (OR, one_is or other_is)):
                yield exact_table(
                    f"{KINDS[one]} {KINDS[gate]} {KINDS[kind]}",
                    [*before, "kind"],
                    [[1, 1, gate, one, kind]],
                    ["kind"],
                    [[TRUE if holds else FALSE]],
                )
