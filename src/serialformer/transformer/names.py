"""Names: what the dimensions, the heads and the hidden units of a transformer are for, where its maker knows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from serialformer.architecture import Architecture
from serialformer.errors import CheckpointError

UNUSED = "unused"
"""The name of heads and hidden units whose weights are zero because the architecture has more of them than it needs."""


@dataclass(frozen=True, kw_only=True)
class UnitRange:
    """Consecutive hidden units of one layer that share a name.

    Attributes:
        name: what they are for.
        count: how many units there are, at least 1.
    """

    name: str
    count: int = 1


@dataclass(frozen=True, kw_only=True)
class Names:
    """The names of a transformer's parts, in the order of its weights.

    Attributes:
        directions: one name for each dimension of the residual stream.
        heads: for each layer one name for each attention head.
        units: for each layer the names of its hidden units; units that share a name and are adjacent stand together.

    >>> units = (UnitRange(name="table", count=8),)
    >>> names = Names(directions=("token+", "token-"), heads=(("fetched[0]",),), units=(units,))
    >>> Names.from_json(names.to_json()) == names
    True
    """

    directions: tuple[str, ...]
    heads: tuple[tuple[str, ...], ...]
    units: tuple[tuple[UnitRange, ...], ...]

    def unit_names(self, layer: int) -> Iterator[str]:
        """The name of each hidden unit of a layer, first to last.

        >>> ranges = (UnitRange(name="a"), UnitRange(name="b", count=2))
        >>> list(Names(directions=(), heads=(), units=(ranges,)).unit_names(0))
        ['a', 'b', 'b']
        """
        for part in self.units[layer]:
            for _ in range(part.count):
                yield part.name

    def check(self, architecture: Architecture) -> None:
        """Compares the number of names with the sizes of an architecture.

        Raises:
            CheckpointError: they do not fit; lists everything that differs.
        """
        counted = [sum(part.count for part in layer) for layer in self.units]
        expected = [
            ("directions", len(self.directions), architecture.width),
            ("layers of heads", len(self.heads), architecture.num_layers),
            ("layers of hidden units", len(self.units), architecture.num_layers),
            *((f"heads in layer {i}", len(layer), architecture.num_heads) for i, layer in enumerate(self.heads)),
            *((f"hidden units in layer {i}", count, architecture.hidden_width) for i, count in enumerate(counted)),
        ]
        problems = [
            f"names for {found:,} {what}, not {needed:,}" for what, found, needed in expected if found != needed
        ]
        if problems:
            raise CheckpointError("; ".join(problems))

    def to_json(self) -> dict[str, Any]:
        """The form in ``serialformer.json``: a single unit is a string, several with one name are an object."""
        return {
            "directions": list(self.directions),
            "heads": [list(layer) for layer in self.heads],
            "units": [
                [part.name if part.count == 1 else {"name": part.name, "count": part.count} for part in layer]
                for layer in self.units
            ],
        }

    @classmethod
    def from_json(cls, content: Any) -> Names:
        """The inverse of ``to_json``.

        Raises:
            CheckpointError: something in it is not what it should be.
        """
        try:
            return cls(
                directions=tuple(_text(name) for name in content["directions"]),
                heads=tuple(tuple(_text(name) for name in layer) for layer in content["heads"]),
                units=tuple(tuple(_range(part) for part in layer) for layer in content["units"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"a field of the names is missing or wrong: {error!r}") from None


def named_units(names: list[str], hidden_width: int) -> tuple[UnitRange, ...]:
    """A name for each of the first hidden units; the rest of the layer is unused.

    >>> named_units(["first"], 3)
    (UnitRange(name='first', count=1), UnitRange(name='unused', count=2))
    """
    rest = hidden_width - len(names)
    return (*(UnitRange(name=name) for name in names), *((UnitRange(name=UNUSED, count=rest),) if rest else ()))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a name, found {value!r}")
    return value


def _range(value: Any) -> UnitRange:
    if isinstance(value, str):
        return UnitRange(name=value)
    count = value["count"]
    if type(count) is not int or count < 1:
        raise ValueError(f"expected a count of at least 1, found {count!r}")
    return UnitRange(name=_text(value["name"]), count=count)
