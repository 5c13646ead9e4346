"""Heads with small score gaps: counted as an error, and refused if rounding could close the gap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import serialformer
from serialformer import construct
from serialformer.models.rotate import rotate
from serialformer.proofs.certificate import Certificate
from serialformer.proofs.prove import certify_construction
from serialformer.proofs.rounding import covered_rounding
from serialformer.transformer.transformer import Transformer, weights_to_transformer
from tests.construction_cases import every_construction
from tests.proofs.test_constructions import lower
from tests.proofs.test_distances import model

NAMES = ("task/parity-16", "circuit/two-input table 0110")


def weakened(transformer: Transformer, share: float) -> Transformer:
    """Scales all queries, and so all scores, by a factor."""
    architecture, weights = transformer.architecture, dict(transformer.named_weights())
    for name in ("layers.0.attention_in_weight", "layers.0.attention_in_bias"):
        weights[name] = weights[name].copy()
        weights[name][..., : architecture.attention_width] *= np.float32(share)
    return weights_to_transformer(architecture, weights)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", NAMES)
def test_a_head_leads_by_enough_after_rounding(name: str, dtype: str) -> None:
    """After rounding, all other positions together get at most 2^-10 of its attention."""
    transformer, placement = lower(every_construction()[name]())

    def certify(share: float) -> Certificate:
        rounding = covered_rounding(dtype)
        return certify_construction(weakened(transformer, share), placement, rounding=rounding)

    strong = certify(1.0)
    assert strong.holds
    needed = float(np.log(placement.construction.num_positions * 2.0**10))
    lost = 1 - strong.attention.rounded / strong.attention.exact
    for share, holds in ((1 - 1e-5, False), (1 + lost / 2, False), (1.5, True)):
        failure = certify(share * needed / strong.attention.exact).failure
        assert (failure is None or "has a score gap of" not in failure.reason) is holds


@pytest.mark.parametrize("name", NAMES)
def test_what_other_positions_bring_is_counted(name: str) -> None:
    transformer, placement = lower(every_construction()[name]())
    strong = certify_construction(transformer, placement)
    needed = float(np.log(placement.construction.num_positions * 2.0**10))
    weak = certify_construction(weakened(transformer, 1.2 * needed / strong.attention.exact), placement)
    assert weak.holds
    assert weak.logits.rounded < strong.logits.rounded - 1e-4


@pytest.mark.parametrize("share", [0.99, 1.01])
def test_distances_lead_by_enough_too(share: float) -> None:
    made = model("distances")
    assert made.certificate is not None and made.words.placed is not None
    needed = float(np.log(made.words.placed.num_positions * 2.0**10))
    weak = weakened(made.transformer, share * needed / made.certificate.attention.rounded)
    failure = serialformer.certify(replace(made, transformer=weak)).failure
    assert (failure is not None and "has a score gap of" in failure.reason) is (share < 1)


def test_a_window_must_reach_as_far_as_the_distance() -> None:
    made = model("window")
    window = made.transformer.architecture.window
    assert window is not None
    for size, holds in ((window, True), (6, False)):
        architecture = replace(made.transformer.architecture, window=size)
        other = replace(made, transformer=replace(made.transformer, architecture=architecture))
        failure = serialformer.certify(other).failure
        assert (failure is None) is holds
    assert failure is not None and "reads what a position does not see" in failure.reason


def test_a_window_takes_positions_away() -> None:
    """Hidden positions need not be told apart, so the gap is larger than without a window."""
    made = model("window")
    seen = made.certificate
    architecture = replace(made.transformer.architecture, window=None)
    wide = serialformer.certify(replace(made, transformer=replace(made.transformer, architecture=architecture)))
    assert seen is not None and seen.attention.exact > wide.attention.exact


def test_scores_of_a_distracting_head_must_not_overflow() -> None:
    """Its values cancel unless an infinite score turns them into NaN."""
    rotated = rotate(construct("circuit-value", 4), seed=0)
    weights = dict(rotated.transformer.named_weights())
    architecture = rotated.transformer.architecture
    size, width = architecture.head_width, architecture.width
    into = weights["layers.1.attention_in_weight"].copy()
    idle = slice(size, 2 * size)
    assert into[:, idle].any() and into[:, width : 2 * width][:, idle].any()
    into[:, idle] *= np.float32(1e18)
    into[:, width : 2 * width][:, idle] *= np.float32(1e18)
    changed = weights_to_transformer(architecture, {**weights, "layers.1.attention_in_weight": into})
    failure = serialformer.certify(replace(rotated, transformer=changed, proof=None)).failure
    assert failure is not None and failure.reason == "a head without effect can overflow"
