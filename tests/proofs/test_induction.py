"""Table claims: witnesses with values out of range and constructions with any one part wrong are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from serialformer.constructions.claim import ANY, TableClaim
from serialformer.constructions.construction import NOTHING, Construction
from serialformer.constructions.tasks import task_construction
from serialformer.proofs.induction import InductionError, Keys, Memory, check_consistent, check_table_claim, covers
from serialformer.proofs.prove import check_claims
from serialformer.tasks.registry import make_task
from tests.construction_cases import every_construction
from tests.proofs.alterations import (
    alter_bring,
    alter_clause,
    alter_field,
    alter_layer,
    alter_look_up,
    alter_table,
    alter_value,
    table_of,
)


def parity() -> Construction:
    """Words of four bits at positions 0 to 3, ``=`` at 4 and the running parity at 5 to 8."""
    return task_construction(make_task("parity"), 4)


def permutations() -> Construction:
    """Permutations of five things in brackets. Each look-up brings one symbol."""
    return task_construction(make_task("permutation-composition", {}), 2)


def permutation() -> Construction:
    """A single permutation. Nothing is composed, so what look-ups bring does not matter."""
    return task_construction(make_task("permutation-composition", {}), 1)


def squaring() -> Construction:
    """A prime, a residue, ``^2`` and ``=``. The token decides which position is read."""
    return task_construction(make_task("iterated-squaring", {"bound": 20}), 1)


def redirected(made: Construction, number: int, target: str) -> Construction:
    """A look-up brings its value into another field, which units read instead."""
    former = made.layers[0].look_ups[number].brings[0].target
    altered = alter_bring(made, 0, number, 0, target=target)
    for place, table in enumerate(made.layers[0].tables):
        reads = tuple(target if name == former else name for name in table.reads)
        altered = alter_table(altered, 0, place, replace(table, reads=reads))
    return altered


def claim_of(made: Construction) -> TableClaim:
    (claim,) = made.claims()
    assert isinstance(claim, TableClaim)
    return claim


def with_watched(made: Construction, value: int) -> Construction:
    table = table_of(made, 0, 0)
    watched = table.watched.copy()
    watched[0, 0, 1] = value
    return alter_table(made, 0, 0, replace(table, watched=watched))


def with_written(made: Construction, value: int) -> Construction:
    table = table_of(made, 0, 0)
    written = table.written.copy()
    written[0, 0] = value
    return alter_table(made, 0, 0, replace(table, written=written))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda made: alter_value(made, "digit[0]", 0, 2), "tokens hold values that digit"),
        (lambda made: alter_value(made, "digit[0]", 0, -2), "tokens hold values that digit"),
        (
            lambda made: alter_field(made, "digit[0]", values=made.field_named["digit[0]"].of_token[:2]),
            "tokens hold values that digit",
        ),
        (lambda made: alter_clause(made, 0, 0, 0, asked=None, constant=5), "asks for a value that there is not"),
        (lambda made: alter_clause(made, 0, 0, 0, asked=None, constant=NOTHING), "asks for a value that there is not"),
        (lambda made: alter_clause(made, 0, 0, 0, asked="mode"), "asks for a value that there is not"),
        (lambda made: alter_clause(made, 0, 0, 0, of_value=(0, 1, 2, 3)), "asks for a value that there is not"),
        (lambda made: alter_clause(made, 0, 0, 0, of_value=(0, 1, 2, 3, 5)), "asks for a value that there is not"),
        (lambda made: alter_clause(made, 0, 0, 0, of_value=(0, 1, 2, 3, -2)), "asks for a value that there is not"),
        (lambda made: alter_bring(made, 0, 0, 0, target="mode"), "brings a value that there is not"),
        (lambda made: alter_bring(made, 0, 0, 0, source="name"), "brings a value that there is not"),
        (lambda made: alter_bring(made, 0, 0, 0, of_value=(0,)), "brings a value that there is not"),
        (lambda made: alter_bring(made, 0, 0, 0, of_value=(0, 2)), "brings a value that there is not"),
        (lambda made: alter_bring(made, 0, 0, 0, of_value=(0, -2)), "brings a value that there is not"),
        (lambda made: with_watched(made, 2), "watches for values that mode has not"),
        (lambda made: with_watched(made, NOTHING), "watches for values that mode has not"),
        (lambda made: with_written(made, 2), "writes values that digit"),
        (lambda made: with_written(made, -2), "writes values that digit"),
        (lambda made: alter_layer(made, 0, clears=("digit[0]",)), "the last layer clears fields"),
        (
            lambda made: alter_layer(replace(made, layers=2 * made.layers), 0, clears=("read",)),
            "a layer changes read, which positions decide",
        ),
        (
            lambda made: alter_table(made, 0, 0, replace(table_of(made, 0, 0), writes=("mode", "equals"))),
            "a layer changes mode, which positions decide",
        ),
        (lambda made: replace(made, default={"equals": NOTHING}), "the default is a value that equals has not"),
        (lambda made: replace(made, default={"equals": 2}), "the default is a value that equals has not"),
    ],
)
def test_values_out_of_range_are_refused(change: Callable[[Construction], Construction], reason: str) -> None:
    check_consistent(parity())
    with pytest.raises(InductionError, match=reason):
        check_consistent(change(parity()))


def test_nothing_is_a_value_of_tokens_and_may_be_brought_and_asked_for() -> None:
    made = alter_clause(parity(), 0, 0, 0, of_value=(0, 1, 2, 3, NOTHING))
    made = alter_bring(made, 0, 0, 0, of_value=(NOTHING, 1))
    check_consistent(with_written(alter_value(made, "digit[0]", 2, NOTHING), NOTHING))


@pytest.mark.parametrize(
    ("make", "change", "reason"),
    [
        (parity, lambda made: alter_look_up(made, 0, 0, clauses=(), distance=1), "goes by a distance"),
        (parity, lambda made: alter_clause(made, 0, 0, 0, key="equals"), "which the position does not decide"),
        (parity, lambda made: alter_value(made, "read", 4, 1), "reads another position than the claim says"),
        (parity, lambda made: alter_value(made, "read", 7, 2), "reads another position than the claim says"),
        (parity, lambda made: alter_value(made, "name", 1, 0), "finds no one position"),
        (parity, lambda made: alter_value(made, "name", 0, 4), "finds no one position"),
        (parity, lambda made: alter_value(made, "name", 6, 2), "finds no one position"),
        (squaring, lambda made: alter_clause(made, 0, 1, 0, of_value=(NOTHING, 1)), "residue finds no one position"),
        (parity, lambda made: alter_value(made, "mode", 5, 1), "writes another token than the claim says"),
        (parity, lambda made: alter_clause(made, 0, 0, 0, asked="symbol[0]"), "asks for what is brought"),
        (
            parity,
            lambda made: alter_table(
                made,
                0,
                1,
                replace(table_of(made, 0, 1), writes=("equals",), written=table_of(made, 0, 1).written[:, 1:]),
            ),
            "write only a part of a token's fields",
        ),
        (permutations, lambda made: alter_bring(made, 0, 0, 0, of_value=(1, 0, *range(2, 8))), "another token than"),
        (permutations, lambda made: alter_bring(made, 0, 1, 0, source="item"), "brings what no token decides"),
        # The claim allows any token there, but the sum of two codes is not a code.
        (permutation, lambda made: redirected(made, 1, "token"), "token may hold a value that another joins"),
    ],
)
def test_a_wrong_part(
    make: Callable[[], Construction], change: Callable[[Construction], Construction], reason: str
) -> None:
    made = make()
    check_table_claim(made, claim_of(made))
    with pytest.raises(InductionError, match=reason):
        check_table_claim(change(made), claim_of(made))


def test_only_circuits_go_by_distances() -> None:
    made = alter_look_up(parity(), 0, 0, clauses=(), distance=1)
    with pytest.raises(InductionError, match="only circuits have look-ups that go by a distance"):
        check_claims(made)


def test_two_values_never_join() -> None:
    made = parity()
    claim, twice = claim_of(made), alter_layer(made, 0, look_ups=2 * made.layers[0].look_ups)
    for number, rule in enumerate(claim.rules):
        claim = with_rule(
            claim, number, sources=np.repeat(rule.sources, 2, axis=1), read=np.repeat(rule.read, 2, axis=1)
        )
    with pytest.raises(InductionError, match="symbol.0. holds a value that another joins"):
        check_table_claim(twice, claim)


def with_rule(claim: TableClaim, number: int, **changes: np.ndarray) -> TableClaim:
    rules = list(claim.rules)
    rules[number] = replace(rules[number], **changes)
    return replace(claim, rules=tuple(rules))


def test_every_case_that_can_be_read_must_be_one_of_the_claim() -> None:
    made = parity()
    claim = claim_of(made)
    for number, rule in enumerate(claim.rules):
        for kept in (slice(1, None), slice(None, -1)):
            fewer = with_rule(claim, number, own=rule.own[kept], read=rule.read[kept], expected=rule.expected[kept])
            with pytest.raises(InductionError, match="is no case of the claim"):
                check_table_claim(made, fewer)


def test_repeated_cases_do_not_replace_missing_ones() -> None:
    """If the prompt has an anchor, cases are counted."""
    made = squaring()
    claim = claim_of(made)
    assert claim.anchor == 0
    rule = claim.rules[0]
    for cases in (np.arange(1, len(rule.own)), np.array([0, 0, *range(2, len(rule.own))])):
        other = with_rule(claim, 0, own=rule.own[cases], read=rule.read[cases], expected=rule.expected[cases])
        with pytest.raises(InductionError, match="is no case of the claim"):
            check_table_claim(made, other)


def test_what_a_claim_leaves_open_matters_nowhere() -> None:
    made = parity()
    claim = claim_of(made)
    number = int(np.argmax([len(rule.positions) for rule in claim.rules]))
    rule = claim.rules[number]
    for part in ("own", "read"):
        with pytest.raises(InductionError, match="depends on a token that the claim says does not matter"):
            check_table_claim(made, with_rule(claim, number, **{part: np.full_like(getattr(rule, part), ANY)}))


def test_what_was_checked_for_one_claim_is_checked_for_another() -> None:
    made, memory = parity(), Memory()
    claim = claim_of(made)
    check_table_claim(made, claim, memory)
    check_table_claim(made, claim, memory)
    for number, rule in enumerate(claim.rules):
        if (rule.read == ANY).any():
            continue
        with pytest.raises(InductionError, match="writes another token than the claim says"):
            check_table_claim(made, with_rule(claim, number, read=1 - rule.read), memory)


def test_what_is_written_stands_somewhere() -> None:
    """Tokens that occur in no prompt are included."""
    new = 0
    for name in ("task/automaton-0,2-1-9", "task/majority-13", "task/permutation-composition-symbols-6"):
        made = every_construction()[name]()
        claim = claim_of(made)
        occurring = check_table_claim(made, claim)
        assert (occurring.anywhere >= occurring.written).all() and (occurring.anywhere >= occurring.current).all()
        new += int((occurring.written & ~claim.prompt.any(axis=(0, 1))).sum())
    assert new > 0


def test_every_position_that_writes_must_be_in_a_rule() -> None:
    made = parity()
    claim = claim_of(made)
    number = int(np.argmax([len(rule.positions) for rule in claim.rules]))
    rule = claim.rules[number]
    positions, sources = rule.positions.copy(), rule.sources.copy()
    positions[-1], sources[-1] = positions[-2], sources[-2]
    with pytest.raises(InductionError, match="the claim does not say what is written") as caught:
        check_table_claim(made, with_rule(claim, number, positions=positions, sources=sources))
    assert caught.value.position == rule.positions[-1]


def test_combinations_of_values_are_told_apart() -> None:
    values = [np.array([0, 1, 1, 0, -1, 1]), np.array([2, 0, 2, 2, 0, 2])]
    for sizes in ((2, 3), (1 << 20, 1 << 20)):  # found in an array, and by sorting
        keys = Keys(zip(values, sizes, strict=True))
        first, again = keys.find([np.array([0, 1, 1, -1, 0, sizes[0]]), np.array([2, 2, 0, 0, 1, 0])])
        assert first.tolist() == [0, 2, 1, 6, 6, 6] and again.tolist() == [3, 5, 6, 6, 6, 6]
    with pytest.raises(InductionError, match="more values than can be told apart"):
        Keys(zip(values, (1 << 31, 1 << 31), strict=True))


def test_every_combination_is_a_case() -> None:
    both, one = np.array([True, True]), np.array([False, True])
    for cases, sets, expected in (
        ([[0, 0], [0, 1], [1, 0], [1, 1]], [both, both], True),
        ([[0, 0], [0, 1], [1, 0]], [both, both], False),
        ([[0, 0], [0, 1], [0, 1], [1, 0]], [both, both], False),
        ([[1, ANY]], [one, both], True),
        ([[1, ANY], [0, 1]], [both, both], False),
        ([[1, ANY], [0, 1], [0, 0]], [both, both], True),
        ([[ANY, ANY]], [both, both], True),
        ([], [both, one], False),
    ):
        assert covers(np.array(cases, dtype=np.int64).reshape(-1, 2), sets) is expected
