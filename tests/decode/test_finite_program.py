"""Models whose streams take few values: the dense engine's tokens, float32 within the bounds, and what is refused."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serialformer.architecture import Activation, DtypeName
from serialformer.decode.dense import DenseEngine
from serialformer.decode.finite_program import touched_dimensions
from serialformer.decode.finite_stream import FiniteStream
from serialformer.decode.flat import flatten_layers, unembedding_map
from serialformer.decode.indexed import IndexedEngine
from serialformer.decode.quantities import Quantities
from serialformer.models.construct import construct
from serialformer.models.lower import lower_evaluator
from serialformer.transformer.forward import (
    add_attention,
    apply_mlp,
    attention_shares,
    cast_layer,
    embed,
    mix_values,
    project_heads,
    visible_keys,
)
from serialformer.transformer.transformer import Transformer, weights_to_transformer
from tests.decode.test_token_kernels import numeric, prompts
from tests.effort import effort


@cache
def transformer(num_gates: int, dtype: DtypeName = "float32", activation: Activation = "gelu_new") -> Transformer:
    return lower_evaluator(num_gates, dtype=dtype, activation=activation).transformer


@pytest.mark.parametrize(
    ("dtype", "activation"),
    [("float32", "gelu_new"), ("float32", "relu"), ("bfloat16", "gelu_new"), ("float16", "relu")],
)
def test_evaluators_are_decoded_on_whole_numbers(dtype: DtypeName, activation: Activation) -> None:
    made = transformer(20, dtype, activation)
    engine, dense = IndexedEngine(made), DenseEngine(made)
    assert engine._finite is not None
    for length in (1, 2, 7, 20):
        tokens = prompts(20, length, 1)
        made_tokens = engine.generate(tokens, 81)
        assert engine.refusal == "" and engine._shapes is None, "the loop on numbers was not needed"
        assert np.array_equal(made_tokens, dense.generate(tokens, 81))


@pytest.mark.parametrize("num_gates", [1, 3, 150])
def test_other_sizes_and_the_loop_on_numbers(num_gates: int) -> None:
    made = transformer(num_gates)
    engine = IndexedEngine(made)
    vocabulary = np.array(transformer(num_gates).architecture.vocabulary)
    number = {text: index for index, text in enumerate(vocabulary.tolist())}
    problem = [["TRUE", "NA", "NA", "1"], *(["NOT", str(gate), "NA", str(gate + 1)] for gate in range(1, num_gates))]
    tokens = np.array([[number[token] for gate in problem for token in gate] + [number["="]]])
    chain = engine.generate(tokens, 4 * num_gates)
    assert engine.refusal == "" and engine._shapes is None
    assert np.array_equal(chain, numeric(made).generate(tokens, 4 * num_gates))
    assert (vocabulary[chain[0, 3::4]] == np.array(["TRUE", "FALSE"] * num_gates)[:num_gates]).all()


@effort(0.5)
@given(st.integers(0, 2**32))
def test_prompts_that_are_no_circuits(seed: int) -> None:
    made, random = transformer(6), np.random.default_rng(seed)
    engine = IndexedEngine(made)
    tokens = random.integers(0, len(made.architecture.vocabulary), (1, random.integers(1, 30)))
    if seed % 2:
        tokens[0, -1] = made.architecture.end_token
    made_tokens = engine.generate(tokens, 49)
    assert np.array_equal(made_tokens, DenseEngine(made).generate(tokens, 49)), engine.refusal


@effort(0.5)
@given(
    name=st.sampled_from([name for name, _ in transformer(5).named_weights()]),
    place=st.integers(0, 2**32),
    change=st.sampled_from([-8.0, -2.0, -1.0, -0.5, 1e-3, 0.5, 1.0, 2.0]),
)
def test_one_altered_weight(name: str, place: int, change: float) -> None:
    weights = {key: weight.copy() for key, weight in transformer(5).named_weights()}
    flat = weights[name].reshape(-1)
    used = np.flatnonzero(flat) if place % 3 and flat.any() else np.arange(flat.size)
    flat[used[place % len(used)]] += change
    altered, tokens = weights_to_transformer(transformer(5).architecture, weights), prompts(5, 4, 1)
    engine, expected = IndexedEngine(altered), DenseEngine(altered).generate(tokens, 21)
    assert np.array_equal(engine.generate(tokens, 21), expected), engine.refusal


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_float32_stays_within_the_bounds(dtype: DtypeName) -> None:
    made = transformer(6, dtype)
    layers, architecture = flatten_layers(made), made.architecture
    touched = touched_dimensions(layers, unembedding_map(made), architecture.width)
    stream = FiniteStream(made, Quantities(len(architecture.vocabulary)), touched)
    tokens = np.concatenate([prompts(6, 6, 4), DenseEngine(made).generate(prompts(6, 6, 4), 24)], axis=1)
    positions = np.arange(tokens.shape[1])
    x = embed(made, tokens, positions, np.float32)
    within(stream, x)
    for index, layer in enumerate(made.layers):
        cast = cast_layer(layer, np.float32)
        queries, keys, values = project_heads(x, cast, architecture, positions)
        shares = attention_shares(queries, keys, visible_keys(architecture, positions, len(positions)))
        x = add_attention(x, mix_values(shares, values), cast)
        stream.attend(index, layers[index])
        if index < 2:
            within(stream, x)
        else:
            within(stream, x[:, 24:])  # in the last layer nothing is shown of the prompt
        x = apply_mlp(x, cast, architecture)
        stream.feed_forward(layers[index], architecture.activation)
    within(stream, x[:, 24:])


def within(stream: FiniteStream, x: np.ndarray) -> None:
    """Checks that every coordinate is near one of its levels, and that bounds are bounds, not guesses far above."""
    for place, levels in enumerate(stream.levels):
        distance = np.abs(x[:, :, place, None].astype(np.float64) - levels).min(axis=2).max()
        assert distance <= stream.errors[place], place
    assert stream.errors.max() < 0.2


def test_what_takes_many_values_is_left_to_the_loop_on_numbers() -> None:
    made = transformer(20)
    random = np.random.default_rng(1)
    noisy = {
        name: (weight * (1 + random.normal(0, 1e-6, weight.shape))).astype(weight.dtype)
        for name, weight in made.named_weights()
    }
    engine = IndexedEngine(weights_to_transformer(made.architecture, noisy))
    assert engine._finite is None, "161 positions hold as many numbers in a column"
    tokens = prompts(20, 5, 1)
    assert np.array_equal(engine.generate(tokens, 25), DenseEngine(made).generate(tokens, 25))
    assert engine.refusal == "" and engine._shapes is not None
    assert IndexedEngine(construct("iterated-squaring", 2).transformer)._finite is None
