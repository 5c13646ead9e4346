"""StepTask: a task that is written down in a few lines, as the rule that gives the next token of the chain."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from serialformer.arrays import Bool, Int64
from serialformer.tasks.examples import Examples
from serialformer.tasks.task import EQUALS, Task, even_examples


@dataclass(frozen=True, kw_only=True)
class StepTask(Task):
    """A task of one token per item, with a chain of one token per item whose last token is the answer.

    A subclass gives ``symbols`` and ``next_token``, and may give ``answer``, ``draw`` and ``num_steps``. It works on
    the texts of tokens, one sample at a time: convenient, and slower than the tasks of this package, which work on
    arrays.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True, kw_only=True)
    ... class Maximum(StepTask):
    ...     name = "maximum"
    ...     base: int = 10
    ...
    ...     def symbols(self):
    ...         return [str(digit) for digit in range(self.base)]
    ...
    ...     def next_token(self, items, chain):
    ...         return max([*chain[-1:], items[len(chain)]])
    >>> Maximum().solve(np.array([[3, 1, 4, 10]]), 3).chains
    array([[3, 3, 4]])
    """

    version: ClassVar[int] = 1
    items: ClassVar[str] = "items"
    prompt_form: ClassVar[str] = "items of the task"

    @abstractmethod
    def symbols(self) -> Sequence[str]:
        """The texts of all tokens of prompts and chains but ``=``. None of them has a blank."""

    @abstractmethod
    def next_token(self, items: Sequence[str], chain: Sequence[str]) -> str:
        """The token that follows a prompt and the chain so far, whether that chain is right or not.

        Args:
            items: the tokens of the prompt, ``=`` not among them.
            chain: the tokens of the chain before this one; at first none.
        """

    def answer(self, items: Sequence[str]) -> str:
        """The answer, best worked out without the chain, so that each checks the other; by default its last token."""
        return self._chain(items)[-1]

    def draw(self, random: np.random.Generator, length: int) -> Sequence[str]:
        """The items of a prompt; by default each is one of ``symbols``, all equally likely."""
        symbols = self.symbols()
        return [symbols[place] for place in random.integers(0, len(symbols), length)]

    def num_steps(self, length: int) -> int:
        """Tokens of a chain; as many as there are items by default."""
        return length

    @property
    def complexity(self) -> str:
        return "not stated"

    def vocabulary(self, length: int) -> tuple[str, ...]:
        return (*self.symbols(), EQUALS)

    def prompt_width(self, length: int) -> int:
        return length + 1

    def chain_width(self, length: int) -> int:
        return self.num_steps(length)

    def num_items(self, num_tokens: int) -> int | None:
        return num_tokens or None

    def aligned_items(self, length: int) -> tuple[Int64[np.ndarray, " prompt"], Int64[np.ndarray, " chain"]] | None:
        return (np.arange(length + 1), np.arange(length)) if self.num_steps(length) == length else None

    def _chain(self, items: Sequence[str]) -> list[str]:
        chain: list[str] = []
        for _ in range(self.num_steps(len(items))):
            chain.append(self.next_token(items, tuple(chain)))
        return chain

    def _items(self, prompts: Int64[np.ndarray, "rows prompt"], length: int) -> list[list[str]]:
        texts = self.vocabulary(length)
        return [[texts[token] for token in row] for row in prompts[:, :-1].tolist()]

    def _ids(self, rows: Sequence[Sequence[str]], width: int, length: int) -> Int64[np.ndarray, "rows width"]:
        """Token ids; -1 for a text that is not in the vocabulary, which ``check_task`` finds."""
        number = {text: place for place, text in enumerate(self.vocabulary(length))}
        found = [[number.get(text, -1) for text in row] for row in rows]
        return np.array(found, dtype=np.int64).reshape(len(rows), width)

    def _draw(
        self, random: np.random.Generator, length: int, num_samples: int, curriculum: str, amount: float
    ) -> Int64[np.ndarray, "rows prompt"]:
        rows = [[*self.draw(random, length), EQUALS] for _ in range(num_samples)]
        prompts = self._ids(rows, length + 1, length)
        if amount and self.neutral_item is not None:
            neutral = self.vocabulary(length).index(self.neutral_item)
            prompts[:, :-1][random.random((num_samples, length)) < amount] = neutral
        return prompts

    def _solve(self, prompts: Int64[np.ndarray, "rows prompt"], length: int) -> Examples:
        width = self.num_steps(length)
        chains = self._ids([self._chain(items) for items in self._items(prompts, length)], width, length)
        hints = np.full((len(prompts), length), -1, dtype=np.int64)
        shared = min(width, length)
        hints[:, :shared] = chains[:, :shared]
        return even_examples(self, prompts, chains, hints, length)

    def _follow(
        self, prompts: Int64[np.ndarray, "rows prompt"], chains: Int64[np.ndarray, "rows chain"], length: int
    ) -> Bool[np.ndarray, "rows chain"]:
        texts = self.vocabulary(length)
        follow = np.zeros(chains.shape, dtype=bool)
        for row, (items, tokens) in enumerate(zip(self._items(prompts, length), chains.tolist(), strict=True)):
            chain = [texts[token] for token in tokens]
            for place, token in enumerate(chain):
                follow[row, place] = self.next_token(items, tuple(chain[:place])) == token
                if token == EQUALS:
                    break  # a chain that ended early has nothing that could follow
        return follow

    def _answer(self, prompts: Int64[np.ndarray, "rows prompt"], length: int) -> Int64[np.ndarray, "rows answer"]:
        return self._ids([[self.answer(items)] for items in self._items(prompts, length)], 1, length)
