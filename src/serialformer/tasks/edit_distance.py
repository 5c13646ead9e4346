"""Edit distance: how many letters must be changed, put in or left out to make one word of another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from serialformer.arrays import Bool, Int64
from serialformer.errors import TaskError
from serialformer.tasks.examples import Examples
from serialformer.tasks.task import EQUALS, Task, even_examples, no_hints

LETTERS = "abcdefghijklmnopqrstuvwxyz"
BETWEEN = "|"


@dataclass(frozen=True, kw_only=True)
class EditDistance(Task):
    """Tells how many edits lead from one word to another of the same length.

    Prompt: n letters, ``|``, n letters, then ``=``. Chain: for each letter of the second word, the distances from the
    first word's beginnings of 1, ..., n letters to the second word up to that letter: the table of dynamic programming,
    column by column. Answer: the last of them. ``a b | b b =`` has the chain ``1 1 2 1`` and the answer ``1``.
    Distances are tokens, so the vocabulary grows with the length. Others train on such a task; format and distribution
    are ours: the first word is uniform; the second follows it, and each of its letters is with a probability e, uniform
    for each pair, no copy: it replaces a letter, stands before it, or follows one left out, each alike. The hint
    labels are the distances from the whole first word, under the letters of the second, and the answer at ``=``.

    Attributes:
        alphabet: how many kinds of letters there are, from 2 to 26.
    """

    name: ClassVar[str] = "edit-distance"
    version: ClassVar[int] = 1
    items: ClassVar[str] = "letters of each word"
    prompt_form: ClassVar[str] = "a word, |, and a word of the same length, letter by letter"
    example_length: ClassVar[int] = 3

    alphabet: int = 4

    def __post_init__(self) -> None:
        if not 2 <= self.alphabet <= len(LETTERS):
            raise TaskError(f"expected an alphabet of 2 to {len(LETTERS)}, found {self.alphabet}", where=self.name)

    @property
    def complexity(self) -> str:
        return "NL"

    def vocabulary(self, length: int) -> tuple[str, ...]:
        return (*LETTERS[: self.alphabet], *map(str, range(length + 1)), BETWEEN, EQUALS)

    def prompt_width(self, length: int) -> int:
        return 2 * length + 2

    def chain_width(self, length: int) -> int:
        return length * length

    def num_items(self, num_tokens: int) -> int | None:
        return num_tokens // 2 if num_tokens % 2 == 1 and num_tokens > 1 else None

    def aligned_items(self, length: int) -> tuple[Int64[np.ndarray, " prompt"], Int64[np.ndarray, " chain"]] | None:
        return np.maximum(np.arange(2 * length + 2) - length - 1, 0), np.repeat(np.arange(length), length)

    def prompt_problem(self, texts: list[str]) -> str | None:
        middle = len(texts) // 2
        if texts[middle] != BETWEEN:
            return f"expected {BETWEEN!r} at place {middle + 1}, found {texts[middle]!r}"
        letters = texts[:middle] + texts[middle + 1 :]
        wrong = next((text for text in letters if text not in LETTERS[: self.alphabet]), None)
        return None if wrong is None else f"{wrong!r} is no letter"

    def _draw(
        self, random: np.random.Generator, length: int, num_samples: int, curriculum: str, amount: float
    ) -> Int64[np.ndarray, "rows prompt"]:
        rows = np.arange(num_samples)
        prompts = np.empty((num_samples, 2 * length + 2), dtype=np.int64)
        first = random.integers(0, self.alphabet, (num_samples, length), dtype=np.int8)
        fresh = random.integers(0, self.alphabet, (num_samples, length), dtype=np.int8)
        edit = random.integers(0, 3, (num_samples, length), dtype=np.int8)
        edited = random.random((num_samples, length)) < random.random((num_samples, 1))
        # Where the next letter of the first word is; after its end only fresh letters come.
        read = np.zeros(num_samples, dtype=np.int64)
        for place in range(length):
            is_edit, kind = edited[:, place], edit[:, place]
            left_out = is_edit & (kind == 2)
            read += left_out
            copied = (~is_edit | left_out) & (read < length)
            letters = np.where(copied, first[rows, np.minimum(read, length - 1)], fresh[:, place])
            prompts[:, length + 1 + place] = letters
            read += ~(is_edit & (kind == 1))
        prompts[:, :length] = first
        prompts[:, length] = self.alphabet + length + 1
        prompts[:, -1] = self.end_token(length)
        return prompts

    def _solve(self, prompts: Int64[np.ndarray, "rows prompt"], length: int) -> Examples:
        first, second = prompts[:, :length], prompts[:, length + 1 : -1]
        chains = np.empty((len(prompts), length, length), dtype=np.int64)
        steps = np.arange(length + 1)
        column = np.broadcast_to(steps, (len(prompts), length + 1))
        for place in range(length):
            differs = first != second[:, place, None]
            best = np.empty_like(column)
            best[:, 0] = place + 1
            best[:, 1:] = np.minimum(column[:, 1:] + 1, column[:, :-1] + differs)
            # Leaving out letters of the first word: down the column, one more each.
            column = np.minimum.accumulate(best - steps, axis=1) + steps
            chains[:, place] = column[:, 1:]
        chains += self.alphabet
        hints = np.concatenate([no_hints(len(prompts), length + 1), chains[:, :, -1]], axis=1)
        return even_examples(self, prompts, chains.reshape(len(prompts), length**2), hints, length)

    def _follow(
        self,
        prompts: Int64[np.ndarray, "rows prompt"],
        chains: Int64[np.ndarray, "rows chain"],
        length: int,
    ) -> Bool[np.ndarray, "rows chain"]:
        first, second = prompts[:, :length], prompts[:, length + 1 : -1]
        table = np.empty((len(chains), length + 1, length + 1), dtype=np.int64)
        table[:, 0], table[:, :, 0] = np.arange(length + 1), np.arange(length + 1)
        table[:, 1:, 1:] = chains.reshape(len(chains), length, length) - self.alphabet
        differs = second[:, :, None] != first[:, None, :]
        ways = np.stack([table[:, :-1, :-1] + differs, table[:, :-1, 1:] + 1, table[:, 1:, :-1] + 1])
        return (table[:, 1:, 1:] == ways.min(axis=0)).reshape(chains.shape)

    def _answer(self, prompts: Int64[np.ndarray, "rows prompt"], length: int) -> Int64[np.ndarray, "rows answer"]:
        # Not the table, but how far one comes along each diagonal with 0, 1, 2, ... edits.
        first, second = prompts[:, :length], prompts[:, length + 1 : -1]
        num_rows, rows = len(prompts), np.arange(len(prompts))[:, None]
        # alike[i, j]: how many letters agree from place i of the first word and j of the second on.
        alike = np.zeros((num_rows, length + 1, length + 1), dtype=np.int64)
        for place in range(length - 1, -1, -1):
            agree = first[:, place, None] == second
            alike[:, place, :-1] = np.where(agree, alike[:, place + 1, 1:] + 1, 0)
        # Diagonal d, from -n to n, holds the places (i, i + d); far is the largest i, or far below 0 where unreached.
        shift = np.arange(-length, length + 1)
        far = np.full((num_rows, 2 * length + 3), -4 * length - 4, dtype=np.int64)
        far[:, length + 1] = alike[:, 0, 0]
        answers = np.where(far[:, length + 1] == length, 0, -1)
        for edits in range(1, length + 1):
            # Put a letter in (from d - 1), leave one out (from d + 1), or replace one.
            new = np.maximum(np.maximum(far[:, :-2], far[:, 2:] + 1), far[:, 1:-1] + 1)
            new = np.minimum(np.minimum(new, length), length - shift)
            reached = (new >= 0) & (new + shift >= 0)
            slid = alike[rows, np.clip(new, 0, length), np.clip(new + shift, 0, length)]
            far[:, 1:-1] = np.where(reached, new + slid, -4 * length - 4)
            arrived = (answers < 0) & (far[:, length + 1] == length)
            answers = np.where(arrived, edits, answers)
        return (answers + self.alphabet)[:, None]
