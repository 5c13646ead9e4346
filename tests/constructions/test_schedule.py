"""The chain: every gate once, in topological order, the outputs last and in order, no copy that could be spared."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given

from serialformer import Circuit, CircuitBuilder
from serialformer.circuits.circuit import NO_WIRE
from serialformer.circuits.strategies import circuits
from serialformer.constructions.schedule import schedule_chain
from tests.cases import small_circuits
from tests.effort import effort


@effort(4)
@given(circuits(max_gates=14, max_outputs=7))
def test_schedule_is_a_topological_order_with_the_outputs_last(circuit: Circuit) -> None:
    schedule = schedule_chain(circuit)
    gates = [gate for gate in schedule.gate.tolist() if gate >= 0]
    assert sorted(gates) == list(range(circuit.num_gates))
    assert schedule.wire.tolist()[len(schedule.wire) - circuit.num_outputs :] == circuit.outputs.tolist()
    known = set(range(circuit.num_inputs))
    for token, (gate, wire) in enumerate(zip(schedule.gate.tolist(), schedule.wire.tolist(), strict=True)):
        if gate >= 0:
            assert wire == circuit.num_inputs + gate
            assert schedule.token_of_gate[gate] == token
            assert {read for read in circuit.fan_in[gate].tolist() if read != NO_WIRE} <= known
        else:
            assert wire in known, "a copy reads what is there"
        known.add(wire)


def fewest_copies(circuit: Circuit) -> int:
    """The least number of copies of any chain, by trying every order of the gates."""
    outputs = circuit.outputs.tolist()
    best = len(outputs)
    for order in permutations(range(circuit.num_gates)):
        place = {gate: index for index, gate in enumerate(order)}
        if any(
            read >= circuit.num_inputs and place[read - circuit.num_inputs] >= place[gate]
            for gate in order
            for read in circuit.fan_in[gate].tolist()
            if read != NO_WIRE
        ):
            continue
        # The last gates of the order that are distinct outputs, in output order, stand in place.
        for inner in range(circuit.num_gates + 1):
            tail = [circuit.num_inputs + gate for gate in order[inner:]]
            slots = [outputs.index(wire) if wire in outputs else -1 for wire in tail]
            copied = [slot for slot in range(len(outputs)) if slot not in slots]
            in_order = slots == sorted(slots) and -1 not in slots
            # A copy must not come before what it copies.
            early = any(outputs[slot] in tail and slots[tail.index(outputs[slot])] > slot for slot in copied)
            if in_order and not early:
                best = min(best, len(copied))
    return best


@given(circuits(max_inputs=3, max_gates=4, max_outputs=4, named_words=False, named_gates=False))
def test_no_schedule_has_fewer_copies(circuit: Circuit) -> None:
    copies = int((schedule_chain(circuit).gate < 0).sum())
    assert copies == fewest_copies(circuit)


def test_outputs_that_outputs_read() -> None:
    cases = small_circuits()
    assert (schedule_chain(cases["an output that a later output reads"]).gate >= 0).all()
    assert (schedule_chain(cases["an output that an earlier output reads"]).gate < 0).sum() == 1


def test_outputs_of_an_adder_cost_nothing() -> None:
    build = CircuitBuilder()
    a, b = build.inputs("a", 8), build.inputs("b", 8)
    carry = build.constant(False)
    sums = []
    for x, y in zip(a, b, strict=True):
        half = build.xor(x, y)
        sums.append(build.xor(half, carry))
        carry = build.or_(build.and_(x, y), build.and_(half, carry))
    build.outputs("sum", [*sums, carry])
    circuit = build.circuit()
    assert len(schedule_chain(circuit).wire) == circuit.num_gates
