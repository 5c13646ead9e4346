"""What the tests of bounds share: random rounded transformers, and what they answer, from outside."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from jaxtyping import Int64, UInt8

from serialformer.architecture import Architecture, Arithmetic
from serialformer.bounds.extract import PromptTokens
from serialformer.bounds.unbounded import UnboundedCircuit, evaluate_unbounded
from serialformer.decode.rounded import RoundedEngine
from serialformer.errors import EngineError
from serialformer.transformer.precision import arithmetic_to_format
from serialformer.transformer.transformer import Transformer, weight_shapes, weights_to_transformer
from tests.transformer.slow_numbers import SlowFormat, fixed_values, floating_values

UNDEFINED = -1


def rounded_transformer(
    arithmetic: Arithmetic,
    seed: int,
    *,
    num_layers: int = 1,
    width: int = 6,
    hidden_width: int = 5,
    num_positions: int = 16,
    zeros: float = 0.4,
) -> Transformer:
    """Random weights up to 1; different tokens, and few queries and keys, so that most denominators are not 0."""
    architecture = Architecture(
        vocabulary=("0", "1", "="),
        num_positions=num_positions,
        width=width,
        num_layers=num_layers,
        num_heads=2,
        hidden_width=hidden_width,
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
    numbers = numbers[np.abs(numbers) <= 1]
    weights = {
        name: np.where(random.random(shape) < zeros, 0, random.choice(numbers, shape)).astype(np.float32)
        for name, shape in weight_shapes(architecture).items()
    }
    weights["token_embedding"] = random.choice(numbers[numbers != 0], (3, width)).astype(np.float32)
    for layer in range(num_layers):
        into = weights[f"layers.{layer}.attention_in_weight"]
        into[:, : 2 * width] *= random.random((width, 2 * width)) < 0.4
    return weights_to_transformer(architecture, weights)


def bit_prompt(num_bits: int) -> PromptTokens:
    """So many bits, then ``=``."""
    return PromptTokens(choices=((0, 1),) * num_bits + ((2,),))


def words_of(circuit: UnboundedCircuit, bits: UInt8[np.ndarray, "rows bits"]) -> dict[str, Int64[np.ndarray, " rows"]]:
    """The values of the output words for rows of inputs; of ``undefined``, 0 where it is no output."""
    outputs = evaluate_unbounded(circuit, bits).astype(np.int64)
    assert circuit.output_words is not None
    values = {
        word.name: sum((outputs[:, place] << index for index, place in enumerate(word.bits)), np.zeros(len(bits), int))
        for word in circuit.output_words
    }
    return {"undefined": np.zeros(len(bits), dtype=np.int64), **values}


def decoded_tokens(
    transformer: Transformer, prompts: Int64[np.ndarray, "rows prompt"], num_tokens: int
) -> Int64[np.ndarray, "rows tokens"]:
    """What the rounded engine makes, row by row; a row that divides by zero anywhere is UNDEFINED."""
    engine = RoundedEngine(transformer)
    made = np.full((len(prompts), num_tokens), UNDEFINED, dtype=np.int64)
    try:
        return _padded(engine.generate(prompts, num_tokens), num_tokens, transformer.architecture.end_token)
    except EngineError:
        for row, prompt in enumerate(prompts):
            try:
                tokens = engine.generate(prompt[None], num_tokens)
            except EngineError:
                continue
            made[row] = _padded(tokens, num_tokens, transformer.architecture.end_token)[0]
    return made


def _padded(made: Int64[np.ndarray, "rows made"], num_tokens: int, end: int) -> Int64[np.ndarray, "rows tokens"]:
    return np.pad(made, ((0, 0), (0, num_tokens - made.shape[1])), constant_values=end)


def slow_format(arithmetic: Arithmetic) -> SlowFormat:
    """The same format in rational numbers."""
    if arithmetic.exponent_bits:
        return SlowFormat(floating_values(arithmetic.precision, arithmetic.exponent_bits))
    return SlowFormat(fixed_values(arithmetic.precision))


def exact(array: np.ndarray) -> list:
    """An array as nested lists of rational numbers."""
    if array.ndim > 1:
        return [exact(row) for row in array]
    return [Fraction(float(number)) for number in array]
