"""Task: a problem with a vocabulary, a sampler, a chain of thought, hint labels and an answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from serialformer.arrays import Bool, Int64
from serialformer.errors import TaskError
from serialformer.tasks.examples import NO_LABEL, Examples

EQUALS = "="
"""The text of the last token of every prompt; no chain contains it, so it also ends generation and pads."""

MAX_TOKENS = 1 << 27
"""Of the prompts and chains of one batch: a gibibyte of token ids."""

ParameterValue = int | float | str

CurriculumAmount = tuple[str, float]
"""The name of one of a task's curricula, and how much of it: from 0, the task's own distribution, to 1, the easiest."""


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """A family of problems, one for each length. The parameters are the fields of the subclass.

    What a subclass gives: the class attributes, the sizes, ``_draw`` and ``_solve`` (prompts, and what is thought about
    them), and ``_follow`` and ``_answer`` (the same asked the other way round: does a token follow, what is the
    answer). The second pair never calls the first, so each checks the other.
    """

    name: ClassVar[str]
    """As on the command line."""
    version: ClassVar[int]
    """Goes up with every change of vocabulary, format or distribution."""
    items: ClassVar[str]
    """What a length counts."""
    prompt_form: ClassVar[str]
    """The form of a prompt, for error messages and lists."""
    min_length: ClassVar[int] = 1
    example_length: ClassVar[int] = 4

    # --- what it is

    @property
    @abstractmethod
    def complexity(self) -> str:
        """The complexity class of the problem with these parameters, as its length grows."""

    @property
    def parameters(self) -> dict[str, ParameterValue]:
        """The parameters by name.

        >>> from serialformer.tasks.modular_addition import ModularAddition
        >>> ModularAddition(modulus=2).parameters
        {'modulus': 2}
        """
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def num_answer_tokens(self) -> int:
        return 1

    @property
    def neutral_item(self) -> str | None:
        """The item that changes nothing; None if there is none."""
        return None

    @property
    def curricula(self) -> Mapping[str, str]:
        """The ways in which samples can be made easier, by name, with what an amount of 1 of each means.

        >>> from serialformer.tasks.modular_addition import ModularAddition
        >>> list(ModularAddition().curricula)
        ['neutral']
        """
        if self.neutral_item is None:
            return {}
        return {"neutral": f"every item is {self.neutral_item}, which changes nothing"}

    # --- sizes

    @abstractmethod
    def vocabulary(self, length: int) -> tuple[str, ...]:
        """The text of each token, by token id."""

    @abstractmethod
    def prompt_width(self, length: int) -> int:
        """Tokens of the longest prompt, ``=`` included."""

    @abstractmethod
    def chain_width(self, length: int) -> int:
        """Tokens of the longest chain."""

    def end_token(self, length: int) -> int:
        """The id of ``=``."""
        return self.vocabulary(length).index(EQUALS)

    def num_positions(self, length: int) -> int:
        """Positions that a model needs: the last token of a chain is made, not read."""
        return self.prompt_width(length) + self.chain_width(length) - 1

    @abstractmethod
    def num_items(self, num_tokens: int) -> int | None:
        """The length of a prompt with this number of tokens, without ``=``; None if there is no such prompt."""

    def aligned_items(self, length: int) -> tuple[Int64[np.ndarray, " prompt"], Int64[np.ndarray, " chain"]] | None:
        """The number of the item to which each token of prompt and chain belongs, never falling along either.

        In the aligned setting the chain's tokens of an item follow the prompt's tokens of that item. None where the
        chain does not go along with the prompt. The last token of the prompt is ``=``, with the highest number.
        """
        return None

    # --- sampling and solving

    def sample(
        self, random: np.random.Generator, length: int, num_samples: int, *, curriculum: CurriculumAmount | None = None
    ) -> Examples:
        """A batch drawn from the task's distribution, the same for the same generator state.

        Args:
            random: where the randomness comes from.
            length: the number of items.
            num_samples: rows of the batch.
            curriculum: one of ``curricula`` and its amount, for training; ``("neutral", 0.8)`` puts the neutral item
                in the place of each with a probability of 0.8. An amount of 0 draws exactly what None does: the
                task's own distribution, on which it is evaluated.

        Raises:
            TaskError: the length is too small, the batch too large, or the task has no such curriculum.
        """
        self.check_size(length, num_samples)
        if curriculum is not None:
            self.check_curriculum(curriculum)
        name, amount = curriculum or ("", 0.0)
        return self.solve(self._draw(random, length, num_samples, name, amount), length)

    def solve(self, prompts: Int64[np.ndarray, "rows prompt"], length: int) -> Examples:
        """Chains, hints and answers of given prompts, which must be well-formed; shorter ones are padded with ``=``.

        Raises:
            TaskError: the prompts are not of this length, or hold ids that are no tokens.
        """
        self.check_size(length, len(prompts))
        self._check_prompts(prompts, length)
        return self._solve(prompts, length)

    def steps_follow(
        self,
        prompts: Int64[np.ndarray, "rows prompt"],
        chains: Int64[np.ndarray, "rows chain"],
        length: int,
    ) -> Bool[np.ndarray, "rows chain"]:
        """Whether each token of a chain follows from its prompt and the chain's own tokens before it.

        A rule for every step, so a chain that goes wrong once and then reasons soundly has one False. Chains are as
        wide as ``chain_width``; a place beyond the end of a shorter chain is True if it holds ``=``.
        """
        self._check_prompts(prompts, length)
        if chains.shape != (len(prompts), self.chain_width(length)):
            expected = [len(prompts), self.chain_width(length)]
            raise TaskError(f"expected chains of {expected}, found {list(chains.shape)}", where=self.name)
        num_tokens = len(self.vocabulary(length))
        known = (chains >= 0) & (chains < num_tokens)
        follow = self._follow(prompts, np.where(known, chains, self.end_token(length)), length)
        return np.logical_and(follow, known)

    def chains_are_right(
        self,
        prompts: Int64[np.ndarray, "rows prompt"],
        chains: Int64[np.ndarray, "rows chain"],
        length: int,
    ) -> Bool[np.ndarray, " rows"]:
        """Whether every token of a chain follows; shorter chains end with ``=`` up to ``chain_width``."""
        return np.all(self.steps_follow(prompts, chains, length), axis=1)

    def answers_are_right(
        self,
        prompts: Int64[np.ndarray, "rows prompt"],
        answers: Int64[np.ndarray, "rows answer"],
        length: int,
    ) -> Bool[np.ndarray, " rows"]:
        """Whether these are the answers, by a way of working them out that makes no chain."""
        self._check_prompts(prompts, length)
        if answers.shape != (len(prompts), self.num_answer_tokens):
            expected = [len(prompts), self.num_answer_tokens]
            raise TaskError(f"expected answers of {expected}, found {list(answers.shape)}", where=self.name)
        return np.all(np.equal(self._answer(prompts, length), answers), axis=1)

    # --- text

    def shallow_views(
        self, prompts: Int64[np.ndarray, "rows prompt"], length: int
    ) -> Mapping[str, Int64[np.ndarray, "rows _"]]:
        """What can be read off a prompt without working anything out, by a name for people; most tasks have nothing.

        The best guess from such a view is a baseline: a model that does no better need not have computed anything.

        Args:
            prompts: task token ids.
            length: the number of items.
        """
        return {}

    def prompt_problem(self, texts: list[str]) -> str | None:
        """What is wrong with a prompt of the right number of known tokens, ``=`` not among them; None if nothing is."""
        return None

    # --- checks

    def check_size(self, length: int, num_samples: int) -> None:
        """Refuses lengths that the task does not have, and batches that memory would not hold."""
        if length < self.min_length:
            raise TaskError(f"expected a length of at least {self.min_length}, found {length}", where=self.name)
        if num_samples < 0:
            raise TaskError(f"expected a number of samples, found {num_samples}", where=self.name)
        num_tokens = max(1, num_samples) * (self.prompt_width(length) + self.chain_width(length))
        if num_tokens > MAX_TOKENS:
            raise TaskError(
                f"{num_samples:,} samples of length {length:,} are {num_tokens:,} tokens, over {MAX_TOKENS:,}",
                where=self.name,
                hint="ask for fewer at a time",
            )

    def check_curriculum(self, curriculum: CurriculumAmount) -> None:
        """Refuses curricula that the task, with its parameters, does not have, and amounts that are none."""
        name, amount = curriculum
        if name not in self.curricula:
            known = f"it has {', '.join(self.curricula)}" if self.curricula else "it has none"
            raise TaskError(f"no curriculum {name!r}", where=self.name, hint=known)
        if not 0 <= amount <= 1:
            raise TaskError(f"expected an amount from 0 to 1, found {amount}", where=f"{self.name}, curriculum {name}")

    def _check_prompts(self, prompts: Int64[np.ndarray, "rows prompt"], length: int) -> None:
        if prompts.shape[1] != self.prompt_width(length):
            raise TaskError(
                f"expected prompts of {self.prompt_width(length)} tokens, found {prompts.shape[1]}", where=self.name
            )
        num_tokens = len(self.vocabulary(length))
        if prompts.size and not (prompts.min() >= 0 and prompts.max() < num_tokens):
            raise TaskError(f"expected token ids from 0 to {num_tokens - 1}", where=self.name)
        if not (prompts[:, -1] == self.end_token(length)).all():
            raise TaskError(f"expected {EQUALS!r} at the end of every prompt", where=self.name)

    # --- what a task is made of

    @abstractmethod
    def _draw(
        self, random: np.random.Generator, length: int, num_samples: int, curriculum: str, amount: float
    ) -> Int64[np.ndarray, "rows prompt"]:
        """Prompts, eased by an amount of one of ``curricula``; with an amount of 0, as if there were no curricula."""

    @abstractmethod
    def _solve(self, prompts: Int64[np.ndarray, "rows prompt"], length: int) -> Examples: ...

    @abstractmethod
    def _follow(
        self,
        prompts: Int64[np.ndarray, "rows prompt"],
        chains: Int64[np.ndarray, "rows chain"],
        length: int,
    ) -> Bool[np.ndarray, "rows chain"]: ...

    @abstractmethod
    def _answer(self, prompts: Int64[np.ndarray, "rows prompt"], length: int) -> Int64[np.ndarray, "rows answer"]: ...


def even_examples(
    task: Task,
    prompts: Int64[np.ndarray, "rows prompt"],
    chains: Int64[np.ndarray, "rows chain"],
    hints: Int64[np.ndarray, "rows hinted"],
    length: int,
    *,
    answer_start: int | None = None,
) -> Examples:
    """Examples whose rows have one size.

    Args:
        task: whose they are.
        prompts: with ``=``.
        chains: with the answer.
        hints: labels of the positions before ``=``.
        length: the number of items.
        answer_start: the place of the answer in the chains; their end, if None.
    """
    start = chains.shape[1] - task.num_answer_tokens if answer_start is None else answer_start
    rows = len(prompts)
    return Examples(
        prompts=prompts,
        prompt_lengths=np.full(rows, prompts.shape[1], dtype=np.int64),
        chains=chains,
        chain_lengths=np.full(rows, chains.shape[1], dtype=np.int64),
        hints=np.concatenate([hints, chains[:, start : start + 1]], axis=1),
        answer_starts=np.full(rows, start, dtype=np.int64),
        num_answer_tokens=task.num_answer_tokens,
        end_token=task.end_token(length),
    )


def no_hints(rows: int, width: int) -> Int64[np.ndarray, "rows width"]:
    """Labels that are all NO_LABEL."""
    return np.full((rows, width), NO_LABEL, dtype=np.int64)
