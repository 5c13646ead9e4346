"""Which position each head attends to: tables for the first layer, and the grids on which keys are searched.

A head can be indexed if its keys lie near the points of a grid (every coordinate near an offset plus a whole number of
steps): signs, digits, anagrams, codes of any such kind. A query that is near a multiple of such a point looks that
point up in a hash table. ``kernels.score_gap`` then bounds from below by how much the key found beats every other, and
softmax's weight on the others follows. In the first layer queries and keys depend on position and current token alone,
so all of that is done once for all contexts.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from jaxtyping import Float64, Int32, Int64

from serialformer.decode.flat import SparseMap, reorder_outputs, to_dense
from serialformer.decode.kernels import NO_MATCH, index_codes, key_codes, route_queries
from serialformer.decode.rounding import LARGEST_LEAK

SAMPLE = 256
"""How many positions are looked at to find the grid of a head's keys."""

_LARGEST_STEPS = 100


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Points whose coordinates are ``offset`` plus a whole number of ``step``."""

    offset: float
    step: float


@dataclass(frozen=True, kw_only=True, eq=False)
class KeyShape:
    """What the keys of a head look like.

    Attributes:
        order: its coordinates, those that tell keys apart first.
        coded: how many these are; the others are nearly zero.
        grid: where these lie.
        largest_norm: the norm of the longest key seen, rounded to the grid.
    """

    order: Int64[np.ndarray, " coordinates"]
    coded: int
    grid: Grid
    largest_norm: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Routing:
    """What is known of one head of the first layer.

    Attributes:
        targets: for each position the one it attends to, or NO_MATCH; None if the head cannot be indexed.
        least_gap: the least score gap of those found.
        refusal: why the head cannot be indexed, or "".
    """

    targets: Int32[np.ndarray, " positions"] | None
    least_gap: float = float("inf")
    refusal: str = ""


def find_grid(coordinates: Float64[np.ndarray, " sample"]) -> Grid | None:
    """The grid on which these numbers lie, roughly; None if there is none to be seen.

    >>> find_grid(np.array([-3.0, -1.0, 1.01, 3.0, 0.99, -1.0]))
    Grid(offset=-3.0, step=2.0)
    >>> find_grid(np.sqrt(np.arange(50))) is None
    True
    """
    ordered = np.sort(coordinates)
    if len(ordered) == 0 or not np.isfinite(ordered).all():
        return None
    differences = np.diff(ordered)
    spread = ordered[-1] - ordered[0]
    if spread <= 1e-9 * max(1.0, abs(ordered[-1])):
        return None
    cuts = np.flatnonzero(differences > differences.max() / 4)
    levels = np.array([part.mean() for part in np.split(ordered, cuts + 1)])
    widths = np.array([part[-1] - part[0] for part in np.split(ordered, cuts + 1)])
    step = float(np.diff(levels).min())
    steps = (levels - levels[0]) / step
    if widths.max() > step / 2 or steps[-1] > _LARGEST_STEPS or np.abs(steps - np.rint(steps)).max() > 0.25:
        return None
    step = float((levels[-1] - levels[0]) / np.rint(steps[-1]))
    return Grid(offset=_tidy(float(levels[0])), step=_tidy(step))


def find_key_shape(keys: Float64[np.ndarray, "sample coordinates"]) -> KeyShape | None:
    """What these keys look like; None if they lie on no grid."""
    if keys.size == 0 or not np.isfinite(keys).all():
        return None
    size = np.abs(keys).max(axis=0)
    is_coded = size > size.max() / 8
    coordinates = keys[:, is_coded]
    grid = find_grid(coordinates.ravel())
    if grid is None:
        return None
    points = grid.offset + grid.step * np.rint((coordinates - grid.offset) / grid.step)
    return KeyShape(
        order=np.argsort(~is_coded, kind="stable"),
        coded=int(is_coded.sum()),
        grid=grid,
        largest_norm=sqrt(float((points**2).sum(axis=1).max())),
    )


def _tidy(value: float) -> float:
    """A number near a whole one is taken for it: the rest is the rounding of layer norm."""
    return float(round(value)) if abs(value - round(value)) < 0.01 and round(value) else value


def needed_gap(num_positions: int, head_width: int) -> float:
    """The least lead in a product of query and key that leaves the others at most LARGEST_LEAK of the weight."""
    return log(max(2, num_positions) / LARGEST_LEAK) * sqrt(head_width)


def route_head(
    query: SparseMap,
    key: SparseMap,
    tokens: Float64[np.ndarray, "vocabulary width"],
    positions: np.ndarray,
    *,
    epsilon: float,
    head_width: int,
) -> Routing:
    """The routing of a head of the first layer, for every position and whatever the tokens are.

    Args:
        query: the head's map to its query.
        key: the head's map to its key.
        tokens: the token embedding.
        positions: the position embedding (float32).
        epsilon: of the layer norm.
        head_width: the width by whose root scores are divided.
    """
    num_positions = len(positions)
    tokens = tokens[alike_tokens(np.union1d(query.index, key.index), tokens, positions)]
    needed = needed_gap(num_positions, head_width)
    if num_positions == 1:
        return Routing(targets=np.zeros(1, dtype=np.int32))
    sample = np.unique(np.linspace(0, num_positions - 1, SAMPLE).astype(int))
    embedded = tokens[:, None] + positions[sample].astype(np.float64)
    shape = find_key_shape(apply_normed(key, embedded.reshape(-1, tokens.shape[1]), epsilon))
    if shape is None:
        return Routing(targets=None, refusal="its keys lie on no grid")
    query, key, grid = reorder_outputs(query, shape.order), reorder_outputs(key, shape.order), shape.grid
    codes = np.zeros((num_positions, shape.coded), dtype=np.int8)
    stray, furthest, least_sum, largest_sum, largest_norm, key_error = key_codes(
        *key.arrays(), tokens, positions, epsilon, grid.offset, grid.step, codes
    )
    if stray >= 0:
        return Routing(targets=None, refusal=f"the key of position {stray} depends on its token or is off the grid")
    slots, again = index_codes(codes)
    # Two points of one coordinate sum differ in two coordinates at least.
    least = grid.step * (sqrt(2) if least_sum == largest_sum else 1)
    targets = np.empty(num_positions, dtype=np.int32)
    gap = route_queries(
        *query.arrays(), tokens, positions, epsilon, grid.offset, grid.step, codes, slots, again,
        sqrt(largest_norm), least, furthest, key_error, needed, targets,
    )  # fmt: skip
    if (targets == NO_MATCH).all():
        return Routing(targets=None, refusal="no query finds a key with a gap that is large enough")
    return Routing(targets=targets, least_gap=gap / sqrt(head_width))


def alike_tokens(
    read: Int32[np.ndarray, " read"], tokens: Float64[np.ndarray, "vocabulary width"], positions: np.ndarray
) -> Int64[np.ndarray, " representatives"]:
    """One token of each class that a map reading these dimensions cannot tell apart, at whatever position.

    Alike are tokens that agree in the dimensions that are read or that positions use, and in what layer norm and its
    rounding see of the others: their sum, their square norm and their largest coordinate.
    """
    shared = (positions != 0).any(axis=0)
    shared[read] = True
    rest = tokens[:, ~shared]
    summary = [rest.sum(axis=1), (rest * rest).sum(axis=1), np.abs(rest).max(axis=1, initial=0.0)]
    _, first = np.unique(np.column_stack([tokens[:, shared], *summary]), axis=0, return_index=True)
    return np.sort(first)


def apply_normed(
    sparse: SparseMap, x: Float64[np.ndarray, "rows width"], epsilon: float
) -> Float64[np.ndarray, "rows outputs"]:
    """The map, with the layer norm that is folded into it, applied to rows."""
    mean, variance = x.mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True)
    return (x - mean) @ to_dense(sparse, x.shape[1]) / np.sqrt(variance + epsilon) + sparse.bias
