"""The rounded engine: transformers whose every operation rounds, in exactly the order that the definition fixes.

    x = [token embedding + position embedding]
    each layer:  x = [x + [heads W_O + b_O]],   then  x = [x + [relu [x W_1 + b_1] W_2 + b_2]]
    each head:   scores <q, k> over the context in order, softmax without subtracting a maximum, mixture of the values
    logits:      <x, token embedding>

Every product is rounded, every sum goes left to right (over coordinates, heads side by side; over the context from
position 0) with a rounding after every addition, and the bias comes last. See ``transformer.precision``.

Queries and keys that are the same in every row of a batch, as those of the first layer of a compiled circuit are, have
their scores computed once; the engine finds that out by comparing them, whatever made them.
Shapes: B rows, S tokens of context, D width, H heads, W head width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from serialformer.arrays import Float, Int64
from serialformer.decode.engine import CACHE_BYTES, MAX_ROWS, Engine
from serialformer.errors import EngineError
from serialformer.transformer.precision import NumberFormat, arithmetic_to_format
from serialformer.transformer.transformer import Transformer


@dataclass(frozen=True, kw_only=True, eq=False)
class _Map:
    """A matrix by the non-zero weights of its columns, from the first row to the last, and a bias."""

    start: Int64[np.ndarray, " starts"]
    index: Int64[np.ndarray, " weights"]
    value: Float[np.ndarray, " weights"]
    bias: Float[np.ndarray, " columns"]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Context:
    """Keys and values of one layer; ``keys`` has the context last, because scores are computed along it."""

    keys: Float[np.ndarray, "B H W S"]
    values: Float[np.ndarray, "B H S W"]
    alike: list[bool]  # for each head whether the keys of all rows have been the same so far


class RoundedEngine(Engine):
    """Decodes token by token in the architecture's own arithmetic, keys and values cached.

    Raises:
        EngineError: the transformer has no arithmetic of its own, or weights that are no numbers of it; while
            decoding, a division by zero, with its position, layer and head.
    """

    name = "dense"

    def __init__(self, transformer: Transformer) -> None:
        super().__init__(transformer.architecture)
        arithmetic = transformer.architecture.arithmetic
        if arithmetic is None:
            raise EngineError("the model's arithmetic is that of floats", hint="--engine auto")
        self._format = arithmetic_to_format(arithmetic)
        weights = {name: weight.astype(np.float64) for name, weight in transformer.named_weights()}
        outside = [name for name, weight in weights.items() if not self._format.holds(weight).all()]
        if outside:
            raise EngineError(
                f"weights that {self._format.name} does not hold: {', '.join(outside)}",
                hint="round them with NumberFormat.round, or compile again",
            )
        self._token_embedding = weights["token_embedding"]
        self._position_embedding = weights["position_embedding"]
        self._layers = [
            tuple(
                _sparse(weights[f"layers.{layer}.{part}_weight"], weights[f"layers.{layer}.{part}_bias"])
                for part in ("attention_in", "attention_out", "mlp_in", "mlp_out")
            )
            for layer in range(transformer.architecture.num_layers)
        ]
        self._unembedding = _sparse(self._token_embedding.T, np.zeros(len(self._token_embedding)))

    @property
    def number_format(self) -> NumberFormat:
        """What every operation is rounded to."""
        return self._format

    def rows_at_once(self, num_tokens: int) -> int:
        """As many rows as CACHE_BYTES hold, keys and values in float64."""
        row_bytes = 16 * self.architecture.width * self.architecture.num_layers * max(1, num_tokens)
        return max(1, min(MAX_ROWS, CACHE_BYTES // row_bytes))

    def stream(
        self, prompts: Int64[np.ndarray, "rows prompt"], num_tokens: int
    ) -> Iterator[Int64[np.ndarray, "rows new"]]:
        """Yields the next token of every row, one at a time; takes the cache's memory once, for the whole length."""
        rows, prompt_length = prompts.shape
        num_tokens = self.num_tokens_that_fit(prompts, num_tokens)
        if num_tokens == 0:
            return
        contexts = self._empty_contexts(rows, prompt_length + num_tokens - 1)
        for position in range(prompt_length):
            x_BD = self._extend(prompts[:, position], position, contexts)
        end, ended = self.architecture.end_token, np.zeros(rows, dtype=bool)
        for step in range(num_tokens):
            tokens = np.where(ended, end, self._apply(self._unembedding, x_BD).argmax(axis=-1))
            yield tokens[:, None]
            ended |= tokens == end
            if ended.all() or step == num_tokens - 1:
                return
            x_BD = self._extend(tokens, prompt_length + step, contexts)

    def logits(self, tokens: Int64[np.ndarray, "rows tokens"]) -> Float[np.ndarray, "rows tokens V"]:
        """The logits at every position of whole sequences."""
        contexts = self._empty_contexts(*tokens.shape)
        logits = [
            self._apply(self._unembedding, self._extend(tokens[:, position], position, contexts))
            for position in range(tokens.shape[1])
        ]
        return np.stack(logits, axis=1)

    def streams(self, tokens: Int64[np.ndarray, "rows tokens"]) -> Float[np.ndarray, "layers rows tokens D"]:
        """The residual stream of whole sequences before the first layer and after each one."""
        contexts, positions = self._empty_contexts(*tokens.shape), []
        for position in range(tokens.shape[1]):
            streams: list[np.ndarray] = []
            self._extend(tokens[:, position], position, contexts, streams)
            positions.append(np.stack(streams))
        return np.stack(positions, axis=2)

    def _empty_contexts(self, rows: int, length: int) -> list[_Context]:
        heads, head_width = self.architecture.num_heads, self.architecture.head_width
        return [
            _Context(
                keys=np.zeros((rows, heads, head_width, length)),
                values=np.zeros((rows, heads, length, head_width)),
                alike=[True] * heads,
            )
            for _ in self._layers
        ]

    def _extend(
        self,
        tokens: Int64[np.ndarray, " B"],
        position: int,
        contexts: list[_Context],
        streams: list[np.ndarray] | None = None,
    ) -> Float[np.ndarray, "B D"]:
        """Appends one token to every row; returns the residual stream there, after the last layer, and keeps that of
        all layers in ``streams``.
        """
        rounded = self._format
        x_BD = rounded.add(self._token_embedding[tokens], self._position_embedding[position])
        if streams is not None:
            streams.append(x_BD)
        for number, (into_heads, out_of_heads, into_hidden, out_of_hidden) in enumerate(self._layers):
            projected = self._apply(into_heads, x_BD).reshape(
                len(tokens), 3, self.architecture.num_heads, self.architecture.head_width
            )
            mixed = self._attend(projected, position, contexts[number], number)
            x_BD = rounded.add(x_BD, self._apply(out_of_heads, mixed.reshape(x_BD.shape)))
            hidden = np.maximum(self._apply(into_hidden, x_BD), 0)
            x_BD = rounded.add(x_BD, self._apply(out_of_hidden, hidden))
            if streams is not None:
                streams.append(x_BD)
        return x_BD

    def _attend(
        self, projected: Float[np.ndarray, "B 3 H W"], position: int, context: _Context, layer: int
    ) -> Float[np.ndarray, "B H W"]:
        """Every head's mixture of values at a position, once its own key and value have joined the context."""
        from serialformer.decode.rounded_kernels import evenly_spaced_scores, mix_values, rows_are_alike, scores_of

        rule, length = self._format.rule, position + 1
        score = evenly_spaced_scores if self._format.evenly_spaced else scores_of
        queries, keys, values = projected[:, 0], projected[:, 1], projected[:, 2]
        context.keys[:, :, :, position] = keys
        context.values[:, :, position] = values
        mixed = np.empty_like(values)
        for head in range(queries.shape[1]):
            context.alike[head] = context.alike[head] and rows_are_alike(keys[:, head])
            num_queries = 1 if context.alike[head] and rows_are_alike(queries[:, head]) else len(queries)
            scores = np.empty((num_queries, length))
            for row in range(num_queries):
                score(queries[row, head], context.keys[row, head], length, rule, scores[row])
            result = np.empty((len(queries), values.shape[2]))
            zero = mix_values(self._format.exp(scores), context.values[:, head, :length], rule, result)
            if zero >= 0:
                raise EngineError(
                    f"division by zero in the softmax at position {position}, layer {layer}, head {head}"
                    + (f" (row {zero})" if len(queries) > 1 else ""),
                    hint=f"the exponential of every score rounds to 0 in {self._format.name}",
                )
            mixed[:, head] = result
        return mixed

    def _apply(self, chosen: _Map, x: Float[np.ndarray, "B in"]) -> Float[np.ndarray, "B out"]:
        from serialformer.decode.rounded_kernels import apply_sparse

        rule = self._format.rule
        return apply_sparse(x, chosen.start, chosen.index, chosen.value, chosen.bias, rule)


def _sparse(weight: Float[np.ndarray, "rows columns"], bias: Float[np.ndarray, " columns"]) -> _Map:
    column, row = np.nonzero(weight.T)
    start = np.searchsorted(column, np.arange(weight.shape[1] + 1))
    index = np.ascontiguousarray(row)  # numba compiles each layout separately, and rows of few entries have another
    return _Map(start=start, index=index, value=np.ascontiguousarray(weight[row, column]), bias=bias)
