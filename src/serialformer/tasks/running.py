"""Tasks of one token per item whose chain gives, item by item, the result of all items so far."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from serialformer.arrays import Int64
from serialformer.tasks.examples import Examples
from serialformer.tasks.task import Task, even_examples


@dataclass(frozen=True, kw_only=True)
class RunningTask(Task):
    """One token of the prompt and one of the chain for each item; the last of the chain is the answer.

    The hint labels are the chain's tokens under the items, and the answer again at ``=`` (ours: the paper says
    nothing).
    """

    def prompt_width(self, length: int) -> int:
        return length + 1

    def chain_width(self, length: int) -> int:
        return length

    def num_items(self, num_tokens: int) -> int | None:
        return num_tokens or None

    def aligned_items(self, length: int) -> tuple[Int64[np.ndarray, " prompt"], Int64[np.ndarray, " chain"]] | None:
        return np.arange(length + 1), np.arange(length)

    @abstractmethod
    def _num_kinds(self) -> int:
        """How many items there are; their tokens have the ids from 0."""

    def _neutral_id(self) -> int:
        """The id of the neutral item."""
        return 0

    @abstractmethod
    def _run(self, items: Int64[np.ndarray, "rows items"]) -> Int64[np.ndarray, "rows items"]:
        """The chain's tokens."""

    def _draw(
        self, random: np.random.Generator, length: int, num_samples: int, curriculum: str, amount: float
    ) -> Int64[np.ndarray, "rows prompt"]:
        prompts = np.full((num_samples, length + 1), self.end_token(length), dtype=np.int64)
        prompts[:, :-1] = random.integers(0, self._num_kinds(), (num_samples, length), dtype=np.int16)
        if amount:
            prompts[:, :-1][random.random((num_samples, length)) < amount] = self._neutral_id()
        return prompts

    def _solve(self, prompts: Int64[np.ndarray, "rows prompt"], length: int) -> Examples:
        chains = self._run(prompts[:, :-1])
        return even_examples(self, prompts, chains, chains, length)
