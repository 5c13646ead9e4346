"""Residual: named directions of the residual stream.

Every signal has dimensions of its own. A *bit* is a pair of dimensions that hold (v, -v): its sum is 0 and its square
norm does not depend on the sign, so layer norm does not see it. A *name* is a block of dimensions that holds an
anagram (``names``), whose sum and square norm are the same for every position.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Residual:
    """The layout of the residual stream of a compiled circuit.

    In order: ``token`` (the current bit, +1 or -1), ``equals`` (the token is ``=``), ``ballast`` (makes the variance
    4), ``fetched`` (the bits that the heads bring), ``table`` (the truth table), ``name`` (of the position), ``reads``
    (the names of the positions to read), padding.

    Attributes:
        num_heads: bits fetched; K.
        name_length: dimensions of a name.
        width: all dimensions, padding included.
    """

    num_heads: int
    name_length: int
    width: int

    token = 0
    equals = 2
    ballast = 4

    @property
    def fetched(self) -> int:
        return 6

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

        >>> Residual(num_heads=1, name_length=2, width=16).directions()[:6]
        ['token+', 'token-', 'equals+', 'equals-', 'ballast+', 'ballast-']
        """
        labels = ["token", "equals", "ballast"]
        labels += [f"fetched[{head}]" for head in range(self.num_heads)]
        labels += [f"table[{entry}]" for entry in range(self.table_size)]
        paired = [label + sign for label in labels for sign in "+-"]
        blocks = ["name"] + [f"read[{head}]" for head in range(self.num_heads)]
        named = [f"{block}.{index}" for block in blocks for index in range(self.name_length)]
        padding = [f"padding.{index}" for index in range(self.width - self.used)]
        return paired + named + padding


def lay_out(num_heads: int, name_length: int) -> tuple[Residual, float]:
    """The narrowest layout, and the square norm that its ballast has to make up.

    The layer norms become the identity (up to epsilon) when the residual stream has mean 0 and variance 4, that is
    square norm 4 width: 1/sqrt(4) is undone by a gain of 2, both exact in every number format. What the signals leave
    of that is the ballast's; it must exceed 2 K, because the ballast gives that much up when the K bits are fetched.

    >>> layout, _ = lay_out(2, 14)
    >>> layout.width
    60
    """
    from serialformer.compile.names import name_norm

    bare = Residual(num_heads=num_heads, name_length=name_length, width=0)
    signals = (num_heads + 1) * name_norm(name_length) + 2 * bare.table_size + 2
    width = num_heads * int(np.ceil(bare.used / num_heads))
    while 4 * width - signals < 2 * num_heads:
        width += num_heads
    return Residual(num_heads=num_heads, name_length=name_length, width=width), float(4 * width - signals)
