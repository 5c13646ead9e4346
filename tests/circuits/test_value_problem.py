"""Circuits as circuit value problems and back: the values stay, and what is no problem is refused with its place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serialformer import Circuit, CircuitBuilder, SerialformerError
from serialformer.circuits.strategies import circuits
from serialformer.circuits.value_problem import (
    NO_GATE,
    read_value_problem,
    translate_circuit,
    value_problem_to_circuit,
)
from tests.cases import every_input, slow_wires, small_circuits
from tests.effort import effort
from tests.value_problems import WORKED_PROMPT, every_problem, random_problem, slow_chain


def check(circuit: Circuit, rows: np.ndarray) -> None:
    """The chain by plain Python has the circuit's values at the gates that the translation names."""
    translation = translate_circuit(circuit)
    for bits in rows:
        problem = translation.with_inputs(bits)
        own = [word == "TRUE" for word in slow_chain(problem.tokens())[3::4]]
        wires = slow_wires(circuit, bits.tolist())
        outputs = [own[gate - 1] for gate in translation.gate_of_output.tolist()]
        assert outputs == [bool(wires[wire]) for wire in circuit.outputs]
        for gate, wire in enumerate(translation.wire_of_gate.tolist()):
            assert wire < 0 or own[gate] == bool(wires[wire])
        for place, gate in enumerate(translation.gate_of_input.tolist()):
            assert gate == NO_GATE or own[gate - 1] == bool(bits[place])


@pytest.mark.parametrize("name", small_circuits())
def test_cases(name: str) -> None:
    circuit = small_circuits()[name]
    rows = every_input(circuit.num_inputs)
    check(circuit, rows[:: max(1, len(rows) // 32)])


@given(circuits(max_inputs=4, max_gates=8))
def test_random_circuits(circuit: Circuit) -> None:
    check(circuit, every_input(circuit.num_inputs))


@pytest.mark.parametrize(
    ("table", "num_gates"),
    [*zip(range(16), [1, 4, 4, 2, 4, 2, 6, 4, 3, 6, 1, 4, 1, 4, 3, 1], strict=True)],
)
def test_each_table_of_two_inputs_takes_few_gates(table: int, num_gates: int) -> None:
    build = CircuitBuilder()
    build.output("y", build.gate(table, *build.inputs("a", 2)))
    circuit = build.circuit()
    assert translate_circuit(circuit).problem.num_gates == num_gates
    check(circuit, every_input(2))


def test_what_no_output_needs_is_left_out_and_complements_are_shared() -> None:
    build = CircuitBuilder()
    a, b, c = build.inputs("a", 3)
    build.and_(a, c)
    negated = build.not_(a)
    build.outputs("y", [negated, build.and_(build.not_(a), b), build.not_(negated)])
    translation = translate_circuit(build.circuit())
    assert translation.gate_of_input.tolist() == [1, 2, NO_GATE]
    assert translation.gate_of_output.tolist() == [3, 4, 1]
    assert " ".join(translation.problem.tokens()) == "FALSE NA NA 1 FALSE NA NA 2 NOT 1 NA 3 AND 3 2 4"


def test_problems_are_read_and_written() -> None:
    for num_gates in range(4):
        for tokens in every_problem(num_gates):
            assert read_value_problem(tokens).tokens() == tokens
    assert read_value_problem(WORKED_PROMPT.split()).tokens() == WORKED_PROMPT.split()[:-1]


@effort(0.5)
@given(st.integers(1, 40), st.integers(0, 2**32))
def test_problems_are_circuits(num_gates: int, seed: int) -> None:
    tokens = random_problem(np.random.default_rng(seed), num_gates)
    circuit = value_problem_to_circuit(read_value_problem(tokens))
    assert circuit.evaluate() == {"out": int(slow_chain(tokens)[-1] == "TRUE")}
    # And so again, shared gates at most.
    assert translate_circuit(circuit).problem.num_gates <= num_gates


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "TRUE NA NA",
            "prompt: expected 4 tokens per gate, found 3\nhint: TYPE FIRST SECOND OWN, such as TRUE NA NA 1 N",
        ),
        ("TRUE NA NA 2", "prompt: gate 1: TRUE NA NA 2 does not read TRUE, NA, NA, 1"),
        ("TRUE 1 NA 1", "gate 1: TRUE 1 NA 1 does not read TRUE, NA, NA, 1"),
        ("XOR 1 1 1", "gate 1: 'XOR' is none of TRUE, FALSE, AND, OR, NOT\nhint: gates are in topological order"),
        ("TRUE NA NA 1 NOT 2 NA 2", "gate 2: NOT 2 NA 2 does not read NOT, a gate before 2, NA, 2"),
        ("TRUE NA NA 1 NOT 01 NA 2", "gate 2: NOT 01 NA 2 does not"),
        ("TRUE NA NA 1 AND 1 NA 2", "gate 2: AND 1 NA 2 does not read AND, a gate before 2, a gate before 2, 2"),
        ("A 1 1 1 " * 6, "gate 4: 'A' is none of TRUE, FALSE, AND, OR, NOT; and 2 more\nhint"),
    ],
)
def test_what_is_no_problem(text: str, message: str) -> None:
    with pytest.raises(SerialformerError) as caught:
        read_value_problem(text.split())
    assert message in str(caught.value)
