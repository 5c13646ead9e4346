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
from serialformer.models.realism import Realism
from serialformer.models.rotate import dense_share, rotate, rotation_of
from serialformer.models.trace import column_bits
from serialformer.proofs.prove import certify_construction
from serialformer.transformer.cache import compute_activations
from serialformer.transformer.distractors import remove_distractors
from serialformer.transformer.rotation import Rotation, draw_rotation, rotate_transformer
from serialformer.transformer.transformer import weights_to_transformer

NOT_ROTATED = {"adder2-chain-rotated", "two-tasks-depth-rotated", "adder2-chain-superposed",
               "parity4-depth-superposed"}  # fmt: skip
"""Of the suite: what is rotated or superposed already."""


@pytest.mark.parametrize(
    "member", [member for member in MEMBERS if member.name not in NOT_ROTATED], ids=lambda member: member.name
)
def test_every_model_of_the_suite_is_certified_rotated_and_writes_the_same(member) -> None:
    model = member.make()
    rotated = rotate(model, seed=3)
    assert rotated.certificate is not None and rotated.certificate.holds
    assert certify(rotated) == rotated.certificate
    # What stays zero: the embedding of a token that never stands anywhere, and units that write nothing.
    assert dense_share(rotated.transformer) > 0.98 > 0.2 > dense_share(model.transformer)
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
                assert np.abs(turned[hook] @ rotation.stream.T - plain[hook]).max() < 1e-3
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
    architecture = model.transformer.architecture
    placement = construction_to_placement(construction_of(model), architecture)
    witness = draw_rotation(architecture, 0)

    def refusal(rotation: Rotation | None) -> str:
        found = certify_construction(rotated.transformer, placement, rotation=rotation)
        assert not found.holds
        return str(found.failure)

    assert certify_construction(rotated.transformer, placement, rotation=witness).holds
    assert "do not fall into groups" in refusal(draw_rotation(architecture, 1))
    other_stream = draw_rotation(architecture, 1).stream
    assert "is not the code of its fields" in refusal(replace(witness, stream=other_stream))
    skewed = witness.stream.copy()
    skewed[0] *= 1.001
    assert "no orthogonal matrix" in refusal(replace(witness, stream=skewed))
    reflected = witness.stream - 2 / architecture.width  # orthogonal, but it turns the all-ones vector around
    assert "no orthogonal matrix" in refusal(replace(witness, stream=reflected))
    assert witness.heads is not None
    skewed = witness.heads.copy()
    skewed[0, 1, 0, 2] *= 1.001
    assert "a matrix for a head that is not orthogonal" in refusal(replace(witness, heads=skewed))
    other = draw_rotation(architecture, 1).heads
    assert "does not bring the codes" in refusal(replace(witness, heads=other))
    refusal(Rotation(stream=witness.stream))
    # Without the witness nothing is proven of dense weights.
    refusal(None)


def test_models_whose_heads_are_left_alone_are_proven_still() -> None:
    """Models that were rotated before heads were, too, have their unused units and columns empty."""
    model = compile(build_parity(4), chain="none")
    architecture = model.transformer.architecture
    rotation = draw_rotation(architecture, 3, turns_heads=False)
    assert np.array_equal(rotation.stream, draw_rotation(architecture, 3).stream)
    old = rotate_transformer(model.transformer, rotation)
    placement = construction_to_placement(construction_of(model), architecture)
    assert certify_construction(old, placement, rotation=rotation).holds
    assert dense_share(old) < 0.2
    realism = Realism(kind="rotated", seed=3)
    saved = replace(model, transformer=old, provenance=replace(model.provenance, realism=realism), proof=None)
    assert certify(saved).holds


@pytest.mark.parametrize("name", ["layers.1.mlp_in_weight", "layers.1.mlp_in_bias", "layers.1.mlp_out_weight",
                                  "layers.1.attention_in_weight", "layers.1.attention_out_weight"])  # fmt: skip
def test_a_distractor_that_does_not_cancel_is_refused(name: str) -> None:
    """Of the evaluator, whose second layer has a head and hidden units without effect."""
    model = construct("circuit-value", 4)
    rotated = rotate(model, seed=0)
    unit, size = 40, rotated.transformer.architecture.head_width
    places: dict[str, tuple[int, ...]] = {
        "layers.1.mlp_in_weight": (3, unit),
        "layers.1.mlp_in_bias": (unit,),
        "layers.1.mlp_out_weight": (unit, 3),
        "layers.1.attention_in_weight": (3, 5 * size + 1),
        "layers.1.attention_out_weight": (size + 1, 3),
    }
    place = places[name]
    assert dict(model.transformer.named_weights())[name][place] == 0
    weights = {key: weight.copy() for key, weight in rotated.transformer.named_weights()}
    assert weights[name][place] != 0
    weights[name][place] *= 1.25
    changed = weights_to_transformer(rotated.transformer.architecture, weights)
    assert not certify(replace(rotated, transformer=changed, proof=None)).holds


def test_distractors_do_something_and_what_they_do_cancels() -> None:
    model = compile(build_adder(2))
    rotated = rotate(model, seed=0)
    tokens = np.concatenate([model.run(a=3, b=2).prompt, model.run(a=3, b=2).chain])[None]
    hidden, plain = (compute_activations(one.transformer, tokens)["blocks.0.mlp.hook_post"] for one in (rotated, model))
    idle = ~model.transformer.layers[0].mlp_out_weight.any(axis=1)
    assert np.abs(plain[..., idle]).max() == 0 and np.abs(hidden[..., idle]).max() > 1
    written = hidden[..., idle] @ rotated.transformer.layers[0].mlp_out_weight[idle].astype(np.float64)
    assert np.abs(written).max() < 1e-12
    removed, facts = remove_distractors(rotated.transformer)
    assert not removed.layers[0].mlp_out_weight[idle].any() and facts[0].unit_weights > 0


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


def test_hidden_units_are_left_out_where_rounding_has_no_room_for_distractors() -> None:
    """Products in S_5 overwrite sixty dimensions in each layer, which takes most of what float32 has."""
    model = construct("word-problem", 2, setting="base")
    rotated = rotate(model)
    assert rotated.certificate is not None and rotated.certificate.holds
    assert rotated.transformer.architecture.hidden_width < model.transformer.architecture.hidden_width
    assert rotated.provenance.names is not None
    rotated.provenance.names.check(rotated.transformer.architecture)


def test_what_cannot_be_proven_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    from serialformer.models import rotate as module

    monkeypatch.setattr(module, "LOUDNESS", (64.0,))
    with pytest.raises(SerialformerError, match="rotated, it would not hold"):
        rotate(construct("circuit-value", 4))
