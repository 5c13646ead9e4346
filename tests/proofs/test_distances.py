"""Attention by distance: what is proven of it holds in narrow arithmetic, and no wrong checkpoint has a certificate."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import serialformer
from serialformer import Shape
from serialformer.architecture import Addressing
from serialformer.engines.recurrences import shift_register_circuit
from tests.proofs.mutations import check_certificates


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
