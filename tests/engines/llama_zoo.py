"""The zoo for Llamas and Mistrals: rotary positions, shared keys, windows, several layers, each with one defect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import ml_dtypes
import numpy as np

from serialformer.architecture import Architecture
from serialformer.transformer.forward import rotary_angles
from serialformer.transformer.transformer import Layer, Transformer, weights_to_transformer
from tests.engines.small_engine import BLOCK, Row, SmallEngine
from tests.engines.zoo import DEFECTS

LLAMA_DEFECTS: dict[str, type[SmallEngine]] = {}
"""By what is wrong, in words."""

UNDETECTABLE_IN_LLAMAS: dict[str, type[SmallEngine]] = {}
"""The same of what no case can find; docs/concepts/known-answers.md says why."""


def defect(
    name: str, where: dict[str, type[SmallEngine]] = LLAMA_DEFECTS
) -> Callable[[type[SmallEngine]], type[SmallEngine]]:
    def register(engine: type[SmallEngine]) -> type[SmallEngine]:
        assert name not in LLAMA_DEFECTS and name not in DEFECTS
        where[name] = engine
        return engine

    return register


# --- groups of heads that share keys


@defect("groups: keys and values of a group lie side by side")
class _SideBySide(SmallEngine):
    def split(self, projected: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        parts = projected.reshape(len(projected), -1, self.shape.head_width)
        rest = parts[:, self.shape.num_heads :]
        return parts[:, : self.shape.num_heads], rest[:, ::2], rest[:, 1::2]


@defect("groups: heads take turns at the keys")
class _Turns(SmallEngine):
    def group(self, part: np.ndarray) -> np.ndarray:
        return np.tile(part, (1, self.shape.num_heads // self.shape.num_key_heads, 1))


@defect("groups: the first keys serve all heads")
class _FirstKeys(SmallEngine):
    def group(self, part: np.ndarray) -> np.ndarray:
        return np.repeat(part[:, :1], self.shape.num_heads, axis=1)


@defect("groups: while decoding, the last group's keys and values are written for the first")
class _GroupSlot(SmallEngine):
    def write(self, layer: int, row: Row, places: np.ndarray, keys: np.ndarray, values: np.ndarray) -> None:
        if len(places) == 1:
            keys, values = (np.concatenate([part[:, -1:], part[:, 1:]], axis=1) for part in (keys, values))
        super().write(layer, row, places, keys, values)


# --- rotary positions


@defect("rotary: angles in bfloat16")
class _NarrowAngles(SmallEngine):
    def angles(self, positions: np.ndarray) -> np.ndarray:
        return super().angles(positions).astype(ml_dtypes.bfloat16).astype(np.float32)


@defect("rotary: positions in bfloat16")
class _NarrowPositions(SmallEngine):
    def angles(self, positions: np.ndarray) -> np.ndarray:
        return super().angles(positions.astype(ml_dtypes.bfloat16).astype(np.int64))


@defect("rotary: base 10,000 whatever the file says")
class _UsualBase(SmallEngine):
    def angles(self, positions: np.ndarray) -> np.ndarray:
        return rotary_angles(replace(self.shape, rotary_base=1e4), positions).astype(np.float32)


@defect("rotary: base off by a hundredth")
class _NearlyTheBase(SmallEngine):
    def angles(self, positions: np.ndarray) -> np.ndarray:
        base = 1.01 * self.shape.rotary_base
        return rotary_angles(replace(self.shape, rotary_base=base), positions).astype(np.float32)


@defect("rotary: turned the other way")
class _Backwards(SmallEngine):
    def angles(self, positions: np.ndarray) -> np.ndarray:
        return -super().angles(positions)


@defect("rotary: one position late while decoding")
class _Late(SmallEngine):
    def angles(self, positions: np.ndarray) -> np.ndarray:
        return super().angles(positions + 1 if len(positions) == 1 else positions)


@defect("rotary: positions from 64 on are squeezed together")
class _Scaled(SmallEngine):
    def angles(self, positions: np.ndarray) -> np.ndarray:
        return super().angles(np.where(positions < 64, positions, 64 + (positions - 64) // 2))


@defect("rotary: only the first half of the pairs is turned")
class _Partial(SmallEngine):
    def angles(self, positions: np.ndarray) -> np.ndarray:
        angles = super().angles(positions).copy()
        angles[:, self.shape.head_width // 8 :] = 0
        return angles


@defect("rotary: pairs are neighbours, not half a head apart")
class _Neighbours(SmallEngine):
    def load_layer(self, layer: Layer) -> Layer:
        """Queries and keys in another order are the same as pairs of others."""
        shape = self.shape
        order = np.arange(shape.head_width).reshape(-1, 2).T.reshape(-1)
        weight = layer.attention_in_weight.copy()
        for head in range(shape.num_heads + shape.num_key_heads):
            columns = np.arange(head * shape.head_width, (head + 1) * shape.head_width)
            weight[:, columns] = weight[:, columns[order]]
        return replace(layer, attention_in_weight=weight)


LLAMA_DEFECTS["rotary: positions begin anew in each chunk of a prompt"] = DEFECTS[
    "positions: begin anew in each chunk of a prompt"
]


# --- windows


@defect("window: one token too many")
class _WideWindow(SmallEngine):
    def visible(self, places: np.ndarray, start: int, stop: int) -> np.ndarray:
        window = self.shape.window or stop
        return (np.arange(stop) <= places[:, None]) & (np.arange(stop) >= places[:, None] - window)


@defect("window: one token too few")
class _NarrowWindow(SmallEngine):
    def visible(self, places: np.ndarray, start: int, stop: int) -> np.ndarray:
        window = self.shape.window or stop + 1
        return (np.arange(stop) <= places[:, None]) & (np.arange(stop) > places[:, None] - window + 1)


@defect("window: one token too many while decoding")
class _WideDecoding(_WideWindow):
    def visible(self, places: np.ndarray, start: int, stop: int) -> np.ndarray:
        return (
            super().visible(places, start, stop) if len(places) == 1 else SmallEngine.visible(self, places, start, stop)
        )


@defect("window: forgotten")
class _NoWindow(SmallEngine):
    def visible(self, places: np.ndarray, start: int, stop: int) -> np.ndarray:
        seen: np.ndarray = np.arange(stop) <= places[:, None]
        return seen


@defect("window: forgotten while a prompt is read")
class _NoWindowInPrompts(_NoWindow):
    def visible(self, places: np.ndarray, start: int, stop: int) -> np.ndarray:
        return (
            super().visible(places, start, stop) if len(places) > 1 else SmallEngine.visible(self, places, start, stop)
        )


@defect("window: a block of the cache is dropped with its first token")
class _DroppedBlock(SmallEngine):
    def visible(self, places: np.ndarray, start: int, stop: int) -> np.ndarray:
        seen = super().visible(places, start, stop)
        if self.shape.window is None or len(places) > 1:
            return seen
        first = int(places[0]) - self.shape.window + 1
        return seen & (np.arange(stop) >= -(-first // BLOCK) * BLOCK)


@defect("window: counted from the end of a chunk for all of its tokens")
class _ChunkWindow(SmallEngine):
    def visible(self, places: np.ndarray, start: int, stop: int) -> np.ndarray:
        seen = super().visible(places, start, stop)
        return seen if self.shape.window is None else seen & (np.arange(stop) > places[-1] - self.shape.window)


# --- layers


@defect("layers: the first and the last change places")
class _LayerOrder(SmallEngine):
    def set_model(self, transformer: Transformer) -> None:
        super().set_model(transformer)
        self.layers[0], self.layers[-1] = self.layers[-1], self.layers[0]


@defect("layers: the first one's weights are taken for all")
class _OneLayer(SmallEngine):
    def set_model(self, transformer: Transformer) -> None:
        super().set_model(transformer)
        self.layers[:-1] = self.layers[1:]


@defect("layers: while decoding, the last one reads the first one's cache")
class _LayersSlot(SmallEngine):
    def read(self, layer: int, row: Row, stop: int) -> tuple[np.ndarray, np.ndarray]:
        is_last = layer == len(self.layers) - 1
        return super().read(0 if is_last and len(row.tokens) > row.prompt_length else layer, row, stop)


@defect("layers: a token is written into the first one's cache only, while decoding")
class _LayerUnwritten(SmallEngine):
    def write(self, layer: int, row: Row, places: np.ndarray, keys: np.ndarray, values: np.ndarray) -> None:
        empty = len(places) == 1 and layer > 0
        super().write(layer, row, places, 0 * keys if empty else keys, 0 * values if empty else values)


# --- biases of queries, keys and values


@defect("biases: those of queries, keys and values are forgotten")
class _NoHeadBiases(SmallEngine):
    def load_layer(self, layer: Layer) -> Layer:
        return replace(layer, attention_in_bias=0 * layer.attention_in_bias)


@defect("biases: those of keys are taken for those of values")
class _KeyBiases(SmallEngine):
    def load_layer(self, layer: Layer) -> Layer:
        bias = layer.attention_in_bias.copy()
        if bias.size:
            first, size = self.shape.attention_width, self.shape.key_width
            bias[first + size :] = bias[first : first + size]
        return replace(layer, attention_in_bias=bias)


# --- norms, hidden units, vocabulary


LLAMA_DEFECTS["norm: an epsilon ten times as large, in a small stream"] = DEFECTS["norm: an epsilon ten times as large"]


@defect("norm: takes the mean off")
class _TakesMean(SmallEngine):
    @property
    def norm_shape(self) -> Architecture:
        return replace(super().norm_shape, norm="layer_norm")

    def load_layer(self, layer: Layer) -> Layer:
        zeros = np.zeros_like(layer.attention_norm_gain)
        return replace(layer, attention_norm_bias=zeros, mlp_norm_bias=zeros)


@defect("hidden units: the gate and what it is multiplied by change places")
class _GateSwapped(SmallEngine):
    def load_layer(self, layer: Layer) -> Layer:
        return replace(layer, mlp_in_weight=layer.mlp_up_weight, mlp_up_weight=layer.mlp_in_weight)


@defect("vocabulary: ids are 8 bits wide")
class _NarrowIds(SmallEngine):
    def choose(self, row: Row, places: np.ndarray, logits: np.ndarray) -> np.ndarray:
        return super().choose(row, places, logits) % 256


@defect("vocabulary: the last 64 rows of the unembedding are left out")
class _ShortHead(SmallEngine):
    def choose(self, row: Row, places: np.ndarray, logits: np.ndarray) -> np.ndarray:
        return super().choose(row, places, logits[:, : len(self.shape.vocabulary) // 128 * 128 - 64])


@defect("vocabulary: the embedding is taken for the unembedding")
class _Tied(SmallEngine):
    def set_model(self, transformer: Transformer) -> None:
        weights = dict(transformer.named_weights())
        weights["unembedding"] = weights["token_embedding"]
        super().set_model(weights_to_transformer(transformer.architecture, weights))


# --- what cannot be found


@defect("rotary: positions counted from the padding of the batch", UNDETECTABLE_IN_LLAMAS)
class _PaddedPositions(SmallEngine):
    def angles(self, positions: np.ndarray) -> np.ndarray:
        return super().angles(positions + max(row.padding for row in self.rows))


@defect("norm: an epsilon ten times as large, in a stream of the usual size", UNDETECTABLE_IN_LLAMAS)
class _Epsilon(SmallEngine):
    @property
    def epsilon(self) -> float:
        return 10 * self.shape.norm_epsilon


@defect("weights: of the hidden units' gates in float16", UNDETECTABLE_IN_LLAMAS)
class _NarrowUnits(SmallEngine):
    def load_layer(self, layer: Layer) -> Layer:
        weight = layer.mlp_in_weight.astype(np.float16).astype(np.float32)
        return replace(layer, mlp_in_weight=weight)


@defect("norm: gains are one more", UNDETECTABLE_IN_LLAMAS)
class _GainPlusOne(SmallEngine):
    def load_layer(self, layer: Layer) -> Layer:
        return replace(layer, attention_norm_gain=layer.attention_norm_gain + 1, mlp_norm_gain=layer.mlp_norm_gain + 1)
