"""Circuits in the prompt: constructions with any one part wrong are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from serialformer.constructions.claim import CircuitPromptClaim
from serialformer.constructions.construction import Bring, Clause, Construction, ConstructionLayer, LookUp
from serialformer.constructions.evaluator import evaluator_construction
from serialformer.proofs.circuit_prompts import CircuitPrompts
from serialformer.proofs.induction import InductionError
from serialformer.proofs.prove import check_claims
from tests.proofs.alterations import (
    EXTRA,
    add_field,
    add_table,
    alter_bring,
    alter_clause,
    alter_layer,
    alter_look_up,
    alter_table,
    alter_value,
    reading,
    table_of,
)

GATES = 3


def construction() -> Construction:
    """Circuits of up to three gates. Three gates stand at positions 0 to 11, ``=`` at 12 and the chain at 13 to 24."""
    return evaluator_construction(GATES)


def check(made: Construction) -> None:
    CircuitPrompts(made).check(CircuitPromptClaim(num_gates=GATES))


def test_the_construction_evaluates() -> None:
    check(construction())


def with_a_layer_more(made: Construction) -> Construction:
    """Another look-up brings the value a second time."""
    last = made.layers[-1]
    clauses = made.layers[0].look_ups[1].clauses
    again = LookUp(name="again", clauses=clauses, brings=(Bring(source="value", target="extra"),))
    layers = (
        *made.layers[:-1],
        ConstructionLayer(look_ups=last.look_ups),
        ConstructionLayer(look_ups=(again,), tables=last.tables),
    )
    return replace(add_field(made, replace(EXTRA, num_values=3)), layers=layers)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda made: replace(made, num_positions=24), "the chain does not fit the positions"),
        (lambda made: alter_value(made, "slot.high", 16, 1), "is not the same for all gates|finds no one position"),
        (lambda made: alter_value(made, "reads", 16, 1), "is not the same for all gates|another token than it should"),
        (lambda made: add_table(made, 2, table_of(made, 2, 0)), "two units write into kind"),
        (
            lambda made: alter_table(made, 0, 0, reading(table_of(made, 0, 0), "previous")),
            "units read previous, which depends on the prompt",
        ),
        (lambda made: alter_bring(made, 1, 0, 1, target="gate%4"), "holds a value that another joins"),
        (lambda made: alter_bring(made, 2, 0, 0, source="gate%4"), "is no token's own"),
        (lambda made: alter_bring(made, 2, 0, 0, source="previous"), "is no token's own"),
        (with_a_layer_more, "value depends on two tokens"),
        (lambda made: alter_clause(made, 1, 0, 0, key="kind"), "compares kind, which depends on the prompt"),
        (lambda made: alter_clause(made, 2, 0, 0, asked="number%4"), "asks for what two tokens say"),
        (lambda made: alter_clause(made, 2, 0, 2, asked="place%4"), "mixes what positions and tokens say"),
        (lambda made: alter_clause(made, 0, 0, 1, asked="first"), "does not ask for the same everywhere"),
        (
            lambda made: alter_look_up(
                made, 0, 0, clauses=(Clause(key="first", constant=0, weight=2), Clause(key="first", constant=1))
            ),
            "finds no one position",
        ),
        (lambda made: alter_clause(made, 0, 0, 0, constant=0), "depends on the prompt"),
        (
            lambda made: alter_clause(alter_clause(made, 2, 0, 0, asked="number%4"), 2, 0, 1, asked="number%3"),
            "is looked up by another token than it should",
        ),
        (lambda made: alter_clause(made, 2, 0, 3, constant=1), "is not the value of the input|finds no one|no id"),
        (lambda made: alter_clause(made, 2, 0, 2, constant=0), "is not the value of the input|where there is no id"),
        (
            lambda made: alter_look_up(made, 2, 0, clauses=made.layers[2].look_ups[0].clauses[:2]),
            "is not the value of the input|where there is no id",
        ),
        (lambda made: alter_value(made, "place%4", 6, 0), "finds no one position"),
        (lambda made: alter_bring(made, 1, 0, 0, of_value=(1, 0, *range(2, 8))), "another token than the circuit"),
        (lambda made: alter_layer(made, 2, tables=made.layers[2].tables[1:]), "another token than the circuit"),
        (lambda made: alter_layer(made, 2, tables=made.layers[2].tables[:-1]), "another token than the circuit"),
    ],
)
def test_a_wrong_part(change: Callable[[Construction], Construction], reason: str) -> None:
    with pytest.raises(InductionError, match=reason):
        check(change(construction()))


def without_clause(made: Construction, index: int, number: int, place: int) -> Construction:
    clauses = list(made.layers[index].look_ups[number].clauses)
    del clauses[place]
    return alter_look_up(made, index, number, clauses=tuple(clauses))


def with_numbers_exchanged(made: Construction) -> Construction:
    """Exchanges the numbers of the first two gates' ids."""
    for name in ("number%4", "number%3"):
        made = alter_value(alter_value(made, name, 0, 2), name, 1, 1)
    return made


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        # Now each value of a gate is found at two positions.
        (lambda made: without_clause(made, 2, 0, 4), "value is looked up where there is no id"),
        # Gate numbers modulo 4 are off by one.
        (lambda made: alter_clause(made, 2, 0, 0, of_value=(1, 2, 3, 0)), "value is looked up where there is no id"),
        (with_numbers_exchanged, "value is not the value of the input"),
        (lambda made: alter_value(made, "number%4", made.vocabulary.index("NA"), 1), "is looked up where there is no"),
        (lambda made: without_clause(made, 0, 1, 3), "token before finds no one position"),
        (lambda made: alter_clause(made, 0, 1, 0, of_value=(1, 2, 3, 0)), "previous depends on another token"),
        (lambda made: alter_clause(made, 1, 0, 0, of_value=(1, 2, 3, 0)), "token of the gate finds no one position"),
    ],
)
def test_a_wrong_look_up(change: Callable[[Construction], Construction], reason: str) -> None:
    with pytest.raises(InductionError, match=reason):
        check(change(construction()))


def test_what_was_checked_for_fewer_gates_holds_for_more_only_if_units_see_the_same() -> None:
    """Position 4 writes the type of a single gate, positions 12, 16 and 20 those of three; units read a field more."""

    def with_field(*positions: int) -> CircuitPrompts:
        values = np.zeros(25, dtype=np.int64)
        values[list(positions)] = 1
        made = add_field(construction(), replace(EXTRA, origin="position", values=values))
        return CircuitPrompts(alter_table(made, 2, 0, reading(table_of(made, 2, 0), "extra")))

    for positions, reason in (
        ((), ""),
        ((12, 16, 20), "the units write another token"),
        ((16,), "extra is not the same for all gates"),
    ):
        prompts = with_field(*positions)
        prompts.check(CircuitPromptClaim(num_gates=1))
        if not reason:
            prompts.check(CircuitPromptClaim(num_gates=GATES))
            continue
        with pytest.raises(InductionError, match=reason):
            prompts.check(CircuitPromptClaim(num_gates=GATES))


def test_every_unit_of_the_last_layer_matters() -> None:
    made = construction()
    for number, table in enumerate(made.layers[2].tables):
        for unit in range(table.num_units):
            written = table.written.copy()
            written[unit, 0] = (written[unit, 0] + 1) % 8
            kept = np.arange(table.num_units) != unit
            fewer = replace(table, watched=table.watched[kept], written=table.written[kept])
            for others in ((replace(table, written=written),), (fewer,) if fewer.num_units else ()):
                tables = (*made.layers[2].tables[:number], *others, *made.layers[2].tables[number + 1 :])
                with pytest.raises(InductionError):
                    check(alter_layer(made, 2, tables=tables))


def test_larger_circuits_than_those_checked_are_not_covered() -> None:
    _, first, prompts = check_claims(construction(), max_gates=2)
    assert (first, prompts) == (4, "all circuits of up to 2 gates; those of more are not gone through")
    _, _, prompts = check_claims(construction(), max_gates=3)
    assert prompts == construction().prompts
    broken = alter_value(construction(), "place%4", 24, 0)
    check_claims(broken, max_gates=2)
    with pytest.raises(InductionError):
        check_claims(broken, max_gates=3)
