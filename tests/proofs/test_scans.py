"""Products without a chain: a construction that multiplies something else is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from serialformer.constructions.claim import ScanClaim
from serialformer.constructions.construction import Construction, ConstructionLayer, Field, exact_table
from serialformer.constructions.task_depth import task_depth_construction
from serialformer.proofs.induction import InductionError
from serialformer.proofs.scans import check_scan_claim
from serialformer.tasks.registry import make_task
from tests.proofs.alterations import (
    add_field,
    add_table,
    alter_bring,
    alter_clause,
    alter_layer,
    alter_table,
    reading,
    table_of,
)


def construction() -> Construction:
    """Words of six elements of S3, in three layers; positions 0 to 5 hold them, 6 holds ``=``."""
    return task_depth_construction(make_task("word-problem", {"group": "S3"}), 6)


def claim_of(made: Construction) -> ScanClaim:
    (claim,) = made.claims()
    assert isinstance(claim, ScanClaim)
    return claim


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


def test_the_construction_multiplies() -> None:
    made = construction()
    occurring = check_scan_claim(made, claim_of(made))
    assert occurring.written.tolist() == [True] * 6 + [False]
    assert occurring.current.tolist() == [False] * 6 + [True]


@pytest.mark.parametrize(
    ("name", "place", "value", "reason", "where"),
    [
        ("read[0]", 4, 2, "multiplies by what does not come just before", 4),
        ("read[1]", 5, 4, "multiplies by what does not come just before", 5),
        ("read[2]", 6, 1, "multiplies by what does not come just before", 6),
        ("joins[0]", 0, 1, "multiplies by what does not come just before", 0),
        ("joins[2]", 6, 0, "the last 3 items are multiplied, not the last 6", 6),
        ("joins[0]", 6, 0, "multiplies by what does not come just before", 6),
        ("name", 2, 3, "finds no one position", 3),
        ("digit[0]", 3, 0, "a token does not hold its element", 0),
        ("digit[0]", 6, 1, "a token does not hold its element", 0),
    ],
)
def test_a_position_or_token_that_is_wrong(name: str, place: int, value: int, reason: str, where: int) -> None:
    made = construction()
    with pytest.raises(InductionError, match=reason) as caught:
        check_scan_claim(with_field(made, name, place, value), claim_of(made))
    assert caught.value.position == where


def test_every_unit_matters() -> None:
    """Whichever unit of whichever layer writes another value, or is missing, the proof breaks."""
    made = construction()
    claim = claim_of(made)
    broken = 0
    for index in (0, 2):
        for number, table in enumerate(made.layers[index].tables):
            if index == 2 and table.name.startswith("keep"):
                continue  # "=" always multiplies in the last layer
            for unit in range(table.num_units):
                written = table.written.copy()
                written[unit, 0] = (written[unit, 0] + 1) % 3
                kept = np.arange(table.num_units) != unit
                for other in (
                    replace(table, written=written),
                    replace(table, watched=table.watched[kept], written=table.written[kept]),
                ):
                    tables = list(made.layers[index].tables)
                    tables[number] = other
                    changed = with_layer(made, index, lambda layer: replace(layer, tables=tuple(tables)))  # noqa: B023
                    with pytest.raises(InductionError):
                        check_scan_claim(changed, claim)
                    broken += 1
    assert broken > 50


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda layer: replace(layer, clears=layer.clears[:1]), "two units write|not always cleared"),
        (lambda layer: replace(layer, look_ups=()), "does not have one look-up"),
        (
            lambda layer: replace(layer, look_ups=(replace(layer.look_ups[0], brings=()),)),
            "does not bring an element as it is",
        ),
    ],
)
def test_a_layer_that_is_wrong(change: Callable[[ConstructionLayer], ConstructionLayer], reason: str) -> None:
    made = construction()
    with pytest.raises(InductionError, match=reason):
        check_scan_claim(with_layer(made, 0, change), claim_of(made))


def test_a_product_that_is_none() -> None:
    made = construction()
    claim = claim_of(made)
    product = claim.product.copy()
    product[3, 4] = product[3, 5]
    with pytest.raises(InductionError, match="not associative"):
        check_scan_claim(made, replace(claim, product=product))
    with pytest.raises(InductionError, match="element 0 is not the identity"):
        check_scan_claim(made, replace(claim, product=claim.product[::-1]))
    with pytest.raises(InductionError, match="some element is no product of items"):
        check_scan_claim(made, replace(claim, items=claim.items[:1], element=claim.element[:1]))
    with pytest.raises(InductionError):
        check_scan_claim(made, replace(claim, answer=claim.answer[::-1].copy()))


@pytest.mark.parametrize(("num_last", "reason"), [(5, "more items are multiplied"), (6, None)])
def test_how_many_items(num_last: int, reason: str | None) -> None:
    made = construction()
    if reason is None:
        check_scan_claim(made, claim_of(made))
        return
    with pytest.raises(InductionError, match=reason):
        check_scan_claim(made, replace(claim_of(made), num_last=num_last))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda made: replace(made, num_positions=6), "the prompt does not fit the positions"),
        (
            lambda made: alter_bring(made, 0, 0, 0, target="equals"),
            "brings an element to where something stands",
        ),
        (
            lambda made: alter_bring(made, 0, 0, 1, target="left[0]"),
            "brings an element to where something stands",
        ),
        (lambda made: alter_bring(made, 0, 0, 0, of_value=(0, 2, 1)), "does not bring an element as it is"),
        (
            lambda made: alter_table(add_field(made), 0, 0, reading(table_of(made, 0, 0), "extra")),
            "reads extra, which no claim is about",
        ),
        (
            lambda made: add_table(made, 0, exact_table("more", ["joins[0]"], [[0]], ["left[0]"], [[0]])),
            "a table writes what it should not",
        ),
        (
            lambda made: alter_layer(made, 0, clears=made.layers[0].clears[:-1]),
            "what was fetched is not always cleared",
        ),
        (lambda made: alter_clause(made, 0, 0, 0, asked="digit[0]"), "asks for more than the position decides"),
    ],
)
def test_a_wrong_part(change: Callable[[Construction], Construction], reason: str) -> None:
    made = construction()
    with pytest.raises(InductionError, match=reason):
        check_scan_claim(change(made), claim_of(made))


def test_elements_must_be_told_apart() -> None:
    """Two elements with the same values could not be told apart."""
    made = construction()
    codes = claim_of(made).codes.copy()
    codes[5] = codes[4]
    with pytest.raises(InductionError, match="two elements are held by the same values"):
        check_scan_claim(made, replace(claim_of(made), codes=codes))


def test_what_is_carried_must_be_decided_by_tokens() -> None:
    made = construction()
    with pytest.raises(InductionError, match="what is carried is not decided by tokens"):
        check_scan_claim(made, replace(claim_of(made), carried=("name", "digit[1]", "digit[2]")))


def test_the_identity_must_be_one_on_either_side() -> None:
    """Element 0 must be both a left and a right identity."""
    made = construction()
    claim = claim_of(made)
    for product in (claim.product[:, [0, 2, 1, 3, 4, 5]], claim.product[[0, 2, 1, 3, 4, 5]]):
        with pytest.raises(InductionError, match="element 0 is not the identity"):
            check_scan_claim(made, replace(claim, product=product))
