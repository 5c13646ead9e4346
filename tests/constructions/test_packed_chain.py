"""Several gates a token: the schedule keeps its promises, and the construction writes what the circuit says."""

from __future__ import annotations

import numpy as np
import pytest

from serialformer.circuits.builder import CircuitBuilder
from serialformer.circuits.circuit import NO_WIRE, Circuit
from serialformer.circuits.evaluate import evaluate_wires
from serialformer.circuits.passes import split_gates
from serialformer.constructions.interpret import interpret
from serialformer.constructions.packed_chain import packed_chain_construction, packed_vocabulary
from serialformer.constructions.packed_schedule import EMPTY, PackedSchedule, plain_schedule, schedule_packed
from serialformer.errors import CompileError
from tests.cases import every_input, small_circuits
from tests.effort import pairs

SOME = (
    *("one input, which is the output", "no inputs, constant outputs", "unused inputs"),
    *("one wire output twice, a gate with one wire twice", "inverters only", "an output that a later output reads"),
    *("gates of one, two and three inputs", "random, 2 inputs a gate"),
)
CIRCUITS = {name: split_gates(small_circuits()[name]) for name in SOME}
SHAPES = [(2, 1), (3, 1), (4, 1), (2, 2), (3, 2), (2, 3)]


def inner_levels(circuit: Circuit, row: list[int], known: set[int]) -> list[int]:
    """The level of each gate within its token; fails if it reads what is not there."""
    levels: dict[int, int] = {}
    for wire in row:
        if wire == EMPTY or wire in known:
            continue
        reads = [int(one) for one in circuit.fan_in[wire - circuit.num_inputs] if one != NO_WIRE]
        assert all(one in known or one in row for one in reads)
        levels[wire] = 1 + max((levels[one] for one in reads if one not in known), default=0)
    return list(levels.values())


@pytest.mark.parametrize("name", CIRCUITS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_schedule_writes_every_gate_that_is_needed_and_ends_with_the_outputs(
    name: str, shape: tuple[int, int]
) -> None:
    circuit, (num_slots, num_levels) = CIRCUITS[name], shape
    packed = schedule_packed(circuit, num_slots, num_levels)
    known = set(range(circuit.num_inputs))
    for row in packed.wire.tolist():
        assert max(inner_levels(circuit, row, known), default=0) <= num_levels
        known |= {wire for wire in row if wire != EMPTY}
    assert known == set(range(circuit.num_wires))
    plain = plain_schedule(circuit, packed)
    assert plain.wire[len(plain.wire) - circuit.num_outputs :].tolist() == circuit.outputs.tolist()
    assert (plain.wire[plain.token_of_gate] == np.arange(circuit.num_inputs, circuit.num_wires)).all()


@pytest.mark.parametrize(("name", "shape"), pairs(CIRCUITS, SHAPES, each=2))
def test_the_construction_writes_the_values_of_its_wires(name: str, shape: tuple[int, int]) -> None:
    circuit = CIRCUITS[name]
    packed = schedule_packed(circuit, *shape)
    construction = packed_chain_construction(circuit, packed)
    bits = every_input(circuit.num_inputs)[:64]
    prompts = np.append(bits, np.full((len(bits), 1), construction.end_token), axis=1).astype(np.int64)
    made = interpret(construction, prompts, packed.num_tokens + 1)
    wires = np.append(evaluate_wires(circuit, bits), np.zeros((len(bits), 1), dtype=np.uint8), axis=1)
    symbols = (wires[:, packed.wire].astype(np.int64) << np.arange(shape[0])).sum(axis=2)
    assert np.array_equal(made[:, :-1] - 4, symbols)
    assert (made[:, -1] == construction.end_token).all()


def test_layers_shorten_a_chain_whose_gates_depend_on_one_another() -> None:
    build = CircuitBuilder()
    wire = build.input("x")
    for _ in range(8):
        wire = build.not_(wire)
    build.output("y", wire)
    # The answer is the last gate, in a token of its own.
    assert [schedule_packed(build.circuit(), 4, levels).num_tokens for levels in (1, 2, 4)] == [8, 5, 3]


def test_what_is_refused() -> None:
    circuit = small_circuits()["gates of one, two and three inputs"]
    empty = PackedSchedule(wire=np.zeros((1, 5), dtype=np.int64), num_levels=1, num_answer_tokens=1)
    with pytest.raises(CompileError, match="expected 2 to 4 gates per token, found 5"):
        packed_chain_construction(circuit, empty)
    with pytest.raises(CompileError, match="gates of up to 2 inputs, found one of 3"):
        packed_chain_construction(circuit, schedule_packed(circuit, 2))


def test_symbols_are_named_by_their_bits() -> None:
    assert packed_vocabulary(3)[4:7] == ("000", "100", "010")
