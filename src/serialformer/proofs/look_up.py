"""Attention, proven: which one position each head reads, whatever the tokens are, and by what score gap.

Keys and queries of the first layer depend on a position and its token alone. ``codes`` says how a gap follows from
them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from serialformer.arrays import Float64, Int32, Int64, UInt8
from serialformer.proofs.codes import Gaps, KeyIndex, KeysSoFar, QueryList, find_grid_of_codes
from serialformer.proofs.columns import Columns, to_columns
from serialformer.proofs.projection_kernels import Embedded, LayerNorm, Projected, project_positions
from serialformer.proofs.reading import group_equal_rows
from serialformer.proofs.rounding import FLOAT64_SLACK, Rounding
from serialformer.transformer.row_table import forget_rows
from serialformer.transformer.transformer import Transformer

POSITIONS_PER_BLOCK = 1 << 13

SAMPLE = 256
"""How many positions are looked at to find the grid of a head's keys."""

LARGEST_LEAK = 2.0**-10
"""How much attention weight the positions besides the one read may have together for a head to count as a look-up."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Projection:
    """Which columns of the input projection matter.

    Attributes:
        columns: those columns, side by side.
        place: where each of them stands in the input projection.
        heads: the heads that have an effect.
        queries: for each of them the columns of its query that scores depend on.
        keys: for each of them the columns of its key, in the same order.
        values: the value columns that have an effect.
        value_head: for each of these its head, by its place in ``heads``.
        value_row: for each of these its row of the output projection.
    """

    columns: Columns
    place: Int64[np.ndarray, " columns"]
    heads: list[int]
    queries: list[Int64[np.ndarray, " _"]]
    keys: list[Int64[np.ndarray, " _"]]
    values: Int64[np.ndarray, " values"]
    value_head: Int64[np.ndarray, " values"]
    value_row: Int64[np.ndarray, " values"]


class Offers:
    """What positions offer the heads: few kinds, which most positions share.

    Attributes:
        kind: for each position its kind.
    """

    def __init__(self, num_positions: int, num_values: int) -> None:
        self.kind = np.zeros(num_positions, dtype=np.int32)
        self._num_values = num_values
        self._known: dict[bytes, int] = {}
        self._rows: list[np.ndarray] = []

    def add(self, start: int, values: np.ndarray, errors: np.ndarray, own_norm: Float64[np.ndarray, "rows 2"]) -> None:
        """Adds positions from ``start`` on: values and errors by position, token and column."""
        rows = np.concatenate([values, errors, own_norm[:, :, None]], axis=2)
        leaders, group = group_equal_rows((rows,))
        kinds = np.empty(len(leaders), dtype=np.int32)
        for number, row in enumerate(rows[leaders]):
            kinds[number] = self._known.setdefault(row.tobytes(), len(self._rows))
            if kinds[number] == len(self._rows):
                self._rows.append(row)
        self.kind[start : start + len(rows)] = kinds[group]

    def table(self) -> tuple[Float64[np.ndarray, "kinds 2 values 2"], Float64[np.ndarray, "kinds 2"]]:
        """For each kind and token the values with their errors, and the 2-norm of the embedding's rounding error."""
        rows = np.stack(self._rows)
        number = self._num_values
        return np.stack([rows[:, :, :number], rows[:, :, number:-1]], axis=3), np.ascontiguousarray(rows[:, :, -1])


@dataclass(frozen=True, kw_only=True, eq=False)
class LookUps:
    """What attention does in a model of one layer.

    Attributes:
        targets: for each writing position and head that has an effect the position that is read.
        gaps: for each writing position the least lead of a score that is to win: in exact arithmetic, and less what
            rounding can take.
        offers: what positions offer the heads, each kind once.
        leak: for each value column how far attention's mixture can be from the value looked up.
        mean: the largest magnitude of the residual stream's mean.
        deviation: the least and the largest root of variance plus epsilon.
        failed: the first writing position where a head reads no one position; their number if there is none.
        reason: what is wrong there.
    """

    targets: Int32[np.ndarray, "writing heads"]
    gaps: Float64[np.ndarray, "writing 2"]
    offers: Offers
    leak: Float64[np.ndarray, " values"]
    mean: float
    deviation: tuple[float, float]
    failed: int
    reason: str


def choose_columns(transformer: Transformer) -> Projection:
    """The columns of the first layer's input projection that can change a token."""
    layer, architecture = transformer.layers[0], transformer.architecture
    weight = layer.attention_in_weight.astype(np.float64)
    bias = layer.attention_in_bias.astype(np.float64)
    out = layer.attention_out_weight.astype(np.float64)
    width, head_width = architecture.width, architecture.head_width
    used = (weight != 0).any(axis=0) | (bias != 0)
    value_rows = np.flatnonzero(used[2 * width :] & (out != 0).any(axis=1))
    heads = sorted(set((value_rows // head_width).tolist()))
    chosen: list[int] = []
    queries, keys = [], []
    seen: dict[bytes, np.ndarray] = {}
    for head in heads:
        place = np.arange(head * head_width, (head + 1) * head_width)
        place = place[used[place] & used[width + place]]
        queries.append(len(chosen) + np.arange(len(place)))
        chosen += place.tolist()
        # Heads that share their keys' weights share the keys.
        content = weight[:, width + place].tobytes() + bias[width + place].tobytes()
        if content not in seen:
            seen[content] = len(chosen) + np.arange(len(place))
            chosen += (width + place).tolist()
        keys.append(seen[content])
    values = len(chosen) + np.arange(len(value_rows))
    chosen += (2 * width + value_rows).tolist()
    return Projection(
        columns=to_columns(weight[:, chosen], bias[chosen]),
        place=np.array(chosen, dtype=np.int64),
        heads=heads,
        queries=queries,
        keys=keys,
        values=values,
        value_head=np.searchsorted(heads, value_rows // head_width).astype(np.int64),
        value_row=value_rows,
    )


def prove_look_ups(
    transformer: Transformer,
    projection: Projection,
    states: UInt8[np.ndarray, "positions 2"],
    first: int,
    rounding: Rounding,
) -> LookUps:
    """Proves what each head reads from the positions ``first`` on, whatever token each position holds of its two.

    Args:
        transformer: a model of one layer.
        projection: which columns of its input projection matter.
        states: the two tokens that each position may hold.
        first: the first position that writes.
        rounding: which runtimes to cover.
    """
    num_positions, num_heads = len(states), len(projection.heads)
    num_writing, num_values = num_positions - first, len(projection.values)
    head_width = transformer.architecture.head_width
    offers = Offers(num_positions, num_values)
    failed, reason = num_writing, ""
    targets = np.zeros((num_writing, num_heads), dtype=np.int32)
    gaps = Gaps(num_writing)
    indices = _make_indices(transformer, projection, states, rounding)
    queries = [
        None if index is None else QueryList(head, index, num_writing, gaps) for head, index in enumerate(indices)
    ]
    mean, least, most = 0.0, np.inf, 0.0
    for start, out, errors, statistics in _project(transformer, projection, states, rounding):
        offers.add(start, out[:, :, projection.values], errors[:, :, projection.values], statistics[:, :, 2])
        mean = max(mean, float(np.abs(statistics[:, :, 0]).max()))
        least, most = min(least, float(statistics[:, :, 1].min())), max(most, float(statistics[:, :, 1].max()))
        writing = slice(max(start, first) - start, None)
        seen: dict[int, KeysSoFar] = {}
        for head, (index, waiting) in enumerate(zip(indices, queries, strict=True)):
            if index is None or waiting is None:
                continue
            if id(index) not in seen:  # heads may share their keys
                columns = projection.keys[head]
                seen[id(index)] = index.add(start, out[:, :, columns], errors[:, :, columns])
            if start + len(out) > first:
                columns = projection.queries[head]
                waiting.add(
                    max(start, first) - first, out[writing][:, :, columns], errors[writing][:, :, columns],
                    seen[id(index)].rows(writing), head_width, rounding,
                )  # fmt: skip
    for head, waiting in enumerate(queries):
        if waiting is None:
            failed, reason = 0, f"head {projection.heads[head]} has keys that are no codes: nothing bounds its scores"
            break
        proof = waiting.match(first, LARGEST_LEAK)
        targets[:, head] = proof.targets
        if proof.failed < failed:
            failed, reason = proof.failed, f"head {projection.heads[head]} {proof.reason}"
    sizes = np.arange(first + 1, num_positions + 1)[:failed]
    share = (sizes * np.exp(-gaps.least[:failed, 1])).max(initial=0.0)
    offered, _ = offers.table()
    largest = (np.abs(offered[..., 0]) + offered[..., 1]).max(axis=(0, 1))
    return LookUps(
        targets=targets,
        gaps=gaps.least,
        offers=offers,
        # Each rounding on the way moves a value that the format holds by no more than it is off already.
        leak=np.where(np.isfinite(largest), 16 * 1.1 * float(share) * np.nan_to_num(largest), np.inf),
        mean=mean,
        deviation=(least, most),
        failed=failed,
        reason=reason,
    )


def _project(
    transformer: Transformer, projection: Projection, states: UInt8[np.ndarray, "positions 2"], rounding: Rounding
) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """The chosen columns at all positions, block by block: where it starts, their values, errors, and statistics."""
    for start in range(0, len(states), POSITIONS_PER_BLOCK):
        rows = np.arange(start, min(start + POSITIONS_PER_BLOCK, len(states)))
        yield start, *_project_rows(transformer, projection, rows, states[rows], rounding)


def _project_rows(
    transformer: Transformer,
    projection: Projection,
    rows: Int64[np.ndarray, " rows"],
    states: UInt8[np.ndarray, "rows 2"],
    rounding: Rounding,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    layer, columns = transformer.layers[0], projection.columns
    out, errors = np.empty((2, len(rows), 2, columns.num_outputs))
    statistics = np.empty((len(rows), 2, 3))
    is_span = len(rows) == rows[-1] - rows[0] + 1
    positions = transformer.position_embedding[slice(rows[0], rows[-1] + 1) if is_span else rows]
    embedded = Embedded(
        positions=positions.astype(np.float32), states=states, tokens=transformer.token_embedding.astype(np.float64)
    )
    norm = LayerNorm(
        gain=layer.attention_norm_gain.astype(np.float64),
        bias=layer.attention_norm_bias.astype(np.float64),
        epsilon=transformer.architecture.norm_epsilon,
    )
    forget_rows(transformer.position_embedding)
    projected = Projected(out=out, errors=errors, statistics=statistics)
    project_positions(embedded, norm, columns.arrays(), rounding.constants(), projected)
    return out, errors * (1 + FLOAT64_SLACK), statistics


def _make_indices(
    transformer: Transformer, projection: Projection, states: UInt8[np.ndarray, "positions 2"], rounding: Rounding
) -> list[KeyIndex | None]:
    """For each head the index of its keys, which heads with the same keys share; None if they lie on no grid."""
    rows = np.unique(np.linspace(0, len(states) - 1, SAMPLE).astype(np.int64))
    out, _, _ = _project_rows(transformer, projection, rows, states[rows], rounding)
    indices: dict[bytes, KeyIndex | None] = {}
    result = []
    for columns in projection.keys:
        if columns.tobytes() not in indices:
            grid = find_grid_of_codes(np.ascontiguousarray(out[:, 0, columns]))
            indices[columns.tobytes()] = None if grid is None else KeyIndex(grid, len(states))
        result.append(indices[columns.tobytes()])
    return result
