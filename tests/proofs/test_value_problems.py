"""The circuit value problem without a chain: a construction that evaluates anything else is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from serialformer.constructions.claim import ValueProblemClaim
from serialformer.constructions.construction import Construction, ConstructionLayer, Field
from serialformer.constructions.value_problem_depth import value_problem_construction
from serialformer.proofs.induction import InductionError
from serialformer.proofs.value_problems import check_value_problem_claim
from tests.proofs.alterations import (
    alter_bring,
    alter_clause,
    alter_field,
    alter_look_up,
    alter_table,
    reading,
    table_of,
    writing,
)

CLAIM = ValueProblemClaim(num_gates=3, num_layers=4)


def construction() -> Construction:
    """Three gates, four layers: positions 3, 7 and 11 host the gates."""
    return value_problem_construction(3, 4)


def with_field(made: Construction, name: str, place: int, value: int) -> Construction:
    def change(part: Field) -> Field:
        if part.name != name:
            return part
        values = np.array(part.values)
        values[place] = value
        return replace(part, values=values)

    return replace(made, fields=tuple(map(change, made.fields)))


def with_layer(
    made: Construction, index: int, change: Callable[[ConstructionLayer], ConstructionLayer]
) -> Construction:
    layers = list(made.layers)
    layers[index] = change(layers[index])
    return replace(made, layers=tuple(layers))


@pytest.mark.parametrize("num_layers", [1, 2, 3, 4])
def test_the_construction_evaluates(num_layers: int) -> None:
    claim = replace(CLAIM, num_layers=num_layers)
    occurring = check_value_problem_claim(value_problem_construction(3, num_layers), claim)
    assert occurring.written.sum() == 2
    assert occurring.current.sum() == 1
    with pytest.raises(InductionError, match="layers, not"):
        check_value_problem_claim(value_problem_construction(3, num_layers), replace(claim, num_layers=num_layers + 1))


@pytest.mark.parametrize(
    ("name", "place", "value", "reason"),
    [
        ("kind", 3, 1, "tokens do not hold"),
        ("number", 1, 1, "tokens do not hold"),
        ("number", 8, 2, "tokens do not hold"),
        ("read[0]", 7, 3, "gate is fetched from elsewhere"),
        ("read[1]", 11, 10, "first is fetched from elsewhere"),
        ("read[2]", 4, 1, "second is fetched from elsewhere"),
        ("read[1]", 5, 3, "may be the number of a later gate"),
        ("name", 5, 6, "finds no one position"),
        ("host", 7, 1, "does not find the hosts"),
        ("host", 5, 2, "does not find the hosts"),
        ("host", 0, 4, "does not find the hosts"),
    ],
)
def test_a_position_or_token_that_is_wrong(name: str, place: int, value: int, reason: str) -> None:
    with pytest.raises(InductionError, match=reason):
        check_value_problem_claim(with_field(construction(), name, place, value), CLAIM)


def test_every_unit_matters() -> None:
    made = construction()
    for index, layer in enumerate(made.layers):
        (table,) = layer.tables
        for unit in range(table.num_units):
            written = table.written.copy()
            written[unit, 0] = 1 - written[unit, 0] if written[unit, 0] < 2 else 0
            kept = np.arange(table.num_units) != unit
            for other in (
                replace(table, written=written),
                replace(table, watched=table.watched[kept], written=table.written[kept]),
            ):
                changed = with_layer(made, index, lambda layer: replace(layer, tables=(other,)))  # noqa: B023
                with pytest.raises(InductionError):
                    check_value_problem_claim(changed, CLAIM)


@pytest.mark.parametrize(
    ("index", "change", "reason"),
    [
        (0, lambda layer: replace(layer, look_ups=layer.look_ups[:2]), "does not fetch type and inputs"),
        (1, lambda layer: replace(layer, look_ups=layer.look_ups[:1]), "does not fetch the values of both"),
        (1, lambda layer: replace(layer, clears=("value", "left")), "does not clear"),
        (0, lambda layer: replace(layer, clears=("gate",)), "does not give constants"),
        (3, lambda layer: replace(layer, look_ups=layer.look_ups[::-1]), None),
    ],
)
def test_a_layer_that_is_wrong(
    index: int, change: Callable[[ConstructionLayer], ConstructionLayer], reason: str | None
) -> None:
    changed = with_layer(construction(), index, change)
    if reason is None:  # the order of look-ups does not matter
        check_value_problem_claim(changed, CLAIM)
        return
    with pytest.raises(InductionError, match=reason):
        check_value_problem_claim(changed, CLAIM)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda made: replace(made, num_positions=12), "vocabulary or positions are not those of the task"),
        (lambda made: replace(made, vocabulary=("0", *made.vocabulary[1:])), "vocabulary or positions are not those"),
        (lambda made: alter_field(made, "kind", num_values=9), "tokens do not hold their kinds"),
        (lambda made: alter_field(made, "kind", origin="position"), "tokens do not hold their kinds"),
        (lambda made: alter_field(made, "number", origin="position"), "tokens do not hold their kinds"),
        (
            lambda made: alter_clause(made, 0, 0, 0, asked=None, constant=0),
            "asks for more than the position decides",
        ),
        (lambda made: alter_clause(made, 0, 0, 0, asked="number"), "asks for more than the position decides"),
        (lambda made: alter_bring(made, 0, 1, 0, of_value=(0, 2, 1, 3, 4)), "does not bring one field as it is"),
        (lambda made: alter_bring(made, 0, 2, 0, target="first"), "does not bring one field as it is"),
        (lambda made: alter_look_up(made, 0, 0, brings=()), "does not bring one field as it is"),
        (lambda made: alter_bring(made, 1, 0, 0, of_value=(1, 0)), "does not bring one value as it is"),
        (lambda made: alter_bring(made, 1, 0, 0, source="left"), "does not bring one value as it is"),
        (lambda made: alter_bring(made, 3, 0, 0, of_value=(1, 0)), "does not bring one value as it is"),
        (
            lambda made: alter_look_up(made, 1, 0, clauses=2 * made.layers[1].look_ups[0].clauses),
            "does not bring one value as it is",
        ),
        (lambda made: alter_clause(made, 1, 0, 0, asked=None, constant=1), "does not ask for a number"),
        (lambda made: alter_clause(made, 1, 0, 0, of_value=(0, 2, 1, 3, 4)), "does not ask for a number"),
        (
            lambda made: alter_table(made, 3, 0, reading(table_of(made, 3, 0), "value")),
            "depends on something else than the gate and its inputs",
        ),
        (lambda made: alter_table(made, 1, 0, reading(table_of(made, 1, 0), "first")), "reads or writes what it"),
        (lambda made: alter_table(made, 1, 0, writing(table_of(made, 1, 0), "gate")), "reads or writes what it"),
        (lambda made: alter_table(made, 0, 0, writing(table_of(made, 0, 0), "left")), "reads or writes what it"),
    ],
)
def test_a_wrong_part(change: Callable[[Construction], Construction], reason: str) -> None:
    with pytest.raises(InductionError, match=reason):
        check_value_problem_claim(change(construction()), CLAIM)


@pytest.mark.parametrize("name", ["gate", "first", "second", "value", "left", "right"])
def test_what_layers_fill_in_is_empty_before(name: str) -> None:
    """Otherwise a look-up would add its value to that of the token."""
    made = construction()
    wrong = alter_field(made, name, origin="token", values=np.zeros(len(made.vocabulary), dtype=np.int64))
    with pytest.raises(InductionError, match=f"{name} is not filled in by layers"):
        check_value_problem_claim(wrong, CLAIM)
