"""Edge patching: every effect on the weights is the one that the construction predicts."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from serialformer import CircuitBuilder, Model, SerialformerError, compile, construct
from serialformer.constructions.edges import find_edges
from serialformer.interp.patch import Patch, Run, run_patched
from serialformer.interp.predict import UNKNOWN, Prediction, predict
from serialformer.models.ground_truth import GroundTruth
from serialformer.transformer.forward import compute_logits

QUESTIONS: dict[str, tuple[Any, Any]] = {
    "adder": ({"a": 3, "b": 1}, {"a": 0, "b": 2}),
    "parity": ("1 0 1 1 0 =", "0 1 1 0 1 ="),
    "permutation-composition": ("( 1 2 3 5 4 ) ( 2 1 3 4 5 ) =", "( 2 1 3 5 4 ) ( 5 1 3 4 2 ) ="),
    "circuit-value": (
        "TRUE NA NA 1 FALSE NA NA 2 OR 1 2 3 NOT 3 NA 4 =",
        "TRUE NA NA 1 TRUE NA NA 2 AND 2 2 3 OR 3 1 4 =",
    ),
}
LENGTHS = {"parity": 5, "permutation-composition": 2, "circuit-value": 4}


@cache
def truths(name: str) -> tuple[GroundTruth, GroundTruth]:
    if name == "adder":
        build = CircuitBuilder()
        a, b = build.inputs("a", 2), build.inputs("b", 2)
        carry = build.and_(a[0], b[0])
        build.outputs("sum", [build.xor(a[0], b[0]), build.xor(build.xor(a[1], b[1]), carry)])
        model = compile(build.circuit())
    else:
        model = construct(name, LENGTHS[name])
    first, second = (model.ground_truth(model.run(question)) for question in QUESTIONS[name])
    return first, second


def every_patch(model: Model, num_positions: int) -> list[Patch]:
    """Each edge that the architecture has, at each position."""
    architecture, patches, parts = model.transformer.architecture, [], ["input"]
    for layer in range(architecture.num_layers):
        heads = [f"a{layer}.h{head}" for head in range(architecture.num_heads)]
        patches += [Patch(source=part, target=head, via=via) for head in heads for via in "qkv" for part in parts]
        parts += heads
        patches += [Patch(source=part, target=f"m{layer}") for part in parts]
        parts.append(f"m{layer}")
    patches += [Patch(source=part, target="logits") for part in parts]
    return [
        Patch(source=patch.source, target=patch.target, via=patch.via, position=position)
        for patch in patches
        for position in range(num_positions)
    ]


def both(truth: GroundTruth) -> tuple[Run, Prediction]:
    construction = truth.followed.construction
    return run_patched(truth.model.transformer, truth.followed.tokens), predict(
        construction, truth.heads, truth.followed.tokens
    )


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_effect_is_the_one_predicted(name: str) -> None:
    clean, other = truths(name)
    model, tokens, first = clean.model, clean.followed.tokens, clean.followed.first_writer
    run, prediction = both(clean)
    other_run, other_prediction = both(other)
    assert prediction.tokens[first:-1].tolist() == tokens[first + 1 :].tolist()
    labelled = {Patch.of_edge(edge) for truth in (clean, other) for edge in find_edges(truth.followed, truth.heads)}
    patches = every_patch(model, len(tokens))
    assert labelled <= set(patches)
    random = np.random.default_rng(0)
    chosen = [patches[place] for place in random.permutation(len(patches))[:100]]
    candidates = [patch for patch in patches if patch in labelled]
    chosen += [candidates[place] for place in random.permutation(len(candidates))[:75]]
    num_effects, num_unknown = 0, 0
    for patch in chosen:
        found = run_patched(model.transformer, tokens, other_run, [patch]).tokens[first:]
        expected = predict(clean.followed.construction, clean.heads, tokens, other_prediction, [patch]).tokens[first:]
        known = expected != UNKNOWN
        assert (found == expected)[known].all(), patch
        has_effect = bool((found != run.tokens[first:]).any())
        assert not has_effect or patch in labelled, f"{patch} is not labelled, and has an effect"
        num_effects += has_effect
        num_unknown += int((~known).sum())
    assert num_effects >= 3, "some patches must change what is written"
    assert num_unknown <= 0.01 * len(chosen) * len(run.tokens[first:])


def test_without_patches_it_is_the_forward_pass() -> None:
    clean, _ = truths("circuit-value")
    run = run_patched(clean.model.transformer, clean.followed.tokens)
    plain = compute_logits(clean.model.transformer, clean.followed.tokens[None])[0]
    np.testing.assert_allclose(run.logits, plain, atol=1e-9)


def test_all_edges_into_the_logits_at_once_give_the_other_run() -> None:
    clean, other = truths("parity")
    run = run_patched(other.model.transformer, other.followed.tokens)
    patches = [Patch(source=source, target="logits") for source in ("input", "a0.h0", "m0")]
    patched = run_patched(clean.model.transformer, clean.followed.tokens, run, patches)
    np.testing.assert_allclose(patched.logits, run.logits, atol=1e-9)


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        (Patch(source="m0", target="m0"), "patch: m0 does not come before m0"),
        (Patch(source="input", target="m7"), "patch: no part m7"),
        (Patch(source="input", target="a0.h0", via="z"), "patch: no part a0.h0<z>"),
    ],
)
def test_edges_that_are_not_there(patch: Patch, message: str) -> None:
    clean, _ = truths("parity")
    run = run_patched(clean.model.transformer, clean.followed.tokens)
    with pytest.raises(SerialformerError, match=message):
        run_patched(clean.model.transformer, clean.followed.tokens, run, [patch])
