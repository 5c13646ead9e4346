"""Variants of a GPT-2 that compute the same chain and are sensitive to something that the original is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from serialformer.architecture import DTYPES
from serialformer.errors import CompileError
from serialformer.transformer.transformer import Transformer, weights_to_transformer

STREAM_SCALE = 2.0**-10
SMALL_EPSILON = 1e-6
"""The variance of a stream of ``STREAM_SCALE`` is 3.8e-6, so that its layer norms see an epsilon of this size."""

KEY_OFFSET = 4096.0
"""Added to keys, which hold -1, 0 and 1: float32 keeps the difference, 16 bits do not."""


def add_spare_positions(transformer: Transformer, count: int) -> Transformer:
    """The same model with positions behind those that a chain reaches; their embeddings are zero.

    Whatever stands there is never read by an earlier position. Engines that round a context up, or go on behind the
    end token, have room to do so.
    """
    weights = dict(transformer.named_weights())
    table = weights["position_embedding"]
    weights["position_embedding"] = np.concatenate([table, np.zeros((count, table.shape[1]), table.dtype)])
    shape = transformer.architecture
    return weights_to_transformer(replace(shape, num_positions=shape.num_positions + count), weights)


def shrink_stream(transformer: Transformer) -> Transformer:
    """The same model with a residual stream so small that the epsilon of its layer norms matters.

    Everything that is written to the stream is ``STREAM_SCALE`` times what it was, and the gains make up for that and
    for an epsilon of ``SMALL_EPSILON``. A runtime that adds ten times that epsilon scales the normalised stream by
    0.7 in the wrong place, and hidden units that should fire do not.

    Raises:
        CompileError: the weights are not float32, which alone holds the gains.
    """
    shape = transformer.architecture
    _demand_float32(transformer, "a small stream")
    factor = np.float32(np.sqrt((4 * STREAM_SCALE**2 + SMALL_EPSILON) / (4 + shape.norm_epsilon)) / STREAM_SCALE)
    weights = dict(transformer.named_weights())
    for name, weight in weights.items():
        if name.endswith("_embedding") or "_out_" in name:
            weights[name] = weight * np.float32(STREAM_SCALE)
        elif name.endswith("norm_gain"):
            weights[name] = weight * factor
    # The logits are products with the token embedding, which has become small.
    weights["final_norm_gain"] = weights["final_norm_gain"] / np.float32(STREAM_SCALE)
    return weights_to_transformer(replace(shape, norm_epsilon=SMALL_EPSILON), weights)


def offset_keys(transformer: Transformer) -> Transformer:
    """The same model with keys and values that need more than 16 bits.

    Adding one vector to all keys of a head adds one number to all scores of a query, which softmax does not see; adding
    one to all values adds it to what is mixed, and the bias behind takes it off. So nothing changes, unless a cache
    keeps keys or values in 16 bits.

    Raises:
        CompileError: the weights are not float32.
    """
    _demand_float32(transformer, "an offset of keys")
    width = transformer.architecture.width
    weights = dict(transformer.named_weights())
    # Of both signs, so that the number that is added to the scores stays small.
    signs = np.where(np.arange(width) % 2 == 0, 1.0, -1.0).astype(np.float32) * np.float32(KEY_OFFSET)
    for layer in range(transformer.architecture.num_layers):
        bias = weights[f"layers.{layer}.attention_in_bias"].copy()
        bias[width : 2 * width] += signs
        bias[2 * width :] += signs
        weights[f"layers.{layer}.attention_in_bias"] = bias
        out = weights[f"layers.{layer}.attention_out_weight"].astype(np.float64)
        taken = signs.astype(np.float64) @ out
        out_bias = weights[f"layers.{layer}.attention_out_bias"]
        weights[f"layers.{layer}.attention_out_bias"] = (out_bias - taken).astype(np.float32)
    return weights_to_transformer(transformer.architecture, weights)


def _demand_float32(transformer: Transformer, what: str) -> None:
    if DTYPES[transformer.architecture.dtype] != np.float32:
        raise CompileError(f"{what} needs float32, found {transformer.architecture.dtype}")
