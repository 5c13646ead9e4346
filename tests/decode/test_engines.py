"""Engines: the same tokens as the forward pass, on compiled weights and on any others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import serialformer
from serialformer import Model
from serialformer.architecture import UNKNOWN
from serialformer.decode import engine as engine_module
from serialformer.decode.engine import ENGINE_NAMES, make_engine
from serialformer.errors import EngineError
from serialformer.transformer.forward import QUERIES_PER_BLOCK, compute_logits
from serialformer.transformer.transformer import Transformer, weights_to_transformer
from tests.cases import every_input, small_circuits

CASES = small_circuits()


def noisy(transformer: Transformer, size: float, seed: int) -> Transformer:
    """The transformer with noise of this size, relative to each matrix, on every weight."""
    random = np.random.default_rng(seed)
    weights = {}
    for name, weight in transformer.named_weights():
        scale = size * max(1e-3, float(np.abs(weight).max(initial=0.0)))
        weights[name] = (weight + random.normal(0, scale, weight.shape)).astype(weight.dtype)
    return weights_to_transformer(transformer.architecture, weights)


def writes_any_token(transformer: Transformer) -> Transformer:
    """The same weights, of a vocabulary in which no token is unknown.

    Files have further tokens, with the row of the unknown one. Where a model writes that, as only altered weights do,
    its logit and theirs are equal, and which of them a program takes depends on how its processor rounds.
    """
    architecture = transformer.architecture
    vocabulary = tuple("?" if text == UNKNOWN else text for text in architecture.vocabulary)
    return replace(transformer, architecture=replace(architecture, vocabulary=vocabulary))


def greedy_by_forward_pass(transformer: Transformer, prompts: np.ndarray, num_tokens: int) -> np.ndarray:
    """Decoding without a cache: the whole sequence again for every token."""
    end = transformer.architecture.end_token
    tokens = prompts
    for _ in range(num_tokens):
        last = compute_logits(transformer, tokens, dtype=np.float64)[:, -1].argmax(axis=-1)
        ended = (tokens[:, prompts.shape[1] :] == end).any(axis=1)
        tokens = np.concatenate([tokens, np.where(ended, end, last)[:, None]], axis=1)
    return tokens[:, prompts.shape[1] :]


@pytest.mark.parametrize("size", [0.0, 1e-6, 1e-3, 0.1, 0.5])
def test_dense_and_transformers_decode_any_weights_alike(size: float) -> None:
    model = serialformer.compile(CASES["random, 2 inputs a gate"])
    transformer = noisy(writes_any_token(model.transformer), size, seed=3)
    prompts = model.prompts(every_input(6)[::8])
    num_tokens = model.num_new_tokens
    expected = greedy_by_forward_pass(transformer, prompts, num_tokens)
    for name in ("dense", "indexed", "sliced", "hf"):
        if name == "hf":
            pytest.importorskip("transformers")
        made = make_engine(name, transformer).generate(prompts, num_tokens)
        # All rows may have ended before num_tokens.
        padded = np.pad(made, ((0, 0), (0, num_tokens - made.shape[1])), constant_values=2)
        assert np.array_equal(padded, expected), name


def test_noise_is_large_enough_to_matter() -> None:
    model = serialformer.compile(CASES["random, 2 inputs a gate"])
    prompts = model.prompts(every_input(6))
    chains = [make_engine("dense", noisy(model.transformer, size, seed=3)).generate(prompts, 30) for size in (0.0, 0.5)]
    assert chains[0].shape != chains[1].shape or (chains[0] != chains[1]).any()


def test_a_prompt_longer_than_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    build = serialformer.CircuitBuilder()
    bits = build.inputs("a", 2 * QUERIES_PER_BLOCK + 3)
    build.output("y", build.xor(build.and_(bits[0], bits[-1]), bits[QUERIES_PER_BLOCK]))
    model = serialformer.compile(build.circuit())
    assert serialformer.verify(model, num_samples=20).verified


def test_streaming_yields_the_tokens_of_generate() -> None:
    model = serialformer.compile(CASES["parity of ten"])
    prompts = model.prompts(every_input(10)[37:39])
    engine = model.engine("dense")
    counted: list[int] = []
    made = engine.generate(prompts, 9, counted.append)
    assert np.array_equal(np.concatenate(list(engine.stream(prompts, 9)), axis=1), made)
    assert sum(counted) == 9
    first = next(engine.stream(prompts, 9))
    assert np.array_equal(first, made[:, : first.shape[1]])


@pytest.mark.parametrize("name", ["dense", "indexed", "sliced", "hf"])
def test_no_more_tokens_than_positions(name: str) -> None:
    if name == "hf":
        pytest.importorskip("transformers")
    model = serialformer.compile(CASES["parity of ten"])
    made = model.engine(name).generate(model.prompts(every_input(10)[:1]), 10_000)
    assert made.shape == (1, model.num_new_tokens + 1)
    assert made[0, -1] == 2
    assert model.engine(name).generate(model.prompts(every_input(10)[:0]), 5).shape == (0, 0)
    assert model.engine(name).generate(model.prompts(every_input(10)[:3]), 0).shape == (3, 0)


def test_progress_of_transformers() -> None:
    pytest.importorskip("transformers")
    counted: list[int] = []
    model = serialformer.compile(CASES["parity of ten"])
    model.run({"a": 5}, engine="hf", progress=counted.append)
    assert sum(counted) == model.num_new_tokens


def test_rows_at_once_fit_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = serialformer.compile(CASES["parity of ten"]).engine("dense")
    monkeypatch.setattr(engine_module, "CACHE_BYTES", 8 * engine.architecture.width * 20 * 3)
    assert engine.rows_at_once(20) == 3
    assert engine.rows_at_once(10**9) == 1


def test_unknown_engines_and_empty_prompts() -> None:
    model = serialformer.compile(CASES["parity of ten"])
    with pytest.raises(EngineError, match="no engine 'quantum'\nhint: one of auto, dense, indexed, sliced, hf"):
        model.engine("quantum")
    with pytest.raises(EngineError, match="empty prompt"):
        model.engine("dense").generate(np.empty((1, 0), dtype=np.int64), 3)
    assert set(ENGINE_NAMES) == {"auto", "dense", "indexed", "sliced", "hf"}


def test_a_model_that_ends_its_chain_early_is_an_error() -> None:
    model = serialformer.compile(CASES["parity of ten"])
    broken = replace(model, transformer=noisy(model.transformer, 0.5, seed=1))
    ended = ends_early(broken)
    with pytest.raises(EngineError, match=r"ended its chain at token \d of 9"):
        broken.run({"a": ended})


def ends_early(model: Model) -> int:
    """An input on which the model makes the end mark before its time."""
    for value in range(1024):
        chain = model.think(every_input(10)[value : value + 1], model.engine("dense"))[0]
        if 2 in chain:
            return value
    raise AssertionError("no input ends early: use another seed")
