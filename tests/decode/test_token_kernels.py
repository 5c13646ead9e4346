"""The indexed engine's loop on numbers for models of several layers: few keys, errors kept apart, tokens alike."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serialformer.decode.dense import DenseEngine
from serialformer.decode.indexed import IndexedEngine
from serialformer.decode.kernels import FEW_KEYS, compare_keys
from serialformer.decode.routing import alike_tokens
from serialformer.models.lower import lower_evaluator
from serialformer.transformer.transformer import Transformer, weights_to_transformer
from tests.decode.test_engines import noisy
from tests.decode.test_indexed import same_as_dense
from tests.effort import effort
from tests.value_problems import random_problem


@cache
def transformer(num_gates: int) -> Transformer:
    return lower_evaluator(num_gates).transformer


def numeric(transformer: Transformer) -> IndexedEngine:
    """The indexed engine without ``finite_program``, which would take these models."""
    engine = IndexedEngine(transformer)
    engine._finite = None
    return engine


def prompts(num_gates: int, length: int, count: int) -> np.ndarray:
    number = {text: index for index, text in enumerate(transformer(num_gates).architecture.vocabulary)}
    random = np.random.default_rng(length)
    problems = [[*random_problem(random, length), "="] for _ in range(count)]
    return np.array([[number[token] for token in problem] for problem in problems])


@pytest.mark.parametrize("size", [1e-7, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0])
def test_noise_on_every_weight_that_is_not_zero(size: float) -> None:
    # Noise on zeros as well would wake the heads that are not used, which attend to everything alike.
    random = np.random.default_rng(1)
    weights = {
        name: (weight * (1 + random.normal(0, size, weight.shape))).astype(weight.dtype)
        for name, weight in transformer(6).named_weights()
    }
    refusals = same_as_dense(
        weights_to_transformer(transformer(6).architecture, weights), prompts(6, 5, 2), 25, on_numbers=True
    )
    if size <= 1e-5:
        assert set(refusals) == {""}, "small noise leaves the proof standing"
    if size == 1.0:
        assert "" not in refusals


def test_noise_on_unused_heads_as_well() -> None:
    for size in (1e-6, 1e-3, 1.0):
        assert "" not in same_as_dense(noisy(transformer(6), size, seed=1), prompts(6, 5, 1), 25, on_numbers=True)


@effort(0.5)
@given(
    name=st.sampled_from([name for name, _ in transformer(5).named_weights()]),
    place=st.integers(0, 2**32),
    change=st.sampled_from([-600.0, -8.0, -2.0, -1.0, -0.1, 1e-3, 0.5, 1.0, 2.0, 600.0]),
)
def test_one_altered_weight(name: str, place: int, change: float) -> None:
    weights = {key: weight.copy() for key, weight in transformer(5).named_weights()}
    flat = weights[name].reshape(-1)
    used = np.flatnonzero(flat) if place % 3 and flat.any() else np.arange(flat.size)
    flat[used[place % len(used)]] += change
    same_as_dense(weights_to_transformer(transformer(5).architecture, weights), prompts(5, 4, 1), 21, on_numbers=True)


def test_two_end_marks_are_no_one_hot_head() -> None:
    made = transformer(20)
    end = made.architecture.end_token
    twice = np.concatenate([prompts(20, 6, 1)[:, :-1], [[end, end]]], axis=1)
    refusals = same_as_dense(made, twice, 20, on_numbers=True)
    assert "layer 0, head 0: no single key matches the query" in refusals[0]


def test_prompts_of_every_length_are_proven() -> None:
    engine = numeric(transformer(20))
    for length in range(1, 21):
        tokens = prompts(20, length, 1)
        made = engine.generate(tokens, 81)
        assert engine.refusal == ""
        assert np.array_equal(made, DenseEngine(transformer(20)).generate(tokens, 81))


@effort(2)
@given(st.integers(1, FEW_KEYS), st.integers(1, 5), st.integers(0, 2**32))
def test_few_keys_are_compared_as_by_hand(num_keys: int, length: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    codes = random.integers(-3, 4, (num_keys, length)).astype(np.int8)
    query, offset, step = random.normal(size=length), random.normal(), random.uniform(0.5, 2)
    order = random.permutation(num_keys).astype(np.int32)
    found, lead = compare_keys(query, length, offset, step, codes, order, num_keys)
    products = (offset + step * codes) @ query
    ordered = np.sort(products)[::-1]
    assert products[found] == pytest.approx(ordered[0])
    assert lead == np.inf if num_keys == 1 else lead == pytest.approx(ordered[0] - ordered[1], abs=1e-9)


def test_tokens_that_a_map_cannot_tell_apart() -> None:
    positions = np.array([[0, 0, 0, 1.0, -1.0]])
    tokens = np.array(
        [
            [1, -1, 2, 0, 0],
            [-1, 1, 2, 0, 0],  # like the first, but where it is read
            [1, -1, -2, 0, 0],  # another sum
            [2, 1, -1, 0, 0],  # like the first by sum, norm and largest, but where it is read
            [1, -1, 2, 0, 1],  # another where positions are
            [1, -1, 2, 0, 0],
        ],
        dtype=float,
    )
    assert alike_tokens(np.array([2], dtype=np.int32), tokens, positions).tolist() == [0, 2, 3, 4]
    assert alike_tokens(np.array([0], dtype=np.int32), tokens, positions).tolist() == [0, 1, 2, 3, 4]
    made = transformer(20)
    table, places = made.token_embedding.astype(np.float64), made.position_embedding
    # What reads positions alone sees all 28 tokens alike.
    read = np.flatnonzero((places != 0).any(axis=0)).astype(np.int32)
    assert len(table) == 28 and len(alike_tokens(read, table, places)) == 1
