"""Fields that layers clear, and hidden units in pairs: weights that do not do that are refused."""

from __future__ import annotations

import numpy as np
import pytest

import serialformer
from serialformer import CircuitBuilder, Model
from serialformer.constructions.circuit_depth import circuit_depth_construction
from serialformer.models.lower import certify_weights, construction_to_placement
from serialformer.proofs.certificate import Certificate
from tests.proofs.alterations import altered

SECOND = 2
"""The first unit that takes away what another gives too much: each table has two units, which two such units follow."""

FIRST_CLEARING = 16
"""Four tables of gates of two inputs take 16 units; those that clear follow."""


def model() -> Model:
    build = CircuitBuilder()
    a, b = build.inputs("a", 2)
    build.output("y", build.not_(build.and_(a, b)))
    return serialformer.compile(build.circuit(), chain="none")


def certify_altered(made: Model, name: str, index: tuple[int, ...], value: float) -> Certificate:
    """The certificate with one weight changed."""
    assert dict(made.transformer.named_weights())[name][index] != value
    transformer = altered(made.transformer, {name: {index: value}})
    construction = circuit_depth_construction(made.circuit, len(transformer.layers))
    return certify_weights(transformer, construction_to_placement(construction, transformer.architecture))


@pytest.mark.parametrize(
    ("part", "unit", "reason"),
    [
        ("mlp_in_bias", SECOND, "are no pairs"),
        ("mlp_out_weight", SECOND, "are no pairs"),
        ("mlp_in_weight", SECOND, "are no pairs"),
        ("mlp_in_bias", FIRST_CLEARING, "is not linear"),
        ("mlp_in_weight", FIRST_CLEARING, "reads or writes something else"),
        ("mlp_out_weight", FIRST_CLEARING, "reads or writes something else"),
        ("mlp_out_weight", FIRST_CLEARING + 5, "a hidden unit beyond those"),
    ],
)
def test_one_weight_of_a_hidden_unit(part: str, unit: int, reason: str) -> None:
    made = model()
    name = f"layers.0.{part}"
    weight = dict(made.transformer.named_weights())[name]
    index: tuple[int, ...]
    if part == "mlp_in_bias":
        index, value = (unit,), float(weight[unit]) - 10
    elif part == "mlp_in_weight":
        index, value = (int(np.flatnonzero(weight[:, unit] == 0)[-1]), unit), 1.0
    else:
        index, value = (unit, int(np.flatnonzero(weight[unit] == 0)[-1])), 1.0
    certificate = certify_altered(made, name, index, value)
    assert not certificate.holds
    assert reason in str(certificate.failure)


def test_what_is_left_of_a_field() -> None:
    """The bias that puts nothing in a field's place."""
    made = model()
    names = made.provenance.names.directions
    certificate = certify_altered(made, "layers.0.mlp_out_bias", (names.index("fetched[0]+"),), 4.0)
    assert not certificate.holds
    assert "something is left of fetched[0]" in str(certificate.failure)


@pytest.mark.parametrize(
    ("part", "value", "reason"),
    [
        ("mlp_norm_bias", 0.001, "a layer norm adds something to fetched[0]"),
        ("mlp_norm_gain", 1.25, "a unit that clears fetched[0] errs by"),
    ],
)
def test_a_norm_that_changes_a_field(part: str, value: float, reason: str) -> None:
    made = model()
    place = made.provenance.names.directions.index("fetched[0]+")
    certificate = certify_altered(made, f"layers.0.{part}", (place,), value)
    assert certificate.failure is not None and reason in certificate.failure.reason


def test_errors_do_not_grow_with_depth() -> None:
    """The margins of 60 layers are those of a dozen, in float32: each layer takes away what earlier ones have lost."""
    margins = []
    for length in (10, 60):
        build = CircuitBuilder()
        wire, other = build.inputs("a", 2)
        for _ in range(length):
            wire = build.xor(wire, other)
        build.output("y", wire)
        # As many positions, so that widths are the same.
        for _ in range(60 - length):
            build.xor(wire, other)
        certificate = serialformer.compile(build.circuit(), chain="none").certificate
        assert certificate is not None
        margins.append((certificate.attention.rounded, certificate.logits.rounded))
    assert np.allclose(*margins, rtol=1e-4)


def test_without_pairs_errors_grow() -> None:
    """Why units are pairs: laid out as plain signs, so many layers are not proven in float32."""
    from serialformer.targets.gpt2 import construction_to_gpt2, layout_to_placement

    build = CircuitBuilder()
    wire, other = build.inputs("a", 2)
    for _ in range(40):
        wire = build.xor(wire, other)
    build.output("y", wire)
    construction = circuit_depth_construction(build.circuit())
    transformer, layout = construction_to_gpt2(construction, dtype="float32", activation="gelu_new", packing="signs")
    assert not certify_weights(transformer, layout_to_placement(layout)).holds
