"""Iterated squaring without a chain: a construction that squares otherwise is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from serialformer.constructions.claim import SquaringClaim
from serialformer.constructions.construction import Clause, Construction, ConstructionLayer
from serialformer.constructions.task_depth import task_depth_construction
from serialformer.proofs.induction import InductionError
from serialformer.proofs.squarings import check_squaring_claim
from serialformer.tasks.iterated_squaring import IteratedSquaring
from tests.proofs.alterations import alter_bring, alter_clause, alter_look_up, alter_table, alter_value, table_of
from tests.proofs.test_scans import with_field, with_layer


def construction(num_layers: int | None = None) -> Construction:
    """Three squarings modulo primes below 12."""
    return task_depth_construction(IteratedSquaring(bound=12), 3, num_layers)


def claim_of(made: Construction) -> SquaringClaim:
    (claim,) = made.claims()
    assert isinstance(claim, SquaringClaim)
    return claim


@pytest.mark.parametrize("num_layers", [2, 3, 4, 6])
def test_the_construction_squares(num_layers: int) -> None:
    made = construction(num_layers)
    occurring = check_squaring_claim(made, claim_of(made))
    assert occurring.written.tolist() == [False, *[True] * 10, *[False] * 3]
    assert np.flatnonzero(occurring.current).tolist() == [12]


def test_every_unit_matters() -> None:
    made, broken = construction(), 0
    claim = claim_of(made)
    for index, layer in enumerate(made.layers):
        for number, table in enumerate(layer.tables):
            for unit in range(table.num_units):
                kept = np.arange(table.num_units) != unit
                written = table.written.copy()
                written[unit, -1] = (written[unit, -1] + 1) % 4
                for other in (
                    replace(table, watched=table.watched[kept], written=table.written[kept]),
                    replace(table, written=written),
                ):
                    tables = (*layer.tables[:number], other, *layer.tables[number + 1 :])
                    changed = with_layer(made, index, lambda one, tables=tables: replace(one, tables=tables))
                    with pytest.raises(InductionError):
                        check_squaring_claim(changed, claim)
                    broken += 1
    assert broken > 100


@pytest.mark.parametrize(
    ("name", "place", "value", "where"),
    [
        ("name", 2, 1, 2),
        ("given", 4, 0, 3),
        ("step[3]", 3, 1, 3),
        ("step[3]", 4, 0, 4),
        ("step[4]", 5, 0, 5),
        ("number", 3, 4, 3),
        ("prime", 7, 1, 3),
    ],
)
def test_a_position_or_token_that_is_wrong(name: str, place: int, value: int, where: int) -> None:
    made = construction()
    with pytest.raises(InductionError) as caught:
        check_squaring_claim(with_field(made, name, place, value), claim_of(made))
    assert caught.value.position == where


@pytest.mark.parametrize(
    ("index", "change", "reason"),
    [
        (0, lambda layer: replace(layer, look_ups=layer.look_ups[:1]), "writes another residue"),
        (
            0,
            lambda layer: replace(
                layer,
                look_ups=(
                    replace(layer.look_ups[0], clauses=(Clause(key="name", constant=2),)),
                    layer.look_ups[1],
                ),
            ),
            "finds no one position",
        ),
        (2, lambda layer: replace(layer, clears=()), "two units write"),
        (2, lambda layer: replace(layer, clears=("square", "number")), "clears what tokens"),
        (3, lambda layer: replace(layer, look_ups=construction().layers[0].look_ups), "looks something up"),
    ],
)
def test_a_layer_that_is_wrong(
    index: int, change: Callable[[ConstructionLayer], ConstructionLayer], reason: str
) -> None:
    made = construction()
    with pytest.raises(InductionError, match=reason):
        check_squaring_claim(with_layer(made, index, change), claim_of(made))


@pytest.mark.parametrize(
    "changed",
    [{"num_squarings": 2}, {"length": 4}, {"primes": np.array([2, 3, 4])}, {"primes": np.array([13])}],
)
def test_a_claim_that_says_something_else(changed: dict[str, object]) -> None:
    made = construction()
    with pytest.raises(InductionError):
        check_squaring_claim(made, replace(claim_of(made), **changed))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda made: replace(made, vocabulary=("00", *made.vocabulary[1:])), "the vocabulary is not that of the task"),
        (lambda made: replace(made, vocabulary=(*made.vocabulary[:-1], "^3")), "the vocabulary is not that of"),
        (lambda made: replace(made, num_positions=5), "the prompt does not fit the positions"),
        (lambda made: alter_clause(made, 0, 1, 0, asked="number"), "asks for more than the position decides"),
        (
            lambda made: alter_look_up(made, 0, 0, clauses=(Clause(key="name"), Clause(key="given", weight=2))),
            "weighs its clauses",
        ),
        (lambda made: alter_bring(made, 0, 1, 0, target="modulus"), "brings more than a token's field into an empty"),
        (lambda made: alter_bring(made, 0, 1, 0, target="number"), "brings more than a token's field into an empty"),
        (lambda made: alter_bring(made, 0, 1, 0, source="name"), "brings more than a token's field into an empty"),
        (
            lambda made: alter_table(made, 0, 0, replace(table_of(made, 0, 0), writes=("number",))),
            "writes what it should not",
        ),
        (lambda made: alter_value(made, "given", 5, 0), "reads neither the prime nor the residue"),
        (lambda made: alter_clause(made, 0, 0, 0, constant=2), "finds no one position|reads neither the prime"),
    ],
)
def test_a_wrong_part(change: Callable[[Construction], Construction], reason: str) -> None:
    made = construction()
    with pytest.raises(InductionError, match=reason):
        check_squaring_claim(change(made), claim_of(made))
