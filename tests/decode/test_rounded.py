"""The rounded engine against a transformer in rational numbers that shares nothing with it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

import serialformer
from serialformer import SerialformerError
from serialformer.architecture import Architecture, Arithmetic
from serialformer.decode.dense import DenseEngine
from serialformer.decode.engine import make_engine
from serialformer.decode.rounded import RoundedEngine
from serialformer.errors import EngineError
from serialformer.transformer.forward import compute_logits
from serialformer.transformer.precision import arithmetic_to_format
from serialformer.transformer.transformer import Transformer, weight_shapes, weights_to_transformer
from tests.cases import every_input, small_circuits
from tests.transformer.slow_numbers import SlowFormat, fixed_values, floating_values

CASE = small_circuits()["random, 2 inputs a gate"]
ARITHMETICS = [Arithmetic(precision=1), Arithmetic(precision=2), Arithmetic(precision=2, exponent_bits=1)]


def random_transformer(arithmetic: Arithmetic, seed: int, *, sparse: float = 0.4) -> Transformer:
    """Two layers of two heads with random weights of the format, many of them zero."""
    architecture = Architecture(
        vocabulary=("0", "1", "="),
        num_positions=6,
        width=4,
        num_layers=2,
        num_heads=2,
        hidden_width=3,
        activation="relu",
        norm_epsilon=0.0,
        end_token=2,
        dtype="float32",
        norm="none",
        scaled_scores=False,
        arithmetic=arithmetic,
    )
    random = np.random.default_rng(seed)
    numbers = arithmetic_to_format(arithmetic).numbers()
    numbers = numbers[np.abs(numbers) <= 1.5]
    weights = {
        name: np.where(random.random(shape) < sparse, 0, random.choice(numbers, shape)).astype(np.float32)
        for name, shape in weight_shapes(architecture).items()
    }
    return weights_to_transformer(architecture, weights)


def slow_logits(transformer: Transformer, tokens: list[int]) -> list[list[Fraction]] | tuple[int, int, int]:
    """The logits at every position, or the position, layer and head of the first division by zero."""
    architecture = transformer.architecture
    assert architecture.arithmetic is not None
    precision, exponent_bits = architecture.arithmetic.precision, architecture.arithmetic.exponent_bits
    slow = SlowFormat(floating_values(precision, exponent_bits) if exponent_bits else fixed_values(precision))
    weights = {name: exact(weight) for name, weight in transformer.named_weights()}
    heads, size = architecture.num_heads, architecture.head_width
    streams, logits = [], []
    contexts: list[list[list[list[Fraction]]]] = [[] for _ in range(architecture.num_layers)]

    def affine(x: list[Fraction], name: str) -> list[Fraction]:
        columns = zip(*weights[f"{name}_weight"], strict=True)
        return [
            slow.round(slow.inner(x, column) + bias)
            for column, bias in zip(columns, weights[f"{name}_bias"], strict=True)
        ]

    def plus(x: list[Fraction], y: list[Fraction]) -> list[Fraction]:
        return [slow.round(a + b) for a, b in zip(x, y, strict=True)]

    for position, token in enumerate(tokens):
        x = plus(weights["token_embedding"][token], weights["position_embedding"][position])
        for layer in range(architecture.num_layers):
            projected = affine(x, f"layers.{layer}.attention_in")
            split = [projected[start : start + size] for start in range(0, len(projected), size)]
            contexts[layer].append(split)
            mixed = []
            for head in range(heads):
                scores = [slow.inner(split[head], past[heads + head]) for past in contexts[layer]]
                attention = slow.softmax(scores)
                if attention is None:
                    return position, layer, head
                values = zip(*(past[2 * heads + head] for past in contexts[layer]), strict=True)
                mixed += [slow.inner(attention, column) for column in values]
            x = plus(x, affine(mixed, f"layers.{layer}.attention_out"))
            hidden = [max(unit, Fraction(0)) for unit in affine(x, f"layers.{layer}.mlp_in")]
            x = plus(x, affine(hidden, f"layers.{layer}.mlp_out"))
        streams.append(x)
        logits.append([slow.inner(x, row) for row in weights["token_embedding"]])
    return logits


def exact(array: np.ndarray) -> list:
    if array.ndim > 1:
        return [exact(row) for row in array]
    return [Fraction(float(number)) for number in array]


@pytest.mark.parametrize("arithmetic", ARITHMETICS, ids=str)
def test_random_transformers_against_rational_numbers(arithmetic: Arithmetic) -> None:
    random = np.random.default_rng(5)
    divisions = logits_seen = 0
    for seed in range(8 if arithmetic.exponent_bits == 0 else 4):
        transformer = random_transformer(arithmetic, seed)
        tokens = random.integers(0, 3, (3, 6))
        expected = [slow_logits(transformer, row) for row in tokens.tolist()]
        engine = RoundedEngine(transformer)
        failures = [outcome for outcome in expected if isinstance(outcome, tuple)]
        if failures:
            position, layer, head = min(failures)
            with pytest.raises(EngineError, match=f"at position {position}, layer {layer}, head {head}"):
                engine.logits(tokens)
            divisions += 1
        else:
            found = engine.logits(tokens)
            assert found.tolist() == [[[float(x) for x in row] for row in outcome] for outcome in expected]
            logits_seen += len(np.unique(found))
            chain = engine.generate(tokens[:, :3], 4)
            alone = [engine.generate(row[None, :3], 4)[0].tolist() for row in tokens]
            padded = [(row + [2] * 4)[: chain.shape[1]] for row in alone]
            assert chain.tolist() == padded
    # Both happen, and the logits are not all alike.
    assert divisions > 0 and logits_seen > 5, (divisions, logits_seen)


def test_rows_that_share_their_scores_and_rows_that_do_not() -> None:
    """A batch gives what each of its rows gives alone, where keys depend on the tokens as well."""
    compared = 0
    for seed in range(25):
        engine = RoundedEngine(random_transformer(Arithmetic(precision=3), seed, sparse=0.6))
        prompts = np.array([[0, 1], [1, 0], [1, 1], [2, 0]])
        try:
            together = engine.logits(prompts)
        except EngineError:
            continue
        alone = np.concatenate([engine.logits(row[None]) for row in prompts])
        assert np.array_equal(together, alone)
        compared += len(np.unique(together)) > 1
    assert compared > 5


def test_a_division_by_zero_says_where() -> None:
    model = serialformer.compile(CASE, target="paper")
    weights = dict(model.transformer.named_weights())
    embedding = weights["position_embedding"].copy()
    # Position 8 looks up an id that no position bears.
    residual_read = 4 + 2 + 4 + 6
    embedding[8, residual_read : residual_read + 6] = 1
    broken = weights_to_transformer(model.transformer.architecture, {**weights, "position_embedding": embedding})
    with pytest.raises(EngineError) as error:
        RoundedEngine(broken).generate(model.prompts(every_input(6)[:1]), 30)
    assert str(error.value) == (
        "division by zero in the softmax at position 8, layer 0, head 0\n"
        "hint: the exponential of every score rounds to 0 in F_1"
    )


def test_streaming_and_the_end_of_the_positions() -> None:
    model = serialformer.compile(CASE, target="paper")
    engine = model.engine()
    assert isinstance(engine, RoundedEngine) and engine.name == "dense"
    assert engine.number_format.name == "F_1"
    prompts = model.prompts(every_input(6))
    chains = engine.generate(prompts, 10_000)
    assert chains.shape[1] == model.num_new_tokens + 1
    assert (chains[:, -1] == 2).all()
    assert np.array_equal(np.concatenate(list(engine.stream(prompts[:2], 5)), axis=1), chains[:2, :5])
    assert engine.generate(prompts[:0], 5).shape == (0, 0)
    assert engine.rows_at_once(10_000) == (1 << 28) // (16 * engine.architecture.width * 10_000)
    assert engine.rows_at_once(1 << 40) == 1


def test_which_engine_takes_which_model() -> None:
    paper = serialformer.compile(CASE, target="paper").transformer
    for name in ("indexed", "sliced", "hf"):
        with pytest.raises(EngineError) as error:
            make_engine(name, paper)
        assert str(error.value) == (
            f"engine {name} runs stock models only; this model has no layer norm, does not scale its scores,"
            " rounds every operation\nhint: --engine dense runs it"
        )
    gpt2 = serialformer.compile(CASE).transformer
    with pytest.raises(EngineError, match="arithmetic is that of floats"):
        RoundedEngine(gpt2)
    for refusing in (DenseEngine, lambda model: compute_logits(model, np.zeros((1, 1), np.int64))):
        with pytest.raises(SerialformerError, match="rounds after every operation, which floats do not"):
            refusing(paper)


def test_weights_outside_the_format_are_refused() -> None:
    paper = serialformer.compile(CASE, target="paper", precision=2).transformer
    coarser = replace(paper.architecture, arithmetic=Arithmetic(precision=1))
    with pytest.raises(EngineError, match="weights that F_1 does not hold: layers.0.attention_in_weight\nhint: round"):
        RoundedEngine(weights_to_transformer(coarser, dict(paper.named_weights())))


def test_no_layer_norm_in_plain_floats() -> None:
    """Norm and arithmetic are independent: without rounding, large weights make the same look-ups one-hot."""
    model = serialformer.compile(CASE, target="paper", precision=6)
    plain = replace(model.transformer.architecture, arithmetic=None)
    weights = dict(model.transformer.named_weights())
    into = weights["layers.0.attention_in_weight"].copy()
    into[:, : plain.width] *= 2.0
    transformer = weights_to_transformer(plain, {**weights, "layers.0.attention_in_weight": into})
    engine = make_engine("auto", transformer)
    assert engine.name == "dense"
    prompts = model.prompts(every_input(6))
    assert np.array_equal(
        engine.generate(prompts, model.num_new_tokens), model.think(model_bits(prompts), model.engine())
    )
    sequences = np.concatenate([prompts, engine.generate(prompts, 1000)], axis=1)[:, : plain.num_positions]
    assert np.array_equal(
        compute_logits(transformer, sequences).argmax(axis=-1)[:, prompts.shape[1] - 1 : -1],
        sequences[:, prompts.shape[1] :],
    )
    with pytest.raises(
        EngineError, match="engine indexed runs stock models only; this model has no layer norm, does not"
    ):
        make_engine("indexed", transformer)


def model_bits(prompts: np.ndarray) -> np.ndarray:
    return prompts[:, :-1].astype(np.uint8)
