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
