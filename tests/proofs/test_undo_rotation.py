"""Rotated weights and their witness: other weights are refused, and rounding counts as an error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from serialformer import CircuitBuilder, compile
from serialformer.proofs.frame import Frame
from serialformer.proofs.rounding import covered_rounding
from serialformer.proofs.stream import RealisationError
from serialformer.proofs.turned_heads import check_distracting_heads
from serialformer.proofs.undo_rotation import undo_rotation
from serialformer.transformer.distractors import LayerDistractors
from serialformer.transformer.rotation import Rotation, draw_rotation, rotate_transformer, turn_weights
from serialformer.transformer.transformer import Transformer, cast_transformer
from tests.proofs.alterations import alter_weight


@cache
def plain() -> Transformer:
    build = CircuitBuilder()
    build.output("odd", build.xor(*build.inputs("a", 2)))
    return compile(build.circuit()).transformer


def rotated(turns_heads: bool = False) -> tuple[Transformer, Rotation]:
    rotation = draw_rotation(plain().architecture, 0, turns_heads=turns_heads)
    return rotate_transformer(plain(), rotation), rotation


@pytest.mark.parametrize("turns_heads", [False, True])
def test_the_plain_weights_are_found(turns_heads: bool) -> None:
    found, frame = undo_rotation(*rotated(turns_heads))
    for (name, weight), (_, expected) in zip(found.named_weights(), plain().named_weights(), strict=True):
        assert np.array_equal(weight, expected), name
    assert 1e-9 < frame.weight_error < 1e-6 and frame.turns_heads is turns_heads


@pytest.mark.parametrize("turns_heads", [False, True])
def test_the_error_of_weights_is_the_largest_of_all_sums(turns_heads: bool) -> None:
    """It bounds, for the weights of each sum, how far rotating back misses the plain ones, and the bound is tight."""
    transformer, rotation = rotated(turns_heads)
    _, frame = undo_rotation(transformer, rotation)
    stored = {name: weight.astype(np.float64) for name, weight in transformer.named_weights()}
    shares, heads = [], transformer.architecture.num_heads
    for name, weight in turn_weights(stored, rotation.inverse).items():
        if weight is stored[name]:
            continue
        like = dict(plain().named_weights())[name].astype(np.float64)
        if turns_heads and ".attention_in" in name:
            parts = [one.reshape(-1, 3 * heads, one.shape[-1] // (3 * heads)).swapaxes(0, 1) for one in (weight, like)]
            off, of = (one.reshape(3 * heads, -1) for one in (parts[0] - parts[1], parts[1]))
        elif turns_heads and name.endswith("attention_out_weight"):
            off, of = (one.reshape(heads, -1) for one in (weight - like, like))
        elif name.endswith("in_weight"):
            off, of = (weight - like).T, like.T
        else:
            off, of = np.atleast_2d(weight - like), np.atleast_2d(like)
        sizes = np.linalg.norm(of, axis=1)
        shares += (np.linalg.norm(off, axis=1)[sizes > 0] / sizes[sizes > 0]).tolist()
    assert max(shares) <= frame.weight_error < 1.01 * max(shares) + 1e-11


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda made: cast_transformer(made, "bfloat16"), "is proven as a GPT-2 in float32 only"),
        (
            lambda made: alter_weight(made, "layers.0.mlp_in_bias", lambda weight: weight.__setitem__(0, np.inf)),
            "layers.0.mlp_in_bias holds infinities",
        ),
        (
            lambda made: alter_weight(made, "layers.0.mlp_norm_gain", lambda weight: weight.__setitem__(0, 9)),
            "layers.0.mlp_norm_gain is not one number",
        ),
        (
            lambda made: alter_weight(made, "final_norm_gain", lambda weight: weight.__setitem__(0, 9)),
            "final_norm_gain is not one number",
        ),
        (
            lambda made: alter_weight(made, "layers.0.attention_norm_bias", lambda weight: weight.__setitem__(0, 1)),
            "layers.0.attention_norm_bias is not zero",
        ),
        (
            lambda made: alter_weight(made, "layers.0.mlp_in_weight", lambda weight: weight[:, -1].__iadd__(1e-6)),
            "layers.0.mlp_in_weight holds something where the construction has nothing",
        ),
    ],
)
def test_weights_other_than_rotated_ones_are_refused(change: Callable[[Transformer], Transformer], reason: str) -> None:
    transformer, rotation = rotated()
    with pytest.raises(RealisationError, match=reason):
        undo_rotation(change(transformer), rotation)


def test_a_witness_of_another_shape() -> None:
    transformer, rotation = rotated(turns_heads=True)
    assert rotation.heads is not None
    for wrong, reason in (
        (replace(rotation, stream=np.eye(3)), "the rotation has the shape"),
        (replace(rotation, heads=rotation.heads[:, :, :1]), "the rotations of heads have the shape"),
        (replace(rotation, heads=rotation.heads[:0]), "the rotations of heads have the shape"),
    ):
        with pytest.raises(RealisationError, match=reason):
            undo_rotation(transformer, wrong)


def test_a_witness_that_is_a_little_off_counts_as_an_error() -> None:
    transformer, rotation = rotated(turns_heads=True)
    assert rotation.heads is not None
    exact = undo_rotation(transformer, rotation)[1].weight_error
    off = rotation.stream.copy()
    off[0] *= 1 + 1e-10
    assert undo_rotation(transformer, replace(rotation, stream=off))[1].weight_error > exact + 1e-10
    heads = rotation.heads.copy()
    heads[0, 0, 0, 0] *= 1 + 1e-10
    assert undo_rotation(transformer, replace(rotation, heads=heads))[1].weight_error > exact + 1e-10


def test_distracting_heads_must_not_overflow_and_leave_something() -> None:
    def stream(largest: float) -> Any:
        distractors = (LayerDistractors(head_weights=3.0, head_rest=1e-6, largest=largest),)
        frame = Frame(weight_error=1e-7, width=16, hidden_width=1, turns_heads=True, distractors=distractors)
        return SimpleNamespace(frame=frame, placement=SimpleNamespace(deviation=2.0), heard=0.5, ball=0.25)

    rounding = covered_rounding("float32")
    quiet = stream(1e30)
    check_distracting_heads(quiet, 0, 9, rounding)
    # The rest after values and outputs, and the rounding of sums over 16 dimensions and 9 positions.
    assert quiet.ball - 0.25 > 8.5 * (1e-6 + 3 * 2 * (16 + 9) * 2.0**-24)
    with pytest.raises(RealisationError, match="a head without effect can overflow"):
        check_distracting_heads(stream(1e37), 0, 9, rounding)
