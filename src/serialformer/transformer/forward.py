"""The reference forward pass in numpy: GPT-2 as it is defined, in float64 or float32, nothing clever.

Shapes: B rows, T tokens, S tokens attended to, D width, H heads, W head width, F hidden units, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from serialformer.architecture import Activation
from serialformer.arrays import Bool, Float, Integer
from serialformer.errors import SerialformerError
from serialformer.transformer.transformer import Layer, Transformer

QUERIES_PER_BLOCK = 256
"""How many tokens' attention scores are held at a time: a block of scores is QUERIES_PER_BLOCK by context."""


def compute_logits(
    transformer: Transformer, tokens: Integer[np.ndarray, "B T"], *, dtype: type[np.floating] = np.float64
) -> Float[np.ndarray, "B T V"]:
    """The logits at every position of whole sequences, in one pass without a cache.

    Memory: a few arrays of B by T by width; time grows with the square of T.

    Raises:
        SerialformerError: the transformer's arithmetic is not that of floats.
    """
    refuse_rounded_arithmetic(transformer)
    num_tokens = tokens.shape[1]
    epsilon = transformer.architecture.norm_epsilon
    x_BTD = embed(transformer, tokens, np.arange(num_tokens), dtype)
    for layer in transformer.layers:
        cast = cast_layer(layer, dtype)
        queries, keys, values = project_heads(x_BTD, cast, transformer.architecture.num_heads, epsilon)
        mixed = np.empty_like(queries)
        for block, shares in _blocks_of_shares(transformer, cast, queries, keys):
            mixed[:, :, block] = shares @ values[:, :, : block.stop]
        x_BTD = x_BTD + merge_heads(mixed) @ cast.attention_out_weight + cast.attention_out_bias
        x_BTD = apply_mlp(x_BTD, cast, transformer.architecture.activation, epsilon)
    return unembed(x_BTD, transformer)


def compute_attention(
    transformer: Transformer, tokens: Integer[np.ndarray, "B T"], *, dtype: type[np.floating] = np.float64
) -> list[Float[np.ndarray, "B H T T"]]:
    """For each layer, what share of its attention each head gives, at each position, to each position.

    Memory: those arrays themselves, B by H by T by T of every layer.

    Raises:
        SerialformerError: the transformer's arithmetic is not that of floats.
    """
    refuse_rounded_arithmetic(transformer)
    num_tokens, epsilon = tokens.shape[1], transformer.architecture.norm_epsilon
    x_BTD = embed(transformer, tokens, np.arange(num_tokens), dtype)
    layers = []
    for layer in transformer.layers:
        cast = cast_layer(layer, dtype)
        queries, keys, values = project_heads(x_BTD, cast, transformer.architecture.num_heads, epsilon)
        whole = np.zeros((*queries.shape[:3], num_tokens), dtype=queries.dtype)
        for block, shares in _blocks_of_shares(transformer, cast, queries, keys):
            whole[:, :, block, : block.stop] = shares
        layers.append(whole)
        x_BTD = x_BTD + merge_heads(whole @ values) @ cast.attention_out_weight + cast.attention_out_bias
        x_BTD = apply_mlp(x_BTD, cast, transformer.architecture.activation, epsilon)
    return layers


def _blocks_of_shares(
    transformer: Transformer, layer: Layer, queries: Float[np.ndarray, "B H T W"], keys: Float[np.ndarray, "B H T W"]
) -> Iterator[tuple[slice, Float[np.ndarray, "B H block S"]]]:
    """The attention of whole sequences, some queries at a time; keys behind all of them are left out."""
    num_tokens = queries.shape[2]
    for start in range(0, num_tokens, QUERIES_PER_BLOCK):
        block = slice(start, min(start + QUERIES_PER_BLOCK, num_tokens))
        positions = np.arange(block.start, block.stop)
        yield (
            block,
            attention_shares(
                queries[:, :, block],
                keys[:, :, : block.stop],
                np.arange(block.stop) <= positions[:, None],
                scaled=transformer.architecture.scaled_scores,
                bias=score_bias(layer, positions, block.stop),
            ),
        )


def refuse_rounded_arithmetic(transformer: Transformer) -> None:
    """Raises SerialformerError if floats are not what the transformer is defined in."""
    if transformer.architecture.arithmetic is not None:
        raise SerialformerError(
            "the model's arithmetic rounds after every operation, which floats do not", hint="--engine auto"
        )


def embed(
    transformer: Transformer,
    tokens: Integer[np.ndarray, "B T"],
    positions: Integer[np.ndarray, " T"],
    dtype: type[np.floating],
) -> Float[np.ndarray, "B T D"]:
    """Token embedding plus position embedding."""
    token_part = transformer.token_embedding[tokens].astype(dtype)
    return token_part + transformer.position_embedding[positions].astype(dtype)


def cast_layer(layer: Layer, dtype: type[np.floating]) -> Layer:
    """The layer's weights in the number format of the computation."""
    return Layer(**{name: weight.astype(dtype) for name, weight in layer.named_weights()})


def project_heads(
    x: Float[np.ndarray, "B T D"], layer: Layer, num_heads: int, epsilon: float
) -> tuple[Float[np.ndarray, "B H T W"], Float[np.ndarray, "B H T W"], Float[np.ndarray, "B H T W"]]:
    """Queries, keys and values of every head, of the layer-normed residual stream."""
    normed = layer_norm(x, layer.attention_norm_gain, layer.attention_norm_bias, epsilon)
    projected = normed @ layer.attention_in_weight + layer.attention_in_bias
    rows, num_tokens, width = x.shape
    split = projected.reshape(rows, num_tokens, 3, num_heads, width // num_heads).transpose(2, 0, 3, 1, 4)
    return split[0], split[1], split[2]


def attend(
    queries: Float[np.ndarray, "B H T W"],
    keys: Float[np.ndarray, "B H S W"],
    values: Float[np.ndarray, "B H S W"],
    visible: Bool[np.ndarray, "T S"] | None = None,
    *,
    scaled: bool = True,
    bias: Float[np.ndarray, "H T S"] | None = None,
) -> Float[np.ndarray, "B H T W"]:
    """Dot-product attention; ``visible``: which keys a query may see (all, if None); ``bias``: added to scores."""
    return attention_shares(queries, keys, visible, scaled=scaled, bias=bias) @ values


def attention_shares(
    queries: Float[np.ndarray, "B H T W"],
    keys: Float[np.ndarray, "B H S W"],
    visible: Bool[np.ndarray, "T S"] | None = None,
    *,
    scaled: bool = True,
    bias: Float[np.ndarray, "H T S"] | None = None,
) -> Float[np.ndarray, "B H T S"]:
    """What share of its attention each query gives each key; see ``attend``."""
    scores_BHTS = queries @ keys.swapaxes(-1, -2)
    if scaled:
        scores_BHTS = scores_BHTS / queries.dtype.type(np.sqrt(queries.shape[-1]))
    if bias is not None:
        scores_BHTS = scores_BHTS + bias
    if visible is not None:
        scores_BHTS = np.where(visible, scores_BHTS, queries.dtype.type(-np.inf))
    exponentials = np.exp(scores_BHTS - scores_BHTS.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def score_bias(layer: Layer, positions: Integer[np.ndarray, " T"], num_keys: int) -> Float[np.ndarray, "H T S"] | None:
    """What a layer adds to the scores of queries at these positions, for keys from position 0; None without it.

    Keys behind a query get what those at the query itself do; they are not seen anyway.
    """
    if layer.attention_relative_bias is None:
        return None
    return layer.attention_relative_bias[:, np.maximum(positions[:, None] - np.arange(num_keys), 0)]


def merge_heads(x: Float[np.ndarray, "B H T W"]) -> Float[np.ndarray, "B T D"]:
    """The heads' results side by side."""
    rows, heads, num_tokens, head_width = x.shape
    return x.swapaxes(1, 2).reshape(rows, num_tokens, heads * head_width)


def layer_norm(
    x: Float[np.ndarray, "*rows D"], gain: Float[np.ndarray, " norm"], bias: Float[np.ndarray, " norm"], epsilon: float
) -> Float[np.ndarray, "*rows D"]:
    """Mean 0 and variance 1 along the last axis (biased variance, epsilon inside the root), then gain and bias.

    Without gains, which is how an architecture without layer norm is stored, nothing is done.
    """
    if gain.size == 0:
        return x
    # The means as numpy takes them, without what it does around that, which takes longer than a few rows.
    width = x.dtype.type(x.shape[-1])
    centred = x - np.add.reduce(x, axis=-1, keepdims=True) / width
    variance = np.add.reduce(centred * centred, axis=-1, keepdims=True) / width
    return centred / np.sqrt(variance + x.dtype.type(epsilon)) * gain + bias


def activate(x: Float[np.ndarray, "*rows F"], activation: Activation) -> Float[np.ndarray, "*rows F"]:
    """The feed-forward non-linearity; gelu_new is GPT-2's own, by the hyperbolic tangent.

    >>> activate(np.array([-8.0, 0.0, 8.0]), "gelu_new")
    array([-0.,  0.,  8.])
    """
    if activation == "relu":
        return np.maximum(x, 0)
    number = x.dtype.type
    with np.errstate(over="ignore"):  # the cube of a large number is infinite, and its tangent 1 or -1 all the same
        inner = number(np.sqrt(2 / np.pi)) * (x + number(0.044715) * x * x * x)
    return number(0.5) * x * (1 + np.tanh(inner))


def apply_mlp(
    x: Float[np.ndarray, "*rows D"], layer: Layer, activation: Activation, epsilon: float
) -> Float[np.ndarray, "*rows D"]:
    """The residual stream after a feed-forward layer."""
    normed = layer_norm(x, layer.mlp_norm_gain, layer.mlp_norm_bias, epsilon)
    hidden = activate(normed @ layer.mlp_in_weight + layer.mlp_in_bias, activation)
    return x + hidden @ layer.mlp_out_weight + layer.mlp_out_bias


def unembed(x: Float[np.ndarray, "*rows D"], transformer: Transformer) -> Float[np.ndarray, "*rows V"]:
    """The logits, from the residual stream after the last layer."""
    gain, bias = transformer.final_norm_gain.astype(x.dtype), transformer.final_norm_bias.astype(x.dtype)
    normed = layer_norm(x, gain, bias, transformer.architecture.norm_epsilon)
    return normed @ transformer.token_embedding.astype(x.dtype).T
