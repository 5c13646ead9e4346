"""Finite groups by name, as multiplication tables: S5, A4, Z5, D4 and products such as A4_x_Z5."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from math import factorial

import numpy as np

from serialformer.arrays import Int64
from serialformer.errors import TaskError

MAX_ORDER = 1024
"""Of a group: its table has a megabyte of entries."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """A finite group. Elements are numbered from 0, the identity.

    Attributes:
        name: as it was asked for.
        elements: what each element is, in words.
        product: ``product[a, b]`` is a times b.
    """

    name: str
    elements: tuple[str, ...]
    product: Int64[np.ndarray, "order order"]

    @property
    def order(self) -> int:
        return len(self.product)

    @property
    def inverses(self) -> Int64[np.ndarray, " order"]:
        """The inverse of each element."""
        return np.argmin(self.product, axis=1)

    @property
    def is_solvable(self) -> bool:
        """Whether commutators of commutators, and so on, end in the identity.

        >>> make_group("S4").is_solvable, make_group("A5").is_solvable
        (True, False)
        """
        inside = np.arange(self.order)
        while len(inside) > 1:
            derived = self._generate(self._commutators(inside))
            if len(derived) == len(inside):
                return False
            inside = derived
        return True

    def _commutators(self, inside: Int64[np.ndarray, " inside"]) -> Int64[np.ndarray, " found"]:
        both = self.product[np.ix_(inside, inside)]
        undone = self.product[np.ix_(self.inverses[inside], self.inverses[inside])]
        return np.unique(self.product[both, undone])

    def _generate(self, generators: Int64[np.ndarray, " generators"]) -> Int64[np.ndarray, " generated"]:
        """The subgroup; a finite set closed under products is closed under inverses."""
        found = generators
        while True:
            more = np.unique(self.product[np.ix_(found, generators)])
            more = np.union1d(found, more)
            if len(more) == len(found):
                return found
            found = more


@lru_cache(maxsize=32)
def make_group(name: str) -> Group:
    """The group of this name.

    ``Sn`` and ``An`` are the permutations of n things and the even ones, in lexicographic order, with (σ∘π)_i =
    σ_{π_i}; ``Zn`` adds modulo n; ``Dn`` is the symmetries of the n-gon, r^i before r^i s; ``G_x_H`` is the product,
    the second factor running fastest.

    Raises:
        TaskError: there is no such group, or it has one element, or more than MAX_ORDER.

    >>> make_group("S3").elements
    ('123', '132', '213', '231', '312', '321')
    >>> make_group("A4_x_Z5").order
    60
    """
    factors = []
    order = 1
    for part in name.split("_x_"):
        match = re.fullmatch(r"([SAZD])([1-9]\d{0,5})", part)
        if match is None:
            raise TaskError(f"no group {name!r}", hint="S5, A4, Z60, D4, or a product such as A4_x_Z5")
        kind, size = match[1], int(match[2])
        order *= _order(kind, size)
        if order > MAX_ORDER:
            raise TaskError(f"group {name} has more than {MAX_ORDER} elements", hint="choose a smaller one")
        factors.append((kind, size))
    if order < 2:
        raise TaskError(f"group {name} has one element", hint="choose a larger one")
    made = [_FAMILIES[kind](size) for kind, size in factors]
    elements, product = made[0]
    for more_elements, more in made[1:]:
        many = len(more)
        elements = tuple(f"{one},{other}" for one in elements for other in more_elements)
        product = np.repeat(np.repeat(product, many, 0), many, 1) * many + np.tile(more, (len(product), len(product)))
    return Group(name=name, elements=elements, product=product)


def _order(kind: str, size: int) -> int:
    if kind in "SA":
        whole = factorial(min(size, 20))
        return max(1, whole // 2) if kind == "A" else whole
    return 2 * size if kind == "D" else size


def _permutations(size: int, *, only_even: bool = False) -> tuple[tuple[str, ...], Int64[np.ndarray, "order order"]]:
    rows = np.array(list(permutations(range(size))), dtype=np.int64)
    if only_even:
        inversions = sum(
            (rows[:, left] > rows[:, right]).astype(np.int64) for left in range(size) for right in range(left + 1, size)
        )
        rows = rows[np.asarray(inversions) % 2 == 0]
    places = size ** np.arange(size)[::-1]
    codes = rows @ places  # grow with the lexicographic order
    composed = rows[:, rows].reshape(len(rows), len(rows), size)
    separator = "" if size <= 9 else "."
    return tuple(separator.join(map(str, row)) for row in (rows + 1).tolist()), np.searchsorted(
        codes, composed @ places
    )


def _cyclic(size: int) -> tuple[tuple[str, ...], Int64[np.ndarray, "order order"]]:
    numbers = np.arange(size)
    return tuple(map(str, range(size))), (numbers[:, None] + numbers) % size


def _dihedral(size: int) -> tuple[tuple[str, ...], Int64[np.ndarray, "order order"]]:
    """r^i s^e times r^j s^f is r^(i + j or i - j) s^(e + f)."""
    turns, flips = np.arange(2 * size) % size, np.arange(2 * size) // size
    turned = (turns[:, None] + np.where(flips[:, None] == 1, -turns, turns)) % size
    names = tuple(f"r{turn}{'s' * flip}" for flip in range(2) for turn in range(size))
    return names, turned + size * (flips[:, None] ^ flips)


_FAMILIES = {
    "S": _permutations,
    "A": lambda size: _permutations(size, only_even=True),
    "Z": _cyclic,
    "D": _dihedral,
}
