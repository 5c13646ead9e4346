"""Llamas and Mistrals that go by distances: every level says the same, and one position more or less is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import serialformer
from serialformer import Circuit, Model, Shape
from serialformer.architecture import DTYPES, Addressing, DtypeName
from serialformer.circuits.evaluate import evaluate_outputs
from serialformer.constructions.interpret import interpret
from serialformer.engines.recurrences import automaton_circuit, check_sum_circuit, shift_register_circuit
from serialformer.engines.scattered import scattered_circuit
from serialformer.errors import CompileError
from serialformer.models.construction_of import construction_of
from serialformer.transformer.forward import compute_logits
from serialformer.transformer.transformer import Transformer, weights_to_transformer
from tests.targets.test_llama import sequences

CIRCUITS: dict[str, Callable[[], Circuit]] = {
    "shift register": lambda: shift_register_circuit(1, num_inputs=20, num_gates=50, distances=(19, 7, 0)),
    "four taps": lambda: shift_register_circuit(2, num_inputs=17, num_gates=40, distances=(16, 15, 5, 1)),
    "check sum": lambda: check_sum_circuit(24),
    "automaton": lambda: automaton_circuit(110, num_inputs=16, num_gates=51),
}
ADDRESSINGS: tuple[Addressing, ...] = ("distances", "window")


def made(name: str, addressing: Addressing, dtype: DtypeName = "float32", **shape: int) -> Model:
    return serialformer.compile(
        CIRCUITS[name](), target="llama", dtype=dtype, shape=Shape(addressing=addressing, **shape)
    )


def chains(model: Model) -> tuple[np.ndarray, np.ndarray]:
    bits = np.random.default_rng(0).integers(0, 2, (12, model.words.num_inputs), dtype=np.uint8)
    return sequences(model, bits)


def written(model: Model, transformer: Transformer, tokens: np.ndarray) -> np.ndarray:
    logits = compute_logits(transformer, tokens, dtype=np.float32)[:, model.words.num_inputs :]
    return np.asarray(model.words.read_chains(logits.argmax(axis=-1)))[:, :-1]


@pytest.mark.parametrize("addressing", ADDRESSINGS)
@pytest.mark.parametrize("name", CIRCUITS)
def test_the_levels_agree(name: str, addressing: Addressing) -> None:
    model = made(name, addressing, layers=1, hidden=64)
    tokens, chain = chains(model)
    placed = model.words.placed
    assert placed is not None and model.certificate is not None and model.certificate.holds
    prompt = placed.read(tokens, 0)[:, : model.words.num_inputs + 1]
    assert np.array_equal(interpret(construction_of(model), prompt, chain.shape[1]), chain)
    assert np.array_equal(written(model, model.transformer, tokens), chain)
    bits = prompt[:, :-1].astype(np.uint8)
    assert np.array_equal(evaluate_outputs(serialformer.decompile(model), bits), chain[:, -model.words.num_outputs :])


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_default_shape_holds_in_every_format(dtype: DtypeName) -> None:
    for addressing in ADDRESSINGS:
        model = made("shift register", addressing, dtype)
        assert model.certificate is not None and model.certificate.holds
        assert model.transformer.architecture.family == ("llama" if addressing == "distances" else "mistral")
        tokens, chain = chains(model)
        assert np.array_equal(written(model, model.transformer, tokens), chain)


@pytest.mark.parametrize(("window", "base"), [(19, 2.0), (21, 2.0), (None, 2.0), (20, 2.5), (20, 10_000.0)])
def test_another_window_or_base_is_wrong_and_refused(window: int | None, base: float) -> None:
    model = made("shift register", "window", layers=1, hidden=64)
    shape = model.transformer.architecture
    assert (shape.window, shape.rotary_base) == (20, 2.0)
    tokens, chain = chains(model)
    other = replace(model.transformer, architecture=replace(shape, window=window, rotary_base=base))
    assert (written(model, other, tokens) != chain).mean() > 0.2
    assert not serialformer.certify(replace(model, transformer=other, proof=None)).holds


@pytest.mark.parametrize("addressing", ADDRESSINGS)
def test_transformers_agrees(addressing: Addressing, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="the extra torch is not installed")
    torch = pytest.importorskip("torch")
    model = made("shift register", addressing, "bfloat16").save(tmp_path / "model")
    loaded = serialformer.load(tmp_path / "model")
    assert loaded.certificate is not None and serialformer.certify(loaded) == model.certificate
    stock = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert type(stock).__name__ == ("LlamaForCausalLM" if addressing == "distances" else "MistralForCausalLM")
    tokens, _ = chains(model)
    prompt = torch.from_numpy(tokens[:2, : model.words.num_inputs + 1])
    ended = stock.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=60, do_sample=False)
    assert np.array_equal(ended[:, : tokens.shape[1]].numpy(), tokens[:2])
    assert (ended[:, tokens.shape[1] :] == model.transformer.architecture.end_token).all()


@pytest.mark.parametrize("addressing", ["names", "distances"])
def test_a_qwen2(addressing: Addressing, tmp_path: Path) -> None:
    """With biases on queries, keys and values, which the proof adds to sums that may have been stored."""
    circuit, dtypes = CIRCUITS["shift register"](), ("float32", "bfloat16")
    for dtype in dtypes:
        model = serialformer.compile(
            circuit, target="llama", dtype=dtype, shape=Shape(addressing=addressing, head_biases=True)
        ).save(tmp_path / dtype)
        assert model.transformer.architecture.family == "qwen2"
        tokens, chain = chains(model)
        assert np.array_equal(written(model, model.transformer, tokens), chain)
        loaded = serialformer.load(tmp_path / dtype)
        assert serialformer.certify(loaded).holds and serialformer.decompile(loaded).num_gates > 40
        weights = dict(model.transformer.named_weights())
        for column in np.flatnonzero(weights["layers.0.attention_in_bias"])[::40].tolist():
            bias = weights["layers.0.attention_in_bias"].copy()
            bias[column] = -bias[column]
            other = weights_to_transformer(
                model.transformer.architecture, weights | {"layers.0.attention_in_bias": bias}
            )
            right = np.array_equal(written(model, other, tokens), chain)
            assert right or not serialformer.certify(replace(loaded, transformer=other)).holds, column
    with pytest.raises(CompileError, match="a Qwen2 has no window here"):
        serialformer.compile(circuit, target="llama", shape=Shape(addressing="window", head_biases=True))


def test_circuits_that_are_refused() -> None:
    shape = Shape(addressing="distances")
    with pytest.raises(CompileError, match="read at 6 different distances at most, found"):
        serialformer.compile(scattered_circuit(0, num_inputs=8, num_gates=30), target="llama", shape=shape)
    build = serialformer.CircuitBuilder()
    wires = build.inputs("x", 3)
    for gate in range(5):
        wires.append(build.xor(wires[gate], wires[gate + 2]))
    build.output("y", build.xor(wires[0], wires[-1]))
    with pytest.raises(CompileError, match="a gate reads 8 positions back, and before the first .* there are only 3"):
        serialformer.compile(build.circuit(), target="llama", shape=shape)
