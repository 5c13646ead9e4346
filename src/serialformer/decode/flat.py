"""A transformer flattened for token-by-token evaluation: only the weights that are not zero, as sparse rows.

Layer norm's gain and bias are folded into the matrix after it: with mean m and r = 1 / deviation,
``norm(x) @ W + b = r (x - m) @ W' + b'`` where ``W' = gain W`` and ``b' = b + bias W``. Dimensions of the residual
stream that nothing reads or writes after the embedding are *passive*: they enter only layer norm's sums, which are
taken once for each position.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from serialformer.arrays import Bool, Float32, Float64, Int32, Int64
from serialformer.decode.records import MapArrays
from serialformer.transformer.forward import cast_layer
from serialformer.transformer.transformer import Transformer

POSITIONS_PER_BLOCK = 1 << 14


@dataclass(frozen=True, kw_only=True, eq=False)
class SparseMap:
    """A linear map by its outputs: output j is ``sum(value * input[index]) + bias[j]`` over its entries.

    Attributes:
        start: for each output its first entry, and one more at the end.
        index: the input of each entry.
        value: its weight.
        bias: what is added.
        size: for each output what its rounding depends on: the 1-norm of its weights, the size of its bias, and the
            largest weight with which it goes on into the residual stream (0 if it does not).
    """

    start: Int64[np.ndarray, " outputs_and_one"]
    index: Int32[np.ndarray, " entries"]
    value: Float64[np.ndarray, " entries"]
    bias: Float64[np.ndarray, " outputs"]
    size: Float64[np.ndarray, "outputs 3"]

    @property
    def num_outputs(self) -> int:
        return len(self.bias)

    def arrays(self) -> MapArrays:
        """The record that the kernels take."""
        return MapArrays(start=self.start, inputs=self.index, value=self.value, bias=self.bias, size=self.size)


@dataclass(frozen=True, kw_only=True, eq=False)
class FlatLayer:
    """A layer's maps. Heads are numbered 0.. in their layer.

    Attributes:
        head_columns: for each head the coordinates of queries and keys that scores depend on.
        queries: for each head its map from the residual stream, over the dimensions that scores depend on.
        keys: likewise.
        values: the value columns that have an effect, all heads together.
        value_head: the head of each of them.
        attention_out: from these value columns to the residual stream, the output bias included.
        mlp_in: to the hidden units that have an effect.
        mlp_out: from them to the residual stream.
    """

    head_columns: tuple[Int64[np.ndarray, " _"], ...]
    queries: tuple[SparseMap, ...]
    keys: tuple[SparseMap, ...]
    values: SparseMap
    value_head: Int32[np.ndarray, " values"]
    attention_out: SparseMap
    mlp_in: SparseMap
    mlp_out: SparseMap


@dataclass(frozen=True, kw_only=True, eq=False)
class _Dense:
    """A matrix and bias with the layer norm before them folded in; ``bias_size`` bounds what made up the bias."""

    weight: Float64[np.ndarray, "width outputs"]
    bias: Float64[np.ndarray, " outputs"]
    bias_size: Float64[np.ndarray, " outputs"]

    @property
    def used(self) -> Bool[np.ndarray, " outputs"]:
        return (self.weight != 0).any(axis=0) | (self.bias != 0)

    def columns(self, chosen: Int64[np.ndarray, " chosen"], onward: np.ndarray | None = None) -> SparseMap:
        """Some of its columns; the rows of the matrix ``onward`` map them into the residual stream."""
        weight = self.weight[:, chosen]
        sparse = to_sparse_map(weight, self.bias[chosen])
        size = np.zeros((len(chosen), 3))
        size[:, 0], size[:, 1] = np.abs(weight).sum(axis=0), self.bias_size[chosen]
        if onward is not None and len(chosen):
            size[:, 2] = np.abs(onward).max(axis=1)
        return replace(sparse, size=size)


def _fold_norm(gain: np.ndarray, bias: np.ndarray, weight: np.ndarray, weight_bias: np.ndarray) -> _Dense:
    return _Dense(
        weight=gain[:, None] * weight,
        bias=weight_bias + bias @ weight,
        bias_size=np.abs(weight_bias) + np.abs(bias) @ np.abs(weight),
    )


def to_sparse_map(weight: Float64[np.ndarray, "inputs outputs"], bias: Float64[np.ndarray, " outputs"]) -> SparseMap:
    """The entries of a matrix that are not zero, output by output."""
    outputs, inputs = np.nonzero(weight.T)
    return SparseMap(
        start=np.searchsorted(outputs, np.arange(weight.shape[1] + 1)).astype(np.int64),
        index=inputs.astype(np.int32),
        value=np.ascontiguousarray(weight.T[outputs, inputs]),
        bias=np.ascontiguousarray(bias, dtype=np.float64),
        size=np.zeros((weight.shape[1], 3)),
    )


def to_dense(sparse: SparseMap, num_inputs: int) -> Float64[np.ndarray, "inputs outputs"]:
    """The matrix of a map."""
    dense = np.zeros((num_inputs, sparse.num_outputs))
    dense[sparse.index, np.repeat(np.arange(sparse.num_outputs), np.diff(sparse.start))] = sparse.value
    return dense


def flatten_layers(transformer: Transformer) -> list[FlatLayer]:
    """The layers of a transformer, in float64."""
    width, heads = transformer.architecture.width, transformer.architecture.num_heads
    head_width = width // heads
    result = []
    for layer in transformer.layers:
        cast = cast_layer(layer, np.float64)
        attention = _fold_norm(
            cast.attention_norm_gain, cast.attention_norm_bias, cast.attention_in_weight, cast.attention_in_bias
        )
        used = attention.used
        head_columns, queries, keys = [], [], []
        for head in range(heads):
            columns = np.arange(head * head_width, (head + 1) * head_width)
            columns = columns[used[columns] & used[width + columns]]
            head_columns.append(columns - head * head_width)
            queries.append(attention.columns(columns))
            keys.append(attention.columns(width + columns))
        out = cast.attention_out_weight
        effective = np.flatnonzero(used[2 * width :] & (out != 0).any(axis=1))
        mlp = _fold_norm(cast.mlp_norm_gain, cast.mlp_norm_bias, cast.mlp_in_weight, cast.mlp_in_bias)
        units = np.flatnonzero(mlp.used & (cast.mlp_out_weight != 0).any(axis=1))
        result.append(
            FlatLayer(
                head_columns=tuple(head_columns),
                queries=tuple(queries),
                keys=tuple(keys),
                values=attention.columns(2 * width + effective, out[effective]),
                value_head=(effective // head_width).astype(np.int32),
                attention_out=to_sparse_map(out[effective], cast.attention_out_bias),
                mlp_in=mlp.columns(units, cast.mlp_out_weight[units]),
                mlp_out=to_sparse_map(cast.mlp_out_weight[units], cast.mlp_out_bias),
            )
        )
    return result


def unembedding_map(transformer: Transformer) -> SparseMap:
    """From the residual stream after the last layer to the logits, the final layer norm folded in."""
    embedding = transformer.token_embedding.astype(np.float64)
    gain, bias = (getattr(transformer, f"final_norm_{part}").astype(np.float64) for part in ("gain", "bias"))
    return _fold_norm(gain, bias, embedding.T, np.zeros(len(embedding))).columns(np.arange(len(embedding)))


@dataclass(frozen=True, kw_only=True, eq=False)
class Embedding:
    """The embeddings over the active dimensions, and layer norm's sums over the passive ones.

    Attributes:
        active: the active dimensions.
        tokens: the token embedding over them.
        positions: the position embedding over them.
        passive_sum: for each position the sum of its passive dimensions.
        passive_square: for each position the sum of their squares.
    """

    active: Int64[np.ndarray, " active"]
    tokens: Float64[np.ndarray, "vocabulary active"]
    positions: Float32[np.ndarray, "positions active"]
    passive_sum: Float64[np.ndarray, " positions"]
    passive_square: Float64[np.ndarray, " positions"]


def split_embedding(transformer: Transformer, active: Int64[np.ndarray, " active"]) -> Embedding:
    """The embeddings for these active dimensions; the token embedding must be zero elsewhere."""
    table = transformer.position_embedding
    passive = np.setdiff1d(np.arange(transformer.architecture.width), active)
    positions = np.empty((len(table), len(active)), dtype=np.float32)
    passive_sum, passive_square = np.empty(len(table)), np.empty(len(table))
    for start in range(0, len(table), POSITIONS_PER_BLOCK):
        block = slice(start, start + POSITIONS_PER_BLOCK)
        rows = table[block].astype(np.float32)
        positions[block] = rows[:, active]
        rest = rows[:, passive].astype(np.float64)
        passive_sum[block] = rest.sum(axis=1)
        passive_square[block] = np.einsum("pd,pd->p", rest, rest)
    return Embedding(
        active=active,
        tokens=transformer.token_embedding[:, active].astype(np.float64),
        positions=positions,
        passive_sum=passive_sum,
        passive_square=passive_square,
    )


def renumber_inputs(sparse: SparseMap, place: Int64[np.ndarray, " width"]) -> SparseMap:
    """The map with input i called ``place[i]``."""
    assert (place[sparse.index] >= 0).all()
    return replace(sparse, index=place[sparse.index].astype(np.int32))


def reorder_outputs(sparse: SparseMap, order: Int64[np.ndarray, " outputs"]) -> SparseMap:
    """The map with its outputs in another order."""
    lengths = np.diff(sparse.start)[order]
    start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    entries = np.arange(start[-1]) - np.repeat(start[:-1], lengths) + np.repeat(sparse.start[order], lengths)
    return SparseMap(
        start=start,
        index=sparse.index[entries],
        value=sparse.value[entries],
        bias=sparse.bias[order],
        size=sparse.size[order],
    )


def select_outputs(sparse: SparseMap, outputs: Int64[np.ndarray, " chosen"]) -> SparseMap:
    """The map to these outputs alone; the others must have no entries and no bias."""
    lengths = np.diff(sparse.start)
    left_out = np.setdiff1d(np.arange(sparse.num_outputs), outputs)
    assert not lengths[left_out].any() and not sparse.bias[left_out].any()
    # The outputs left out have no entries, so those kept have all of them, in order.
    start = np.concatenate([[0], np.cumsum(lengths[outputs])]).astype(np.int64)
    kept = {name: getattr(sparse, name)[outputs] for name in ("bias", "size")}
    return replace(sparse, start=start, **kept)


def transpose(
    sparse: SparseMap, num_inputs: int
) -> tuple[Int64[np.ndarray, " inputs_and_one"], Int32[np.ndarray, " entries"], Float64[np.ndarray, " entries"]]:
    """The entries of a map by their inputs: where those of each input begin, their outputs, and their values."""
    order = np.argsort(sparse.index, kind="stable")
    outputs = np.repeat(np.arange(sparse.num_outputs), np.diff(sparse.start))[order]
    start = np.searchsorted(sparse.index[order], np.arange(num_inputs + 1))
    return start.astype(np.int64), outputs.astype(np.int32), sparse.value[order]
