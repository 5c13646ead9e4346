"""The certificate: holds for what was compiled, refuses every checkpoint that is wrong, and says where it breaks."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import serialformer
from serialformer import Circuit, CircuitBuilder, Model, certify
from serialformer.circuits.strategies import circuits
from serialformer.errors import SerialformerError
from serialformer.transformer.transformer import Transformer, weights_to_transformer
from tests.cases import small_circuits, with_circuit
from tests.effort import effort, pairs
from tests.proofs.alterations import alter_weight
from tests.proofs.mutations import is_right, mutate

CASES = small_circuits()


def altered(model: Model, name: str, change: Callable[[np.ndarray], object]) -> Model:
    """The model with one weight changed in place."""
    return replace(model, transformer=alter_weight(model.transformer, name, change))


@pytest.mark.parametrize(("name", "dtype"), pairs(CASES, ["float32", "float16", "bfloat16"]))
def test_compiled_models_are_certified(name: str, dtype: str) -> None:
    for activation in ("relu", "gelu_new"):
        certificate = serialformer.compile(CASES[name], dtype=dtype, activation=activation).certificate
        assert certificate is not None and certificate.holds
        assert 0 < certificate.logits.rounded <= certificate.logits.exact
        assert 0 < certificate.attention.rounded <= certificate.attention.exact


@effort(0.4)
@given(circuits(max_inputs=6, max_gates=24), st.sampled_from(["float32", "float16", "bfloat16"]))
def test_random_circuits_are_certified(circuit: Circuit, dtype: str) -> None:
    assert certify(serialformer.compile(circuit, dtype=dtype)).holds
    assert certify(serialformer.compile(circuit, target="paper")).holds


def test_a_float32_checkpoint_may_be_loaded_in_another_format() -> None:
    model = serialformer.compile(CASES["parity of ten"])
    for dtype in ("float16", "bfloat16"):
        certificate = certify(model, dtype=dtype)
        assert certificate.holds and certificate.arithmetic["storage"] == dtype
    with pytest.raises(SerialformerError, match="its arithmetic is its own"):
        certify(serialformer.compile(CASES["parity of ten"], target="paper"), dtype="float16")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@effort(0.3)
@given(circuit=circuits(max_inputs=4, max_gates=8), seed=st.integers(0, 2**32 - 1))
def test_what_is_wrong_is_refused(dtype: str, circuit: Circuit, seed: int) -> None:
    model = serialformer.compile(circuit, dtype=dtype)
    random = np.random.default_rng(seed)
    for _ in range(4):
        transformer, what = mutate(model.transformer, random)
        if certify(replace(model, transformer=transformer)).holds:
            assert is_right(model, transformer), what


@given(circuit=circuits(max_inputs=4, max_gates=8, max_arity=2), seed=st.integers(0, 2**32 - 1))
def test_what_is_wrong_in_the_papers_arithmetic_is_refused(circuit: Circuit, seed: int) -> None:
    from tests.cases import every_input

    model = serialformer.compile(circuit, target="paper")
    transformer, what = mutate(model.transformer, np.random.default_rng(seed))
    changed = replace(model, transformer=transformer)
    if certify(changed).holds:
        bits = every_input(circuit.num_inputs)
        prompts, number = model.prompts(bits), model.num_new_tokens + 1
        right = model.engine().generate(prompts, number)
        assert np.array_equal(changed.engine().generate(prompts, number), right), what


@pytest.mark.slow
def test_no_wrong_checkpoint_of_ten_thousand_is_certified() -> None:
    random = np.random.default_rng(0)
    models = [serialformer.compile(CASES[name]) for name in ("random, 2 inputs a gate", "two-input table 0110")]
    wrong = 0
    for number in range(10_000):
        model = models[number % 2]
        transformer, what = mutate(model.transformer, random)
        right = is_right(model, transformer)
        wrong += not right
        assert right or not certify(replace(model, transformer=transformer)).holds, what
    assert wrong > 2_000, "the mutations must change the function often enough to test anything"


def breaks(model: Model) -> tuple[int, str]:
    failure = certify(model).failure
    assert failure is not None
    return failure.position, failure.reason


def test_the_first_position_that_breaks_is_named() -> None:
    model = serialformer.compile(CASES["random, 2 inputs a gate"])
    length, width = (
        sum(name.startswith("name.") for name in model.provenance.names.directions),
        model.transformer.architecture.width,
    )
    swapped = altered(model, "position_embedding", lambda rows: rows.__setitem__(20, rows[21]))
    position, reason = breaks(swapped)
    assert position >= 20 and ("key" in reason or "circuit says" in reason)
    own_name = slice(width - 3 * length, width - 2 * length)
    stretched = altered(model, "position_embedding", lambda rows: rows[25, own_name].__imul__(1.5))
    position, reason = breaks(stretched)
    assert position >= 25
    assert "the key of position 25" in reason


def test_reasons() -> None:
    build = CircuitBuilder()
    a, b = build.inputs("a", 2)
    build.output("y", build.and_(a, b))
    model = serialformer.compile(build.circuit())
    other = CircuitBuilder()
    a, b = other.inputs("a", 2)
    other.output("y", other.or_(a, b))
    different = with_circuit(model, other.circuit())
    assert breaks(different) == (
        2,
        "the weights write table 1000 of positions 0, 1, the circuit says table 1110 of positions 0, 1",
    )
    nothing = altered(model, "layers.0.mlp_out_weight", lambda weight: weight.fill(0))
    assert breaks(nothing) == (2, "some bits make it write '='")
    blind = altered(model, "layers.0.attention_in_weight", lambda weight: weight[:, : weight.shape[1] // 3].fill(0))
    assert breaks(blind)[1] == "head 0 has keys that are no codes: nothing bounds its scores"
    weak = altered(model, "layers.0.attention_in_weight", lambda weight: weight.__setitem__(weight == weight.max(), 4))
    assert "by a score gap of" in breaks(weak)[1]
    infinite = altered(model, "final_norm_bias", lambda weight: weight.__setitem__(0, np.inf))
    assert breaks(infinite) == (2, "final_norm_bias holds infinities or what is not a number")


def test_a_head_without_effect_must_not_overflow() -> None:
    """Its scores would be infinite, and infinity times zero is no number."""
    model = serialformer.compile(CASES["inverters only"])
    assert model.transformer.architecture.num_heads == 1
    idle = altered(model, "layers.0.attention_out_weight", lambda weight: weight.fill(0))
    assert "parts without effect" not in breaks(idle)[1]
    loud = altered(idle, "layers.0.attention_in_weight", lambda weight: weight.__imul__(1e18))
    assert breaks(loud)[1].endswith("beyond what float32 holds")


def test_two_layers_are_refused() -> None:
    model = serialformer.compile(CASES["parity of ten"])
    deep = replace(
        model.transformer,
        layers=model.transformer.layers * 2,
        architecture=replace(model.transformer.architecture, num_layers=2),
    )
    assert breaks(replace(model, transformer=deep))[1] == "2 layers: only models of one layer can be read"


def test_swapped_heads_are_the_same_function() -> None:
    """The heads' look-ups and the truth tables permuted alike: other weights, the same circuit."""
    model = serialformer.compile(CASES["two-input table 0010"])
    weights = {name: weight.copy() for name, weight in model.transformer.named_weights()}
    width = model.transformer.architecture.width
    half = width // 2
    order = np.arange(3 * width)
    for part in range(3):
        order[part * width : part * width + half] = np.arange(part * width + half, part * width + 2 * half)
        order[part * width + half : part * width + 2 * half] = np.arange(part * width, part * width + half)
    weights["layers.0.attention_in_weight"] = weights["layers.0.attention_in_weight"][:, order]
    weights["layers.0.attention_out_weight"] = weights["layers.0.attention_out_weight"][order[:width]]
    swapped = weights_to_transformer(model.transformer.architecture, weights)
    assert certify(replace(model, transformer=swapped)).holds


def test_certificate_file(tmp_path: Path) -> None:
    model = serialformer.compile(CASES["parity of ten"]).save(tmp_path / "model")
    content = json.loads((tmp_path / "model" / "certificate.json").read_text())
    assert content["holds"] is True and content["failure"] is None
    assert content["prompts"] == "all 2^10"
    assert content["circuit_sha256"] == model.circuit.digest()
    assert len(content["weights_sha256"]) == 64
    covered = {"storage": "float32", "accumulation": "float32", "order_of_sums": "any", "results": "stored or wider"}
    assert content["arithmetic"] == covered and content["method"] == "witness"


def noisy(transformer: Transformer, size: float) -> Transformer:
    random = np.random.default_rng(1)
    weights = {
        name: (weight + size * random.standard_normal(weight.shape)).astype(weight.dtype)
        for name, weight in transformer.named_weights()
    }
    return weights_to_transformer(transformer.architecture, weights)


def test_small_noise_on_every_weight_is_certified_and_large_noise_is_not() -> None:
    model = serialformer.compile(CASES["random, 2 inputs a gate"])
    assert certify(replace(model, transformer=noisy(model.transformer, 1e-4))).holds
    assert not certify(replace(model, transformer=noisy(model.transformer, 0.3))).holds
