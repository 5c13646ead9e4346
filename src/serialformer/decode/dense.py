"""The dense engine: every token attends to the whole context, keys and values cached. Numpy, small, readable.

It is the oracle of the faster engines: nothing here knows what the weights mean.
Shapes: B rows, T new tokens, S tokens of context, D width, G heads with keys of their own, W head width.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from serialformer.arrays import Float, Int64
from serialformer.decode.engine import Engine
from serialformer.transformer.forward import (
    QUERIES_PER_BLOCK,
    add_attention,
    apply_mlp,
    attend,
    cast_layer,
    embed,
    project_heads,
    refuse_rounded_arithmetic,
    score_bias,
    unembed,
    visible_keys,
)
from serialformer.transformer.transformer import Transformer


class DenseEngine(Engine):
    """Decodes with a key-value cache, in float32 whatever the number format of the weights."""

    name = "dense"

    def __init__(self, transformer: Transformer) -> None:
        super().__init__(transformer.architecture)
        refuse_rounded_arithmetic(transformer)
        self._transformer = transformer
        self._layers = [cast_layer(layer, np.float32) for layer in transformer.layers]

    def stream(
        self, prompts: Int64[np.ndarray, "rows prompt"], num_tokens: int
    ) -> Iterator[Int64[np.ndarray, "rows new"]]:
        """Yields the next token of every row, one at a time; takes the cache's memory once, for the whole length."""
        architecture = self.architecture
        rows, prompt_length = prompts.shape
        num_tokens = self.num_tokens_that_fit(prompts, num_tokens)
        if num_tokens == 0:
            return
        cache = self._empty_cache(rows, prompt_length + num_tokens - 1)
        last_BD = np.empty((rows, architecture.width), np.float32)
        for start in range(0, prompt_length, QUERIES_PER_BLOCK):
            last_BD = self._extend(prompts[:, start : start + QUERIES_PER_BLOCK], start, cache)
        ended = np.zeros(rows, dtype=bool)
        for step in range(num_tokens):
            tokens = unembed(last_BD, self._transformer).argmax(axis=-1)
            tokens = np.where(ended, architecture.end_token, tokens)
            yield tokens[:, None]
            ended |= tokens == architecture.end_token
            if ended.all() or step == num_tokens - 1:
                return
            last_BD = self._extend(tokens[:, None], prompt_length + step, cache)

    def keys(self, prompts: Int64[np.ndarray, "rows prompt"], num_tokens: int) -> list[Float[np.ndarray, "rows G S W"]]:
        """The keys of every layer and head over the prompts and up to ``num_tokens`` new tokens but the last.

        The last one is not read by what is decoded; an end token among the keys could make them look like others.
        """
        made = self.generate(prompts, num_tokens)
        tokens = np.concatenate([prompts, made[:, :-1]], axis=1)[:, : self.architecture.num_positions]
        cache = self._empty_cache(*tokens.shape)
        for start in range(0, tokens.shape[1], QUERIES_PER_BLOCK):
            self._extend(tokens[:, start : start + QUERIES_PER_BLOCK], start, cache)
        return [keys for keys, _ in cache]

    def streams(self, tokens: Int64[np.ndarray, "rows tokens"]) -> Float[np.ndarray, "layers rows tokens D"]:
        """The residual stream of whole sequences before the first layer and after each one."""
        blocks = []
        cache = self._empty_cache(*tokens.shape)
        for start in range(0, tokens.shape[1], QUERIES_PER_BLOCK):
            block: list[np.ndarray] = []
            self._extend(tokens[:, start : start + QUERIES_PER_BLOCK], start, cache, block)
            blocks.append(np.stack(block))
        return np.concatenate(blocks, axis=2)

    def _empty_cache(self, rows: int, length: int) -> list[tuple[np.ndarray, np.ndarray]]:
        shape = (rows, self.architecture.num_key_heads, length, self.architecture.head_width)
        return [(np.empty(shape, np.float32), np.empty(shape, np.float32)) for _ in self._layers]

    def _extend(
        self,
        tokens: Int64[np.ndarray, "B T"],
        start: int,
        cache: list[tuple[np.ndarray, np.ndarray]],
        streams: list[np.ndarray] | None = None,
    ) -> Float[np.ndarray, "B D"]:
        """Appends tokens to the cache; returns the residual stream at the last of them, and keeps that of all layers
        in ``streams``.
        """
        architecture = self.architecture
        stop = start + tokens.shape[1]
        positions = np.arange(start, stop)
        x_BTD = embed(self._transformer, tokens, positions, np.float32)
        if streams is not None:
            streams.append(x_BTD)
        sees_all = stop - start == 1 and architecture.window is None
        visible = None if sees_all else visible_keys(architecture, positions, stop)
        for layer, (keys_BGSW, values_BGSW) in zip(self._layers, cache, strict=True):
            queries, keys, values = project_heads(x_BTD, layer, architecture, positions)
            keys_BGSW[:, :, start:stop] = keys
            values_BGSW[:, :, start:stop] = values
            mixed = attend(
                queries,
                keys_BGSW[:, :, :stop],
                values_BGSW[:, :, :stop],
                visible,
                scaled=architecture.scaled_scores,
                bias=score_bias(layer, positions, stop),
            )
            x_BTD = apply_mlp(add_attention(x_BTD, mixed, layer), layer, architecture)
            if streams is not None:
                streams.append(x_BTD)
        return x_BTD[:, -1]
