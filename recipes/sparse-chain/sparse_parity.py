"""Parity with every k-th token of its chain: a user's own task, ``sparse_parity.py:SparseParity``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serialformer.errors import TaskError
from serialformer.tasks.examples import Examples
from serialformer.tasks.modular_addition import Parity
from serialformer.tasks.task import even_examples


@dataclass(frozen=True, kw_only=True)
class SparseParity(Parity):
    """Tells whether the number of ones is odd, and says so after every k-th bit only.

    Prompt: uniform bits, then ``=``. Chain: the parity of the first k bits, of the first 2 k bits, and so on, and of
    all bits; each of its tokens is the token before it and the parity of up to k bits. Answer: the last of them. With
    k = 2, ``1 0 1 1 =`` has the chain ``1 1`` and the answer ``1``. The hint labels are those of parity.

    Attributes:
        every: k.
    """

    name = "sparse-parity"
    version = 1

    every: int = 1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise TaskError(f"expected k of at least 1, found {self.every}", where=f"{self.name}, every")

    def chain_width(self, length: int) -> int:
        return -(-length // self.every)

    def aligned_items(self, length: int) -> tuple[np.ndarray, np.ndarray]:
        return np.arange(length + 1), self._told(length)

    def _told(self, length: int) -> np.ndarray:
        """The bits after which the chain says something."""
        return np.append(np.arange(self.every - 1, length - 1, self.every), length - 1)

    def _solve(self, prompts: np.ndarray, length: int) -> Examples:
        running = self._run(prompts[:, :-1])
        return even_examples(self, prompts, running[:, self._told(length)], running, length)

    def _follow(self, prompts: np.ndarray, chains: np.ndarray, length: int) -> np.ndarray:
        before = np.pad(chains[:, :-1], ((0, 0), (1, 0)))
        starts = np.arange(0, length, self.every)
        ones = np.add.reduceat(prompts[:, :-1], starts, axis=1)
        return (chains < 2) & (before < 2) & ((chains != before) == (ones % 2 == 1))
