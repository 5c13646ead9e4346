"""Which position each head attends to: tables for the first layer, and the grids on which keys are searched.

A head can be indexed if its keys lie near the points of a grid (every coordinate near an offset plus a whole number of
steps): signs, digits, position codes, codes of any such kind. A query that is near a multiple of such a point looks it
up in a hash table. ``kernels.score_gap`` then bounds from below by how much the key found beats every other, and
softmax's weight on the others follows. In the first layer queries and keys depend on position and current token alone,
so all of that is done once for all contexts.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from math import log, sqrt

import numpy as np

from serialformer.arrays import Float32, Float64, Int32, Int64
from serialformer.decode.flat import SparseMap, reorder_outputs, to_dense
from serialformer.decode.kernels import NO_MATCH, embedded_norms
from serialformer.decode.records import Inputs, KeyTable
from serialformer.decode.rounding import LARGEST_LEAK
from serialformer.decode.routing_kernels import index_codes, key_codes, route_queries
from serialformer.transformer.key_shape import find_key_shape

SAMPLE = 256
"""How many positions are looked at to find the grid of a head's keys."""


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


@dataclass(frozen=True, kw_only=True, eq=False)
class _Keys:
    """The keys of a head, or why they cannot be indexed.

    Attributes:
        order: of the coordinates; those that tell keys apart come first.
        table: the keys; None if they cannot be indexed.
        refusal: why not, or "".
    """

    order: Int64[np.ndarray, " outputs"] | None = None
    table: KeyTable | None = None
    refusal: str = ""


class KnownKeys:
    """The keys and norms that are known: heads that ask for the same names have the same keys, and need one index.

    Positions and epsilon are those of one model.
    """

    def __init__(self) -> None:
        self._found: dict[bytes, _Keys] = {}
        self._inputs: dict[bytes, Inputs] = {}

    def find(self, key: SparseMap, inputs: Inputs, epsilon: float) -> _Keys:
        """The keys of a map at these tokens and positions."""
        name = _digest(inputs.tokens, *key.arrays())
        if name not in self._found:
            self._found[name] = _index_keys(key, inputs, epsilon)
        return self._found[name]

    def inputs(
        self,
        tokens: Float64[np.ndarray, "vocabulary width"],
        positions: Float32[np.ndarray, "positions width"],
        epsilon: float,
    ) -> Inputs:
        """These tokens at these positions, with their norms."""
        name = _digest(tokens)
        if name not in self._inputs:
            norms = np.empty((len(positions), len(tokens), 4))
            embedded_norms(tokens, positions, epsilon, norms)
            self._inputs[name] = Inputs(tokens=tokens, positions=positions, norms=norms)
        return self._inputs[name]


def _digest(*arrays: np.ndarray) -> bytes:
    digest = sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str} {array.shape} ".encode())
        digest.update(array.tobytes())
    return digest.digest()


def needed_gap(num_positions: int, head_width: int) -> float:
    """The least lead in a product of query and key that leaves the others at most LARGEST_LEAK of the weight."""
    return log(max(2, num_positions) / LARGEST_LEAK) * sqrt(head_width)


def route_head(
    query: SparseMap,
    key: SparseMap,
    tokens: Float64[np.ndarray, "vocabulary width"],
    positions: Float32[np.ndarray, "positions width"],
    *,
    epsilon: float,
    head_width: int,
    known: KnownKeys | None = None,
) -> Routing:
    """The routing of a head of the first layer, for every position and whatever the tokens are.

    Args:
        query: the head's map to its query.
        key: the head's map to its key.
        tokens: the token embedding.
        positions: the position embedding (float32).
        epsilon: of the layer norm.
        head_width: the width by whose root scores are divided.
        known: the keys of other heads of the same model, to which those of this one are added.
    """
    num_positions = len(positions)
    tokens = tokens[alike_tokens(np.union1d(query.index, key.index), tokens, positions)]
    needed = needed_gap(num_positions, head_width)
    if num_positions == 1:
        return Routing(targets=np.zeros(1, dtype=np.int32))
    known = known or KnownKeys()
    inputs = known.inputs(tokens, positions, epsilon)
    keys = known.find(key, inputs, epsilon)
    if keys.table is None or keys.order is None:
        return Routing(targets=None, refusal=keys.refusal)
    targets = np.empty(num_positions, dtype=np.int32)
    gap = route_queries(reorder_outputs(query, keys.order).arrays(), inputs, keys.table, needed, targets)
    if (targets == NO_MATCH).all():
        return Routing(targets=None, refusal="no query finds a key with a gap that is large enough")
    return Routing(targets=targets, least_gap=gap / sqrt(head_width))


def _index_keys(key: SparseMap, inputs: Inputs, epsilon: float) -> _Keys:
    """The keys of one head of the first layer at every position, and their hash table."""
    tokens, positions = inputs.tokens, inputs.positions
    num_positions = len(positions)
    sample = np.unique(np.linspace(0, num_positions - 1, SAMPLE).astype(int))
    embedded = tokens[:, None] + positions[sample].astype(np.float64)
    shape = find_key_shape(apply_normed(key, embedded.reshape(-1, tokens.shape[1]), epsilon))
    if shape is None:
        return _Keys(refusal="its keys lie on no grid")
    key, grid = reorder_outputs(key, shape.order), shape.grid
    codes = np.zeros((num_positions, shape.coded), dtype=np.int8)
    stray, furthest, least_sum, largest_sum, largest_norm, key_error = key_codes(
        key.arrays(), inputs, grid.offset, grid.step, codes
    )
    if stray >= 0:
        return _Keys(refusal=f"the key of position {stray} depends on its token or is off the grid")
    slots, again = index_codes(codes)
    table = KeyTable(
        codes=codes,
        slots=slots,
        again=again,
        offset=grid.offset,
        step=grid.step,
        norm=sqrt(largest_norm),
        # Two points of one coordinate sum differ in two coordinates at least.
        least=grid.step * (sqrt(2) if least_sum == largest_sum else 1.0),
        furthest=furthest,
        error=key_error,
    )
    return _Keys(order=shape.order, table=table)


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
