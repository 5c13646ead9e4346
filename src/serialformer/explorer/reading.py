"""Reading: one sequence as a model reads it, and what happens at each of its positions; what a served page asks for."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from serialformer.architecture import Architecture
from serialformer.arrays import Float, Int64
from serialformer.constructions.placed_tokens import ABSENT, PlacedTokens
from serialformer.decode.engine import make_engine
from serialformer.errors import InputError
from serialformer.transformer.forward import (
    QUERIES_PER_BLOCK,
    add_attention,
    apply_mlp,
    attention_shares,
    cast_layer,
    compute_attention,
    embed,
    hidden_units,
    mix_values,
    project_heads,
    score_bias,
    unembed,
    visible_keys,
)
from serialformer.transformer.transformer import Layer, Transformer

MADE = -1
"""Stands for a token that the model makes itself."""

MAX_CACHE_BYTES = 1 << 30
"""Of keys and values, in float64, for one sequence."""

MAX_DENSE_POSITIONS = 4096
"""Longer sequences compute attention only for the position that is looked at; for all, it would take quadratic time."""

NUM_LOOKS, NUM_UNITS = 24, 12
"""The most positions of a head, and the most hidden units, that are reported."""


def num_ids(architecture: Architecture, placed: PlacedTokens | None) -> int:
    """The size of the vocabulary that the page uses."""
    return len(architecture.vocabulary) if placed is None else placed.num_plain


def check_ids(tokens: Int64[np.ndarray, " tokens"], num_tokens: int) -> None:
    """Refuses what is no token id, or begins with ``MADE``."""
    if tokens[0] == MADE or tokens.min() < MADE or tokens.max() >= num_tokens:
        raise InputError("expected token ids of the model's vocabulary, the first of them given")


class Reading:
    """A sequence that a model has read, in float64, with its keys and values.

    Args:
        transformer: the model.
        tokens: token ids, ``MADE`` where the model's own is to be read.
        placed: the model's tokens, if each says where it stands; the page speaks of plain ones then.

    Raises:
        InputError: there are too many tokens, or one is not in the vocabulary.
    """

    def __init__(
        self, transformer: Transformer, tokens: Int64[np.ndarray, " tokens"], placed: PlacedTokens | None = None
    ) -> None:
        architecture = transformer.architecture
        count = len(tokens)
        num_bytes = 16 * count * architecture.width * architecture.num_layers
        deep = architecture.num_layers > 1 and count > MAX_DENSE_POSITIONS
        if not 0 < count <= architecture.num_positions or num_bytes > MAX_CACHE_BYTES or deep:
            raise InputError(
                f"{count:,} tokens are too many to look into", where=f"{architecture.num_positions:,} positions"
            )
        if placed is not None and count > placed.num_positions:
            raise InputError(f"{count:,} tokens, and tokens for {placed.num_positions:,} positions only")
        check_ids(tokens, num_ids(architecture, placed))
        started = time.perf_counter()
        self.transformer = transformer
        self._placed = placed
        if placed is not None:
            tokens = np.where(tokens == MADE, MADE, placed.place(np.maximum(tokens, 0)[None])[0])
        self._layers = [cast_layer(layer, np.float64) for layer in transformer.layers]
        self.tokens = _fill_in(transformer, tokens)
        self.said = np.append(self.tokens[1:], 0)
        self.tops = np.full((count, architecture.num_layers, architecture.num_heads), -1, dtype=np.int64)
        self._keys: list[Float[np.ndarray, "G S W"]] = []
        self._values: list[Float[np.ndarray, "G S W"]] = []
        self._read()
        self.milliseconds = 1000 * (time.perf_counter() - started)

    def summary(self) -> dict[str, Any]:
        """The data that the page needs first: tokens, predictions, and where heads look with more than half."""
        return {
            "tokens": to_plain(self._placed, self.tokens, 0),
            "said": to_plain(self._placed, self.said, 1),
            "tops": self.tops.reshape(-1).tolist(),
            "milliseconds": self.milliseconds,
        }

    def view(self, position: int) -> dict[str, Any]:
        """All that happens at a position: attention, residual stream, hidden units, logits.

        Raises:
            InputError: there is no such position.
        """
        if not 0 <= position < len(self.tokens):
            raise InputError(f"no position {position}", where=f"{len(self.tokens):,} tokens")
        architecture = self.transformer.architecture
        at = np.array([position], dtype=np.int64)
        x_BTD = embed(self.transformer, self.tokens[None, at], at, np.float64)
        stages = [{"label": "embedding", "values": x_BTD[0, 0].tolist()}]
        attention, others, units = [], [], []
        for number, layer in enumerate(self._layers):
            suffix = f" {number}" if len(self._layers) > 1 else ""
            queries, _, _ = project_heads(x_BTD, layer, architecture, at)
            shares, mixed = attend_at(position, queries, self._keys[number], self._values[number], layer, architecture)
            looks = [_largest(row, NUM_LOOKS) for row in shares[0, :, 0]]
            attention.append(
                [
                    [{"position": int(key), "weight": float(row[key])} for key in top]
                    for row, top in zip(shares[0, :, 0], looks, strict=True)
                ]
            )
            others.append(
                [float(np.delete(row, top[0]).sum()) for row, top in zip(shares[0, :, 0], looks, strict=True)]
            )
            x_BTD = add_attention(x_BTD, mixed, layer)
            stages.append({"label": f"after attention{suffix}", "values": x_BTD[0, 0].tolist()})
            hidden = hidden_units(x_BTD, layer, architecture)[0, 0]
            fired = [int(unit) for unit in _largest(np.abs(hidden), NUM_UNITS) if abs(hidden[unit]) > 1e-3]
            units.append([{"unit": unit, "value": float(hidden[unit])} for unit in fired])
            x_BTD = apply_mlp(x_BTD, layer, architecture)
            stages.append({"label": f"after feed-forward{suffix}", "values": x_BTD[0, 0].tolist()})
        return {
            "position": position,
            "attention": attention,
            "others": others,
            "stages": stages,
            "units": units,
            "logits": self._plain_logits(unembed(x_BTD, self.transformer)[0, 0], position).tolist(),
        }

    def _plain_logits(self, logits: Float[np.ndarray, " vocabulary"], position: int) -> Float[np.ndarray, " shown"]:
        """The logits of the tokens that the page names; of those that cannot follow, the least of all logits."""
        placed = self._placed
        if placed is None:
            return logits
        shown = np.full(placed.num_plain, logits.min())
        if position + 1 < placed.num_positions:
            following = placed.ids[position + 1]
            shown[following != ABSENT] = logits[following[following != ABSENT]]
        shown[placed.plain_end] = max(shown[placed.plain_end], logits[self.transformer.architecture.end_token])
        return shown

    def attention_rows(self, limit: int) -> list[list[list[float]]]:
        """For each layer and head all attention weights, row by row.

        Raises:
            InputError: there are more than ``limit`` of them.
        """
        architecture = self.transformer.architecture
        total = architecture.num_layers * architecture.num_heads * len(self.tokens) ** 2
        if total > limit:
            raise InputError(f"{total:,} attention weights, at most {limit:,} are shown")
        layers = compute_attention(self.transformer, self.tokens[None])
        return [[head.reshape(-1).tolist() for head in layer[0]] for layer in layers]

    def _read(self) -> None:
        """Keys and values of every layer; also predictions and attended positions, unless there are too many."""
        architecture, count = self.transformer.architecture, len(self.tokens)
        x_BTD = embed(self.transformer, self.tokens[None], np.arange(count), np.float64)
        is_dense = count <= MAX_DENSE_POSITIONS
        for number, layer in enumerate(self._layers):
            queries, keys, values = project_heads(x_BTD, layer, architecture, np.arange(count))
            self._keys.append(keys[0])
            self._values.append(values[0])
            if not is_dense:
                continue
            mixed = np.empty_like(queries)
            for start in range(0, count, QUERIES_PER_BLOCK):
                at = np.arange(start, min(start + QUERIES_PER_BLOCK, count))
                stop = int(at[-1]) + 1
                shares = attention_shares(
                    queries[:, :, at],
                    keys[:, :, :stop],
                    visible_keys(architecture, at, stop),
                    scaled=architecture.scaled_scores,
                    bias=score_bias(layer, at, stop),
                )
                mixed[:, :, at] = mix_values(shares, values[:, :, :stop])
                top = shares[0].argmax(axis=-1)
                share = np.take_along_axis(shares[0], top[..., None], axis=-1)[..., 0]
                self.tops[at, number] = np.where(share > 0.5, top, -1).T
            x_BTD = add_attention(x_BTD, mixed, layer)
            x_BTD = apply_mlp(x_BTD, layer, architecture)
        if is_dense:
            self.said = unembed(x_BTD, self.transformer)[0].argmax(axis=-1)
        else:
            logits = np.array(self.view(count - 1)["logits"])
            self.said[-1] = int(logits.argmax())
            if self._placed is not None and count < self._placed.num_positions:
                self.said[-1] = int(self._placed.ids[count, int(logits.argmax())])


def attend_at(
    position: int,
    queries: Float[np.ndarray, "1 H 1 W"],
    keys: Float[np.ndarray, "G S W"],
    values: Float[np.ndarray, "G S W"],
    layer: Layer,
    architecture: Architecture,
) -> tuple[Float[np.ndarray, "1 H 1 keys"], Float[np.ndarray, "1 H 1 W"]]:
    """The shares of attention of one position, and what each head brings."""
    at = np.array([position], dtype=np.int64)
    shares = attention_shares(
        queries,
        keys[None, :, : position + 1],
        visible_keys(architecture, at, position + 1),
        scaled=architecture.scaled_scores,
        bias=score_bias(layer, at, position + 1),
    )
    return shares, mix_values(shares, values[None, :, : position + 1])


def to_plain(placed: PlacedTokens | None, tokens: Int64[np.ndarray, " tokens"], first: int) -> list[int]:
    """Tokens as the page names them; ``<unk>`` for one that does not belong where it stands.

    Args:
        placed: the model's tokens, if each says where it stands.
        tokens: ids of the model.
        first: the position of the first of them.
    """
    if placed is None:
        return tokens.tolist()
    read = placed.read(tokens[None], first)[0]
    return np.minimum(read, placed.num_plain - 1).tolist()


def _fill_in(transformer: Transformer, tokens: Int64[np.ndarray, " tokens"]) -> Int64[np.ndarray, " tokens"]:
    """The tokens with those that the model makes, by the fastest engine there is."""
    filled = tokens.copy()
    is_made = tokens == MADE
    if not is_made.any():
        return filled
    engine = make_engine("auto", transformer)
    starts = np.flatnonzero(is_made & ~np.append(False, is_made[:-1]))
    for start in starts.tolist():
        given = np.flatnonzero(~is_made[start:])
        stop = start + int(given[0]) if len(given) else len(tokens)
        made = engine.generate(filled[None, :start], stop - start)[0]
        filled[start:stop] = transformer.architecture.end_token
        filled[start : start + len(made)] = made
    return filled


def _largest(values: Float[np.ndarray, " values"], count: int) -> Int64[np.ndarray, " largest"]:
    """Where the largest are, largest first, the first of equals first."""
    return np.argsort(-values, kind="stable")[:count].astype(np.int64)
