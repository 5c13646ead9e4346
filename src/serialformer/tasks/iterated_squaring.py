"""Iterated squaring modulo a prime."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from serialformer.arrays import Bool, Int64
from serialformer.errors import TaskError
from serialformer.tasks.examples import NO_LABEL, Examples
from serialformer.tasks.task import EQUALS, Task

SQUARE = "^2"
MAX_BOUND = 1 << 15


@dataclass(frozen=True, kw_only=True)
class IteratedSquaring(Task):
    """Squares a residue again and again, modulo a prime.

    Prompt: the prime p, the residue r, k times ``^2``, then ``=``. Chain: r^(2^i) mod p for i from 1 to k. Answer: the
    last of them. ``7 3 ^2 ^2 =`` has the chain ``2 4`` and the answer ``4``. The length n is the largest k; rows differ
    in k, and what a shorter one leaves is filled up with ``=``. The hint labels are the residues under the ``^2``, none
    under p and r, and the answer at ``=``. Ours, since the paper does not say: p is uniform over the primes below the
    bound, r uniform from 1 to p - 1, k uniform from 1 to n.

    Attributes:
        bound: primes and residues are below it; 1000 in the paper.
    """

    name: ClassVar[str] = "iterated-squaring"
    version: ClassVar[int] = 1
    items: ClassVar[str] = "squarings at most"
    prompt_form: ClassVar[str] = "a prime, a residue from 1 to the prime less 1, then one ^2 or more"

    bound: int = 1000

    def __post_init__(self) -> None:
        if not 3 <= self.bound <= MAX_BOUND:
            raise TaskError(f"expected a bound from 3 to {MAX_BOUND}, found {self.bound}", where=self.name)

    @property
    def complexity(self) -> str:
        return "P; thought to be inherently serial for growing primes"

    def vocabulary(self, length: int) -> tuple[str, ...]:
        return (*map(str, range(self.bound)), EQUALS, SQUARE)

    def end_token(self, length: int) -> int:
        return self.bound

    def prompt_width(self, length: int) -> int:
        return length + 3

    def chain_width(self, length: int) -> int:
        return length

    def num_items(self, num_tokens: int) -> int | None:
        return num_tokens - 2 if num_tokens > 2 else None

    def aligned_items(self, length: int) -> tuple[Int64[np.ndarray, " prompt"], Int64[np.ndarray, " chain"]] | None:
        return np.maximum(np.arange(length + 3) - 2, 0), np.arange(length)

    def prompt_problem(self, texts: list[str]) -> str | None:
        if texts[0] == SQUARE or int(texts[0]) not in _primes_below(self.bound):
            return f"{texts[0]!r} is no prime below {self.bound}"
        if texts[1] == SQUARE or not 1 <= int(texts[1]) < int(texts[0]):
            return f"{texts[1]!r} is not from 1 to {int(texts[0]) - 1}"
        wrong = next((text for text in texts[2:] if text != SQUARE), None)
        return None if wrong is None else f"expected {SQUARE}, found {wrong!r}"

    def _draw(
        self, random: np.random.Generator, length: int, num_samples: int, curriculum: str, amount: float
    ) -> Int64[np.ndarray, "rows prompt"]:
        primes = random.choice(_primes_below(self.bound), num_samples)
        prompts = np.full((num_samples, length + 3), self.bound, dtype=np.int64)
        prompts[:, 0] = primes
        prompts[:, 1] = random.integers(1, primes)
        counts = random.integers(1, length, num_samples, endpoint=True)
        prompts[:, 2:-1][np.arange(length) < counts[:, None]] = self.bound + 1
        return prompts

    def _counts(self, prompts: Int64[np.ndarray, "rows prompt"]) -> Int64[np.ndarray, " rows"]:
        """How many squarings each prompt asks for."""
        counts = np.count_nonzero(prompts == self.bound + 1, axis=1).astype(np.int64)
        if len(counts) and counts.min() < 1:
            raise TaskError(f"a prompt without {SQUARE} has no chain", where=self.name)
        return counts

    def _solve(self, prompts: Int64[np.ndarray, "rows prompt"], length: int) -> Examples:
        counts = self._counts(prompts)
        primes, residues = prompts[:, 0], prompts[:, 1]
        chains = np.empty((len(prompts), length), dtype=np.int64)
        for place in range(length):
            chains[:, place] = residues = residues * residues % np.maximum(primes, 1)
        chains[np.arange(length) >= counts[:, None]] = self.bound
        hints = np.full(prompts.shape, NO_LABEL, dtype=np.int64)
        hints[:, 2:-1] = np.where(chains == self.bound, NO_LABEL, chains)
        rows = np.arange(len(prompts))
        hints[rows, counts + 2] = chains[rows, counts - 1]
        return Examples(
            prompts=prompts,
            prompt_lengths=counts + 3,
            chains=chains,
            chain_lengths=counts,
            hints=hints,
            answer_starts=counts - 1,
            num_answer_tokens=1,
            end_token=self.bound,
        )

    def _follow(
        self,
        prompts: Int64[np.ndarray, "rows prompt"],
        chains: Int64[np.ndarray, "rows chain"],
        length: int,
    ) -> Bool[np.ndarray, "rows chain"]:
        before = np.concatenate([prompts[:, 1:2], chains[:, :-1]], axis=1)
        primes = prompts[:, :1]
        # A square less its residue is a multiple of the prime, and the residue is below it.
        squared = (chains < primes) & (before < primes) & ((before**2 - chains) % np.maximum(primes, 1) == 0)
        inside = np.arange(length) < self._counts(prompts)[:, None]
        return np.where(inside, squared, chains == self.bound)

    def _answer(self, prompts: Int64[np.ndarray, "rows prompt"], length: int) -> Int64[np.ndarray, "rows answer"]:
        # Fermat: the exponent 2^k counts only modulo p - 1. Then the power, bit by bit of the exponent.
        primes, power = prompts[:, 0], prompts[:, 1].copy()
        exponents, counts = np.ones(len(prompts), dtype=np.int64), self._counts(prompts)
        for squaring in range(length):
            exponents = np.where(squaring < counts, 2 * exponents % (primes - 1), exponents)
        answers = np.ones(len(prompts), dtype=np.int64)
        for bit in range(MAX_BOUND.bit_length()):
            answers = np.where(exponents >> bit & 1 == 1, answers * power % primes, answers)
            power = power * power % primes
        return answers[:, None]


@lru_cache(maxsize=8)
def _primes_below(bound: int) -> Int64[np.ndarray, " primes"]:
    is_prime = np.ones(bound, dtype=bool)
    is_prime[:2] = False
    for number in range(2, int(bound**0.5) + 1):
        if is_prime[number]:
            is_prime[number * number :: number] = False
    return np.flatnonzero(is_prime)
