"""What a position holds, as whole numbers below small bounds: each says where it comes from.

A *quantity* is decided by the token at the position, by the position, fetched by a head from the position that it
reads, or looked up in a table over other quantities. Several quantities at once are a *joint*: it lists which of their
values can occur together, so that a number in binary counts as one number. What it lists contains all that occurs, and
perhaps more: quantities of different origin are taken to be independent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from serialformer.errors import EngineError

MAX_VALUES = 1 << 14
"""Of a joint."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Quantity:
    """A whole number from 0 to ``size`` - 1 that every position has.

    Attributes:
        size: how many values there are.
        level: how many layers must have fetched before it is known.
        of_token: its value for each token, if the token decides.
        of_position: its value for each position, if that decides.
        head: the layer and the head that fetch it, if one does.
        source: what the head fetches there.
        inputs: the quantities of which it is looked up, if it is.
        table: its value for all of theirs, the last one changing fastest.
    """

    size: int
    level: int = 0
    of_token: np.ndarray | None = None
    of_position: np.ndarray | None = None
    head: tuple[int, int] | None = None
    source: Quantity | None = None
    inputs: tuple[Quantity, ...] = ()
    table: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Joint:
    """All values that some quantities can have together.

    Attributes:
        parts: quantities, independent of each other, whose values decide.
        size: how many combinations of their values there are, the last one changing fastest.
        values: for each of the quantities its value in each combination.
    """

    parts: tuple[Quantity, ...]
    size: int
    values: dict[Quantity, np.ndarray]


class Quantities:
    """The quantities of one model; equal ones are the same object."""

    def __init__(self, num_tokens: int) -> None:
        self._num_tokens = num_tokens
        self._known: dict[tuple[object, ...], Quantity] = {}
        self._order: dict[Quantity, int] = {}
        self._merged: dict[frozenset[Quantity], tuple[Quantity, dict[Quantity, np.ndarray]]] = {}

    def _keep(self, key: tuple[object, ...], made: Quantity) -> Quantity:
        """The quantity known by this key, which is the one made if there was none."""
        known = self._known.setdefault(key, made)
        self._order.setdefault(known, len(self._order))
        return known

    def of_token(self, values: np.ndarray) -> Quantity:
        """What the token decides; equal values get one number."""
        numbers = renumber(values)
        key = ("token", numbers.tobytes())
        return self._keep(key, Quantity(size=_count(numbers), of_token=numbers))

    def of_position(self, values: np.ndarray) -> Quantity:
        """What the position decides; equal values get one number."""
        numbers = renumber(values)
        key = ("position", numbers.tobytes())
        return self._keep(key, Quantity(size=_count(numbers), of_position=numbers))

    def fetched(self, layer: int, head: int, source: Quantity) -> Quantity:
        """What a head fetches: the source's value at the position that it reads."""
        made = Quantity(size=source.size, level=layer + 1, head=(layer, head), source=source)
        return self._keep(("fetched", layer, head, source), made)

    def label(self, joint: Joint, labels: np.ndarray) -> Quantity:
        """A quantity that has this label for each combination of a joint; the order of labels is kept."""
        assert labels.shape == (joint.size,)
        if len(joint.parts) > 1:
            return self._tabulated(joint.parts, labels)
        if not joint.parts:
            return self._labelled_token(np.full(self._num_tokens, labels[0]), int(labels[0]) + 1)
        (part,) = joint.parts
        if part.size == labels.max() + 1 and (labels == np.arange(part.size)).all():
            return part
        if part.source is not None and part.head is not None:
            inside = Joint(parts=(part.source,), size=part.size, values={})
            return self.fetched(*part.head, self.label(inside, labels))
        if part.table is not None:
            return self._tabulated(part.inputs, labels[part.table])
        size = _count(labels)
        if part.of_token is not None:
            return self._labelled_token(labels[part.of_token], size)
        assert part.of_position is not None
        values = labels[part.of_position]
        return self._keep(("labelled position", size, values.tobytes()), Quantity(size=size, of_position=values))

    def _labelled_token(self, values: np.ndarray, size: int) -> Quantity:
        made = Quantity(size=size, of_token=values)
        return self._keep(("labelled token", size, values.tobytes()), made)

    def _tabulated(self, inputs: tuple[Quantity, ...], table: np.ndarray) -> Quantity:
        made = Quantity(
            size=_count(table), level=max(part.level for part in inputs), inputs=inputs, table=table.astype(np.int64)
        )
        return self._keep(("table", inputs, made.size, table.astype(np.int64).tobytes()), made)

    def joint(self, quantities: Iterable[Quantity]) -> Joint:
        """What some quantities can be together.

        Raises:
            EngineError: these are more than MAX_VALUES combinations.
        """
        merged = self._merge_all(quantities)
        size = prod(part.size for part, _ in merged)
        if size > MAX_VALUES:
            raise EngineError("what is read together has too many values")
        parts = tuple(part for part, _ in merged)
        values: dict[Quantity, np.ndarray] = {}
        stride = size
        for part, of_part in merged:
            stride //= part.size
            which = np.arange(size) // stride % part.size
            values.update({quantity: numbers[which] for quantity, numbers in of_part.items()})
        return Joint(parts=parts, size=size, values=values)

    def num_combinations(self, quantities: Iterable[Quantity]) -> int:
        """How many values some quantities can have together; more than MAX_VALUES if that is not known."""
        try:
            return prod(part.size for part, _ in self._merge_all(quantities))
        except EngineError:
            return MAX_VALUES + 1

    def _merge_all(self, quantities: Iterable[Quantity]) -> list[tuple[Quantity, dict[Quantity, np.ndarray]]]:
        """One quantity for all of each origin, and what they are for each of its values."""
        groups: dict[object, list[Quantity]] = {}
        for quantity in sorted(set(quantities), key=self._order.__getitem__):
            groups.setdefault(_origin(quantity), []).append(quantity)
        return [self._merge(group) for group in groups.values()]

    def _merge(self, group: Sequence[Quantity]) -> tuple[Quantity, dict[Quantity, np.ndarray]]:
        """One quantity for several of one origin, and what these are for each of its values."""
        if len(group) == 1:
            return group[0], {group[0]: np.arange(group[0].size)}
        key = frozenset(group)
        if key in self._merged:
            return self._merged[key]
        first = group[0]
        if first.head is not None:
            sources = [quantity.source for quantity in group]
            inside = self.joint(source for source in sources if source is not None)
            source = self.label(inside, np.arange(inside.size))
            whole = self.fetched(*first.head, source)
            result = (
                whole,
                {quantity: inside.values[quantity.source] for quantity in group if quantity.source is not None},
            )
        else:
            columns = [quantity.of_token if first.of_token is not None else quantity.of_position for quantity in group]
            numbers = np.zeros(len(columns[0]) if columns[0] is not None else 0, dtype=np.int64)
            for quantity, column in zip(group, columns, strict=True):
                assert column is not None
                numbers = renumber(numbers * quantity.size + column)
                if _count(numbers) > MAX_VALUES:
                    raise EngineError("what is read together has too many values")
            whole = self.of_token(numbers) if first.of_token is not None else self.of_position(numbers)
            _, where = np.unique(numbers, return_index=True)
            result = (
                whole,
                {
                    quantity: column[where]
                    for quantity, column in zip(group, columns, strict=True)
                    if column is not None
                },
            )
        self._merged[key] = result
        return result


def renumber(values: np.ndarray) -> np.ndarray:
    """Equal values by one number, in the order in which they first occur.

    >>> renumber(np.array([5, -1, 5, 7])).tolist()
    [0, 1, 0, 2]
    """
    _, first, numbers = np.unique(values, return_index=True, return_inverse=True)
    order = np.empty(len(first), dtype=np.int64)
    order[np.argsort(first)] = np.arange(len(first))
    return order[numbers]


def _count(numbers: np.ndarray) -> int:
    return int(numbers.max()) + 1


def _origin(quantity: Quantity) -> object:
    """What quantities have in common that can be merged: the token, the position, one head's; tables stand alone."""
    if quantity.of_token is not None:
        return "token"
    if quantity.of_position is not None:
        return "position"
    return quantity.head if quantity.head is not None else quantity
