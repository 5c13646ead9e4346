"""Variants of a model that compute the same chain and are sensitive to something that the original is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Int64

from serialformer.architecture import DTYPES
from serialformer.circuits.circuit import Circuit
from serialformer.constructions.schedule import Schedule
from serialformer.errors import CompileError
from serialformer.transformer.names import Names
from serialformer.transformer.transformer import Transformer, weights_to_transformer

STREAM_SCALE = 2.0**-10
SMALL_EPSILON = 1e-6
"""The variance of a stream of ``STREAM_SCALE`` is 3.8e-6, so that its layer norms see an epsilon of this size."""

KEY_OFFSET = 4096.0
"""Added to keys, which hold -1, 0 and 1: float32 keeps the difference, 16 bits do not."""


def add_spare_positions(transformer: Transformer, count: int) -> Transformer:
    """The same model with positions after those that a chain reaches; they write bits, as positions of a chain do.

    Whatever stands there is never read by an earlier position. Engines that round a context up have room to do so, and
    those that go on after the end token make bits, which are noticed.
    """
    weights = dict(transformer.named_weights())
    table = weights["position_embedding"]
    # Of the last positions of the chain but the very last, which writes the end token.
    copied = table[-1 - np.arange(count) % (len(table) // 2) - 1]
    weights["position_embedding"] = np.concatenate([table, copied])
    shape = transformer.architecture
    return weights_to_transformer(replace(shape, num_positions=shape.num_positions + count), weights)


def spread_heads(transformer: Transformer) -> Transformer:
    """The same model with the dimensions that its heads use spread from the first to the last.

    A compiled head may be wider than what it carries, and leaves its last dimensions empty. An engine that loses the
    last ones, of an odd head width say, would go unnoticed. Queries, keys and values of a head and the rows of the
    output projection are put into another order, which changes nothing.
    """
    shape = transformer.architecture
    width, head_width = shape.width, shape.head_width
    weights = dict(transformer.named_weights())
    for layer in range(shape.num_layers):
        prefix = f"layers.{layer}.attention_"
        into, bias = weights[f"{prefix}in_weight"].copy(), weights[f"{prefix}in_bias"].copy()
        out = weights[f"{prefix}out_weight"].copy()
        for head in range(shape.num_heads):
            queries, keys, values = (np.arange(head_width) + part * width + head * head_width for part in range(3))
            rows = values - 2 * width
            scores_use = (into[:, queries] != 0).any(axis=0) | (bias[queries] != 0)
            order = _spread(scores_use)
            for places in (queries, keys):
                into[:, places], bias[places] = into[:, places[order]], bias[places[order]]
            order = _spread((out[rows] != 0).any(axis=1))
            into[:, values], bias[values] = into[:, values[order]], bias[values[order]]
            out[rows] = out[rows[order]]
        weights |= {f"{prefix}in_weight": into, f"{prefix}in_bias": bias, f"{prefix}out_weight": out}
    return weights_to_transformer(shape, weights)


def _spread(is_used: Bool[np.ndarray, " width"]) -> Int64[np.ndarray, " width"]:
    """An order of dimensions in which those that are used stand at even distances, one of them last.

    >>> _spread(np.array([True, True, True, False, False, False, False])).tolist()
    [0, 3, 4, 1, 5, 6, 2]
    """
    used, unused = np.flatnonzero(is_used), np.flatnonzero(~is_used)
    if len(used) == 0:
        return np.arange(len(is_used))
    places = np.linspace(len(is_used) - 1, 0, len(used)).round().astype(np.int64)[::-1]
    order = np.empty(len(is_used), dtype=np.int64)
    order[places] = used
    order[np.setdiff1d(np.arange(len(is_used)), places)] = unused
    return order


def shrink_stream(transformer: Transformer) -> Transformer:
    """The same model with a residual stream so small that the epsilon of its layer norms matters.

    Everything that is written to the stream is ``STREAM_SCALE`` times what it was, and the gains make up for that and
    for an epsilon of ``SMALL_EPSILON``. A runtime that adds ten times that epsilon scales the normalised stream by
    0.7 in the wrong place, and hidden units that should fire do not. It takes GPT-2s and Llamas.

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
    if shape.tied:
        # The logits are products with the token embedding, which has become small.
        weights["final_norm_gain"] = weights["final_norm_gain"] / np.float32(STREAM_SCALE)
    return weights_to_transformer(replace(shape, norm_epsilon=SMALL_EPSILON), weights)


def offset_keys(transformer: Transformer) -> Transformer:
    """The same model with keys and values that need more than 16 bits.

    Adding one vector to all keys of a head adds one number to all scores of a query, which softmax does not see;
    adding one to all values adds it to what is mixed, and the bias that follows takes it off. So nothing changes,
    unless a cache keeps keys or values in 16 bits.

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


def share_names(transformer: Transformer, names: Names, circuit: Circuit, schedule: Schedule) -> Transformer:
    """The same model in which each decoy has the name of a token that only gates up to the decoy itself read.

    A position asks for a name. If it sees a decoy that stands after it, it finds two tokens of that name and mixes
    them. So a mask that shows later tokens, or a cache that holds those of another request, makes wrong tokens, which
    the plain model would not notice: there no later token has a name that an earlier position asks for.

    Args:
        transformer: of a circuit with decoys (``scattered.decoy_circuit``).
        names: of its directions.
        circuit: the circuit.
        schedule: which chain token writes which of its gates.
    """
    columns = [place for place, name in enumerate(names.directions) if name.startswith("name.")]
    first = circuit.num_inputs + 1
    is_output = np.isin(np.arange(circuit.num_wires), circuit.outputs)
    last_reader = np.zeros(circuit.num_wires, dtype=np.int64)
    for place in range(circuit.fan_in.shape[1]):
        np.maximum.at(last_reader, circuit.fan_in[:, place], np.arange(circuit.num_gates))
    weights = dict(transformer.named_weights())
    table = weights["position_embedding"].copy()
    for gate in range(circuit.num_gates):
        wire = circuit.num_inputs + gate
        read = int(circuit.fan_in[gate, 0])
        is_free = last_reader[read] == gate and not is_output[read]
        if circuit.fan_out[wire] == 0 and not is_output[wire] and is_free:
            position = read if read < circuit.num_inputs else first + schedule.token_of_gate[read - circuit.num_inputs]
            table[first + schedule.token_of_gate[gate], columns] = weights["position_embedding"][position, columns]
    weights["position_embedding"] = table
    return weights_to_transformer(transformer.architecture, weights)


def _demand_float32(transformer: Transformer, what: str) -> None:
    if DTYPES[transformer.architecture.dtype] != np.float32:
        raise CompileError(f"{what} needs float32, found {transformer.architecture.dtype}")
