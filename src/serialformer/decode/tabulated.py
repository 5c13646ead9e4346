"""One-layer models whose heads are all routed, with everything tabulated that position and token alone decide."""

from __future__ import annotations

import numpy as np

from serialformer.arrays import Float64, Int32, Int64
from serialformer.decode.flat import FlatLayer, SparseMap, to_dense
from serialformer.decode.kernels import gamma
from serialformer.decode.records import FlatModel, Tabulated
from serialformer.decode.rounding import LARGEST_LEAK, UNIT_ROUNDOFF
from serialformer.decode.tabulated_kernels import decode_tabulated, tabulate_positions

LARGEST_TABLES = 1 << 31
"""Bytes of tables that are worth it; a compiled circuit of 10^6 gates takes a tenth."""


class TabulatedDecoder:
    """Decodes what ``kernels.decode_tokens`` decodes, in a third of the time, for the models that it takes."""

    def __init__(self, tables: Tabulated) -> None:
        self._tables = tables

    def values(self, num_positions: int) -> Float64[np.ndarray, "positions values"]:
        """Room for the values of a sequence."""
        return np.empty((num_positions, self._tables.values.shape[2]))

    def decode(
        self, sequence: Int64[np.ndarray, " sequence"], start: int, stop: int, prompt_length: int, values: np.ndarray
    ) -> tuple[int, int]:
        """Writes tokens into the sequence; returns the position it reached and why it stopped."""
        reached, reason = decode_tabulated(sequence, start, stop, prompt_length, self._tables, values)
        return int(reached), int(reason)


def tabulate(
    layer: FlatLayer,
    unembed: SparseMap,
    active: Int64[np.ndarray, " active"],
    model: FlatModel,
    targets: Int32[np.ndarray, "positions values"],
) -> TabulatedDecoder | None:
    """The decoder for a layer, or None where the tables would be too large or float32 cannot be bounded.

    Args:
        layer: the layer, over all dimensions.
        unembed: the unembedding, over all dimensions.
        active: the active dimensions.
        model: the same over the active dimensions.
        targets: for each position the position that each value comes from, or -1.
    """
    tokens, positions, width, reads = model.tokens, model.positions, model.width, model.reads[0]
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
    value_error, largest, stream_error, furthest = tabulate_positions(
        model, into_hidden, attention_bias, fetched_out, values, moments, static_hidden
    )
    if not np.isfinite(value_error):
        return None
    fetch_error = value_error + (4 * LARGEST_LEAK + 8 * UNIT_ROUNDOFF) * largest
    fetch_error += gamma(width + 2) * (largest + fetch_error)
    furthest += largest * float((np.abs(fetched_out) * reads).sum(axis=0).max(initial=0.0))
    tables = Tabulated(
        width=width,
        epsilon=model.epsilon,
        is_relu=model.is_relu,
        end_token=model.end_token,
        targets=np.ascontiguousarray(targets),
        values=values,
        moments=moments,
        static_hidden=static_hidden,
        token_hidden=tokens @ into_hidden,
        fetched_hidden=fetched_out @ into_hidden,
        hidden_total=into_hidden.sum(axis=0),
        hidden_bias=layer.mlp_in.bias,
        hidden_size=np.ascontiguousarray(layer.mlp_in.size[:, 0]),
        hidden_bias_size=np.ascontiguousarray(layer.mlp_in.size[:, 1]),
        hidden_onward=np.ascontiguousarray(layer.mlp_in.size[:, 2]),
        late_positions=np.ascontiguousarray(positions[:, late].astype(np.float64) + attention_bias[late]),
        late_tokens=np.ascontiguousarray(tokens[:, late]),
        late_fetched=np.ascontiguousarray(fetched_out[:, late]),
        late_bias=mlp_bias[late],
        hidden_late=np.ascontiguousarray(hidden_out[:, late].T),
        fetched_sum=fetched_out.sum(axis=1),
        fetched_products=fetched_out @ fetched_out.T,
        unembedding=np.ascontiguousarray(logits[late].T),
        unembedding_bias=unembed.bias,
        unembedding_size=unembed.size,
        stream_error=stream_error + float(model.fan_in[0]) * fetch_error,
        furthest=furthest,
    )
    return TabulatedDecoder(tables)
