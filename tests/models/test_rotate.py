"""Rotated models: the same function, proven from dense weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from serialformer import CircuitBuilder, SerialformerError, certify, compile, construct, info, load, verify
from serialformer.interp.suite import MEMBERS, build_adder, build_parity
from serialformer.models.circuit_words import CircuitWords
from serialformer.models.construction_of import construction_of
from serialformer.models.lower import construction_to_placement
from serialformer.models.rotate import rotate, rotation_of
from serialformer.models.trace import column_bits
from serialformer.proofs.prove import certify_construction
from serialformer.transformer.cache import compute_activations
from serialformer.transformer.rotation import random_rotation
from serialformer.transformer.transformer import weights_to_transformer

NOT_ROTATED = {"s5-depth", "adder2-chain-rotated", "two-tasks-depth-rotated", "adder2-chain-superposed"}
"""Of the suite: what cannot be proven rotated, and what is rotated or superposed already."""


@pytest.mark.parametrize(
    "member", [member for member in MEMBERS if member.name not in NOT_ROTATED], ids=lambda member: member.name
)
def test_every_model_of_the_suite_is_certified_rotated_and_writes_the_same(member) -> None:
    model = member.make()
    rotated = rotate(model, seed=3)
    assert rotated.certificate is not None and rotated.certificate.holds
    assert certify(rotated) == rotated.certificate
    plain = model.transformer.named_weights()
    for (name, before), (_, after) in zip(plain, rotated.transformer.named_weights(), strict=True):
        if name.endswith(("embedding", "out_weight", "out_bias")) and before.any():
            assert np.count_nonzero(after) > np.count_nonzero(before), name
    if isinstance(model.protocol, CircuitWords):
        assert verify(rotated, num_samples=None).wrong_inputs == 0
        return
    items = model.items
    examples = items.task.sample(np.random.default_rng(0), items.length, 20)
    made = [one.generate(examples, items.length, one.engine("dense")) for one in (model, rotated)]
    assert np.array_equal(*made)


def test_the_lead_and_the_stream_stay_within_what_the_certificate_says() -> None:
    """In float32 the rotated stream, turned back, is near the plain one, and leads differ by less than the bound."""
    model = compile(build_parity(8), chain="none")
    rotated = rotate(model, seed=1)
    rotation, certificate = rotation_of(rotated), rotated.certificate
    assert rotation is not None and certificate is not None and certificate.logit_error is not None
    random = np.random.default_rng(0)
    for bits in random.integers(0, 2, (8, 8)):
        transcript = model.run(bits=int(bits @ (1 << np.arange(8))))
        tokens = np.concatenate([transcript.prompt, transcript.chain])[None]
        plain = compute_activations(model.transformer, tokens, dtype=np.float64)
        turned = compute_activations(rotated.transformer, tokens, dtype=np.float32)
        for hook in plain:
            if hook.endswith("resid_post"):
                assert np.abs(turned[hook] @ rotation.T - plain[hook]).max() < 1e-3
        position = len(transcript.prompt) - 1
        written = transcript.chain[0]
        leads = [logits[0, position, written] - logits[0, position] for logits in (plain["logits"], turned["logits"])]
        assert np.abs(leads[0] - leads[1]).max() < 2 * certificate.logit_error
        assert certificate.logit_error < certificate.logits.exact / 10


@pytest.mark.parametrize("name", ["layers.0.attention_in_weight", "layers.1.mlp_in_weight", "layers.2.mlp_out_weight",
                                  "token_embedding", "position_embedding", "layers.1.attention_out_bias"])  # fmt: skip
def test_a_weight_that_is_off_is_refused(name: str) -> None:
    rotated = rotate(compile(build_parity(4), chain="none"), seed=2)
    weights = dict(rotated.transformer.named_weights())
    weights[name] = weights[name].copy()
    place = np.unravel_index(np.argmax(np.abs(weights[name])), weights[name].shape)
    weights[name][place] += 0.25 * max(1.0, float(np.abs(weights[name][place])))
    damaged = replace(
        rotated, transformer=weights_to_transformer(rotated.transformer.architecture, weights), proof=None
    )
    assert not certify(damaged).holds


def test_the_witness_is_checked() -> None:
    model = compile(build_adder(2))
    rotated = rotate(model, seed=0)
    placement = construction_to_placement(construction_of(model), model.transformer.architecture)
    width = model.transformer.architecture.width
    other = certify_construction(rotated.transformer, placement, rotation=random_rotation(width, 1))
    assert not other.holds and "is not the code of its fields" in str(other.failure)
    skewed = random_rotation(width, 0)
    skewed[0] *= 1.001
    assert "no orthogonal matrix" in str(certify_construction(rotated.transformer, placement, rotation=skewed).failure)
    reflected = random_rotation(width, 0) - 2 / width  # orthogonal, but it turns the all-ones vector around
    assert "no orthogonal matrix" in str(
        certify_construction(rotated.transformer, placement, rotation=reflected).failure
    )
    # Without the witness nothing is proven of dense weights.
    assert not certify_construction(rotated.transformer, placement).holds


def test_a_rotated_model_is_saved_and_loaded(tmp_path: Path) -> None:
    build = CircuitBuilder()
    build.output("odd", build.xor(*build.inputs("a", 2)))
    rotated = rotate(compile(build.circuit()), seed=5).save(tmp_path / "model")
    content = json.loads((tmp_path / "model" / "serialformer.json").read_text())
    assert content["provenance"]["realism"]["kind"] == "rotated"
    again = load(tmp_path / "model")
    assert again.provenance == rotated.provenance and again.certificate == rotated.certificate
    assert certify(again).holds
    assert info(again)["realism"] == "rotated" and info(again)["realism_seed"] == 5
    with pytest.raises(SerialformerError, match="is rotated already"):
        rotate(again)


@pytest.mark.parametrize("model", [
    pytest.param(lambda: compile(build_adder(1), target="paper"), id="paper"),
    pytest.param(lambda: compile(build_adder(1), target="llama"), id="llama"),
    pytest.param(lambda: construct("parity", 3, dtype="bfloat16"), id="bfloat16"),
])  # fmt: skip
def test_what_cannot_be_rotated_is_refused(model) -> None:
    with pytest.raises(SerialformerError, match="expected a GPT-2 in float32"):
        rotate(model())


def test_directions_turn_with_the_model() -> None:
    model = compile(build_parity(4), chain="none")
    rotated = rotate(model, seed=4)
    transcript = model.run(bits=0b1011)
    truths = [one.ground_truth(transcript) for one in (model, rotated)]
    assert truths[0].directions.to_json() == truths[1].directions.to_json()
    assert np.array_equal(truths[0].basis, np.eye(44)) and np.allclose(truths[1].basis @ truths[1].basis.T, np.eye(44))
    caches = [one.run_with_cache(transcript) for one in (model, rotated)]
    hook = "blocks.1.hook_resid_post"
    assert np.allclose(*(cache.direction("bit+", hook) for cache in caches), atol=1e-4)
    assert not np.allclose(caches[0][hook], caches[1][hook], atol=0.1)
    tokens = np.concatenate([transcript.prompt, transcript.chain])
    assert np.array_equal(column_bits(model, tokens), column_bits(rotated, tokens))
    assert rotated.provenance.names is not None and rotated.provenance.names.directions[0] == "mixed.0"


def test_models_of_several_layers_without_a_chain_are_certified_rotated() -> None:
    rotated = rotate(construct("modular-addition", 8, setting="base"), seed=0)
    assert rotated.certificate is not None and rotated.certificate.holds
    assert rotated.transformer.architecture.num_layers == 4


def test_what_cannot_be_proven_is_not_made() -> None:
    """Products in S_5 overwrite sixty dimensions in each layer, and what that loses is more than float32 has left."""
    with pytest.raises(SerialformerError, match="rotated, it would not hold"):
        rotate(construct("word-problem", 2, setting="base"))
