"""Interventions on a served model: what the page does with its own weights, done here for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from serialformer.arrays import Float, Int64
from serialformer.constructions.placed_tokens import PlacedTokens
from serialformer.errors import InputError
from serialformer.explorer.reading import MADE, MAX_DENSE_POSITIONS, attend_at, check_ids, num_ids, to_plain
from serialformer.transformer.forward import (
    add_attention,
    apply_mlp,
    cast_layer,
    embed,
    project_heads,
    unembed,
)
from serialformer.transformer.transformer import Transformer

KINDS = ("zero", "mean", "head", "residual", "token")


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is changed; see ``interp.interventions``.

    Attributes:
        kind: one of KINDS.
        layer: of the head.
        head: which head.
        part: after which part the residual stream is taken: 0 the embedding, 1, 3, ... the attention of a layer, 2,
            4, ... its feed-forward part.
        position: where.
        token: the id of the new token, in the page's vocabulary.
    """

    kind: str
    layer: int
    head: int
    part: int
    position: int
    token: int


@dataclass(frozen=True, kw_only=True, eq=False)
class _Captured:
    """What a run holds at one position: after each part of the model, and in each head."""

    streams: list[Float[np.ndarray, "1 1 D"]]
    heads: list[Float[np.ndarray, "1 H 1 W"]]


class _Run:
    """A sequence that is read position by position in float64."""

    def __init__(self, transformer: Transformer, length: int) -> None:
        architecture = transformer.architecture
        self.transformer, self.length = transformer, length
        self._layers = [cast_layer(layer, np.float64) for layer in transformer.layers]
        self._keys: list[np.ndarray] = []
        self._values: list[np.ndarray] = []
        for _ in range(architecture.num_layers):
            shape = (architecture.num_key_heads, length, architecture.head_width)
            self._keys.append(np.zeros(shape))
            self._values.append(np.zeros(shape))

    def read(
        self, position: int, token: int, change: Change | None, other: _Captured | None, mean: np.ndarray | None
    ) -> tuple[int, _Captured]:
        """The token that is written, and what happened."""
        architecture = self.transformer.architecture
        at = np.array([position], dtype=np.int64)
        captured = _Captured(streams=[], heads=[])

        def keep(x_BTD: np.ndarray) -> np.ndarray:
            part = len(captured.streams)
            if change is not None and (change.kind, change.part, change.position) == ("residual", part, position):
                assert other is not None
                x_BTD = other.streams[part]
            captured.streams.append(x_BTD)
            return x_BTD

        x_BTD = keep(embed(self.transformer, np.array([[token]]), at, np.float64))
        for number, layer in enumerate(self._layers):
            queries, keys, values = project_heads(x_BTD, layer, architecture, at)
            self._keys[number][:, position] = keys[0, :, 0]
            self._values[number][:, position] = values[0, :, 0]
            _, mixed = attend_at(position, queries, self._keys[number], self._values[number], layer, architecture)
            if change is not None and change.layer == number:
                self._change_head(mixed, change, position, other, mean)
            captured.heads.append(mixed)
            x_BTD = keep(add_attention(x_BTD, mixed, layer))
            x_BTD = keep(apply_mlp(x_BTD, layer, architecture))
        return int(unembed(x_BTD, self.transformer)[0, 0].argmax()), captured

    def _change_head(
        self, mixed: np.ndarray, change: Change, position: int, other: _Captured | None, mean: np.ndarray | None
    ) -> None:
        if change.kind == "zero":
            mixed[0, change.head, 0] = 0
        elif change.kind == "mean":
            mixed[0, change.head, 0] = mean
        elif change.kind == "head" and change.position == position:
            assert other is not None
            mixed[0, change.head, 0] = other.heads[change.layer][0, change.head, 0]


def intervene(
    transformer: Transformer,
    tokens: Int64[np.ndarray, " tokens"],
    change: Change,
    other: Int64[np.ndarray, " tokens"] | None,
    first: int,
    placed: PlacedTokens | None,
) -> dict[str, list[int]]:
    """What is read and written with an intervention, and what is read in the other run.

    Args:
        transformer: the model.
        tokens: ids in the page's vocabulary, ``MADE`` where the model's own is to be read.
        change: what is changed.
        other: the same of the other run, for ``head`` and ``residual``.
        first: the first position that writes; means are taken from there on.
        placed: the model's tokens, if each says where it stands.

    Raises:
        InputError: there are too many tokens, or there is no such part, position, token or other run.
    """
    _check(transformer, tokens, change, other, first, placed)
    patched, found_other = None, []
    if other is not None and change.kind in ("head", "residual"):
        run = list(_go_through(transformer, other, placed, None, None, None))
        patched = run[change.position][2]
        found_other = to_plain(placed, np.array([read for read, _, _ in run]), 0)
    mean = None
    if change.kind == "mean":
        clean = list(_go_through(transformer, tokens, placed, None, None, None))
        mean = np.mean([captured.heads[change.layer][0, change.head, 0] for _, _, captured in clean[first:]], axis=0)
    elif change.kind == "token":
        tokens = tokens.copy()
        tokens[change.position] = change.token
    found = list(_go_through(transformer, tokens, placed, change, patched, mean))
    return {
        "tokens": to_plain(placed, np.array([read for read, _, _ in found]), 0),
        "said": to_plain(placed, np.array([said for _, said, _ in found]), 1),
        "other": found_other,
    }


def _go_through(
    transformer: Transformer,
    tokens: Int64[np.ndarray, " tokens"],
    placed: PlacedTokens | None,
    change: Change | None,
    other: _Captured | None,
    mean: np.ndarray | None,
) -> Iterator[tuple[int, int, _Captured]]:
    """Position by position the token that is read, the token that is written, and what happened."""
    given = tokens if placed is None else placed.place(np.maximum(tokens, 0)[None])[0]
    run = _Run(transformer, len(tokens))
    said = 0
    for position in range(len(tokens)):
        token = said if tokens[position] == MADE else int(given[position])
        said, captured = run.read(position, token, change, other, mean)
        yield token, said, captured


def _check(
    transformer: Transformer,
    tokens: Int64[np.ndarray, " tokens"],
    change: Change,
    other: Int64[np.ndarray, " tokens"] | None,
    first: int,
    placed: PlacedTokens | None,
) -> None:
    architecture = transformer.architecture
    num_tokens = num_ids(architecture, placed)
    most = min(MAX_DENSE_POSITIONS, architecture.num_positions if placed is None else placed.num_positions)
    for sequence in (tokens, *(() if other is None else (other,))):
        if not 0 < len(sequence) <= most or len(sequence) != len(tokens):
            raise InputError(f"expected from 1 to {most:,} tokens, and the other run as long")
        check_ids(sequence, num_tokens)
    if change.kind not in KINDS or (other is None and change.kind in ("head", "residual")):
        raise InputError(f"expected one of {', '.join(KINDS)}, and another run to patch from")
    limits = (
        (change.layer, architecture.num_layers),
        (change.head, architecture.num_heads),
        (change.part, 2 * architecture.num_layers + 1),
        (change.position, len(tokens)),
        (change.token, num_tokens),
        (first, len(tokens)),
    )
    if not all(0 <= value < limit for value, limit in limits):
        raise InputError("there is no such layer, head, part, position or token")


def read_change(body: Any) -> Change:
    """A change from JSON.

    Raises:
        InputError: it is none.
    """
    names = ("layer", "head", "part", "position", "token")
    if not isinstance(body, dict) or any(type(body.get(name)) is not int for name in names):
        raise InputError(f"expected whole numbers as {', '.join(names)}")
    return Change(kind=str(body.get("kind")), **{name: body[name] for name in names})
