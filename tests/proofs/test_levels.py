"""Circuits without a chain: a construction that does not compute the circuit is refused, whatever is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from serialformer import CircuitBuilder
from serialformer.constructions.circuit_depth import circuit_depth_construction
from serialformer.constructions.claim import ColumnsClaim
from serialformer.constructions.construction import NOTHING, Construction, ConstructionLayer, Field, UnitTable
from serialformer.constructions.interpret import interpret
from serialformer.errors import CompileError
from serialformer.proofs.induction import InductionError
from serialformer.proofs.levels import check_columns_claim
from tests.proofs.alterations import (
    add_field,
    alter_bring,
    alter_clause,
    alter_field,
    alter_table,
    alter_value,
    reading,
    table_of,
    writing,
)


def construction() -> Construction:
    """y = not (a and b), z = a: positions 0 and 1 hold the inputs, 2 and 3 the gates, 4 to 6 the answer."""
    build = CircuitBuilder()
    a, b = build.inputs("a", 2)
    build.output("y", build.not_(build.and_(a, b)))
    build.output("z", a)
    return circuit_depth_construction(build.circuit())


def claim_of(made: Construction) -> ColumnsClaim:
    (claim,) = made.claims()
    assert isinstance(claim, ColumnsClaim)
    return claim


def with_position(made: Construction, name: str, position: int, value: int) -> Construction:
    """Another value of a field at one position."""

    def change(part: Field) -> Field:
        if part.name != name:
            return part
        values = np.array(part.values)
        values[position] = value
        return replace(part, values=values)

    return replace(made, fields=tuple(map(change, made.fields)))


def with_layer(
    made: Construction, index: int, change: Callable[[ConstructionLayer], ConstructionLayer]
) -> Construction:
    layers = list(made.layers)
    layers[index] = change(layers[index])
    return replace(made, layers=tuple(layers))


def test_the_construction_is_what_it_claims() -> None:
    made = construction()
    occurring = check_columns_claim(made, claim_of(made))
    assert occurring.anywhere.tolist() == [True, True, True, False, True], "bits, = and fillers, but not <unk>"
    assert occurring.filled == {"bit"}


@pytest.mark.parametrize(
    ("name", "position", "value", "reason", "where"),
    [
        ("read[0]", 3, 1, "a column computes another gate", 3),
        ("read[0]", 3, 4, "finds no one position", 3),
        ("name", 1, 0, "finds no one position", 1),
        ("name", 5, 0, "finds no one position", 5),
        ("table[0]", 2, 1, "a column computes another gate", 2),
        ("table[3]", 1, 0, "an input is not kept", 1),
        ("read[0]", 4, 2, "writes something else than its output", 4),
        ("table[0]", 5, 1, "writes something else than its output", 5),
        ("mode", 4, 1, "not always a bit", 4),
        ("mode", 6, 0, "not always ended", 6),
    ],
)
def test_a_wrong_position(name: str, position: int, value: int, reason: str, where: int) -> None:
    made = construction()
    with pytest.raises(InductionError, match=reason) as caught:
        check_columns_claim(with_position(made, name, position, value), claim_of(made))
    assert caught.value.position == where


def with_the_old_bit(table: UnitTable) -> UnitTable:
    """Writes the other bit where the old one is 1."""
    both = [reading(table, "bit", old) for old in (0, 1)]
    watched = np.concatenate([one.watched for one in both])
    return replace(both[0], watched=watched, written=np.concatenate([table.written, 1 - table.written]))


LAYER_FAULTS: dict[str, tuple[int, Callable[[ConstructionLayer], ConstructionLayer], str]] = {
    "a unit writes the other bit": (
        0,
        lambda layer: replace(
            layer, tables=(replace(layer.tables[0], written=1 - layer.tables[0].written), *layer.tables[1:])
        ),
        "an input is not kept",
    ),
    "a table is missing": (0, lambda layer: replace(layer, tables=layer.tables[1:]), "makes a difference"),
    "a table is there twice": (
        0,
        lambda layer: replace(layer, tables=(*layer.tables, layer.tables[0])),
        "two units write",
    ),
    "a table of the last layer is there twice": (
        -1,
        lambda layer: replace(layer, tables=(*layer.tables, layer.tables[0])),
        "two units write",
    ),
    "the old bit matters": (
        0,
        lambda layer: replace(layer, tables=(with_the_old_bit(layer.tables[0]), *layer.tables[1:])),
        "what stood in a column makes a difference",
    ),
    "what was fetched stays": (0, lambda layer: replace(layer, clears=("bit", "fetched[0]")), "not always cleared"),
    "the old bit stays": (0, lambda layer: replace(layer, clears=("fetched[0]", "fetched[1]")), "two units write"),
    "a look-up brings the mark": (
        0,
        lambda layer: replace(
            layer,
            look_ups=(
                replace(layer.look_ups[0], brings=(replace(layer.look_ups[0].brings[0], source="mark"),)),
                *layer.look_ups[1:],
            ),
        ),
        "more than one field",
    ),
    "a bit is turned over on the way": (
        0,
        lambda layer: replace(
            layer,
            look_ups=(
                replace(layer.look_ups[0], brings=(replace(layer.look_ups[0].brings[0], of_value=(1, 0)),)),
                *layer.look_ups[1:],
            ),
        ),
        "does not bring a bit as it is",
    ),
    "two look-ups bring into one field": (
        0,
        lambda layer: replace(
            layer,
            look_ups=(
                layer.look_ups[0],
                replace(layer.look_ups[1], brings=layer.look_ups[0].brings),
            ),
        ),
        "two look-ups bring into one field",
    ),
    "the last layer writes half a token": (
        -1,
        lambda layer: replace(
            layer,
            tables=tuple(
                replace(table, writes=table.writes[:1], written=table.written[:, :1]) for table in layer.tables
            ),
        ),
        "not always a token",
    ),
    "the last layer is like the others": (-1, lambda layer: construction().layers[0], "not always a token"),
}


@pytest.mark.parametrize("fault", LAYER_FAULTS)
def test_a_layer_that_is_wrong(fault: str) -> None:
    index, change, reason = LAYER_FAULTS[fault]
    made = construction()
    with pytest.raises(InductionError, match=reason):
        check_columns_claim(with_layer(made, index, change), claim_of(made))


def test_too_few_layers() -> None:
    made = construction()
    with pytest.raises(InductionError, match="an output on level 2 needs 3 layers, and there are 2") as caught:
        check_columns_claim(replace(made, layers=made.layers[1:]), claim_of(made))
    assert caught.value.position == 4
    shallow = replace(claim_of(made), proven=np.array([False, True]))
    check_columns_claim(replace(made, layers=made.layers[1:]), shallow)


def test_every_claim_of_another_circuit_is_refused() -> None:
    """Any other table of a gate, any other wire read, any other output."""
    made = construction()
    claim = claim_of(made)
    others = []
    for gate, arity in enumerate(claim.arity.tolist()):
        for entry in range(1 << arity):
            table = claim.table.copy()
            table[gate] ^= np.uint64(1 << entry)
            others.append(replace(claim, table=table))
        for place in range(arity):
            for wire in range(2 + gate):
                reads = claim.reads.copy()
                if reads[gate, place] != wire:
                    reads[gate, place] = wire
                    others.append(replace(claim, reads=reads))
    others += [replace(claim, answers=np.array([wire, 0], dtype=np.int32)) for wire in range(3)]
    for other in others:
        with pytest.raises(InductionError):
            check_columns_claim(made, other)
    assert len(others) > 10


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda made: replace(made, num_positions=6), "prompt and answer do not fit the positions"),
        (
            lambda made: alter_table(add_field(made), 0, 0, reading(table_of(made, 0, 0), "extra")),
            "reads extra, which no claim is about",
        ),
        (lambda made: alter_bring(made, 0, 0, 0, target="mark"), "brings a bit to where something stands"),
        (
            lambda made: alter_table(add_field(made), 0, 0, writing(table_of(made, 0, 0), "extra")),
            "writes what it should not",
        ),
        (
            lambda made: alter_table(made, -1, 0, reading(table_of(made, -1, 0), "bit")),
            "depends on what stood at the position itself",
        ),
        (
            lambda made: alter_table(
                made, -1, 4, replace(table_of(made, -1, 4), replaced=table_of(made, -1, 4).written)
            ),
            "depends on what stood at the position itself",
        ),
        (lambda made: alter_clause(made, 0, 0, 0, asked="bit"), "asks for more than the position decides"),
        (lambda made: alter_value(made, "bit", 4, 1), "is not the token's bit"),
        (lambda made: alter_field(made, "bit", num_values=3), "is not the token's bit"),
    ],
)
def test_a_wrong_part(change: Callable[[Construction], Construction], reason: str) -> None:
    made = construction()
    with pytest.raises(InductionError, match=reason):
        check_columns_claim(change(made), claim_of(made))


def test_what_is_read_has_a_bit() -> None:
    """A gate may ignore an input, but no unit fires if that input holds nothing."""
    made = alter_value(construction(), "read[1]", 5, 4)
    check_columns_claim(made, claim_of(made))
    tables = list(made.layers[1].tables)
    for number in range(4):
        part = made.field_named[f"table[{number}]"]
        values = np.array(part.at(slice(0, 7)))
        values[4] = NOTHING  # in the second layer "=" is left without a bit
        made = add_field(made, replace(part, name=f"early[{number}]", values=values))
        reads = tuple(name.replace("table", "early") for name in tables[number].reads)
        tables[number] = replace(tables[number], reads=reads)
    wrong = with_layer(made, 1, lambda layer: replace(layer, tables=tuple(tables)))
    with pytest.raises(InductionError, match="what is read may have no bit") as caught:
        check_columns_claim(wrong, claim_of(made))
    assert caught.value.position == 5
    prompts = np.array([[0, 1, 4, 4, 2]])
    with pytest.raises(CompileError, match="writes no token"):
        interpret(wrong, prompts, 3)
