"""Parity with filler tokens between the prompt and the answer: a user's own task, ``filled_parity.py:FilledParity``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serialformer.errors import TaskError
from serialformer.tasks.examples import Examples
from serialformer.tasks.modular_addition import Parity
from serialformer.tasks.task import even_examples


@dataclass(frozen=True, kw_only=True)
class FilledParity(Parity):
    """Tells whether the number of ones is odd; its chain has ``fillers`` tokens for each bit.

    Prompt: uniform bits, then ``=``. Chain: the parity of the bits so far, each token ``fillers`` times. Answer: the
    last of them. It is meant for the setting ``filler``, which replaces the chain by as many ``=``.

    Attributes:
        fillers: tokens of the chain for each bit, at least 1.
    """

    name = "filled-parity"
    version = 1

    fillers: int = 1

    def __post_init__(self) -> None:
        if self.fillers < 1:
            raise TaskError(f"expected at least one filler a bit, found {self.fillers}", where=f"{self.name}, fillers")

    def chain_width(self, length: int) -> int:
        return self.fillers * length

    def aligned_items(self, length: int) -> tuple[np.ndarray, np.ndarray]:
        return np.arange(length + 1), np.repeat(np.arange(length), self.fillers)

    def _solve(self, prompts: np.ndarray, length: int) -> Examples:
        running = self._run(prompts[:, :-1])
        return even_examples(self, prompts, np.repeat(running, self.fillers, axis=1), running, length)

    def _follow(self, prompts: np.ndarray, chains: np.ndarray, length: int) -> np.ndarray:
        before = np.pad(chains[:, :-1], ((0, 0), (1, 0)))
        ones = np.zeros_like(chains)
        ones[:, :: self.fillers] = prompts[:, :-1]
        return (chains < 2) & (before < 2) & ((chains != before) == (ones == 1))
