"""The residual stream of the evaluator: every coordinate is +1 or -1, at every position, before every layer norm.

A *sign* is a pair of dimensions that holds (v, -v) with v = +1 or -1. All dimensions are such pairs, so the mean is
exactly 0 and the variance exactly 1 whatever the content. Signs that a head or a feed-forward layer brings later are
filled with +1 by the position embedding until then.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from serialformer.compile.residues import name_bits

KINDS = ("TRUE", "FALSE", "AND", "OR", "NOT", "NA", "=")
"""The tokens that are no number; an id has none of these kinds."""

TRUE, FALSE, AND, OR, NOT, NA, EQUALS = range(len(KINDS))

SLOTS = 4
"""Tokens a gate, in prompt and chain: type, first input, second input, itself."""


@dataclass(frozen=True, kw_only=True)
class EvaluatorLayout:
    """Where each sign lies; all places count signs, and sign i is the dimensions 2 i and 2 i + 1.

    From the token: ``kind`` (which of KINDS it is) and ``number`` (the name of the id, of 0 where it is no id). From
    the position p: ``place`` (the name of p div 4), ``slot`` (p mod 4, high bit first), ``reads`` (whether p mod 4 is
    2, whether it is 1), ``first`` (whether p is 0). Brought by layer 1: ``gate`` (the name of the gate that the
    position writes, counted from 0), ``in_chain`` (whether a ``=`` has been read), ``previous`` (whether the token
    before is TRUE, is FALSE). By layer 2: ``fetched_kind`` and ``fetched_number`` of a token of the prompt. By layer
    3: ``value`` (whether the value looked up is TRUE, is FALSE).

    Attributes:
        moduli: of the names (``residues``).

    >>> layout = EvaluatorLayout(moduli=(4, 3, 5, 7))
    >>> layout.name_length, layout.width
    (10, 128)
    """

    moduli: tuple[int, ...]

    kind = 0
    number = len(KINDS)

    @cached_property
    def name_length(self) -> int:
        return name_bits(self.moduli)

    @property
    def place(self) -> int:
        return self.number + self.name_length

    @property
    def slot(self) -> int:
        return self.place + self.name_length

    @property
    def reads(self) -> int:
        return self.slot + 2

    @property
    def first(self) -> int:
        return self.reads + 2

    @property
    def gate(self) -> int:
        return self.first + 1

    @property
    def in_chain(self) -> int:
        return self.gate + self.name_length

    @property
    def previous(self) -> int:
        return self.in_chain + 1

    @property
    def fetched_kind(self) -> int:
        return self.previous + 2

    @property
    def fetched_number(self) -> int:
        return self.fetched_kind + len(KINDS)

    @property
    def value(self) -> int:
        return self.fetched_number + self.name_length

    @property
    def num_signs(self) -> int:
        return self.value + 2

    @property
    def width(self) -> int:
        """8 dimensions a bit of a name, and 48."""
        return 2 * self.num_signs

    def directions(self) -> list[str]:
        """A label for each dimension.

        >>> EvaluatorLayout(moduli=(2,)).directions()[12:18]
        ['kind[=]+', 'kind[=]-', 'number[0]+', 'number[0]-', 'place[0]+', 'place[0]-']
        """
        name = range(self.name_length)
        labels = [f"kind[{kind}]" for kind in KINDS] + [f"number[{bit}]" for bit in name]
        labels += [f"place[{bit}]" for bit in name] + ["slot[high]", "slot[low]", "reads[2]", "reads[1]", "first"]
        labels += [f"gate[{bit}]" for bit in name] + ["in_chain", "previous[TRUE]", "previous[FALSE]"]
        labels += [f"fetched_kind[{kind}]" for kind in KINDS] + [f"fetched_number[{bit}]" for bit in name]
        labels += ["value[TRUE]", "value[FALSE]"]
        return [label + sign for label in labels for sign in "+-"]
