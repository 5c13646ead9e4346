"""Fields: stretches of the residual stream that each hold the code of one value out of a finite set.

All codes of a field add up to 0, and a token's fields together have one square norm whatever the token, a position's
whatever the position, and what a head brings whatever it reads. Constant whole numbers, the *ballast*, fill the square
norm up to 16 width, before and after attention. So the mean is 0 and the standard deviation 4 wherever a token of the
chain is written, and a layer norm with the gain 4 is the identity (up to its epsilon, a share of 3e-7).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int8

from serialformer.compile.gold_codes import gold_degree, gold_words
from serialformer.compile.names import name_length, position_names
from serialformer.compile.residual import balanced

DEVIATION = 4
"""The standard deviation of the residual stream, and the gain of the layer norms."""

NUM_BALLAST = 5
"""So many whole numbers of sum 0 can have every even square norm: the form of the lattice A4 is universal."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Field:
    """A set of values and the code of each.

    Attributes:
        name: what it is called in labels and by heads and units.
        codes: a row for each value; every row adds up to 0.
        num_read: how many of the dimensions, from the first, hidden units look at; the others only even out the sum.
        nothing: the value whose code is 0, if there is one: what another brings then stands there alone.
    """

    name: str
    codes: Int8[np.ndarray, "values length"]
    num_read: int
    nothing: int | None = None

    @property
    def num_values(self) -> int:
        return len(self.codes)

    @property
    def length(self) -> int:
        return int(self.codes.shape[1])


def anagram_field(name: str, num_values: int) -> Field:
    """Values as anagrams (``names``): the shortest codes; two differ by 4 in their product.

    >>> anagram_field("state", 120).length
    6
    """
    codes = position_names(np.arange(num_values), name_length(num_values))
    return Field(name=name, codes=codes, num_read=codes.shape[1])


def gold_field(name: str, num_values: int) -> Field:
    """Values as nearly orthogonal signs (``gold_codes``), and one more, ``nothing``.

    Two further dimensions even out the sum, which is 0 or 2 h or -2 h: they hold (h, -h), (-h, -h) or (h, h), which
    have one square norm.

    >>> field = gold_field("number", 1000)
    >>> field.length, field.num_read, field.nothing, np.unique(field.codes.sum(axis=1)).tolist()
    (34, 32, 1000, [0])
    """
    words = gold_words(num_values, gold_degree(num_values))
    sums = words.sum(axis=1, dtype=np.int8)
    half = 1 << (gold_degree(num_values) - 1) // 2
    first = np.where(sums == 0, half, -sums // 2)
    second = np.where(sums == 0, -half, -sums // 2)
    codes = np.zeros((num_values + 1, words.shape[1] + 2), dtype=np.int8)
    codes[:-1] = np.concatenate([words, first[:, None], second[:, None]], axis=1)
    return Field(name=name, codes=codes, num_read=words.shape[1], nothing=num_values)


@dataclass(frozen=True, kw_only=True, eq=False)
class Stream:
    """Where each field lies; the ballast follows the fields, and padding the ballast.

    Attributes:
        fields: by name, in the order in which they lie.
        starts: the first dimension of each.
        ballast_before: what the ballast holds before attention.
        ballast_after: what it holds after it.
        width: all dimensions.
    """

    fields: Mapping[str, Field]
    starts: Mapping[str, int]
    ballast_before: tuple[int, ...]
    ballast_after: tuple[int, ...]
    width: int

    def span(self, name: str) -> slice:
        """The dimensions of a field."""
        return slice(self.starts[name], self.starts[name] + self.fields[name].length)

    @property
    def ballast(self) -> slice:
        first = sum(field.length for field in self.fields.values())
        return slice(first, first + NUM_BALLAST)

    def directions(self) -> list[str]:
        """A label for each dimension.

        >>> lay_out_stream([anagram_field("token", 3)], 1, 4, 20, 20).directions()[3:6]
        ['token.3', 'ballast.0', 'ballast.1']
        """
        labels = [f"{name}.{index}" for name, field in self.fields.items() for index in range(field.length)]
        labels += [f"ballast.{index}" for index in range(NUM_BALLAST)]
        return labels + [f"padding.{index}" for index in range(self.width - len(labels))]


def lay_out_stream(fields: Sequence[Field], num_heads: int, head_width: int, before: int, after: int) -> Stream:
    """The narrowest stream.

    Width: all fields and 5, or the heads' needs if they are more, rounded up to a multiple of the heads.

    Args:
        fields: in their order.
        num_heads: of which the width is a multiple.
        head_width: the dimensions that a head needs at least.
        before: the square norm of all fields before attention.
        after: and after it.
    """
    starts, used = {}, 0
    for field in fields:
        starts[field.name] = used
        used += field.length
    width = num_heads * max(head_width, -(-(used + NUM_BALLAST) // num_heads))
    ballast = [balanced(DEVIATION**2 * width - square, NUM_BALLAST) for square in (before, after)]
    assert ballast[0] is not None and ballast[1] is not None  # an even number that is not negative
    return Stream(
        fields={field.name: field for field in fields},
        starts=starts,
        ballast_before=ballast[0],
        ballast_after=ballast[1],
        width=width,
    )
