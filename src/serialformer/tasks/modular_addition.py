"""Modular addition: the sum of residues, C_p of the paper; and parity, the case of two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from serialformer.arrays import Bool, Int64
from serialformer.errors import TaskError
from serialformer.tasks.running import RunningTask
from serialformer.tasks.task import EQUALS

MAX_MODULUS = 10_000


@dataclass(frozen=True, kw_only=True)
class ModularAddition(RunningTask):
    """Adds residues modulo p.

    Prompt: uniform residues, then ``=``. Chain: the sum of the first residue, of the first two, and so on, modulo p,
    as many as there are residues. Answer: the last of them. Modulo 7, ``3 5 6 =`` has the chain ``3 1 0`` and the
    answer ``0``. The hint labels are the same sums under the residues, and the total again at ``=`` (ours: the paper
    does not say). With modulus 2 it is the paper's C_2.

    Attributes:
        modulus: p, from 2 to 10,000; it need not be prime.
    """

    name: ClassVar[str] = "modular-addition"
    version: ClassVar[int] = 1
    items: ClassVar[str] = "residues"
    prompt_form: ClassVar[str] = "residues, each a number below the modulus"

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

    def _num_kinds(self) -> int:
        return self.modulus

    def _run(self, items: Int64[np.ndarray, "rows items"]) -> Int64[np.ndarray, "rows items"]:
        return np.cumsum(items, axis=1) % self.modulus

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
        total = np.zeros((len(prompts), 1), dtype=np.int64)
        for residue in range(self.modulus):
            total += residue * np.count_nonzero(prompts == residue, axis=1)[:, None]
        return total % self.modulus


@dataclass(frozen=True, kw_only=True)
class Parity(RunningTask):
    """Tells whether the number of ones is odd.

    Prompt: uniform bits, then ``=``. Chain: for each bit, the parity of the bits so far. Answer: the last of them.
    ``1 0 1 1 =`` has the chain ``1 1 0 1`` and the answer ``1``. The same as modular addition with modulus 2, kept
    under its usual name; the chain of running parities is our choice.
    """

    name: ClassVar[str] = "parity"
    version: ClassVar[int] = 1
    items: ClassVar[str] = "bits"
    prompt_form: ClassVar[str] = "bits, each 0 or 1"

    @property
    def complexity(self) -> str:
        return "AC0[2], outside AC0"

    @property
    def neutral_item(self) -> str | None:
        return "0"

    def vocabulary(self, length: int) -> tuple[str, ...]:
        return ("0", "1", EQUALS)

    def _num_kinds(self) -> int:
        return 2

    def _run(self, items: Int64[np.ndarray, "rows items"]) -> Int64[np.ndarray, "rows items"]:
        return np.bitwise_xor.accumulate(items, axis=1)

    def _follow(
        self,
        prompts: Int64[np.ndarray, "rows prompt"],
        chains: Int64[np.ndarray, "rows chain"],
        length: int,
    ) -> Bool[np.ndarray, "rows chain"]:
        before = np.pad(chains[:, :-1], ((0, 0), (1, 0)))
        changes = chains != before
        return (chains < 2) & (before < 2) & (changes == (prompts[:, :-1] == 1))

    def _answer(self, prompts: Int64[np.ndarray, "rows prompt"], length: int) -> Int64[np.ndarray, "rows answer"]:
        return np.count_nonzero(prompts == 1, axis=1)[:, None] % 2
