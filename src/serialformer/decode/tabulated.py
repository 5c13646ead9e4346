"""One-layer models whose heads are all routed, with everything tabulated that position and token alone decide."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float64, Int32, Int64

from serialformer.decode.flat import FlatLayer, SparseMap, to_dense
from serialformer.decode.kernels import gamma
from serialformer.decode.rounding import LARGEST_LEAK, UNIT_ROUNDOFF
from serialformer.decode.tabulated_kernels import decode_tabulated, tabulate_positions

LARGEST_TABLES = 1 << 31
"""Bytes of tables that are worth it; a compiled circuit of 10^6 gates takes a tenth."""


class TabulatedDecoder:
    """Decodes what ``kernels.decode_tokens`` decodes, in a third of the time, for the models that it takes."""

    def __init__(self, tables: tuple[Any, ...], num_values: int, constants: tuple[Any, ...]) -> None:
        self._tables, self._constants = tables, constants
        self._num_values = num_values

    def values(self, num_positions: int) -> Float64[np.ndarray, "positions values"]:
        """Room for the values of a sequence."""
        return np.empty((num_positions, self._num_values))

    def decode(
        self, sequence: Int64[np.ndarray, " sequence"], start: int, stop: int, prompt_length: int, values: np.ndarray
    ) -> tuple[int, int]:
        """Writes tokens into the sequence; returns the position come to and why it stopped there."""
        reached, reason = decode_tabulated(
            sequence, start, stop, prompt_length, *self._constants, self._tables[0], self._tables[1], values,
            *self._tables[2:],
        )  # fmt: skip
        return int(reached), int(reason)


def tabulate(
    layer: FlatLayer,
    unembed: SparseMap,
    active: Int64[np.ndarray, " active"],
    embedding: tuple[np.ndarray, ...],
    pool: tuple[np.ndarray, ...],
    layout: np.ndarray,
    reads: Float64[np.ndarray, " active"],
    targets: Int32[np.ndarray, "positions values"],
    fan_in: float,
    *,
    width: int,
    epsilon: float,
    is_relu: bool,
    end_token: int,
) -> TabulatedDecoder | None:
    """The decoder for a layer, or None where the tables would be too large or float32 cannot be bounded.

    Args:
        layer: the layer, over all dimensions.
        unembed: the unembedding, over all dimensions.
        active: the active dimensions.
        embedding: the arrays of ``flat.Embedding`` but the first.
        pool: start, index, value, bias and size of the maps over the active dimensions.
        layout: where these are in the pool.
        reads: which active dimensions the feed-forward layer reads.
        targets: for each position the position that each value comes from, or -1.
        fan_in: how much a unit error of every fetched value can add up to in one dimension.
        width: of the residual stream.
        epsilon: of the layer norms.
        is_relu: whether the activation is relu, or gelu_new.
        end_token: the token that ends the chain.
    """
    tokens, positions, passive_sum, passive_square = embedding
    num_positions, num_tokens = len(positions), len(tokens)
    num_values, num_units = layer.values.num_outputs, layer.mlp_in.num_outputs
    if 8 * num_positions * (num_tokens * (2 * num_values + 2) + num_units + 8) > LARGEST_TABLES:
        return None
    into_hidden = to_dense(layer.mlp_in, width)[active]
    fetched_out = to_dense(layer.attention_out, num_values)[:, active]
    hidden_out = to_dense(layer.mlp_out, num_units)[:, active]
    logits = to_dense(unembed, width)[active]
    attention_bias, mlp_bias = layer.attention_out.bias[active], layer.mlp_out.bias[active]
    late = np.flatnonzero((hidden_out != 0).any(axis=0) | (mlp_bias != 0) | (logits != 0).any(axis=1))
    values = np.empty((num_positions, num_tokens, num_values))
    moments = np.empty((num_positions, num_tokens, 2 + num_values))
    static_hidden = np.empty((num_positions, num_units))
    start, index, value, bias, size = pool
    value_error, largest, stream_error, furthest = tabulate_positions(
        tokens, positions, passive_sum, passive_square, width, epsilon, start, index, value, bias, size, layout,
        reads, into_hidden, attention_bias, fetched_out, values, moments, static_hidden,
    )  # fmt: skip
    if not np.isfinite(value_error):
        return None
    fetch_error = value_error + (4 * LARGEST_LEAK + 8 * UNIT_ROUNDOFF) * largest
    fetch_error += gamma(width + 2) * (largest + fetch_error)
    furthest += largest * float((np.abs(fetched_out) * reads).sum(axis=0).max(initial=0.0))
    tables = (
        np.ascontiguousarray(targets),
        values,
        moments,
        static_hidden,
        tokens @ into_hidden,
        fetched_out @ into_hidden,
        into_hidden.sum(axis=0),
        layer.mlp_in.bias,
        np.ascontiguousarray(layer.mlp_in.size[:, 0]),
        np.ascontiguousarray(layer.mlp_in.size[:, 1]),
        np.ascontiguousarray(layer.mlp_in.size[:, 2]),
        positions[:, late].astype(np.float64) + attention_bias[late],
        np.ascontiguousarray(tokens[:, late]),
        np.ascontiguousarray(fetched_out[:, late]),
        mlp_bias[late],
        np.ascontiguousarray(hidden_out[:, late].T),
        fetched_out.sum(axis=1),
        fetched_out @ fetched_out.T,
        np.ascontiguousarray(logits[late].T),
        unembed.bias,
        unembed.size,
        stream_error + fan_in * fetch_error,
        furthest,
    )
    return TabulatedDecoder(tables, num_values, (end_token, width, epsilon, is_relu))
