"""Attention by distance: what is proven of it holds in narrow arithmetic, and no wrong checkpoint has a certificate."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import serialformer
from serialformer import Shape
from serialformer.architecture import Addressing
from serialformer.constructions.construction import Bring, LookUp
from serialformer.engines.recurrences import shift_register_circuit
from serialformer.proofs.distances import allow_mixtures, distance_gap
from serialformer.proofs.rounding import covered_rounding
from serialformer.proofs.stream import RealisationError
from serialformer.transformer.transformer import Transformer
from tests.proofs.alterations import alter_weight, altered
from tests.proofs.mutations import check_certificates, is_right


def model(addressing: Addressing) -> serialformer.Model:
    return serialformer.compile(
        shift_register_circuit(1, num_inputs=7, num_gates=12, distances=(6, 2, 0)),
        target="llama",
        shape=Shape(addressing=addressing, hidden=64, head_width=16, layers=1),
    )


@pytest.mark.parametrize("number", [30, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.parametrize("addressing", ["distances", "window"])
def test_no_wrong_checkpoint_is_certified(addressing: Addressing, number: int) -> None:
    wrong, certified = check_certificates([model(addressing)], number, seed=3)
    assert wrong > number // 8 and certified > 0


def test_narrow_arithmetic_keeps_the_gap() -> None:
    """Rotated in bfloat16, each step stored, scores lead by no less than the certificate says."""
    made = serialformer.compile(
        shift_register_circuit(1, num_inputs=30, num_gates=90, distances=(29, 5, 0)),
        target="llama",
        dtype="bfloat16",
        shape=Shape(addressing="distances", hidden=64, layers=1),
    )
    shape = made.transformer.architecture
    names = made.provenance.names
    assert names is not None and made.certificate is not None

    def stored(x: np.ndarray) -> np.ndarray:
        return x.astype(ml_dtypes.bfloat16).astype(np.float32)

    # The one dimension that is the same everywhere, times what norm and gain make of it.
    row = names.directions.index("one.0")
    constant = stored(2 * made.transformer.layers[0].attention_in_weight[row].astype(np.float32))
    heads = constant.reshape(-1, shape.head_width)
    frequencies = (np.float32(shape.rotary_base) ** -(np.arange(0, 64, 2, dtype=np.float32) / np.float32(64))).astype(
        np.float32
    )
    angles = np.arange(121, dtype=np.float32)[:, None] * frequencies
    cosine, sine = stored(np.cos(angles)), stored(np.sin(angles))

    def rotated(part: np.ndarray) -> np.ndarray:
        first, second = part[:32], part[32:]
        return np.concatenate(
            [
                stored(stored(first * cosine) - stored(second * sine)),
                stored(stored(second * cosine) + stored(first * sine)),
            ],
            axis=1,
        )

    repeats = shape.num_heads // shape.num_key_heads
    for head in range(shape.num_heads):
        queries, keys = rotated(heads[head]), rotated(heads[shape.num_heads + head // repeats])
        scores = stored(stored(queries @ keys.T) / np.float32(8))
        for position in range(30, 121):
            seen = scores[position, : position + 1]
            target = int(seen.argmax())
            assert position - target in (29, 5, 0)
            assert seen[target] - np.delete(seen, target).max() >= made.certificate.attention.rounded


def reason_of(made: serialformer.Model, transformer: Transformer) -> str:
    """The reason why other weights are refused, or nothing if they are not."""
    failure = serialformer.certify(replace(made, transformer=transformer)).failure
    return "" if failure is None else failure.reason


INTO = "layers.0.attention_in_weight"
"""Queries, keys and values."""


@pytest.mark.parametrize("part", ["queries", "keys"])
def test_queries_and_keys_are_the_same_everywhere(part: str) -> None:
    made = model("distances")
    assert made.provenance.names is not None
    row = list(made.provenance.names.directions).index("table[0]")
    column = 0 if part == "queries" else made.transformer.architecture.attention_width
    reason = reason_of(made, altered(made.transformer, {INTO: {(row, column): 1}}))
    assert "differ from position to position" in reason


def test_queries_and_keys_stay_within_float32() -> None:
    made = model("distances")
    assert made.provenance.names is not None
    one, shape = list(made.provenance.names.directions).index("one.0"), made.transformer.architecture

    def amplify(weight: np.ndarray) -> None:
        weight[one, : shape.attention_width + shape.key_width] *= 1e18

    reason = reason_of(made, alter_weight(made.transformer, INTO, amplify))
    assert "reach" in reason and "beyond float32" in reason


def with_base(made: serialformer.Model, base: float) -> serialformer.Model:
    """The same weights, but queries and keys are turned by other angles."""
    architecture = replace(made.transformer.architecture, rotary_base=base)
    return replace(made, transformer=replace(made.transformer, architecture=architecture))


@pytest.mark.parametrize("base", [100.0, 1e4])
def test_another_rotary_base_is_refused(base: float) -> None:
    other = with_base(model("distances"), base)
    assert not serialformer.certify(other).holds and not is_right(other, other.transformer)


def test_the_gap_depends_on_the_rotary_base() -> None:
    made = model("distances")
    gaps = [serialformer.certify(with_base(made, base)).attention.exact for base in (2.0, 2.02, 2.2)]
    assert gaps == pytest.approx([40.08, 38.31, 23.82], abs=0.01)


def test_positions_that_find_nothing_at_a_distance_bring_signs() -> None:
    """They bring a mixture of signs, whose square lies between 0 and 1."""
    rounding = covered_rounding("float32")
    look_up = LookUp(name="back", clauses=(), brings=(Bring(source="bit", target="fetched"),), distance=1)

    def stream(codes: list[list[int]], nothing: list[int], takes_mean: bool = False) -> Any:
        placement = SimpleNamespace(codes={"fetched": np.array(codes)}, nothing={"fetched": np.array(nothing)})
        return SimpleNamespace(placement=placement, takes_mean=takes_mean, mixtures=np.zeros(2))

    good = stream([[1], [-1]], [-1])
    allow_mixtures(good, look_up, rounding)
    assert good.mixtures[0] == -1 and 0 < good.mixtures[1] < 1e-5
    for wrong in (
        stream([[1], [-1]], [-1], takes_mean=True),
        stream([[1, 1], [-1, -1]], [-1, -1]),
        stream([[2], [-1]], [-1]),
        stream([[1], [-1]], [0]),
    ):
        with pytest.raises(RealisationError, match="brings more than signs"):
            allow_mixtures(wrong, look_up, rounding)


@pytest.mark.parametrize("distance", [-1, 4])
def test_a_distance_beyond_the_visible_positions_is_refused(distance: int) -> None:
    nothing: Any = None
    look_up = LookUp(name="back", clauses=(), brings=(), distance=distance)
    maps: Any = SimpleNamespace(into=np.zeros((1, 2, 1, 2)), constant=np.zeros((2, 1, 2)), turns=np.ones(1))
    with pytest.raises(RealisationError, match="reads what a position does not see"):
        distance_gap(nothing, look_up, maps, 0, np.zeros(1), (9, 4), covered_rounding("float32"))
