"""Permutations without a chain: a construction that composes something else is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from serialformer.constructions.claim import CompositionClaim
from serialformer.constructions.construction import Construction, ConstructionLayer, UnitTable, exact_table
from serialformer.constructions.permutation_depth import KEEP
from serialformer.constructions.task_depth import task_depth_construction
from serialformer.proofs.compositions import check_composition_claim
from serialformer.proofs.induction import InductionError
from serialformer.tasks.permutation_composition import PermutationComposition
from tests.proofs.alterations import (
    add_field,
    add_table,
    alter_bring,
    alter_clause,
    alter_field,
    alter_table,
    reading,
    table_of,
)
from tests.proofs.test_scans import with_field, with_layer


def construction(length: int = 4, num_layers: int | None = None) -> Construction:
    """Products of four permutations of three things, in three layers; a permutation takes five positions."""
    return task_depth_construction(PermutationComposition(degree=3), length, num_layers)


def claim_of(made: Construction) -> CompositionClaim:
    (claim,) = made.claims()
    assert isinstance(claim, CompositionClaim)
    return claim


@pytest.mark.parametrize(("length", "num_layers"), [(1, 1), (1, 2), (2, 2), (3, 2), (4, 3), (5, 6), (9, 3)])
def test_the_construction_composes(length: int, num_layers: int) -> None:
    made = construction(length, num_layers)
    occurring = check_composition_claim(made, claim_of(made))
    assert occurring.written.tolist() == [True] * 3 + [False] * 3
    assert occurring.current.tolist() == [True] * 3 + [False] * 2 + [True]


@pytest.mark.parametrize(
    ("name", "place", "value", "reason", "where"),
    [
        ("read[1]", 11, 0, "takes what does not come just before", 11),
        ("read[1]", 6, 3, "finds no one position", 6),
        ("read[2]", 20, 0, "takes what does not come just before", 20),
        ("step[1]", 6, 0, "takes what does not come just before", 20),
        ("step[1]", 2, 0, "finds no one position", 2),
        ("step[2]", 21, 0, "the last 2 permutations are composed", 21),
        ("step[2]", 20, 2, "neither takes what it fetches nor keeps|not always a token", 20),
        ("item", 7, 0, "takes another symbol|finds no one position", 2),
        ("own item", 22, 2, "a position takes another symbol", 22),
        ("slot", 12, 1, "finds no one position|takes another symbol", 11),
        ("begins", 6, 1, "takes what does not come just before|finds no one position", 6),
        ("token", 0, 1, "tokens do not hold themselves", 0),
    ],
)
def test_a_position_or_token_that_is_wrong(name: str, place: int, value: int, reason: str, where: int) -> None:
    made = construction()
    with pytest.raises(InductionError, match=reason) as caught:
        check_composition_claim(with_field(made, name, place, value), claim_of(made))
    assert caught.value.position >= where or name == "slot"


def test_every_unit_matters() -> None:
    """Whichever unit of whichever layer writes another value, or is missing, the proof breaks."""
    made = construction()
    claim, broken = claim_of(made), 0
    for index, layer in enumerate(made.layers):
        for number, table in enumerate(layer.tables):
            for unit in range(table.num_units):
                if table.name == "answer alone" or (table.name == "keep" and table.watched[unit, 1, 0] == KEEP):
                    continue  # every item but the first joins in layer 2, and the answer joins in layer 3
                written = table.written.copy()
                written[unit, 0] = (written[unit, 0] + 1) % 3
                kept = np.arange(table.num_units) != unit
                others = [replace(table, watched=table.watched[kept], written=table.written[kept])]
                if table.name != "first pointer":  # several positions will do for those that fetch nothing of use
                    others.append(replace(table, written=written))
                for other in others:
                    tables = (*layer.tables[:number], other, *layer.tables[number + 1 :])
                    with pytest.raises(InductionError):
                        check_composition_claim(with_layer(made, index, _with_tables(tables)), claim)
                    broken += 1
    assert broken > 30


def _with_tables(tables: tuple[UnitTable, ...]) -> Callable[[ConstructionLayer], ConstructionLayer]:
    return lambda layer: replace(layer, tables=tables)


@pytest.mark.parametrize(
    ("index", "change", "reason"),
    [
        (0, lambda layer: replace(layer, look_ups=()), "does not have one look-up"),
        (1, lambda layer: replace(layer, look_ups=2 * layer.look_ups), "does not have one look-up"),
        (1, lambda layer: replace(layer, clears=("value", "pointer")), "not always cleared"),
        (1, lambda layer: replace(layer, clears=("value", "fetched")), "two units write|not written"),
        (
            1,
            lambda layer: replace(layer, look_ups=(replace(layer.look_ups[0], clauses=layer.look_ups[0].clauses[:1]),)),
            "finds no one position",
        ),
        (2, lambda layer: replace(layer, look_ups=(replace(layer.look_ups[0], brings=()),)), "does not bring value"),
    ],
)
def test_a_layer_that_is_wrong(
    index: int, change: Callable[[ConstructionLayer], ConstructionLayer], reason: str
) -> None:
    made = construction()
    with pytest.raises(InductionError, match=reason):
        check_composition_claim(with_layer(made, index, change), claim_of(made))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"num_last": 3}, "the last 4 permutations are composed, not the last 3"),
        ({"first_slot": 0}, "takes another symbol"),
        ({"num_items": 5}, "the prompt does not fit"),
        ({"first_slot": -1}, "the prompt does not fit"),
        ({"first_slot": 3}, "the prompt does not fit"),
        ({"item_width": 4}, "takes another symbol|finds no one position"),
    ],
)
def test_a_claim_that_says_something_else(changed: dict[str, int], reason: str) -> None:
    made = construction()
    with pytest.raises(InductionError, match=reason):
        check_composition_claim(made, replace(claim_of(made), **changed))


def pointing_by_more(table: UnitTable) -> UnitTable:
    """A table that joins as before, except that the new pointer depends on the old value."""
    values = np.arange(6)
    watched = np.repeat(table.watched, 6, axis=0)
    own = np.tile(values, table.num_units)[:, None, None].repeat(2, axis=2)
    written = np.repeat(table.written, 6, axis=0)
    written[:, 1] = (written[:, 1] + (own[:, 0, 0] > 0)) % 5
    return replace(
        table, reads=(*table.reads, "value"), watched=np.concatenate([watched, own], axis=1), written=written
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda made: alter_field(made, "value", origin="position", values=np.zeros(23, dtype=np.int64)),
            "value is not filled in by layers",
        ),
        (lambda made: alter_clause(made, 0, 0, 0, asked="token"), "asks for token"),
        (lambda made: alter_clause(made, 1, 0, 0, weight=2), "weighs its clauses"),
        (
            lambda made: alter_table(add_field(made), 1, 0, reading(table_of(made, 1, 0), "extra")),
            "reads extra, which no claim is about",
        ),
        (
            lambda made: alter_table(made, 1, 0, pointing_by_more(table_of(made, 1, 0))),
            "depends on more than its value",
        ),
        (
            lambda made: add_table(made, 1, exact_table("more", ["begins"], [[0]], ["fetched"], [[0]])),
            "writes what it should not",
        ),
        (lambda made: alter_bring(made, 1, 0, 0, of_value=(1, 0, 2, 3, 4, 5)), "does not bring value as it is"),
    ],
)
def test_a_wrong_part(change: Callable[[Construction], Construction], reason: str) -> None:
    made = construction()
    with pytest.raises(InductionError, match=reason):
        check_composition_claim(change(made), claim_of(made))


def test_pointers_name_the_image_that_is_asked_for() -> None:
    """Positions of the second item and later ones must fetch by their own symbols. The first item's fetch nothing."""
    made = construction()
    table = table_of(made, 0, 0)
    kinds = [np.flatnonzero((table.watched[:, 1, 0] == kind) & (table.watched[:, 0, 0] < 3)) for kind in (0, 1)]
    assert all(len(units) == 3 for units in kinds)
    refused = []
    for units in kinds:
        written = table.written.copy()
        written[units[:2]] = written[units[1::-1]]
        try:
            check_composition_claim(alter_table(made, 0, 0, replace(table, written=written)), claim_of(made))
            refused.append(False)
        except InductionError:
            refused.append(True)
    assert refused == [True, False]
