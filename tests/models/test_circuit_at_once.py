"""The evaluator without a chain: any circuit at once, a pass for each output; deeper ones are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

import serialformer
from serialformer import Circuit, CircuitBuilder, Model, SerialformerError, construct_evaluator, load
from serialformer.circuits.strategies import circuits
from serialformer.circuits.value_problem import read_value_problem, translate_circuit
from serialformer.models.circuit_at_once import gate_levels
from tests.effort import effort
from tests.value_problems import WORKED_PROMPT, random_problem, slow_chain

GATES, DEPTH = 40, 16
_made: list[Model] = []


def evaluator() -> Model:
    if not _made:
        _made.append(construct_evaluator(GATES, setting="base", depth=DEPTH))
    return _made[0]


def adder(width: int) -> Circuit:
    build = CircuitBuilder()
    a, b = build.inputs("a", width), build.inputs("b", width)
    carry, total = build.constant(False), []
    for left, right in zip(a, b, strict=True):
        total.append(build.xor(build.xor(left, right), carry))
        carry = build.gate(0b11101000, left, right, carry)
    build.outputs("sum", [*total, carry])
    return build.circuit()


def test_an_adder_on_all_inputs() -> None:
    circuit = adder(2)
    for a in range(4):
        for b in range(4):
            transcript = evaluator().run(circuit, a=a, b=b)
            assert transcript.outputs == {"sum": a + b}
            assert len(transcript.chain) == 3, "one token for each output"


@effort(0.5)
@given(circuits(max_inputs=4, max_gates=4, max_arity=3, min_inputs=1))
def test_random_circuits(circuit: Circuit) -> None:
    values = {
        word.name: sum(1 << index for index, bit in enumerate(word.bits) if bit >= 0) for word in circuit.input_words
    }
    problem = translate_circuit(circuit).problem
    if problem.num_gates <= GATES and gate_levels(problem).max(initial=0) <= DEPTH:
        assert dict(evaluator().run(circuit, values).outputs) == circuit.evaluate(values)


def test_prompts_as_text() -> None:
    assert evaluator().run(WORKED_PROMPT).outputs == {"value": 1}
    random = np.random.default_rng(1)
    for _ in range(20):
        prompt = random_problem(random, 10)
        expected = int(slow_chain(prompt)[-1] == "TRUE")
        assert evaluator().run(" ".join(prompt)).outputs == {"value": expected}


def test_levels() -> None:
    tokens = ["TRUE", "NA", "NA", "1", "NOT", "1", "NA", "2", "OR", "1", "1", "3", "AND", "3", "2", "4"]
    assert gate_levels(read_value_problem(tokens)).tolist() == [1, 2, 2, 3]


def test_what_is_refused() -> None:
    shallow = construct_evaluator(12, setting="base", depth=2)
    assert shallow.run("TRUE NA NA 1 NOT 1 NA 2").outputs == {"value": 0}
    with pytest.raises(SerialformerError, match="on level 3 of the circuit's 3 gates.*has 2 layers"):
        shallow.run("TRUE NA NA 1 NOT 1 NA 2 NOT 2 NA 3")
    with pytest.raises(SerialformerError, match="this evaluator is made for 12"):
        shallow.run(adder(4), a=1, b=2)
    with pytest.raises(SerialformerError, match="without gates has no value"):
        shallow.run("")
    with pytest.raises(SerialformerError, match="writes one token"):
        shallow.run("TRUE NA NA 1", max_tokens=3)
    with pytest.raises(SerialformerError, match="no evaluator for the setting 'hint'"):
        construct_evaluator(4, setting="hint")
    with pytest.raises(SerialformerError, match="requires the setting base"):
        construct_evaluator(4, depth=3)
    with pytest.raises(SerialformerError, match="writes only outputs"):
        list(serialformer.trace_lines(shallow, shallow.run("TRUE NA NA 1")))


def test_saved_loaded_certified_and_scored(tmp_path: Path) -> None:
    construct_evaluator(6, setting="base", depth=4).save(tmp_path / "model")
    model = load(tmp_path / "model")
    assert (model.circuit_prompt.setting, model.num_gates, model.num_new_tokens, model.setting) == (
        "base",
        6,
        1,
        "base",
    )
    certificate = serialformer.certify(model)
    assert (
        certificate.holds
        and certificate.prompts == "all circuits of up to 6 gates, the last of them on level 4 or less"
    )
    assert serialformer.info(model)["setting"] == "base"
    score = serialformer.evaluate(model, num_samples=50, length=4).score
    assert score.generated_answers == 50
    assert model.circuit_prompt.tokens_at(8) == ("TRUE", "FALSE", "AND", "OR", "NOT", "=")
