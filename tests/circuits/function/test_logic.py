"""The gate builder against Python's own and, xor and not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serialformer.circuits.evaluate import evaluate_outputs
from serialformer.circuits.function import logic as module
from serialformer.circuits.function.logic import FALSE, TRUE, Logic
from serialformer.errors import TraceError

NUM_INPUTS = 3
ROWS = (np.arange(1 << NUM_INPUTS)[:, None] >> np.arange(NUM_INPUTS) & 1).astype(np.uint8)


@st.composite
def programs(draw: st.DrawFn) -> list[tuple[str, int, int, int]]:
    """Steps that read earlier results (or inputs and constants), each perhaps complemented."""
    steps = []
    for index in range(draw(st.integers(1, 14))):
        operand = st.integers(0, 2 * (NUM_INPUTS + 1 + index) - 1)
        steps.append((draw(st.sampled_from(["and_", "or_", "xor", "mux"])), *(draw(operand) for _ in range(3))))
    return steps


@given(programs())
def test_random_programs(steps: list[tuple[str, int, int, int]]) -> None:
    logic = Logic()
    literals = [FALSE] + [logic.input() for _ in range(NUM_INPUTS)]
    values = [0] + [int("".join(map(str, ROWS[::-1, place])), 2) for place in range(NUM_INPUTS)]
    everything = (1 << len(ROWS)) - 1
    for name, *operands in steps:
        reads = [literals[operand >> 1] ^ operand & 1 for operand in operands]
        x, y, z = (values[operand >> 1] ^ everything * (operand & 1) for operand in operands)
        literals.append(logic.mux(*reads) if name == "mux" else getattr(logic, name)(*reads[:2]))
        values.append({"and_": x & y, "or_": x | y, "xor": x ^ y, "mux": x & y | (everything ^ x) & z}[name])
    both = [literal ^ flip for literal in literals for flip in (0, 1)]
    circuit = logic.circuit(both)
    expected = [value ^ everything * flip for value in values for flip in (0, 1)]
    found = evaluate_outputs(circuit, ROWS).T
    assert [int("".join(map(str, bits[::-1])), 2) for bits in found] == expected
    # The same program again makes no gate, and every simplification has kept to two inputs.
    size = logic.num_nodes
    again = [FALSE] + [2 * (place + 1) for place in range(NUM_INPUTS)]
    for name, *operands in steps:
        reads = [again[operand >> 1] ^ operand & 1 for operand in operands]
        again.append(logic.mux(*reads) if name == "mux" else getattr(logic, name)(*reads[:2]))
    assert again == literals and logic.num_nodes == size
    assert circuit.max_arity <= 2


def test_complements_are_free() -> None:
    logic = Logic()
    a, b = logic.input(), logic.input()
    nand = logic.and_(a, b) ^ 1
    circuit = logic.circuit([nand, logic.xor(nand, a)])
    assert circuit.num_gates == 2
    assert circuit.table.tolist()[0] == 0b0111
    # Only where both a gate and its complement are asked for, there is an inverter.
    assert logic.circuit([nand, nand ^ 1]).num_gates == 2


def test_what_no_output_needs_is_left_out() -> None:
    logic = Logic()
    a, b = logic.input(), logic.input()
    logic.and_(a, b)
    kept = logic.xor(a, b)
    assert logic.num_nodes == 4
    assert logic.circuit([kept]).num_gates == 1


def test_constants_and_inputs_as_outputs() -> None:
    logic = Logic()
    a = logic.input()
    circuit = logic.circuit([FALSE, TRUE, a, a ^ 1, a ^ 1, TRUE])
    assert evaluate_outputs(circuit, np.array([[0], [1]], dtype=np.uint8)).tolist() == [
        [0, 1, 0, 1, 1, 1],
        [0, 1, 1, 0, 0, 1],
    ]
    assert circuit.num_gates == 3


def test_neighbours_are_seen() -> None:
    logic = Logic()
    a, b, c = (logic.input() for _ in range(3))
    size = logic.num_nodes
    assert logic.xor(a, a) == FALSE and logic.and_(a, a ^ 1) == FALSE
    both = logic.and_(a, b)
    assert logic.and_(both, a) == both and logic.and_(both, b ^ 1) == FALSE
    assert logic.and_(both ^ 1, a ^ 1) == a ^ 1
    differ = logic.xor(a, b)
    assert logic.and_(both, differ) == FALSE and logic.and_(both ^ 1, differ) == differ
    assert logic.num_nodes == size + 2
    # a xor (a and b), a or (a xor b), (a xor c) xor (a xor b): one gate each.
    assert logic.xor(a, both) == logic.and_(a, b ^ 1)
    assert logic.or_(a, differ) == logic.or_(a, b)
    assert logic.xor(logic.xor(a, c), differ) == logic.xor(b, c)


def test_there_is_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_NODES", 20)
    logic = Logic()
    bits = [logic.input() for _ in range(12)]
    with pytest.raises(TraceError, match=r"^needs more than 20 gates\nhint: shorten its loops"):
        logic.all_of(bits)
