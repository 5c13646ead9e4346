"""Modular addition: the sum of residues, C_p of the paper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Int64

from serialformer.errors import TaskError
from serialformer.tasks.examples import Examples
from serialformer.tasks.task import EQUALS, Task, even_examples

MAX_MODULUS = 10_000


@dataclass(frozen=True, kw_only=True)
class ModularAddition(Task):
    """Adds residues modulo p.

    Prompt: uniform residues, then ``=``. Chain: the sum of the first residue, of the first two, and so on, modulo p,
    as many as there are residues. Answer: the last of them. Modulo 7, ``3 5 6 =`` has the chain ``3 1 0`` and the
    answer 0.
    The hint labels are the same sums under the residues, and the total again at ``=`` (ours: the paper does not say).
    With modulus 2 it is the paper's C_2, the parity of the ones.

    Attributes:
        modulus: p, at least 2; it need not be prime.
    """

    name: ClassVar[str] = "modular-addition"
    version: ClassVar[int] = 1
    items: ClassVar[str] = "residues"
    prompt_form: ClassVar[str] = "residues, each a number from 0 to the modulus less 1"

    modulus: int = 7

    def __post_init__(self) -> None:
        if not 2 <= self.modulus <= MAX_MODULUS:
            raise TaskError(f"expected a modulus from 2 to {MAX_MODULUS}, found {self.modulus}", where=self.name)

    @property
    def complexity(self) -> str:
        return "ACC0, outside AC0"

    @property
    def neutral_item(self) -> str | None:
        return "0"

    def vocabulary(self, length: int) -> tuple[str, ...]:
        return (*map(str, range(self.modulus)), EQUALS)

    def prompt_width(self, length: int) -> int:
        return length + 1

    def chain_width(self, length: int) -> int:
        return length

    def num_items(self, num_tokens: int) -> int | None:
        return num_tokens or None

    def aligned_items(self, length: int) -> tuple[Int64[np.ndarray, " prompt"], Int64[np.ndarray, " chain"]] | None:
        return np.arange(length + 1), np.arange(length)

    def _draw(
        self, random: np.random.Generator, length: int, num_samples: int, neutral: float
    ) -> Int64[np.ndarray, "rows prompt"]:
        prompts = np.full((num_samples, length + 1), self.modulus, dtype=np.int64)
        prompts[:, :-1] = random.integers(0, self.modulus, (num_samples, length), dtype=np.int16)
        if neutral:
            prompts[:, :-1][random.random((num_samples, length)) < neutral] = 0
        return prompts

    def _solve(self, prompts: Int64[np.ndarray, "rows prompt"], length: int) -> Examples:
        sums = np.cumsum(prompts[:, :-1], axis=1) % self.modulus
        return even_examples(self, prompts, sums, sums, length)

    def _follow(
        self,
        prompts: Int64[np.ndarray, "rows prompt"],
        chains: Int64[np.ndarray, "rows chain"],
        length: int,
    ) -> Bool[np.ndarray, "rows chain"]:
        before = np.pad(chains[:, :-1], ((0, 0), (1, 0)))
        step = chains - before - prompts[:, :-1]
        return (chains < self.modulus) & (before < self.modulus) & (step % self.modulus == 0)

    def _answer(self, prompts: Int64[np.ndarray, "rows prompt"], length: int) -> Int64[np.ndarray, "rows answer"]:
        # How often each residue occurs, times the residue: no partial sum is ever made.
        counts = np.stack([(prompts == residue).sum(axis=1) for residue in range(self.modulus)], axis=1)
        return counts @ np.arange(self.modulus)[:, None] % self.modulus
