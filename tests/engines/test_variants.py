"""Variants compute the same chain, and are sensitive to what they are made for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from serialformer import Model, certify, compile
from serialformer.engines.scattered import scattered_circuit
from serialformer.engines.variants import add_spare_positions, offset_keys, shrink_stream
from serialformer.errors import CompileError
from serialformer.transformer.forward import compute_logits
from serialformer.transformer.transformer import Transformer


@pytest.fixture(scope="module")
def model() -> Model:
    return compile(scattered_circuit(1, num_inputs=8, num_gates=60, fan_in=3))


@pytest.fixture(scope="module")
def sequences(model: Model) -> np.ndarray:
    bits = np.random.default_rng(0).integers(0, 2, (12, 8), dtype=np.uint8)
    prompts = model.words.prompts(bits)
    return np.concatenate([prompts, model.engine("indexed").generate(prompts, 60)], axis=1)


def said(transformer: Transformer, sequences: np.ndarray) -> np.ndarray:
    return compute_logits(transformer, sequences[:, :-1], dtype=np.float32).argmax(axis=-1)[:, 8:]


@pytest.mark.parametrize("change", [lambda x: add_spare_positions(x, 5), shrink_stream, offset_keys])
def test_the_same_chain(model: Model, sequences: np.ndarray, change: Callable[[Transformer], Transformer]) -> None:
    assert np.array_equal(said(change(model.transformer), sequences), sequences[:, 9:])


@pytest.mark.parametrize("change", [lambda x: add_spare_positions(x, 5), shrink_stream])
def test_variants_that_are_proven(model: Model, change: Callable[[Transformer], Transformer]) -> None:
    assert certify(replace(model, transformer=change(model.transformer), proof=None)).holds


def test_another_epsilon_is_wrong_in_a_small_stream_only(model: Model, sequences: np.ndarray) -> None:
    for transformer, is_right in ((model.transformer, True), (shrink_stream(model.transformer), False)):
        larger = replace(transformer, architecture=replace(transformer.architecture, norm_epsilon=1e-5))
        assert np.array_equal(said(larger, sequences), sequences[:, 9:]) == is_right


@pytest.mark.parametrize("number", [np.float16, "bfloat16"])
def test_narrow_keys_are_wrong_with_an_offset_only(
    model: Model, sequences: np.ndarray, number: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ml_dtypes

    from serialformer.transformer import forward

    narrow = np.dtype(ml_dtypes.bfloat16) if number == "bfloat16" else np.dtype(np.float16)
    stock = forward.project_heads

    def project(*arguments: object) -> tuple[np.ndarray, ...]:
        queries, keys, values = stock(*arguments)
        return queries, keys.astype(narrow).astype(np.float32), values.astype(narrow).astype(np.float32)

    monkeypatch.setattr(forward, "project_heads", project)
    assert np.array_equal(said(model.transformer, sequences), sequences[:, 9:])
    assert (said(offset_keys(model.transformer), sequences) != sequences[:, 9:]).mean() > 0.1


@pytest.mark.parametrize("change", [shrink_stream, offset_keys])
def test_sixteen_bits_are_refused(change: Callable[[Transformer], Transformer]) -> None:
    half = compile(scattered_circuit(1, num_inputs=8, num_gates=20), dtype="bfloat16").transformer
    with pytest.raises(CompileError, match="needs float32, found bfloat16"):
        change(half)
