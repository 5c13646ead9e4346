"""Every level says the same, token for token.

Circuit, construction (interpreted), numpy forward pass, dense decoder, transformers' generate.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

import serialformer
from serialformer import Circuit, Model
from serialformer.circuits.evaluate import evaluate_outputs, evaluate_wires
from serialformer.circuits.strategies import circuits
from serialformer.constructions.circuit_chain import program_to_construction
from serialformer.constructions.interpret import interpret
from serialformer.constructions.program import EQUALS, schedule_to_program
from serialformer.transformer.forward import compute_logits
from tests.cases import every_input, one_gate_circuits, slow_wires, small_circuits
from tests.effort import effort, pairs

CASES = small_circuits()


def sequences(model: Model, bits: np.ndarray) -> np.ndarray:
    """Prompt and chain as the circuit, by plain Python, says that they must be."""
    wires = np.array([slow_wires(model.circuit, row.tolist()) for row in bits], dtype=np.int64)
    chain = wires.reshape(len(bits), model.circuit.num_wires)[:, model.schedule.wire]
    return np.concatenate([model.prompts(bits), chain], axis=1)


def check_numpy_levels(circuit: Circuit, model: Model, dtype: type[np.floating]) -> np.ndarray:
    """Circuit, construction, forward pass and dense decoder agree on all inputs; returns the right sequences."""
    bits = every_input(circuit.num_inputs)
    right = sequences(model, bits)
    first = circuit.num_inputs + 1
    assert np.array_equal(evaluate_wires(circuit, bits)[:, model.schedule.wire], right[:, first:])
    construction = program_to_construction(schedule_to_program(model.circuit, model.schedule))
    interpreted = interpret(construction, right[:, :first], right.shape[1] - first + 1)
    assert np.array_equal(interpreted[:, :-1], right[:, first:])
    assert (interpreted[:, -1] == EQUALS).all(), "the last position ends the chain"
    written = compute_logits(model.transformer, right, dtype=dtype).argmax(axis=-1)[:, first - 1 :]
    assert np.array_equal(written[:, :-1], right[:, first:])
    assert (written[:, -1] == EQUALS).all(), "the last position ends the chain"
    chains = model.think(bits, model.engine("dense"))
    assert np.array_equal(chains, right[:, first:])
    if chains.shape[1]:
        assert np.array_equal(model.answers(chains), evaluate_outputs(circuit, bits))
    return right


@pytest.mark.parametrize(("name", "dtype"), pairs(CASES, ["float32", "float16", "bfloat16"]))
def test_small_circuits_in_numpy(name: str, dtype: str) -> None:
    activation = "relu" if dtype == "float16" else "gelu_new"
    model = serialformer.compile(CASES[name], dtype=dtype, activation=activation)
    check_numpy_levels(CASES[name], model, np.float64 if dtype == "float32" else np.float32)


@pytest.mark.parametrize("name", one_gate_circuits())
def test_circuits_of_one_gate_in_numpy(name: str) -> None:
    circuit = one_gate_circuits()[name]
    check_numpy_levels(circuit, serialformer.compile(circuit), np.float64)


@pytest.mark.parametrize(
    ("name", "stored"),
    pairs(
        [name for name in CASES if not name.startswith("two-input table 0")],
        [("float32", "gelu_new"), ("bfloat16", "relu"), ("float16", "gelu_new")],
    ),
)
def test_small_circuits_in_transformers(name: str, stored: tuple[str, str]) -> None:
    dtype, activation = stored
    pytest.importorskip("transformers", reason="the extra torch is not installed")
    circuit = CASES[name]
    model = serialformer.compile(circuit, dtype=dtype, activation=activation)
    bits = every_input(circuit.num_inputs)
    right = sequences(model, bits)
    chains = model.think(bits, model.engine("hf"))
    assert np.array_equal(chains, right[:, circuit.num_inputs + 1 :])


@effort(0.5)
@given(circuits(max_inputs=6, max_gates=16))
def test_random_circuits_in_numpy(circuit: Circuit) -> None:
    check_numpy_levels(circuit, serialformer.compile(circuit), np.float32)


@effort(0.25)
@given(circuits(min_inputs=1, max_inputs=5, min_gates=1, max_gates=16, min_outputs=1))
def test_random_circuits_in_transformers(circuit: Circuit) -> None:
    pytest.importorskip("transformers", reason="the extra torch is not installed")
    model = serialformer.compile(circuit, dtype="bfloat16")
    right = check_numpy_levels(circuit, model, np.float64)
    chains = model.think(every_input(circuit.num_inputs), model.engine("hf"))
    assert np.array_equal(chains, right[:, circuit.num_inputs + 1 :])
