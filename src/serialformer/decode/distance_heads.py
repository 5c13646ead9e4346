"""Heads of a Llama that look by distance: they read the token that stands a fixed number of positions back.

Before they are rotated, the query of such a head is the same for every token, and so is its key. The score of two
positions then depends on their distance alone, and is worked out for every distance that can be seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serialformer.architecture import Architecture
from serialformer.arrays import Bool, Float64, Int64

ANGLE_ERROR = 2.0**-22
"""How far float32 can be off in an angle, as a part of the largest angle of the pair."""

ROUNDOFF = 2.0**-24


@dataclass(frozen=True, kw_only=True, eq=False)
class DistanceHead:
    """What a head by distance does, before the factors of the norm.

    Attributes:
        distance: how far back the token stands that it reads.
        product: of query and key at that distance.
        lead: by how much that exceeds the product at every other distance.
        error: how far rotating in float32 can move a product.
        is_alike: for each token whether it has the query and the key that all others have.
    """

    distance: int
    product: float
    lead: float
    error: float
    is_alike: Bool[np.ndarray, " vocabulary"]


def find_distance(
    queries: Float64[np.ndarray, "vocabulary width"],
    keys: Float64[np.ndarray, "vocabulary width"],
    architecture: Architecture,
) -> DistanceHead | None:
    """The distance at which a head looks; None if its queries or keys differ from token to token."""
    is_alike = np.ones(len(queries), dtype=bool)
    pairs = []
    for rows in (queries, keys):
        used = np.flatnonzero(rows.any(axis=1))
        if not len(used):
            return None
        row = rows[used[len(used) // 2]]
        is_same = (rows == row).all(axis=1)
        if 2 * np.count_nonzero(is_same) <= len(used):
            return None
        is_alike &= is_same
        first, second = np.split(row, 2)
        pairs.append(first + 1j * second)
    half = len(pairs[0])
    turns = architecture.rotary_base ** (-2.0 * np.arange(half) / architecture.head_width)
    num_seen = min(architecture.num_positions, architecture.window or architecture.num_positions)
    products = pairs[0] * pairs[1].conj()
    angles = np.arange(num_seen)[:, None] * turns
    scores = np.cos(angles) @ products.real - np.sin(angles) @ products.imag
    distance = int(scores.argmax())
    sizes = np.abs(products)
    turned = 2 * architecture.num_positions * turns * ANGLE_ERROR + 16 * ROUNDOFF
    return DistanceHead(
        distance=distance,
        product=float(scores[distance]),
        lead=float(scores[distance] - np.delete(scores, distance).max(initial=-np.inf)),
        error=float((sizes * turned).sum()),
        is_alike=is_alike,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class FarSources:
    """What heads by distance read: each entry is a distance, and which of two values a token brings from there.

    Attributes:
        distances: of each entry.
        is_second: for each entry and each token whether it brings the second of the two values.
        tokens: for each entry a token that brings the first, and one that brings the second.
    """

    distances: Int64[np.ndarray, " entries"]
    is_second: Bool[np.ndarray, "entries vocabulary"]
    tokens: Int64[np.ndarray, "entries two"]


def two_values(
    values: Float64[np.ndarray, "vocabulary columns"], is_known: Bool[np.ndarray, " vocabulary"]
) -> tuple[Bool[np.ndarray, " vocabulary"], tuple[int, int]] | None:
    """Which of two values each known token brings, and a token for each of the two; None if there are more values.

    >>> values = np.array([[1.0], [5.0], [1.0], [9.0]])
    >>> is_second, tokens = two_values(values, np.array([True, True, True, False]))
    >>> is_second.tolist(), tokens
    ([False, True, False, False], (0, 1))
    """
    known = np.flatnonzero(is_known)
    first = int(known[0])
    others = known[(values[known] != values[first]).any(axis=1)]
    is_second = np.zeros(len(values), dtype=bool)
    is_second[others] = True
    second = int(others[0]) if len(others) else first
    return (is_second, (first, second)) if (values[others] == values[second]).all() else None
