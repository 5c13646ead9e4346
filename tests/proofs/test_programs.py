"""Circuits as programs: constructions with any one part wrong are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from serialformer import CircuitBuilder
from serialformer.constructions.circuit_chain import program_to_construction
from serialformer.constructions.claim import BitClaim
from serialformer.constructions.construction import Construction, Field, exact_table
from serialformer.constructions.program import schedule_to_program
from serialformer.constructions.schedule import schedule_chain
from serialformer.proofs.induction import InductionError
from serialformer.proofs.programs import check_bit_claim, check_prompt
from serialformer.proofs.prove import certify_construction
from tests.construction_cases import circuit_construction
from tests.proofs.alterations import (
    add_field,
    add_table,
    alter_bring,
    alter_clause,
    alter_look_up,
    alter_table,
    alter_value,
    reading,
    table_of,
    writing,
)
from tests.proofs.test_constructions import lower, some_prompts, writes

TOKEN = Field(name="extra", num_values=2, origin="token", values=np.zeros(4, dtype=np.int64))


def construction() -> Construction:
    """y = a and b, z = not y. Inputs stand at positions 0 and 1, ``=`` at 2 and the chain at 3 and 4."""
    build = CircuitBuilder()
    a, b = build.inputs("a", 2)
    wire = build.and_(a, b)
    build.output("y", wire)
    build.output("z", build.not_(wire))
    circuit = build.circuit()
    return program_to_construction(schedule_to_program(circuit, schedule_chain(circuit)))


def claim_of(made: Construction) -> BitClaim:
    (claim,) = made.claims()
    assert isinstance(claim, BitClaim)
    return claim


def test_the_construction_is_what_it_claims() -> None:
    made = construction()
    occurring = check_bit_claim(made, claim_of(made))
    assert occurring.written.tolist() == [True, True, False, False]
    assert occurring.current.tolist() == occurring.anywhere.tolist() == [True, True, True, False]
    check_prompt(made, claim_of(made))


@pytest.mark.parametrize(
    ("name", "place", "value", "reason", "where"),
    [
        ("read[0]", 2, 1, "the construction writes", 2),
        ("read[0]", 3, 0, "the construction writes", 3),
        ("read[0]", 3, 4, "finds no one position", 3),
        ("name", 1, 0, "finds no one position", 2),
        ("table[0]", 2, 1, "the construction writes table 1001", 2),
        ("name", 2, 0, "finds no one position", 2),
        ("table[3]", 2, -1, "do not write one bit", 2),
        ("table[1]", 2, -1, "do not write one bit", 2),
        ("table[0]", 4, 0, "do not write one bit", 4),
    ],
)
def test_a_wrong_position(name: str, place: int, value: int, reason: str, where: int) -> None:
    made = construction()
    with pytest.raises(InductionError, match=reason) as caught:
        check_bit_claim(alter_value(made, name, place, value), claim_of(made))
    assert caught.value.position == where


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda made: replace(made, num_positions=4), "the chain does not fit the positions"),
        (
            lambda made: alter_look_up(made, 0, 0, brings=2 * made.layers[0].look_ups[0].brings),
            "does not bring one bit",
        ),
        (lambda made: alter_bring(made, 0, 0, 0, source="name"), "does not bring one bit"),
        (lambda made: alter_bring(made, 0, 0, 0, of_value=(1, 0, 0)), "does not bring bits as they are"),
        (lambda made: alter_bring(made, 0, 0, 0, of_value=(0, 1, 1)), "does not bring bits as they are"),
        (lambda made: alter_bring(made, 0, 0, 0, of_value=(0, 1, -1)), "does not bring bits as they are"),
        (lambda made: alter_bring(made, 0, 0, 0, target="token"), "brings a bit to where something stands"),
        (lambda made: alter_clause(made, 0, 0, 0, asked="token"), "asks for more than the position decides"),
        (lambda made: alter_look_up(made, 0, 0, clauses=(), distance=-1), "finds no position"),
        (lambda made: alter_look_up(made, 0, 0, clauses=(), distance=3), "finds no position"),
        (lambda made: alter_look_up(made, 0, 0, distance=1), "finds no position"),
        (
            lambda made: alter_table(add_field(made, TOKEN), 0, 0, writing(table_of(made, 0, 0), "extra")),
            "writes something else than the token",
        ),
        (lambda made: alter_table(made, 0, 0, reading(table_of(made, 0, 0), "token")), "reads token, which no claim"),
        (
            lambda made: alter_table(
                made, 0, 0, replace(table_of(made, 0, 0), written=table_of(made, 0, 0).written + 2)
            ),
            "writes what is no bit",
        ),
        (lambda made: add_table(made, 0, table_of(made, 0, 0)), "do not write one bit"),
        (
            lambda made: add_table(made, 0, exact_table("end", ["name"], [[4]], ["token"], [[0]])),
            "do not write one bit",
        ),
        (lambda made: alter_table(made, 0, 0, reading(table_of(made, 0, 0), "name", 7)), "do not write one bit"),
    ],
)
def test_a_wrong_part(change: Callable[[Construction], Construction], reason: str) -> None:
    made = construction()
    with pytest.raises(InductionError, match=reason):
        check_bit_claim(change(made), claim_of(made))


@pytest.mark.parametrize(
    "change",
    [
        lambda made: alter_look_up(made, 0, 0, clauses=(), distance=0),
        lambda made: alter_value(made, "read[1]", 0, 1),
        lambda made: alter_value(made, "read[0]", 0, -1),
    ],
)
def test_the_prompt_must_find_something_too(change: Callable[[Construction], Construction]) -> None:
    """In the paper's arithmetic a softmax over nothing divides by zero, even at positions that write no token."""
    made = construction()
    with pytest.raises(InductionError, match="finds no position") as caught:
        check_prompt(change(made), claim_of(made))
    assert caught.value.position == 0


def test_every_claim_of_another_circuit_is_refused() -> None:
    """Changes each entry of each table and each position read."""
    made = construction()
    claim = claim_of(made)
    for token, arity in enumerate(claim.arity.tolist()):
        for entry in range(1 << arity):
            table = claim.table.copy()
            table[token] ^= np.uint64(1 << entry)
            with pytest.raises(InductionError, match="the circuit says"):
                check_bit_claim(made, replace(claim, table=table))
        for place in range(arity):
            for position in {0, 1, 3} - {3 + later for later in range(token, 2)} - {int(claim.reads[token, place])}:
                reads = claim.reads.copy()
                reads[token, place] = position
                with pytest.raises(InductionError, match="the circuit says"):
                    check_bit_claim(made, replace(claim, reads=reads))


def test_a_bit_brought_into_the_token_field_is_refused() -> None:
    """Units would see the sum of the fetched bit and the token, so the weights are wrong."""
    made = circuit_construction("gates of one, two and three inputs")
    wrong = alter_bring(made, 0, 0, 0, target="token")
    for number, table in enumerate(made.layers[0].tables):
        reads = tuple("token" if name == "fetched[0]" else name for name in table.reads)
        wrong = alter_table(wrong, 0, number, replace(table, reads=reads))
    transformer, placement = lower(wrong)
    assert not all(writes(transformer, *case) for case in some_prompts(made, np.random.default_rng(0), 32))
    failure = certify_construction(transformer, placement).failure
    assert failure is not None and "brings a bit to where something stands" in failure.reason
