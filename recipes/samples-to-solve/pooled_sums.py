"""Sums that are learned from a few prompts and judged on others: a user's own task, ``pooled_sums.py:PooledSums``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from serialformer.errors import TaskError
from serialformer.tasks.modular_addition import ModularAddition

NUM_HELD_OUT = 80
"""Prompts that are in no pool."""


@dataclass(frozen=True, kw_only=True)
class PooledSums(ModularAddition):
    """Adds residues modulo p; samples are drawn from 80 prompts, or with a curriculum from a pool of other ones.

    All prompts of the length stand in a random order. The pool has the first ``pool`` of them. The last 80 are in no
    pool: they are the task's own distribution, so a model that trains with the curriculum is always judged on prompts
    that it has never seen.

    Attributes:
        pool: how many prompts there are to learn from.
        order: the seed of the order.
    """

    name = "pooled-sums"
    version = 1

    pool: int = 16
    order: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pool < 1 or self.order < 0:
            raise TaskError(f"expected a pool of at least 1, found {self.pool}", where=f"{self.name}, pool")

    @property
    def curricula(self) -> Mapping[str, str]:
        return {"pool": "every prompt is from the pool"}

    def most(self, length: int) -> int:
        """The largest pool of a length."""
        return int(self.modulus**length) - NUM_HELD_OUT

    def ordered(self, length: int) -> np.ndarray:
        """All prompts of a length, in their order."""
        numbers = np.random.default_rng([self.order, length]).permutation(self.modulus**length)
        prompts = np.full((len(numbers), length + 1), self.end_token(length), dtype=np.int64)
        prompts[:, :-1] = numbers[:, None] // self.modulus ** np.arange(length) % self.modulus
        return prompts

    def check_size(self, length: int, num_samples: int) -> None:
        super().check_size(length, num_samples)
        if self.pool > self.most(length):
            raise TaskError(f"expected a pool of at most {self.most(length)}, found {self.pool}", where=self.name)

    def _draw(
        self, random: np.random.Generator, length: int, num_samples: int, curriculum: str, amount: float
    ) -> np.ndarray:
        prompts = self.ordered(length)
        held_out = prompts[-NUM_HELD_OUT:][random.integers(0, NUM_HELD_OUT, num_samples)]
        if not amount:
            return held_out
        learned = prompts[random.integers(0, self.pool, num_samples)]
        return np.where(random.random((num_samples, 1)) < amount, learned, held_out)
