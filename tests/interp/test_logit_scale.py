"""Models with smaller logits compute the same, and are certified."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from serialformer import Model, SerialformerError, certify, compile, construct, load
from serialformer.interp.check import check_truth
from serialformer.interp.logit_scale import scale_logits
from serialformer.interp.realism import make_realistic
from serialformer.interp.suite import build_adder
from serialformer.transformer.forward import compute_logits


@pytest.fixture(scope="module")
def adder() -> Model:
    return compile(build_adder(2))


def test_every_logit_is_scaled_exactly(adder: Model) -> None:
    small = scale_logits(adder, 1 / 8)
    tokens = adder.run(a=3, b=1)
    assert small.run(a=3, b=1).text == tokens.text
    prompts = np.array([[*tokens.prompt, *tokens.chain]])
    for dtype in (np.float64, np.float32):
        plain, scaled = (compute_logits(model.transformer, prompts, dtype=dtype) for model in (adder, small))
        assert plain.any() and np.array_equal(scaled, plain / 8)


@pytest.mark.parametrize("kind", ["rotated", "superposed"])
def test_other_weights_are_certified_too(adder: Model, kind: str, tmp_path: Path) -> None:
    model = make_realistic(adder, kind)
    small = scale_logits(model, 0.25)
    assert model.certificate is not None and small.certificate is not None and small.certificate.holds
    assert small.certificate.logits.exact == pytest.approx(model.certificate.logits.exact / 4, rel=1e-12)
    small.save(tmp_path / "model")
    assert certify(load(tmp_path / "model")).holds
    assert check_truth(small, 100).wrong == 0


@pytest.mark.parametrize("factor", [0.0, -0.5, 0.3, 3.0, float("nan"), float("inf")])
def test_only_powers_of_two(adder: Model, factor: float) -> None:
    with pytest.raises(SerialformerError, match="expected a power of two"):
        scale_logits(adder, factor)


def test_a_model_without_a_last_norm_is_refused(adder: Model) -> None:
    with pytest.raises(SerialformerError, match="has no last norm"):
        scale_logits(compile(build_adder(2), target="paper"), 0.5)


def test_a_factor_that_float32_does_not_hold_is_refused() -> None:
    with pytest.raises(SerialformerError, match="it would not hold"):
        scale_logits(construct("parity", 3), 2.0**-160)
