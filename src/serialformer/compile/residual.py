"""Residual: named directions of the residual stream.

Every signal has dimensions of its own. A *bit* is a pair of dimensions that hold (v, -v): its sum is 0 and its square
norm does not depend on the sign, so layer norm does not see it. A *name* is a block of dimensions that holds an
anagram (``names``), whose sum and square norm are the same for every position.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from math import isqrt

from serialformer.compile.names import name_norm


@dataclass(frozen=True, kw_only=True)
class Residual:
    """The layout of the residual stream of a compiled circuit.

    In order: ``token`` (the current bit, +1 or -1), ``equals`` (the token is ``=``), ``ballast`` (makes the variance
    4), ``fetched`` (the bits that the heads bring), ``table`` (the truth table), ``name`` (of the position), ``reads``
    (the names of the positions to read), padding.

    Attributes:
        num_heads: bits fetched; K.
        name_length: dimensions of a name.
        ballast_before: what the dimensions of the ballast hold before attention.
        ballast_after: what they hold after it.
        width: all dimensions, padding included.
    """

    num_heads: int
    name_length: int
    ballast_before: tuple[int, ...]
    ballast_after: tuple[int, ...]
    width: int

    token = 0
    equals = 2
    ballast = 4

    @property
    def fetched(self) -> int:
        return self.ballast + len(self.ballast_before)

    def fetched_bit(self, head: int) -> int:
        return self.fetched + 2 * head

    @property
    def table(self) -> int:
        return self.fetched + 2 * self.num_heads

    @property
    def table_size(self) -> int:
        return 1 << self.num_heads

    @property
    def name(self) -> int:
        return self.table + 2 * self.table_size

    def read_name(self, head: int) -> int:
        return self.name + self.name_length * (1 + head)

    @property
    def used(self) -> int:
        return self.read_name(self.num_heads)

    def directions(self) -> list[str]:
        """A label for each dimension.

        >>> lay_out(1, 2).directions()[:6]
        ['token+', 'token-', 'equals+', 'equals-', 'ballast.0', 'ballast.1']
        """
        ballast = [f"ballast.{index}" for index in range(len(self.ballast_before))]
        labels = [f"fetched[{head}]" for head in range(self.num_heads)]
        labels += [f"table[{entry}]" for entry in range(self.table_size)]
        paired = ["token+", "token-", "equals+", "equals-", *ballast]
        paired += [label + sign for label in labels for sign in "+-"]
        blocks = ["name"] + [f"read[{head}]" for head in range(self.num_heads)]
        named = [f"{block}.{index}" for block in blocks for index in range(self.name_length)]
        padding = [f"padding.{index}" for index in range(self.width - self.used)]
        return paired + named + padding


def lay_out(num_heads: int, name_length: int) -> Residual:
    """The narrowest layout.

    The layer norms become the identity (up to epsilon) when the residual stream has mean 0 and variance 4, that is
    square norm 4 width: 1/sqrt(4) is undone by a gain of 2, both exact in every number format. What the signals leave
    of that is the ballast's: whole numbers that add up to 0, so that every sum that a layer norm takes is one of small
    integers. The K fetched bits add 2 K to the square norm, so the ballast gives up as much when they come.

    >>> lay_out(2, 14).width
    62
    """
    bare = Residual(num_heads=num_heads, name_length=name_length, ballast_before=(), ballast_after=(), width=0)
    signals = (num_heads + 1) * name_norm(name_length) + 2 * bare.table_size + 2
    width = num_heads * -(-bare.used // num_heads)
    while True:
        rest = 4 * width - signals
        for count in range(2, width - bare.used + 1):
            before, after = balanced(rest, count), balanced(rest - 2 * num_heads, count)
            if before is not None and after is not None:
                return replace(bare, ballast_before=before, ballast_after=after, width=width)
        width += num_heads


def balanced(square: int, count: int) -> tuple[int, ...] | None:
    """So many whole numbers, in ascending order, with the sum 0 and this square norm; None if there are none.

    >>> balanced(6, 3), balanced(10, 2)
    ((-2, 1, 1), None)
    """
    return _balanced(0, square, count, -isqrt(max(0, square)))


@cache
def _balanced(total: int, square: int, count: int, least: int) -> tuple[int, ...] | None:
    """The like with any sum, and no number below ``least``."""
    if square < 0 or total * total > count * square:
        return None
    if count == 0:
        return () if total == square == 0 else None
    for first in range(least, isqrt(square) + 1):
        rest = _balanced(total - first, square - first * first, count - 1, first)
        if rest is not None:
            return (first, *rest)
    return None
