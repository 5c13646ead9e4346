"""The sliced engine: the dense engine's tokens for every row, folded or not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import serialformer
from serialformer import Circuit
from serialformer.circuits.circuit import NO_WIRE
from serialformer.circuits.strategies import circuits
from serialformer.decode.dense import DenseEngine
from serialformer.decode.sliced import SlicedEngine
from serialformer.errors import EngineError
from serialformer.transformer.transformer import Transformer
from tests.cases import every_input, small_circuits
from tests.decode.test_engines import noisy
from tests.decode.test_indexed import altered, idle_layer, reciter
from tests.effort import effort, pairs

CASES = small_circuits()


def same_as_dense(transformer: Transformer, prompts: np.ndarray, num_tokens: int) -> str:
    """Checks the batch against the dense engine; returns the refusal."""
    sliced = SlicedEngine(transformer)
    expected = DenseEngine(transformer).generate(prompts, num_tokens)
    made = sliced.generate(prompts, num_tokens)
    assert np.array_equal(made, expected), sliced.refusal
    last = sliced.final_tokens(prompts, num_tokens, 3)
    assert np.array_equal(last, expected[:, max(0, expected.shape[1] - 3) :])
    return sliced.refusal


@pytest.mark.parametrize(("name", "dtype"), pairs(CASES, ["float32", "float16"]))
def test_compiled_models_are_folded(name: str, dtype: str) -> None:
    model = serialformer.compile(CASES[name], dtype=dtype)
    prompts = model.prompts(every_input(CASES[name].num_inputs))
    assert same_as_dense(model.transformer, prompts, model.num_new_tokens + 1) == ""


@effort(0.5)
@given(circuits(max_inputs=6, max_gates=16))
def test_random_circuits(circuit: Circuit) -> None:
    model = serialformer.compile(circuit)
    assert same_as_dense(model.transformer, model.prompts(every_input(circuit.num_inputs)), 40) == ""


def test_the_program_is_the_circuit() -> None:
    """Folding finds the gates again, but for inputs that a gate ignores."""
    model = serialformer.compile(CASES["parity of ten"])
    prompts = model.prompts(every_input(10)[:2])
    program = SlicedEngine(model.transformer).program(prompts, model.num_new_tokens)
    assert program.arity.tolist() == model.circuit.arity.tolist()
    assert program.table.tolist() == model.circuit.table.tolist()
    read = [sorted(row[row != NO_WIRE]) for row in program.fan_in]
    assert read == [sorted(row[row != NO_WIRE]) for row in model.circuit.fan_in]


SIZES = [1e-6, 1e-4, 3e-3, 3e-2, 0.3]
MORE_SIZES = [1e-5, 1e-3, 1e-2, 0.1, 1.0]


@pytest.mark.parametrize("size", [*SIZES, *(pytest.param(size, marks=pytest.mark.slow) for size in MORE_SIZES)])
def test_noise_on_every_weight(size: float) -> None:
    model = serialformer.compile(CASES["random, 2 inputs a gate"])
    for seed in range(2):
        refusal = same_as_dense(noisy(model.transformer, size, seed), model.prompts(every_input(6)[::5]), 30)
        if size <= 1e-5:
            assert refusal == "", "small noise leaves the proof standing"


@given(
    data=st.data(),
    change=st.sampled_from([1e-3, 0.1, 0.5, 1.0, 2.0, -2.0, 4.0, -8.0, 100.0, -1e4]),
    place=st.integers(0, 10**6),
)
def test_one_altered_weight(data: st.DataObject, change: float, place: int) -> None:
    model = serialformer.compile(CASES["gates of one, two and three inputs"])
    name = data.draw(st.sampled_from([name for name, _ in model.transformer.named_weights()]))
    same_as_dense(altered(model.transformer, name, place, change), model.prompts(every_input(3)), 12)


def test_what_cannot_be_folded_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    transformer = reciter(6)
    prompts = np.array([[0, 2, 4, 6, 8, 10, 24], [1, 3, 5, 7, 9, 11, 24]])
    assert same_as_dense(transformer, prompts, 6) == "position 1: the prompts hold more than the tokens 0 and 1"
    model = serialformer.compile(CASES["parity of ten"])
    one = model.transformer
    layers = (*one.layers, idle_layer(one.architecture.width))
    two = replace(one, architecture=replace(one.architecture, num_layers=2), layers=layers)
    assert same_as_dense(two, model.prompts(every_input(10)[:4]), 9) == "attention depends on the input"
    assert "the indexed engine continues" in capsys.readouterr().err
    with pytest.raises(EngineError, match="attention depends on the input"):
        SlicedEngine(two).program(model.prompts(every_input(10)[:4]), 9)


def test_more_rows_than_a_pass() -> None:
    model = serialformer.compile(CASES["random, 6 inputs a gate"])
    bits = np.random.default_rng(0).integers(0, 2, (2500, 7), dtype=np.uint8)
    from serialformer.circuits.evaluate import evaluate_outputs

    assert np.array_equal(
        model.run_bits(bits, engine="sliced"), evaluate_outputs(CASES["random, 6 inputs a gate"], bits)
    )


def test_nothing_to_do() -> None:
    model = serialformer.compile(CASES["parity of ten"])
    engine = model.engine("sliced")
    assert engine.generate(model.prompts(every_input(10)[:0]), 5).shape == (0, 0)
    assert engine.generate(model.prompts(every_input(10)[:2]), 0).shape == (2, 0)
