"""Position: what happens where a model reads one token, by the reference forward pass, for pages without the weights.

The page's own arithmetic (``explore/src/forward.ts``) gives the same numbers; the tests hold the two together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int64, Integer

from serialformer.errors import EngineError
from serialformer.transformer.forward import (
    QUERIES_A_BLOCK,
    activate,
    attention_shares,
    cast_layer,
    embed,
    layer_norm,
    merge_heads,
    project_heads,
    refuse_rounded_arithmetic,
    score_bias,
    unembed,
)
from serialformer.transformer.transformer import Layer, Transformer

MAX_CACHE_BYTES = 2 << 30
"""Of keys and values, in float64, of one sequence."""

SHOWN_LOOKS = 24
SHOWN_UNITS = 12
LEAST_ACTIVATION = 1e-3


class Reading:
    """A sequence that a model has read: its keys and values, so that any position can be looked at again.

    Args:
        transformer: the model.
        tokens: the whole sequence.

    Raises:
        SerialformerError: the model's arithmetic is not that of floats, or the sequence takes too much memory.
    """

    def __init__(self, transformer: Transformer, tokens: Int64[np.ndarray, " T"]) -> None:
        refuse_rounded_arithmetic(transformer)
        architecture = transformer.architecture
        num_bytes = 16 * len(tokens) * architecture.width * architecture.num_layers
        if num_bytes > MAX_CACHE_BYTES:
            raise EngineError(
                f"{len(tokens):,} tokens take {num_bytes >> 20:,} MiB of keys and values,"
                f" over {MAX_CACHE_BYTES >> 20:,}"
            )
        self.transformer = transformer
        self.tokens = tokens
        self._layers = [cast_layer(layer, np.float64) for layer in transformer.layers]
        shape = (architecture.num_heads, len(tokens), architecture.head_width)
        self._cache = [(np.empty(shape), np.empty(shape)) for _ in self._layers]
        for start in range(0, len(tokens), QUERIES_A_BLOCK):
            self._read(np.arange(start, min(start + QUERIES_A_BLOCK, len(tokens))))

    def view(self, position: int) -> dict[str, Any]:
        """What the page shows of a position: attention, the residual stream, hidden units and logits.

        Heads and layers come with the positions that got most of their attention, and layers with their most active
        units, largest first and the first of equals first.
        """
        architecture = self.transformer.architecture
        several = architecture.num_layers > 1
        x = embed(self.transformer, self.tokens[None, position : position + 1], np.array([position]), np.float64)
        stages = [{"label": "embedding", "values": x[0, 0].tolist()}]
        attention, units = [], []
        for number, (layer, (keys, values)) in enumerate(zip(self._layers, self._cache, strict=True)):
            shares = self._shares(x, layer, keys[:, : position + 1], np.array([position]))
            attention.append([_largest_looks(of) for of in shares[0, :, 0]])
            mixed = merge_heads(shares @ values[None, :, : position + 1])
            x = x + mixed @ layer.attention_out_weight + layer.attention_out_bias
            stages.append({"label": f"after attention{f' {number}' if several else ''}", "values": x[0, 0].tolist()})
            hidden = self._hidden(x, layer)
            units.append(_largest_units(hidden[0, 0]))
            x = x + hidden @ layer.mlp_out_weight + layer.mlp_out_bias
            label = f"after feed-forward{f' {number}' if several else ''}"
            stages.append({"label": label, "values": x[0, 0].tolist()})
        logits = unembed(x, self.transformer)[0, 0].tolist()
        return {"position": position, "attention": attention, "stages": stages, "units": units, "logits": logits}

    def _read(self, positions: Int64[np.ndarray, " block"]) -> None:
        """Keys and values of some positions, those before them being there."""
        architecture = self.transformer.architecture
        stop = int(positions[-1]) + 1
        x = embed(self.transformer, self.tokens[None, positions], positions, np.float64)
        for number, (layer, (keys, values)) in enumerate(zip(self._layers, self._cache, strict=True)):
            _, new_keys, new_values = project_heads(x, layer, architecture.num_heads, architecture.norm_epsilon)
            keys[:, positions], values[:, positions] = new_keys[0], new_values[0]
            if number == len(self._layers) - 1:
                return  # what comes behind is asked for one position at a time
            shares = self._shares(x, layer, keys[:, :stop], positions)
            x = x + merge_heads(shares @ values[None, :, :stop]) @ layer.attention_out_weight
            x = x + layer.attention_out_bias
            x = x + self._hidden(x, layer) @ layer.mlp_out_weight + layer.mlp_out_bias

    def _shares(
        self,
        x: Float[np.ndarray, "one block D"],
        layer: Layer,
        keys: Float64[np.ndarray, "H S W"],
        positions: Integer[np.ndarray, " block"],
    ) -> Float64[np.ndarray, "one H block S"]:
        architecture = self.transformer.architecture
        queries, _, _ = project_heads(x, layer, architecture.num_heads, architecture.norm_epsilon)
        visible = np.arange(keys.shape[1]) <= positions[:, None]
        bias = score_bias(layer, positions, keys.shape[1])
        return attention_shares(queries, keys[None], visible, scaled=architecture.scaled_scores, bias=bias)

    def _hidden(self, x: Float[np.ndarray, "one block D"], layer: Layer) -> Float64[np.ndarray, "one block F"]:
        architecture = self.transformer.architecture
        normed = layer_norm(x, layer.mlp_norm_gain, layer.mlp_norm_bias, architecture.norm_epsilon)
        return activate(normed @ layer.mlp_in_weight + layer.mlp_in_bias, architecture.activation)


def _largest_looks(shares: Float64[np.ndarray, " S"]) -> list[dict[str, float | int]]:
    most = np.argsort(-shares, kind="stable")[:SHOWN_LOOKS]
    return [{"position": int(place), "weight": float(shares[place])} for place in most]


def _largest_units(values: Float64[np.ndarray, " F"]) -> list[dict[str, float | int]]:
    most = np.argsort(-np.abs(values), kind="stable")[:SHOWN_UNITS]
    return [{"unit": int(unit), "value": float(values[unit])} for unit in most if abs(values[unit]) > LEAST_ACTIVATION]
