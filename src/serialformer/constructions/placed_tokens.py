"""Placed tokens: a vocabulary in which every token says at which position it stands.

A transformer without an embedding of positions can realise a construction if its tokens bring along what a position
decides. There is then a token for each position and each token of the construction that can stand there; *plain* tokens
are those of the construction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from serialformer.architecture import MERGED, TEXT_MARKS, UNKNOWN
from serialformer.arrays import Bool, Int64
from serialformer.constructions.program import EQUALS, ONE, VOCABULARY, ZERO

SPECIAL = (UNKNOWN, *TEXT_MARKS)
"""Unknown text, the beginning, the end and the filling of a text."""

BEGINNING, END, PADDING = 1, 2, 3

LETTERS = "abcdefghijklmnopqrstuvwxyz"

VOCABULARY_MULTIPLE = 64
"""Vocabularies of circuits are filled up to a multiple of this, which some programs ask for."""

ABSENT = -1
"""Instead of the id of a plain token at a position where it cannot stand."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PlacedTokens:
    """Which token stands for which plain token at which position.

    Attributes:
        ids: for each position and plain token the token that stands for it there, or ABSENT.
        plain_end: the plain token that ends a chain; what is written for it is END.
        num_tokens: tokens in all, those that fill the vocabulary up included.
    """

    ids: Int64[np.ndarray, "positions plain"]
    plain_end: int
    num_tokens: int

    @property
    def num_positions(self) -> int:
        return len(self.ids)

    @property
    def num_plain(self) -> int:
        return int(self.ids.shape[1])

    @property
    def strange(self) -> int:
        """What ``read`` gives instead of a plain token where a token stands at a position that is not its own."""
        return self.num_plain

    def place(self, plain: Int64[np.ndarray, "rows count"], first: int = 0) -> Int64[np.ndarray, "rows count"]:
        """The tokens that stand for plain tokens at the positions from ``first`` on; SPECIAL[0] where there is none.

        >>> tokens = place_tokens([(0, 1), (2,), (0, 1)], num_plain=3, plain_end=2)
        >>> tokens.place(np.array([[1, 2, 0]])).tolist(), tokens.read(np.array([[10, 2]]), 2).tolist()
        ([[8, 9, 10]], [[0, 2]])
        """
        ids = self.ids[np.arange(first, first + plain.shape[1]), plain]
        return np.where(ids == ABSENT, 0, ids)

    def read(self, tokens: Int64[np.ndarray, "rows count"], first: int) -> Int64[np.ndarray, "rows count"]:
        """The plain tokens that tokens at the positions from ``first`` on stand for; ``strange`` if not there."""
        position, plain = self._meanings
        known = (tokens >= 0) & (tokens < len(position))
        chosen = np.where(known, tokens, 0)
        here = position[chosen] == np.arange(first, first + tokens.shape[1])
        return np.where(tokens == END, self.plain_end, np.where(known & here, plain[chosen], self.strange))

    @cached_property
    def _meanings(self) -> tuple[Int64[np.ndarray, " tokens"], Int64[np.ndarray, " tokens"]]:
        """For each token its position and its plain token."""
        positions, plain = np.nonzero(self.ids != ABSENT)
        tokens = self.ids[positions, plain]
        of_position, of_plain = np.full((2, self.num_tokens), ABSENT, dtype=np.int64)
        of_position[tokens], of_plain[tokens] = positions, plain
        return of_position, of_plain

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """The text of each token: letters that say the position, then letters that say the plain token."""
        texts = [*SPECIAL, *MERGED, *(f"<spare {index}>" for index in range(len(SPECIAL + MERGED), self.num_tokens))]
        positions, plain = np.nonzero(self.ids != ABSENT)
        heads = _letters(self.num_positions)
        tails = ("o", "i", "e", "u") if self.num_plain <= 4 else _letters(self.num_plain)
        for token, position, choice in zip(self.ids[positions, plain].tolist(), positions.tolist(), plain.tolist(),
                                           strict=True):  # fmt: skip
            texts[token] = heads[position] + tails[choice]
        return tuple(texts)


def _letters(count: int) -> list[str]:
    """A number of different words of letters, all of the same length, at least 2.

    >>> _letters(28)[25:]
    ['az', 'ba', 'bb']
    """
    length = 2
    while len(LETTERS) ** length < count:
        length += 1
    words = []
    for number in range(count):
        letters = []
        for _ in range(length):
            number, digit = divmod(number, len(LETTERS))
            letters.append(LETTERS[digit])
        words.append("".join(reversed(letters)))
    return words


def place_tokens(
    possible: Sequence[Sequence[int]], *, num_plain: int, plain_end: int, multiple: int = 1
) -> PlacedTokens:
    """Tokens for the plain tokens that can stand at each position.

    Args:
        possible: for each position the plain tokens that can stand there.
        num_plain: plain tokens in all.
        plain_end: the one that ends a chain.
        multiple: of which the number of tokens is one.
    """
    allowed = np.zeros((len(possible), num_plain), dtype=bool)
    for position, plain in enumerate(possible):
        allowed[position, list(plain)] = True
    return place_allowed(allowed, plain_end, multiple)


def place_bits(num_inputs: int, num_chain_tokens: int) -> PlacedTokens:
    """The tokens of a circuit: two for each bit of the prompt and of the chain, and one for the ``=`` between them.

    >>> place_bits(1, 1).vocabulary[7:13]
    ('aao', 'aai', 'abe', 'aco', 'aci', '<spare 12>')
    """
    allowed = np.zeros((num_inputs + 1 + num_chain_tokens, len(VOCABULARY)), dtype=bool)
    allowed[:, [ZERO, ONE]] = True
    allowed[num_inputs] = np.arange(len(VOCABULARY)) == EQUALS
    return place_allowed(allowed, EQUALS, VOCABULARY_MULTIPLE)


def place_allowed(allowed: Bool[np.ndarray, "positions plain"], plain_end: int, multiple: int = 1) -> PlacedTokens:
    """The same for a table of what can stand where; see ``place_tokens``."""
    first = len(SPECIAL) + len(MERGED)
    ids = np.where(allowed, first - 1 + np.cumsum(allowed).reshape(allowed.shape), ABSENT).astype(np.int64)
    num_tokens = first + int(allowed.sum())
    return PlacedTokens(ids=ids, plain_end=plain_end, num_tokens=num_tokens + -num_tokens % multiple)
