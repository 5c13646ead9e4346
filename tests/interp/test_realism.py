"""Rotated, superposed and fine-tuned models, and the check of their truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from serialformer import Model, SerialformerError, certify, compile, construct, load, verify
from serialformer.interp.check import check_truth
from serialformer.interp.realism import make_realistic
from serialformer.interp.suite import build_adder, build_parity, build_two_tasks
from serialformer.models.every_prompt import certify_by_prompts, every_sequence
from serialformer.models.superpose import superpose
from serialformer.transformer.superposition import random_codes
from serialformer.transformer.transformer import weights_to_transformer


@pytest.fixture(scope="module")
def plain() -> Model:
    return compile(build_adder(2))


@pytest.fixture(scope="module")
def superposed(plain: Model) -> Model:
    return make_realistic(plain, "superposed")


def test_two_proofs_of_one_model_agree(plain: Model) -> None:
    """Going through all prompts knows no construction, and finds the margins that the witness gives."""
    for model in (plain, make_realistic(plain, "rotated", 3)):
        by_prompts, by_witness = certify_by_prompts(model), model.certificate
        assert by_witness is not None and by_prompts.holds and by_prompts.to_json()["method"] == "prompts"
        assert by_prompts.logits.exact == pytest.approx(by_witness.logits.exact, rel=1e-4)
        assert by_prompts.logits.rounded == pytest.approx(by_witness.logits.rounded, rel=2e-2)


def test_going_through_prompts_finds_damage(plain: Model) -> None:
    random = np.random.default_rng(0)
    verdicts = []
    for _ in range(30):
        weights = dict(plain.transformer.named_weights())
        name = list(weights)[int(random.integers(len(weights)))]
        weight = weights[name].copy()
        place = (
            np.unravel_index(int(random.choice(np.flatnonzero(weight.ravel() != 0))), weight.shape)
            if weight.any()
            else 0
        )
        weight[place] += np.float32(random.choice([-1, 1]) * 2.0 ** random.integers(-2, 6))
        weights[name] = weight
        damaged = replace(
            plain, transformer=weights_to_transformer(plain.transformer.architecture, weights), proof=None
        )
        is_right = verify(damaged, num_samples=None, engine="dense").wrong_inputs == 0
        verdicts.append((is_right, certify_by_prompts(damaged).holds))
    assert (False, True) not in verdicts
    assert (True, True) in verdicts and (False, False) in verdicts


def test_a_bound_covers_what_float32_does(superposed: Model) -> None:
    """Leads measured in float32 are within the certificate's rounding of those in float64."""
    from serialformer.transformer.cache import compute_activations

    certificate, tokens = superposed.certificate, every_sequence(superposed)
    assert certificate is not None
    first = tokens.shape[1] - superposed.num_new_tokens - 1
    end = np.full((len(tokens), 1), superposed.transformer.architecture.end_token)
    right = np.concatenate([tokens[:, first + 1 :], end], axis=1)[:, :, None]
    least = []
    for dtype in (np.float64, np.float32):
        logits = compute_activations(superposed.transformer, tokens, dtype=dtype)["logits"][:, first:].astype(
            np.float64
        )
        own = np.take_along_axis(logits, right, axis=2)
        np.put_along_axis(logits, right, -np.inf, axis=2)
        least.append(float((own - logits).min()))
    assert least[0] == pytest.approx(certificate.logits.exact, rel=1e-9)
    assert least[1] >= certificate.logits.rounded
    assert abs(least[0] - least[1]) <= certificate.logits.exact - certificate.logits.rounded


def test_a_superposed_model_has_fewer_dimensions_than_directions(plain: Model, superposed: Model) -> None:
    realism = superposed.provenance.realism
    assert realism is not None and (realism.kind, len(realism.directions)) == ("superposed", 32)
    assert superposed.transformer.architecture.width == 24
    codes = random_codes(32, 24, realism.seed)
    assert np.linalg.matrix_rank(codes) == 23 and np.abs(codes @ codes.T - np.eye(32)).max() > 0.1
    assert verify(superposed, num_samples=None).wrong_inputs == 0
    assert certify(superposed) == superposed.certificate
    transcript = superposed.run(a=3, b=1)
    truths = [model.ground_truth(transcript) for model in (plain, superposed)]
    assert truths[0].reads.to_json() == truths[1].reads.to_json()
    assert truths[1].basis.shape == (32, 24)


def test_several_layers_in_superposition() -> None:
    """Three layers that compute with 44 directions in 24 dimensions, right and certified on every prompt."""
    model = superpose(compile(build_parity(4), chain="none"), 24)
    assert model.transformer.architecture.num_layers == 3
    assert model.provenance.realism is not None and len(model.provenance.realism.directions) == 44
    assert model.certificate is not None and model.certificate.holds
    assert model.certificate.arithmetic["storage"] == "float64"
    assert verify(model, num_samples=None, engine="dense").wrong_inputs == 0
    assert certify(model) == model.certificate
    found = check_truth(model, 200, seed=4)
    assert (found.wrong, found.interventions) == (0, 200) and found.changed > 0


def test_bounds_for_float64_are_refused_where_they_say_nothing() -> None:
    with pytest.raises(SerialformerError, match="in 48 dimensions it would not hold"):
        superpose(compile(build_two_tasks(), chain="none"), 48)


def test_a_superposed_model_is_saved_and_loaded(superposed: Model, tmp_path: Path) -> None:
    saved = superposed.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.provenance == saved.provenance and again.certificate == saved.certificate
    assert again.certificate is not None and again.certificate.exhaustive


def test_too_few_dimensions_are_refused(plain: Model) -> None:
    with pytest.raises(SerialformerError, match="in 12 dimensions it would not hold"):
        superpose(plain, 12)
    with pytest.raises(SerialformerError, match="expected fewer than 32 dimensions"):
        superpose(plain, 32)
    with pytest.raises(SerialformerError, match="too narrow"):
        superpose(plain, 6)
    with pytest.raises(SerialformerError, match="is not a compiled circuit|not a compiled circuit"):
        make_realistic(construct("parity", 3), "superposed")
    with pytest.raises(SerialformerError, match="no realism"):
        make_realistic(plain, "baked")


def test_a_fine_tuned_model_is_proven_and_its_truth_is_checked(plain: Model) -> None:
    tuned = make_realistic(plain, "fine-tuned", 1)
    assert tuned.certificate is not None and tuned.certificate.holds and tuned.certificate.exhaustive
    weights = dict(tuned.transformer.named_weights())
    assert all(np.count_nonzero(weight) > 0.99 * weight.size for name, weight in weights.items() if "weight" in name)
    assert verify(tuned, num_samples=None, engine="dense").wrong_inputs == 0
    again = make_realistic(plain, "fine-tuned", 1)
    assert again.transformer.digest() == tuned.transformer.digest()


@pytest.mark.parametrize("make", [lambda: compile(build_adder(2)), lambda: compile(build_parity(4), chain="none"),
                                  lambda: make_realistic(compile(build_two_tasks()), "rotated")])  # fmt: skip
def test_interventions_come_out_as_the_truth_says(make) -> None:
    found = check_truth(make(), 120, seed=2)
    assert (found.interventions, found.wrong, found.share_right) == (120, 0, 1.0)
    assert found.labelled > 40 and found.changed > 3


def test_a_model_that_does_something_else_is_found_out(plain: Model) -> None:
    """The heads of layer 0 are exchanged: the function is the same, and the truth about heads is wrong."""
    weights = dict(plain.transformer.named_weights())
    width = plain.transformer.architecture.width
    half = width // 2
    into, bias = weights["layers.0.attention_in_weight"].copy(), weights["layers.0.attention_in_bias"].copy()
    order = np.concatenate([np.r_[half:width, :half] + part * width for part in range(3)])
    weights["layers.0.attention_in_weight"], weights["layers.0.attention_in_bias"] = into[:, order], bias[order]
    out = weights["layers.0.attention_out_weight"]
    weights["layers.0.attention_out_weight"] = out[np.r_[half:width, :half]]
    swapped = replace(plain, transformer=weights_to_transformer(plain.transformer.architecture, weights), proof=None)
    assert verify(swapped, num_samples=None, engine="dense").wrong_inputs == 0
    found = check_truth(swapped, 200)
    assert found.wrong > 0 and found.first_wrong.startswith(("a0", "input"))
