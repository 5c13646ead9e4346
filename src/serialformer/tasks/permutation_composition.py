"""Permutation composition: S_5 of the paper, in three ways of writing a permutation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from math import factorial
from typing import ClassVar

import numpy as np

from serialformer.arrays import Bool, Int64
from serialformer.errors import TaskError
from serialformer.tasks.examples import Examples
from serialformer.tasks.task import EQUALS, Task, even_examples

FORMATS = ("brackets", "symbols", "token")
MAX_DEGREE = 64
MAX_DEGREE_OF_TOKENS = 6
"""6! = 720 tokens."""


@dataclass(frozen=True, kw_only=True)
class PermutationComposition(Task):
    """Composes permutations of k things.

    Prompt: uniform permutations, then ``=``. Chain: the composition of the first permutation, of the first two, and so
    on, from left to right, with (σ∘π)_i = σ_{π_i}. Answer: the k symbols of the last one. The ``brackets`` of the paper
    take k + 2 tokens a permutation: of degree 3, ``( 2 3 1 ) ( 2 1 3 ) =`` has the chain ``( 2 3 1 ) ( 3 2 1 )`` and
    the answer ``3 2 1``. ``symbols`` leaves the brackets out; ``token`` writes a permutation as one token, ``231``. The
    hint labels are the chain's tokens at their own places; an answer of k symbols is predicted from ``=`` on, each
    symbol read back before the next, also in the settings without a chain (ours: one position cannot predict five
    symbols). A right answer can be counted by symbol or whole.

    Attributes:
        degree: k, at least 2; at most 6 where a permutation is one token.
        format: ``brackets``, ``symbols`` or ``token``.
    """

    name: ClassVar[str] = "permutation-composition"
    version: ClassVar[int] = 1
    items: ClassVar[str] = "permutations"
    prompt_form: ClassVar[str] = "permutations in the task's format"
    example_length: ClassVar[int] = 2

    degree: int = 5
    format: str = "brackets"

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise TaskError(f"no format {self.format!r}", where=self.name, hint=f"one of {', '.join(FORMATS)}")
        most = MAX_DEGREE_OF_TOKENS if self.format == "token" else MAX_DEGREE
        if not 2 <= self.degree <= most:
            raise TaskError(f"expected a degree from 2 to {most}, found {self.degree}", where=self.name)

    @property
    def complexity(self) -> str:
        return "NC1-complete" if self.degree >= 5 else "ACC0"

    @property
    def num_answer_tokens(self) -> int:
        return 1 if self.format == "token" else self.degree

    @property
    def neutral_item(self) -> str | None:
        symbols = [str(symbol) for symbol in range(1, self.degree + 1)]
        if self.format == "token":
            return "".join(symbols)
        return " ".join(["(", *symbols, ")"] if self.format == "brackets" else symbols)

    @property
    def item_width(self) -> int:
        """Tokens of one permutation."""
        return {"brackets": self.degree + 2, "symbols": self.degree, "token": 1}[self.format]

    def vocabulary(self, length: int) -> tuple[str, ...]:
        if self.format == "token":
            return (*("".join(map(str, row)) for row in (_all_permutations(self.degree) + 1).tolist()), EQUALS)
        brackets = ("(", ")") if self.format == "brackets" else ()
        return (*map(str, range(1, self.degree + 1)), *brackets, EQUALS)

    def prompt_width(self, length: int) -> int:
        return self.item_width * length + 1

    def chain_width(self, length: int) -> int:
        return self.item_width * length

    def num_items(self, num_tokens: int) -> int | None:
        return num_tokens // self.item_width if num_tokens and num_tokens % self.item_width == 0 else None

    def aligned_items(self, length: int) -> tuple[Int64[np.ndarray, " prompt"], Int64[np.ndarray, " chain"]] | None:
        items = np.repeat(np.arange(length), self.item_width)
        return np.append(items, length), items

    def prompt_problem(self, texts: list[str]) -> str | None:
        expected = sorted(str(symbol) for symbol in range(1, self.degree + 1))
        for start in range(0, len(texts), self.item_width):
            item = texts[start : start + self.item_width]
            inner = item[1:-1] if self.format == "brackets" else list(item[0]) if self.format == "token" else item
            bracketed = self.format != "brackets" or (item[0], item[-1]) == ("(", ")")
            if not bracketed or sorted(inner) != expected:
                return f"{' '.join(item)!r} at place {start + 1} is no permutation of {self.degree} symbols"
        return None

    def _draw(
        self, random: np.random.Generator, length: int, num_samples: int, curriculum: str, amount: float
    ) -> Int64[np.ndarray, "rows prompt"]:
        if self.degree <= MAX_DEGREE_OF_TOKENS:
            order = factorial(self.degree)
            drawn = _all_permutations(self.degree)[random.integers(0, order, (num_samples, length), dtype=np.int16)]
        else:
            straight = np.broadcast_to(np.arange(self.degree), (num_samples, length, self.degree))
            drawn = random.permuted(straight, axis=2)
        if amount:
            drawn[random.random((num_samples, length)) < amount] = np.arange(self.degree)
        return np.pad(self._write(drawn), ((0, 0), (0, 1)), constant_values=self.end_token(length))

    def _solve(self, prompts: Int64[np.ndarray, "rows prompt"], length: int) -> Examples:
        given = self._read(prompts[:, :-1], length)
        composed = np.empty_like(given)
        so_far = given[:, 0]
        composed[:, 0] = so_far
        for item in range(1, length):
            composed[:, item] = so_far = np.take_along_axis(so_far, given[:, item], axis=1)
        chains = self._write(composed)
        start = chains.shape[1] - self.num_answer_tokens - (self.format == "brackets")
        return even_examples(self, prompts, chains, chains, length, answer_start=start)

    def _follow(
        self,
        prompts: Int64[np.ndarray, "rows prompt"],
        chains: Int64[np.ndarray, "rows chain"],
        length: int,
    ) -> Bool[np.ndarray, "rows chain"]:
        given = self._read(prompts[:, :-1], length)
        made = self._read(chains, length)
        before = np.concatenate(
            [np.broadcast_to(np.arange(self.degree), (len(made), 1, self.degree)), made[:, :-1]], axis=1
        )
        follow = made == np.take_along_axis(before, given, axis=2)
        if self.format == "token":
            return (chains < factorial(self.degree)) & follow.all(axis=2)
        if self.format == "symbols":
            return (chains < self.degree) & follow.reshape(chains.shape)
        items = chains.reshape(len(chains), length, self.item_width)
        opens, closes = items[:, :, :1] == self.degree, items[:, :, -1:] == self.degree + 1
        inside = (items[:, :, 1:-1] < self.degree) & follow
        return np.concatenate([opens, inside, closes], axis=2).reshape(chains.shape)

    def _answer(self, prompts: Int64[np.ndarray, "rows prompt"], length: int) -> Int64[np.ndarray, "rows answer"]:
        # Where each thing goes, through the permutations from the last to the first.
        given = self._read(prompts[:, :-1], length)
        things = np.broadcast_to(np.arange(self.degree), (len(prompts), self.degree))
        for item in range(length - 1, -1, -1):
            things = np.take_along_axis(given[:, item], things, axis=1)
        if self.format != "token":
            return things.copy()
        ranks = (_all_permutations(self.degree)[None] == things[:, None]).all(axis=2)
        return ranks.argmax(axis=1)[:, None]

    def _write(self, rows: Int64[np.ndarray, "rows length degree"]) -> Int64[np.ndarray, "rows tokens"]:
        """Permutations as tokens."""
        flat = (len(rows), rows.shape[1] * self.item_width)
        if self.format == "token":
            places = self.degree ** np.arange(self.degree)[::-1]
            return np.searchsorted(_all_permutations(self.degree) @ places, rows @ places).reshape(flat)
        if self.format == "symbols":
            return rows.reshape(flat)
        tokens = np.empty((*rows.shape[:2], self.item_width), dtype=np.int64)
        tokens[:, :, 0], tokens[:, :, 1:-1], tokens[:, :, -1] = self.degree, rows, self.degree + 1
        return tokens.reshape(flat)

    def _read(self, tokens: Int64[np.ndarray, "rows tokens"], length: int) -> Int64[np.ndarray, "rows length degree"]:
        """Tokens as permutations; what is none comes out as something below the degree all the same."""
        items = tokens.reshape(len(tokens), length, self.item_width)
        if self.format == "token":
            return _all_permutations(self.degree)[np.minimum(items[:, :, 0], factorial(self.degree) - 1)]
        inner = items[:, :, 1:-1] if self.format == "brackets" else items
        return np.minimum(inner, self.degree - 1)


@lru_cache(maxsize=8)
def _all_permutations(degree: int) -> Int64[np.ndarray, "order degree"]:
    """The permutations of a degree in lexicographic order, things counted from 0."""
    rows = np.array(list(permutations(range(degree))), dtype=np.int64)
    rows.setflags(write=False)
    return rows
