"""Majority: whether there are more ones than zeros."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from serialformer.arrays import Bool, Int64
from serialformer.tasks.examples import Examples
from serialformer.tasks.task import EQUALS, Task, even_examples


@dataclass(frozen=True, kw_only=True)
class Majority(Task):
    """Tells whether more than half of the bits are ones.

    Prompt: uniform bits, then ``=``. Chain: for each bit, the number of ones so far; then the answer. Answer: ``1`` if
    there are more ones than zeros and ``0`` otherwise, also at a tie. ``1 0 1 1 =`` has the chain ``1 1 2 3 1`` and the
    answer ``1``. The numbers 0 to n are tokens, so the vocabulary grows with the length; the bits are the same tokens
    as the numbers 0 and 1. The hint labels are the counts under the bits, and the answer at ``=``. The paper does not
    have this task: chain and hints are ours.
    """

    name: ClassVar[str] = "majority"
    version: ClassVar[int] = 1
    items: ClassVar[str] = "bits"
    prompt_form: ClassVar[str] = "bits, each 0 or 1"

    @property
    def complexity(self) -> str:
        return "TC0, outside AC0"

    def vocabulary(self, length: int) -> tuple[str, ...]:
        return (*map(str, range(length + 1)), EQUALS)

    def prompt_width(self, length: int) -> int:
        return length + 1

    def chain_width(self, length: int) -> int:
        return length + 1

    def num_items(self, num_tokens: int) -> int | None:
        return num_tokens or None

    def aligned_items(self, length: int) -> tuple[Int64[np.ndarray, " prompt"], Int64[np.ndarray, " chain"]] | None:
        return np.arange(length + 1), np.arange(length + 1)

    def prompt_problem(self, texts: list[str]) -> str | None:
        wrong = next((text for text in texts if text not in ("0", "1")), None)
        return None if wrong is None else f"{wrong!r} is no bit"

    def _draw(
        self, random: np.random.Generator, length: int, num_samples: int, curriculum: str, amount: float
    ) -> Int64[np.ndarray, "rows prompt"]:
        prompts = np.full((num_samples, length + 1), self.end_token(length), dtype=np.int64)
        prompts[:, :-1] = random.integers(0, 2, (num_samples, length), dtype=np.int8)
        return prompts

    def _solve(self, prompts: Int64[np.ndarray, "rows prompt"], length: int) -> Examples:
        counts = np.cumsum(prompts[:, :-1], axis=1)
        answers = (2 * counts[:, -1:] > length).astype(np.int64)
        return even_examples(self, prompts, np.concatenate([counts, answers], axis=1), counts, length)

    def _follow(
        self,
        prompts: Int64[np.ndarray, "rows prompt"],
        chains: Int64[np.ndarray, "rows chain"],
        length: int,
    ) -> Bool[np.ndarray, "rows chain"]:
        counts, answers = chains[:, :-1], chains[:, -1:]
        before = np.pad(counts[:, :-1], ((0, 0), (1, 0)))
        known = (counts <= length) & (before <= length)
        last = counts[:, -1:]
        zeros = length - last
        return np.concatenate(
            [known & (counts - before == prompts[:, :-1]), (last <= length) & (answers == (last > zeros))], axis=1
        )

    def _answer(self, prompts: Int64[np.ndarray, "rows prompt"], length: int) -> Int64[np.ndarray, "rows answer"]:
        # The middle of the sorted bits: a one at place n // 2 from the top means more than n / 2 of them.
        return np.sort(prompts[:, :-1], axis=1)[:, ::-1][:, length // 2, None].copy()
