"""Several gates a token: everything compiled is proven, and a construction or weights that are off are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from serialformer.architecture import DtypeName
from serialformer.circuits.builder import CircuitBuilder
from serialformer.circuits.passes import split_gates
from serialformer.constructions.claim import PackedClaim
from serialformer.constructions.construction import (
    Construction,
    ConstructionLayer,
    Field,
    Tally,
    UnitTable,
    exact_table,
)
from serialformer.constructions.interpret import interpret
from serialformer.constructions.packed_chain import packed_chain_construction
from serialformer.constructions.packed_schedule import schedule_packed
from serialformer.constructions.placement import Placement
from serialformer.errors import CompileError
from serialformer.proofs.induction import InductionError
from serialformer.proofs.packed import check_packed_claim
from serialformer.proofs.prove import certify_construction
from serialformer.targets.gpt2 import construction_to_gpt2, layout_to_placement
from serialformer.transformer.forward import compute_logits
from serialformer.transformer.transformer import Transformer
from tests.cases import every_input, small_circuits
from tests.effort import pairs
from tests.proofs.alterations import (
    add_table,
    alter_bring,
    alter_field,
    alter_layer,
    alter_table,
    alter_value,
    reading,
    table_of,
    writing,
)
from tests.proofs.mutations import mutate

SOME = (
    *("one input, which is the output", "no inputs, constant outputs", "unused inputs"),
    *("one wire output twice, a gate with one wire twice", "inverters only", "an output that a later output reads"),
    *("gates of one, two and three inputs", "random, 2 inputs a gate"),
)
CIRCUITS = {name: split_gates(small_circuits()[name]) for name in SOME}
ONE = "gates of one, two and three inputs"
MUTATED = ((2, 1), (3, 1), (2, 2))
"""How many gates go into a token, and through how many levels, in the models whose weights are altered."""


@cache
def construction_of(name: str, num_slots: int, num_levels: int) -> Construction:
    circuit = CIRCUITS[name]
    return packed_chain_construction(circuit, schedule_packed(circuit, num_slots, num_levels))


def claim_of(construction: Construction) -> PackedClaim:
    (claim,) = construction.claims()
    assert isinstance(claim, PackedClaim)
    return claim


def lower(construction: Construction, dtype: DtypeName = "float32") -> tuple[Transformer, Placement]:
    transformer, layout = construction_to_gpt2(construction, dtype=dtype, activation="gelu_new")
    return transformer, layout_to_placement(layout)


@pytest.mark.parametrize(("name", "shape"), pairs(CIRCUITS, [(2, 1), (3, 1), (2, 2)]))
def test_everything_compiled_is_proven(name: str, shape: tuple[int, int]) -> None:
    certificate = certify_construction(*lower(construction_of(name, *shape)))
    assert certificate.failure is None and certificate.witness
    assert 0 < certificate.logits.rounded <= certificate.logits.exact


@pytest.mark.parametrize(("shape", "dtype"), pairs([(2, 1), (3, 1), (2, 3)], ["float16", "bfloat16"]))
def test_it_holds_in_sixteen_bits(shape: tuple[int, int], dtype: DtypeName) -> None:
    assert certify_construction(*lower(construction_of(ONE, *shape), dtype)).holds


def check_mutations(shape: tuple[int, int], number: int, seed: int) -> tuple[int, int]:
    """How many altered models were certified, and how many were wrong; none may be both."""
    random = np.random.default_rng(seed)
    construction = construction_of(ONE, *shape)
    transformer, placement = lower(construction)
    bits = every_input(claim_of(construction).num_inputs)
    prompts = np.append(bits, np.full((len(bits), 1), construction.end_token), axis=1).astype(np.int64)
    chains = interpret(construction, prompts, construction.num_chain_tokens + 1)
    tokens = np.concatenate([prompts, chains], axis=1)[:, :-1]
    num_certified = num_wrong = 0
    for _ in range(number):
        altered, what = mutate(transformer, random)
        with np.errstate(all="ignore"):
            certified = certify_construction(altered, placement).holds
            logits = compute_logits(altered, tokens, dtype=np.float32)[:, prompts.shape[1] - 1 :]
        is_wrong = not np.isfinite(logits).all() or not np.array_equal(logits.argmax(axis=-1), chains)
        assert not (certified and is_wrong), what
        num_certified, num_wrong = num_certified + certified, num_wrong + is_wrong
    return num_certified, num_wrong


@pytest.mark.parametrize("shape", [(2, 1), (2, 2)])
def test_no_altered_weights_are_wrongly_certified(shape: tuple[int, int]) -> None:
    num_certified, num_wrong = check_mutations(shape, 30, seed=0)
    assert num_certified > 0 and num_wrong > 0, "some mutations should be harmless, and some not"


@pytest.mark.slow
@pytest.mark.parametrize("shape", MUTATED)
def test_no_altered_weights_are_wrongly_certified_in_two_thousand(shape: tuple[int, int]) -> None:
    check_mutations(shape, 2000, seed=1)


def with_field(made: Construction, name: str, place: int, change: int) -> Construction:
    def altered(part: Field) -> Field:
        if part.name != name:
            return part
        values = np.array(part.values)
        values[place] = (values[place] + change) % part.num_values
        return replace(part, values=values)

    return replace(made, fields=tuple(map(altered, made.fields)))


@pytest.mark.parametrize("number", [40, pytest.param(80, marks=pytest.mark.slow)])
@pytest.mark.parametrize("shape", [(2, 1), (2, 2)])
def test_an_altered_construction_is_refused(shape: tuple[int, int], number: int) -> None:
    """What a position reads, picks or computes, and what tokens hold, one number at a time."""
    random = np.random.default_rng(2)
    construction = construction_of(ONE, *shape)
    claim, first = claim_of(construction), claim_of(construction).num_inputs
    refused = tried = 0
    for _ in range(number):
        kind = str(random.choice(["table", "pick", "read", "bit"]))
        names = [part.name for part in construction.fields if part.name.startswith(f"{kind}[")]
        name = str(random.choice(names))
        place = first + int(random.integers(len(claim.wire)))
        if kind == "bit":
            place = int(random.choice([0, 1, 2, 4, 5, 6]))
        altered = with_field(construction, name, place, int(random.integers(1, 3)))
        if all(np.array_equal(a.values, b.values) for a, b in zip(altered.fields, construction.fields, strict=True)
               if a.origin != "layers"):  # fmt: skip
            continue
        tried += 1
        try:
            check_packed_claim(altered, claim)
        except InductionError:
            refused += 1
        else:
            # It may read another token that holds the same wire, or an entry of a table that does not matter.
            assert still_right(altered, construction)
    assert tried > number // 2 and refused > tried / 2


def still_right(altered: Construction, construction: Construction) -> bool:
    bits = every_input(claim_of(construction).num_inputs)
    prompts = np.append(bits, np.full((len(bits), 1), construction.end_token), axis=1).astype(np.int64)
    number = construction.num_chain_tokens + 1
    try:
        return np.array_equal(interpret(altered, prompts, number), interpret(construction, prompts, number))
    except CompileError:
        return False


def with_layers(made: Construction, *layers: ConstructionLayer) -> Construction:
    return replace(made, layers=layers)


def test_what_breaks_it_is_named() -> None:
    build = CircuitBuilder()
    wire = build.input("x")
    for _ in range(8):
        wire = build.not_(wire)
    build.output("y", wire)
    made = packed_chain_construction(build.circuit(), schedule_packed(build.circuit(), 3, 3))
    claim = claim_of(made)
    between, last = made.layers[0], made.layers[-1]
    for altered, reason in (
        (with_layers(made, between, last), "depend on one another through more than 2 levels"),
        (with_layers(made, *made.layers[:-1], replace(last, tables=last.tables[:-1])), "is not a whole token"),
        (with_layers(made, replace(between, look_ups=()), *made.layers[1:]), "the first layer fetches nothing"),
        (with_layers(made, between, replace(made.layers[1], look_ups=between.look_ups), last), "later layer fetches"),
        (with_layers(made, replace(between, clears=()), *made.layers[1:]), "does not renew all values"),
        (
            with_layers(made, replace(between, tables=between.tables[1:]), *made.layers[1:]),
            "does not always hold a bit",
        ),
    ):
        with pytest.raises(InductionError, match=reason):
            check_packed_claim(altered, claim)
    middle = replace(made.layers[1], tables=made.layers[1].tables[1:])
    with pytest.raises(InductionError, match="does not always hold a bit"):
        check_packed_claim(with_layers(made, between, middle, last), claim)
    with pytest.raises(InductionError, match="the last tokens are not the outputs"):
        check_packed_claim(made, replace(claim, answers=claim.answers[:0]))
    with pytest.raises(InductionError, match="the last tokens are not the outputs"):
        check_packed_claim(made, replace(claim, answers=claim.answers[::-1].copy() ^ 1))


def of_three_bits(made: Construction) -> UnitTable:
    """Writes the parity of three bits into slot 0."""
    reads = ("fetched[0][0][0]", "fetched[0][0][1]", "fetched[0][1][0]")
    bits = np.array(list(np.ndindex(2, 2, 2)))
    return exact_table("parity", reads, bits, ("bit[0]",), bits.sum(axis=1, keepdims=True) % 2)


def without_slot(made: Construction, number: int) -> Construction:
    """Removes the tables that write into one slot."""
    name = f"bit[{number}]"
    return alter_layer(made, 0, tables=tuple(table for table in made.layers[0].tables if table.writes != (name,)))


@pytest.mark.parametrize(
    ("num_levels", "change", "reason"),
    [
        (1, lambda made: replace(made, num_positions=5), "the chain does not fit the positions"),
        (2, lambda made: alter_layer(made, 0, clears=("value[0]",)), "is not one value within the token for each slot"),
        (2, lambda made: alter_value(made, "value[0]", 5, 1), "does not begin as 0"),
        (2, lambda made: alter_layer(made, 1, clears=("value[0]",)), "does not renew all values"),
        (
            2,
            lambda made: alter_layer(made, 1, tallies=(Tally(source="bit[0]", target="bit[1]"),)),
            "later layer fetches",
        ),
        (1, lambda made: alter_field(made, "bit[1]", origin="layers"), "do not hold a bit for each slot"),
        (1, lambda made: alter_value(made, "bit[0]", 5, 0), "a symbol does not hold its bits"),
        (1, lambda made: alter_value(made, "bit[1]", 0, 1), "the prompt's tokens do not hold their bits"),
        (1, lambda made: alter_bring(made, 0, 0, 0, of_value=(1, 0)), "does not bring bits as they are"),
        (1, lambda made: alter_bring(made, 0, 0, 0, source="mark"), "does not bring bits as they are"),
        (1, lambda made: alter_bring(made, 0, 0, 1, target="fetched[0][0][0]"), "does not bring bits as they are"),
        (1, lambda made: alter_bring(made, 0, 0, 0, target="mark"), "brings a bit to where something stands"),
        (1, lambda made: alter_table(made, 0, 0, writing(table_of(made, 0, 0), "mark")), "does not write one slot"),
        (
            2,
            lambda made: add_table(made, 0, exact_table("more", ["mode"], [[0]], ["mark"], [[0]])),
            "writes what it should not",
        ),
        (1, lambda made: alter_value(made, "table[0][0]", -1, 1), "the chain is not ended"),
        (1, lambda made: alter_table(made, 0, 0, reading(table_of(made, 0, 0), "mark")), "reads mark, which no claim"),
        (1, lambda made: add_table(made, 0, table_of(made, 0, 0)), "two units write"),
        (
            1,
            lambda made: alter_table(made, 0, 0, replace(table_of(made, 0, 0), replaced=table_of(made, 0, 0).written)),
            "does not write one slot",
        ),
        (1, lambda made: add_table(without_slot(made, 0), 0, of_three_bits(made)), "slot 0 depends on 3 bits"),
        (
            1,
            lambda made: alter_table(made, 0, -1, reading(table_of(made, 0, -1), "fetched[0][0][0]")),
            "which kind of token is written depends on more than the position",
        ),
        (1, lambda made: add_table(made, 0, table_of(made, 0, -1)), "two units write into mark"),
        (1, lambda made: alter_value(made, "mode", -2, 1), "what is written is not always a symbol"),
        (1, lambda made: alter_value(made, "mode", -1, 0), "the chain is not ended"),
    ],
)
def test_a_wrong_part(num_levels: int, change: Callable[[Construction], Construction], reason: str) -> None:
    made = construction_of(ONE, 2, num_levels)
    with pytest.raises(InductionError, match=reason):
        check_packed_claim(change(made), claim_of(made))


@pytest.mark.parametrize("num_levels", [1, 2])
def test_every_claim_of_another_circuit_is_refused(num_levels: int) -> None:
    """Changes each entry of each gate's table and each wire of each token."""
    made = construction_of(ONE, 2, num_levels)
    claim = claim_of(made)
    check_packed_claim(made, claim)
    for gate, arity in enumerate(claim.arity.tolist()):
        for entry in range(1 << arity):
            table = claim.table.copy()
            table[gate] ^= np.uint64(1 << entry)
            with pytest.raises(InductionError, match="holds another function"):
                check_packed_claim(made, replace(claim, table=table))
    for place in np.ndindex(*claim.wire.shape):
        wire = claim.wire.copy()
        wire[place] = (wire[place] + 2) % (claim.num_inputs + len(claim.arity) + 1) - 1
        with pytest.raises(InductionError):
            check_packed_claim(made, replace(claim, wire=wire))
