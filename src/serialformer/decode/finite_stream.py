"""The residual stream where each of its coordinates takes few values, and maps of it, for all contexts at once.

Beside the values stands how far float32 can be from them at most, in whatever context: the sums of ``token_kernels``,
with the largest of everything that they are made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from serialformer.arrays import Float64, Int64
from serialformer.decode.flat import FlatLayer, SparseMap, to_dense
from serialformer.decode.kernels import FAR_BELOW, TINY, gamma
from serialformer.decode.quantities import MAX_VALUES, Joint, Quantities, Quantity, renumber
from serialformer.decode.rounding import LARGEST_LEAK, UNIT_ROUNDOFF
from serialformer.errors import EngineError
from serialformer.transformer.forward import activate
from serialformer.transformer.transformer import Transformer

MAX_LEVELS = 64
"""The most different numbers that a column of an embedding may hold."""

NEAR = 1e-4
"""Values of a coordinate that differ by less count as one value with an error."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Bounds:
    """A layer norm over all contexts: it is taken to subtract ``mean`` and multiply by ``inverse``.

    Attributes:
        mean: the middle of its means.
        inverse: the middle of its inverse deviations.
        least: the smallest of these.
        most: the largest.
        moved: how far its mean can be from ``mean``.
        shift: how far float32's mean can be from its mean.
        spread: how far float32's inverse deviation can be from its own, as a part of that.
        rounding: how far sums of products after it can be off, as a part of their terms.
    """

    mean: float
    inverse: float
    least: float
    most: float
    moved: float
    shift: float
    spread: float
    rounding: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Outputs:
    """Some outputs of a map: their values in each combination of a joint, and how far they can be off."""

    joint: Joint
    values: Float64[np.ndarray, "combinations outputs"]
    errors: Float64[np.ndarray, " outputs"]


class FiniteStream:
    """The stream between two layers; ``attend`` and ``feed_forward`` carry it on.

    Attributes:
        quantities: those of the model.
        deciding: for each coordinate the quantity that decides it, or None.
        levels: for each coordinate its number for each value of that quantity.
        errors: how far it can be off.
    """

    def __init__(self, transformer: Transformer, quantities: Quantities, touched: np.ndarray) -> None:
        """The embedding; coordinates of many values that no map touches count in layer norm's sums only.

        Raises:
            EngineError: a coordinate takes more than MAX_LEVELS values.
        """
        self.quantities = quantities
        self._width, self._epsilon = transformer.architecture.width, transformer.architecture.norm_epsilon
        tokens = transformer.token_embedding.astype(np.float64)
        positions = transformer.position_embedding
        unused = np.flatnonzero(~touched & ~(tokens != 0).any(axis=0)).tolist()
        passive = np.array([at for at in unused if len(np.unique(positions[:, at])) > MAX_LEVELS], dtype=np.int64)
        rest = positions[:, passive].astype(np.float64)
        self._passive = rest.sum(axis=1), np.square(rest).sum(axis=1)
        self.deciding: list[Quantity | None] = [None] * self._width
        self.levels: list[np.ndarray] = [np.zeros(1)] * self._width
        spread = np.zeros(self._width)
        for place in np.setdiff1d(np.arange(self._width), passive).tolist():
            spread[place] = self._embed(place, tokens[:, place], positions[:, place].astype(np.float64))
        self.errors = UNIT_ROUNDOFF * np.array([np.abs(levels).max() for levels in self.levels])
        self.errors += spread * (1 + UNIT_ROUNDOFF)
        self.bounds = self._bound()

    def _embed(self, place: int, tokens: np.ndarray, positions: np.ndarray) -> float:
        """Sets a coordinate to what the embeddings give; returns how far they are from its levels."""
        of_token, of_position = np.unique(tokens), np.unique(positions)
        if max(len(of_token), len(of_position)) > MAX_LEVELS:
            raise EngineError("the embedding is made of too many numbers")
        parts = []
        if len(of_token) > 1:
            parts.append(self.quantities.of_token(tokens))
        if len(of_position) > 1:
            parts.append(self.quantities.of_position(positions))
        if not parts:
            self.levels[place] = of_token + of_position
            return 0.0
        joint = self.quantities.joint(parts)
        values = np.full(joint.size, (of_token[0] if len(of_token) == 1 else 0.0))
        values += of_position[0] if len(of_position) == 1 else 0.0
        for quantity in parts:
            given, column = (tokens, quantity.of_token) if quantity.of_token is not None else (positions, None)
            column = quantity.of_position if column is None else column
            assert column is not None
            numbers = np.zeros(quantity.size)
            numbers[column] = given
            values += numbers[joint.values[quantity]]
        return float(self._decide([place], joint, values[:, None])[0])

    def _decide(self, places: Sequence[int], joint: Joint, values: np.ndarray) -> np.ndarray:
        """Sets coordinates to values over a joint; returns how far they are from the levels that they are given."""
        if not joint.parts:
            for place, value in zip(places, values[0], strict=True):
                self.deciding[place], self.levels[place] = None, np.array([value])
            return np.zeros(len(places))
        labels, levels, spread = cluster(values)
        quantity = self.quantities.label(joint, labels) if len(levels) > 1 else None
        for column, place in enumerate(places):
            self.deciding[place], self.levels[place] = quantity, levels[:, column]
        return spread

    def _bound(self) -> Bounds:
        """The layer norm of the stream as it is."""
        least, most = np.zeros(2), np.zeros(2)
        sums: dict[Quantity | None, np.ndarray] = {}
        for quantity, levels in zip(self.deciding, self.levels, strict=True):
            both = np.stack([levels, levels * levels])
            sums[quantity] = sums[quantity] + both if quantity in sums else both
        for both in (*sums.values(), np.stack(self._passive)):
            least += both.min(axis=1)
            most += both.max(axis=1)
        width = self._width
        mean, moved = (least[0] + most[0]) / 2 / width, (most[0] - least[0]) / 2 / width
        furthest = max(abs(least[0]), abs(most[0])) / width
        nearest = max(0.0, max(least[0], -most[0])) / width
        low, high = least[1] / width - furthest * furthest, most[1] / width - nearest * nearest
        if not low > 0:
            raise EngineError("the variance before a layer norm may be 0")
        inverses = 1 / np.sqrt(np.array([low, high]) + self._epsilon)
        inverse, largest = float(inverses.mean()), float(self.errors.max())
        root = np.sqrt(np.square(self.errors).sum() / width)
        rounding = gamma(width + np.sqrt(width) + 4) * (np.sqrt(high) + furthest + largest)
        ratio = (root + rounding) / np.sqrt(low)
        of_variance = 2 * ratio + ratio * ratio + gamma(width + 6)
        if not of_variance < 0.5:
            raise EngineError("float32 cannot tell the variance before a layer norm")
        rest = 1 - of_variance
        spread = 0.5 * of_variance / (rest * np.sqrt(rest)) + 8 * UNIT_ROUNDOFF
        # Bounds that are rounded themselves: the sums above are off by less than 1e-12 of their terms.
        return Bounds(
            mean=float(mean),
            inverse=inverse,
            least=float(inverses[1]) * (1 - 1e-12),
            most=float(inverses[0]) * (1 + 1e-12),
            moved=float(moved + 1e-12 * (1 + furthest)),
            shift=float(self.errors.sum() / width + rounding),
            spread=float(spread),
            rounding=float(gamma(width + 8)),
        )

    def magnitudes(self) -> Float64[np.ndarray, " width"]:
        """How far each coordinate is from the mean, at most."""
        furthest = [np.abs(levels - self.bounds.mean).max() for levels in self.levels]
        return np.array(furthest) + self.bounds.moved

    def quantities_read(self, sparse: SparseMap, output: int) -> frozenset[Quantity]:
        """What decides an output of a map."""
        inputs = sparse.index[sparse.start[output] : sparse.start[output + 1]]
        return frozenset(quantity for place in inputs.tolist() if (quantity := self.deciding[place]) is not None)

    def centred(self, joint: Joint) -> Float64[np.ndarray, "combinations width"]:
        """The coordinates without their mean, 0 where something else decides them, for each combination."""
        result = np.zeros((joint.size, self._width))
        for place, (quantity, levels) in enumerate(zip(self.deciding, self.levels, strict=True)):
            if quantity is None:
                result[:, place] = levels[0] - self.bounds.mean
            elif quantity in joint.values:
                result[:, place] = levels[joint.values[quantity]] - self.bounds.mean
        return result

    def output_errors(self, sparse: SparseMap) -> Float64[np.ndarray, " outputs"]:
        """How far each output of a map after the layer norm can be off, in any context."""
        bounds = self.bounds
        owner = np.repeat(np.arange(sparse.num_outputs), np.diff(sparse.start))
        sizes = np.zeros((3, sparse.num_outputs))
        weight = np.abs(sparse.value)
        for row, factor in enumerate((np.ones(self._width), self.errors, self.magnitudes())):
            np.add.at(sizes[row], owner, weight * factor[sparse.index])
        size, inherited, terms = sizes
        errors = (1 + bounds.spread) * (inherited + bounds.shift * size) + bounds.moved * size
        errors += (bounds.spread + bounds.rounding) * terms
        varies = max(bounds.most - bounds.inverse, bounds.inverse - bounds.least)
        return np.asarray(bounds.most * errors + varies * terms + bounds.rounding * sparse.size[:, 1])

    def apply(self, sparse: SparseMap, chosen: Sequence[int], reading: frozenset[Quantity]) -> Outputs:
        """Some outputs of a map after the layer norm, which read no other quantities than these."""
        joint = self.quantities.joint(reading)
        weight = to_dense(sparse, self._width)[:, list(chosen)]
        values = self.bounds.inverse * (self.centred(joint) @ weight) + sparse.bias[list(chosen)]
        return Outputs(joint=joint, values=values, errors=self.output_errors(sparse)[list(chosen)])

    def attend(self, index: int, layer: FlatLayer) -> None:
        """Adds what the heads of a layer fetch, each from one position."""
        errors_in, largest = np.zeros(len(layer.value_head)), np.zeros(len(layer.value_head))
        fetched: list[tuple[Quantity | None, np.ndarray]] = [(None, np.zeros(1))] * len(layer.value_head)
        by_reading: dict[tuple[int, frozenset[Quantity]], list[int]] = {}
        for column, head in enumerate(layer.value_head.tolist()):
            by_reading.setdefault((head, self.quantities_read(layer.values, column)), []).append(column)
        for (head, reading), columns in by_reading.items():
            outputs = self.apply(layer.values, columns, reading)
            labels, levels, spread = cluster(outputs.values)
            quantity = None
            if len(levels) > 1:
                quantity = self.quantities.fetched(index, head, self.quantities.label(outputs.joint, labels))
            for number, column in enumerate(columns):
                errors_in[column] = outputs.errors[number] + spread[number]
                largest[column] = np.abs(levels[:, number]).max() + spread[number]
                fetched[column] = quantity, levels[:, number]
        errors_in += (4 * LARGEST_LEAK + 8 * UNIT_ROUNDOFF) * largest
        self._add(layer.attention_out, fetched, largest, errors_in, self._width)
        self.bounds = self._bound()

    def _add(
        self,
        sparse: SparseMap,
        sources: Sequence[tuple[Quantity | None, np.ndarray]],
        largest: np.ndarray,
        errors_in: np.ndarray,
        num_terms: int,
    ) -> None:
        """Adds the outputs of a map of quantities with these levels, sizes and errors to the stream."""
        weight = to_dense(sparse, len(sources))
        groups: dict[frozenset[Quantity], list[int]] = {}
        written = np.flatnonzero((weight != 0).any(axis=0) | (sparse.bias != 0))
        for place in written.tolist():
            deciding = [
                self.deciding[place],
                *(sources[source][0] for source in np.flatnonzero(weight[:, place]).tolist()),
            ]
            groups.setdefault(frozenset(each for each in deciding if each is not None), []).append(place)
        changed = self.errors.copy()
        for reading, places in groups.items():
            joint = self.quantities.joint(reading)
            inputs = np.stack([_over(joint, *source) for source in sources], axis=1)
            before = np.stack([_over(joint, self.deciding[place], self.levels[place]) for place in places], axis=1)
            after = before + inputs @ weight[:, places] + sparse.bias[places]
            sizes = np.abs(weight[:, places]).T @ largest + np.abs(sparse.bias[places])
            inherited = np.abs(weight[:, places]).T @ errors_in
            self._change(places, joint, after, sizes, inherited, num_terms, changed)
        self.errors = changed

    def _change(
        self,
        places: Sequence[int],
        joint: Joint,
        after: np.ndarray,
        sizes: np.ndarray,
        inherited: np.ndarray,
        num_terms: int,
        changed: np.ndarray,
    ) -> None:
        """Gives coordinates new values; ``sizes`` and ``inherited`` are of what was added to them."""
        added = inherited + gamma(num_terms + 3) * (sizes + inherited)
        errors = self.errors[list(places)]
        errors = errors + added + 4 * UNIT_ROUNDOFF * (np.abs(after).max(axis=0) + errors)
        changed[list(places)] = errors + self._decide(places, joint, after)

    def _overlapping(self, groups: dict[frozenset[Quantity], list[int]]) -> list[tuple[frozenset[Quantity], list[int]]]:
        """The groups, put together where they depend on the same, as long as that has not too many values."""
        result: list[tuple[frozenset[Quantity], list[int]]] = []
        for reading, places in groups.items():
            for number, (other, others) in enumerate(result):
                if reading & other and self.quantities.num_combinations(reading | other) <= MAX_VALUES:
                    result[number] = reading | other, others + places
                    break
            else:
                result.append((reading, places))
        return result

    def feed_forward(self, layer: FlatLayer, activation: str) -> None:
        """Adds what the hidden units of a layer write."""
        if layer.mlp_out.num_outputs == 0 or not (len(layer.mlp_out.value) or layer.mlp_out.bias.any()):
            return
        num_units = layer.mlp_in.num_outputs
        into, out = to_dense(layer.mlp_in, self._width), to_dense(layer.mlp_out, num_units)
        unit_errors, bias = self.output_errors(layer.mlp_in), layer.mlp_out.bias
        reading = [self.quantities_read(layer.mlp_in, unit) for unit in range(num_units)]
        groups: dict[frozenset[Quantity], list[int]] = {}
        for place in np.flatnonzero((out != 0).any(axis=0) | (bias != 0)).tolist():
            deciding = [reading[unit] for unit in np.flatnonzero(out[:, place])]
            own = [quantity for quantity in [self.deciding[place]] if quantity is not None]
            groups.setdefault(frozenset(own).union(*deciding), []).append(place)
        changed = self.errors.copy()
        for deciding_all, places in self._overlapping(groups):
            joint = self.quantities.joint(deciding_all)
            units = np.flatnonzero((out[:, places] != 0).any(axis=1))
            if joint.size * len(units) > 64 * MAX_VALUES:
                raise EngineError("hidden units read too many values together")
            before = self.bounds.inverse * (self.centred(joint) @ into[:, units]) + layer.mlp_in.bias[units]
            is_silent = before + unit_errors[units] <= FAR_BELOW
            after = np.where(is_silent, 0.0, activate(before, "relu" if activation == "relu" else "gelu_new"))
            errors = np.where(is_silent, TINY, 1.13 * unit_errors[units] + 2.0**-20 * np.abs(before))
            weight = out[units][:, places]
            old = np.stack([_over(joint, self.deciding[place], self.levels[place]) for place in places], axis=1)
            sizes = (np.abs(after) @ np.abs(weight)).max(axis=0) + np.abs(bias[places])
            inherited = (errors @ np.abs(weight)).max(axis=0)
            self._change(places, joint, old + after @ weight + bias[places], sizes, inherited, num_units, changed)
        self.errors = changed
        self.bounds = self._bound()


def _over(joint: Joint, quantity: Quantity | None, levels: np.ndarray) -> np.ndarray:
    """The levels for each combination, 0 where the quantity is not of the joint."""
    if quantity is None:
        return np.full(joint.size, levels[0])
    if quantity not in joint.values:
        return np.zeros(joint.size)
    return np.asarray(levels[joint.values[quantity]])


def cluster(
    values: Float64[np.ndarray, "rows columns"],
) -> tuple[Int64[np.ndarray, " rows"], Float64[np.ndarray, "labels columns"], Float64[np.ndarray, " columns"]]:
    """Rows that are nearly equal under one label: the labels, what they stand for, and how far rows are from that.

    >>> labels, levels, spread = cluster(np.array([[1.0], [-1.0], [1.00002]]))
    >>> labels.tolist(), levels.round(5).tolist(), spread.round(6).tolist()
    ([0, 1, 0], [[1.00001], [-1.0]], [1e-05])
    """
    labels = np.zeros(len(values), dtype=np.int64)
    for column in values.T:
        order = np.argsort(column)
        jumps = np.diff(column[order], prepend=column[order[:1]]) > NEAR
        numbers = np.empty(len(column), dtype=np.int64)
        numbers[order] = np.cumsum(jumps)
        labels = renumber(labels * (numbers.max() + 1) + numbers)
    count = int(labels.max()) + 1
    least, most = np.full((count, values.shape[1]), np.inf), np.full((count, values.shape[1]), -np.inf)
    np.minimum.at(least, labels, values)
    np.maximum.at(most, labels, values)
    return labels, (least + most) / 2, ((most - least) / 2).max(axis=0)
