"""The reference forward pass in numpy: GPT-2 and Llama as they are defined, in float64 or float32, nothing clever.

Shapes: B rows, T tokens, S tokens attended to, D width, H heads, G heads with keys of their own, W head width, F hidden
units, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from serialformer.architecture import Activation, Architecture
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
    architecture, positions = transformer.architecture, np.arange(tokens.shape[1])
    x_BTD = embed(transformer, tokens, positions, dtype)
    for layer in transformer.layers:
        cast = cast_layer(layer, dtype)
        queries, keys, values = project_heads(x_BTD, cast, architecture, positions)
        mixed = np.empty_like(queries)
        for block, shares in _blocks_of_shares(transformer, cast, queries, keys):
            mixed[:, :, block] = mix_values(shares, values[:, :, : block.stop])
        x_BTD = apply_mlp(add_attention(x_BTD, mixed, cast), cast, architecture)
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
    architecture, positions = transformer.architecture, np.arange(tokens.shape[1])
    x_BTD = embed(transformer, tokens, positions, dtype)
    layers = []
    for layer in transformer.layers:
        cast = cast_layer(layer, dtype)
        queries, keys, values = project_heads(x_BTD, cast, architecture, positions)
        whole = np.zeros((*queries.shape[:3], len(positions)), dtype=queries.dtype)
        for block, shares in _blocks_of_shares(transformer, cast, queries, keys):
            whole[:, :, block, : block.stop] = shares
        layers.append(whole)
        x_BTD = apply_mlp(add_attention(x_BTD, mix_values(whole, values), cast), cast, architecture)
    return layers


def _blocks_of_shares(
    transformer: Transformer, layer: Layer, queries: Float[np.ndarray, "B H T W"], keys: Float[np.ndarray, "B G T W"]
) -> Iterator[tuple[slice, Float[np.ndarray, "B H block S"]]]:
    """The attention of whole sequences, some queries at a time; keys after all of them are left out."""
    num_tokens = queries.shape[2]
    for start in range(0, num_tokens, QUERIES_PER_BLOCK):
        block = slice(start, min(start + QUERIES_PER_BLOCK, num_tokens))
        positions = np.arange(block.start, block.stop)
        yield (
            block,
            attention_shares(
                queries[:, :, block],
                keys[:, :, : block.stop],
                visible_keys(transformer.architecture, positions, block.stop),
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


def visible_keys(
    architecture: Architecture, positions: Integer[np.ndarray, " T"], num_keys: int
) -> Bool[np.ndarray, "T S"]:
    """Which of the keys from position 0 on the queries at these positions may see."""
    distance = positions[:, None] - np.arange(num_keys)
    visible = distance >= 0
    return visible if architecture.window is None else visible & (distance < architecture.window)


def embed(
    transformer: Transformer,
    tokens: Integer[np.ndarray, "B T"],
    positions: Integer[np.ndarray, " T"],
    dtype: type[np.floating],
) -> Float[np.ndarray, "B T D"]:
    """Token embedding plus position embedding, where there is one."""
    token_part = transformer.token_embedding[tokens].astype(dtype)
    if transformer.architecture.positions == "rotary":
        return token_part
    return token_part + transformer.position_embedding[positions].astype(dtype)


def cast_layer(layer: Layer, dtype: type[np.floating]) -> Layer:
    """The layer's weights in the number format of the computation."""
    return Layer(**{name: weight.astype(dtype) for name, weight in layer.named_weights()})


def project_heads(
    x: Float[np.ndarray, "B T D"], layer: Layer, architecture: Architecture, positions: Integer[np.ndarray, " T"]
) -> tuple[Float[np.ndarray, "B H T W"], Float[np.ndarray, "B G T W"], Float[np.ndarray, "B G T W"]]:
    """Queries, keys and values of every head, of the normed residual stream at these positions."""
    normed = apply_norm(x, layer.attention_norm_gain, layer.attention_norm_bias, architecture)
    projected = add_bias(normed @ layer.attention_in_weight, layer.attention_in_bias)
    rows, num_tokens, _ = x.shape
    split = projected.reshape(rows, num_tokens, -1, architecture.head_width).swapaxes(1, 2)
    heads, key_heads = architecture.num_heads, architecture.num_key_heads
    queries, keys, values = split[:, :heads], split[:, heads : heads + key_heads], split[:, heads + key_heads :]
    if architecture.positions == "rotary":
        angles = rotary_angles(architecture, positions).astype(x.dtype)
        queries, keys = rotate(queries, angles), rotate(keys, angles)
    return queries, keys, values


def rotary_angles(architecture: Architecture, positions: Integer[np.ndarray, " T"]) -> Float[np.ndarray, "T pairs"]:
    """By how much each pair of dimensions of a head is rotated at each position.

    >>> from serialformer.architecture import Architecture
    >>> shape = {"width": 8, "num_layers": 1, "num_heads": 2, "hidden_width": 8, "num_positions": 4}
    >>> rotary = Architecture(vocabulary=("0",), activation="silu", norm_epsilon=1e-5, end_token=0, dtype="float32",
    ...                       positions="rotary", rotary_base=100.0, norm="rms_norm", **shape)
    >>> rotary_angles(rotary, np.arange(3)).round(3).tolist()
    [[0.0, 0.0], [1.0, 0.1], [2.0, 0.2]]
    """
    pair = np.arange(architecture.head_width // 2)
    return positions[:, None] * architecture.rotary_base ** (-2.0 * pair / architecture.head_width)


def rotate(
    x: Float[np.ndarray, "B heads T W"], angles: Float[np.ndarray, "T pairs"]
) -> Float[np.ndarray, "B heads T W"]:
    """Turns dimension i and dimension i + W/2 of each head by the angles of the tokens' positions."""
    cosine, sine = np.cos(angles), np.sin(angles)
    first, second = np.split(x, 2, axis=-1)
    return np.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=-1)


def attend(
    queries: Float[np.ndarray, "B H T W"],
    keys: Float[np.ndarray, "B G S W"],
    values: Float[np.ndarray, "B G S W"],
    visible: Bool[np.ndarray, "T S"] | None = None,
    *,
    scaled: bool = True,
    bias: Float[np.ndarray, "H T S"] | None = None,
) -> Float[np.ndarray, "B H T W"]:
    """Dot-product attention; ``visible``: which keys a query may see (all, if None); ``bias``: added to scores."""
    return mix_values(attention_shares(queries, keys, visible, scaled=scaled, bias=bias), values)


def attention_shares(
    queries: Float[np.ndarray, "B H T W"],
    keys: Float[np.ndarray, "B G S W"],
    visible: Bool[np.ndarray, "T S"] | None = None,
    *,
    scaled: bool = True,
    bias: Float[np.ndarray, "H T S"] | None = None,
) -> Float[np.ndarray, "B H T S"]:
    """What share of its attention each query gives each key; see ``attend``."""
    grouped = _by_group(queries, keys.shape[1]) @ keys.swapaxes(-1, -2)
    scores_BHTS = grouped.reshape(*queries.shape[:3], keys.shape[2])
    if scaled:
        scores_BHTS = scores_BHTS / queries.dtype.type(np.sqrt(queries.shape[-1]))
    if bias is not None:
        scores_BHTS = scores_BHTS + bias
    if visible is not None:
        scores_BHTS = np.where(visible, scores_BHTS, queries.dtype.type(-np.inf))
    exponentials = np.exp(scores_BHTS - scores_BHTS.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def mix_values(
    shares: Float[np.ndarray, "B H T S"], values: Float[np.ndarray, "B G S W"]
) -> Float[np.ndarray, "B H T W"]:
    """The values of each head, mixed by its shares."""
    mixed = _by_group(shares, values.shape[1]) @ values
    return mixed.reshape(*shares.shape[:3], values.shape[3])


def _by_group(x: Float[np.ndarray, "B H T N"], num_groups: int) -> Float[np.ndarray, "B G rows N"]:
    """The rows of the heads that share keys, one after the other."""
    rows, heads, num_tokens, size = x.shape
    return x.reshape(rows, num_groups, heads // num_groups * num_tokens, size)


def add_attention(
    x: Float[np.ndarray, "B T D"], mixed: Float[np.ndarray, "B H T W"], layer: Layer
) -> Float[np.ndarray, "B T D"]:
    """The residual stream after attention."""
    return x + add_bias(merge_heads(mixed) @ layer.attention_out_weight, layer.attention_out_bias)


def add_bias(x: Float[np.ndarray, "*rows N"], bias: Float[np.ndarray, " bias"]) -> Float[np.ndarray, "*rows N"]:
    """With the bias, if there is one."""
    return x + bias if bias.size else x


def score_bias(layer: Layer, positions: Integer[np.ndarray, " T"], num_keys: int) -> Float[np.ndarray, "H T S"] | None:
    """What a layer adds to the scores of queries at these positions, for keys from position 0; None without it.

    Keys after a query get what those at the query itself do; they are not seen anyway.
    """
    if layer.attention_relative_bias is None:
        return None
    return layer.attention_relative_bias[:, np.maximum(positions[:, None] - np.arange(num_keys), 0)]


def merge_heads(x: Float[np.ndarray, "B H T W"]) -> Float[np.ndarray, "B T attended"]:
    """The heads' results side by side."""
    rows, heads, num_tokens, head_width = x.shape
    return x.swapaxes(1, 2).reshape(rows, num_tokens, heads * head_width)


def apply_norm(
    x: Float[np.ndarray, "*rows D"],
    gain: Float[np.ndarray, " norm"],
    bias: Float[np.ndarray, " norm_bias"],
    architecture: Architecture,
) -> Float[np.ndarray, "*rows D"]:
    """The norm of an architecture, whichever that is."""
    if architecture.norm == "rms_norm":
        return rms_norm(x, gain, architecture.norm_epsilon)
    return layer_norm(x, gain, bias, architecture.norm_epsilon)


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


def rms_norm(
    x: Float[np.ndarray, "*rows D"], gain: Float[np.ndarray, " norm"], epsilon: float
) -> Float[np.ndarray, "*rows D"]:
    """Mean square 1 along the last axis (epsilon inside the root), then gain.

    >>> rms_norm(np.array([[3.0, -4.0, 0.0, 0.0]]), np.full(4, 2.5), 0.0).tolist()
    [[3.0, -4.0, 0.0, 0.0]]
    """
    square = np.mean(x * x, axis=-1, keepdims=True)
    return x / np.sqrt(square + x.dtype.type(epsilon)) * gain


def activate(x: Float[np.ndarray, "*rows F"], activation: Activation) -> Float[np.ndarray, "*rows F"]:
    """The feed-forward non-linearity; gelu_new is GPT-2's own, by the hyperbolic tangent; silu is x times its sigmoid.

    >>> activate(np.array([-8.0, 0.0, 8.0]), "gelu_new")
    array([-0.,  0.,  8.])
    """
    if activation == "relu":
        return np.maximum(x, 0)
    number = x.dtype.type
    if activation == "silu":
        with np.errstate(over="ignore"):  # an infinite exponential makes the sigmoid 0
            return x / (1 + np.exp(-x))
    with np.errstate(over="ignore"):  # the cube of a large number is infinite, and its tangent 1 or -1 all the same
        inner = number(np.sqrt(2 / np.pi)) * (x + number(0.044715) * x * x * x)
    return number(0.5) * x * (1 + np.tanh(inner))


def hidden_units(
    x: Float[np.ndarray, "*rows D"], layer: Layer, architecture: Architecture
) -> Float[np.ndarray, "*rows F"]:
    """What the hidden units of a layer give, of the residual stream after attention."""
    normed = apply_norm(x, layer.mlp_norm_gain, layer.mlp_norm_bias, architecture)
    hidden = activate(add_bias(normed @ layer.mlp_in_weight, layer.mlp_in_bias), architecture.activation)
    return hidden if layer.mlp_up_weight is None else hidden * (normed @ layer.mlp_up_weight)


def apply_mlp(
    x: Float[np.ndarray, "*rows D"], layer: Layer, architecture: Architecture
) -> Float[np.ndarray, "*rows D"]:
    """The residual stream after a feed-forward layer."""
    return x + add_bias(hidden_units(x, layer, architecture) @ layer.mlp_out_weight, layer.mlp_out_bias)


def unembed(x: Float[np.ndarray, "*rows D"], transformer: Transformer) -> Float[np.ndarray, "*rows V"]:
    """The logits, from the residual stream after the last layer."""
    gain, bias = transformer.final_norm_gain.astype(x.dtype), transformer.final_norm_bias.astype(x.dtype)
    return apply_norm(x, gain, bias, transformer.architecture) @ transformer.head.astype(x.dtype).T
