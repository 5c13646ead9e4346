"""Known answers of a constructed task: the one right continuation of any sequence, from the claim about its chain."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from serialformer.architecture import token_separator
from serialformer.constructions.claim import ANY, Rule, TableClaim
from serialformer.constructions.placed_tasks import claimed_tokens
from serialformer.engines.known import beginning
from serialformer.errors import InputError
from serialformer.models.construction_of import construction_of
from serialformer.models.model import Model


class KnownTaskAnswers:
    """What must follow, according to the claim about a task's chain, after any prompt of a model constructed for it.

    A prompt is a problem of the task, ``=`` included, and any number of chain tokens that can stand there, right or
    not: each token follows from those that stand in the sequence. The weights are never looked at. Prompts and chains
    are in the task's own tokens; ``ids`` gives the model's.

    Args:
        model: constructed for a task with a chain, whose prompts all have one layout.

    Raises:
        InputError: it is none.

    >>> from serialformer import construct
    >>> known = KnownTaskAnswers(construct("parity", 3, target="llama"))
    >>> known.continue_prompt([1, 0, 1, 2], 4), known.continue_prompt([1, 0, 1, 2, 0], 2)
    ((1, 1, 0), (0, 1))
    >>> known.reads(4), known.reads(5)
    ((0, 3), (1, 4))
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        items = model.items
        if items.setting != "cot":
            raise InputError(
                f"has the setting {items.setting}; known answers are those of chains",
                where=None if model.directory is None else str(model.directory),
                hint="construct the task with --setting cot",
            )
        construction = construction_of(model)
        claims = construction.claims()
        claim = next(claims)
        if not isinstance(claim, TableClaim) or next(claims, None) is not None:
            raise InputError(
                f"the prompts of {items.task.name} differ in length; known answers are those of prompts of one layout",
                where=None if model.directory is None else str(model.directory),
            )
        self._claim, self._end = claim, construction.end_token
        self._allowed = claimed_tokens(construction, claim)

    @property
    def num_inputs(self) -> int:
        """Tokens of the problem, which stand before ``=``."""
        return self._claim.num_prompt - 1

    @property
    def num_prompt(self) -> int:
        """Tokens of a prompt without any of its chain."""
        return self._claim.num_prompt

    @property
    def num_tokens(self) -> int:
        """Prompt, ``=`` and the whole chain."""
        return self._claim.num_prompt + self.model.num_new_tokens

    @cached_property
    def gates(self) -> tuple[str, ...]:
        """The name of each chain token."""
        return tuple(f"t{token}" for token in range(self.model.num_new_tokens))

    def reads(self, position: int) -> tuple[int, ...]:
        """The positions whose tokens decide the token at a position of the chain, or of the end token."""
        rule, row = self._rules[position - 1]
        columns = np.flatnonzero((rule.read != ANY).any(axis=0))
        own = [position - 1] if (rule.own != ANY).any() else []
        return tuple(sorted({*own, *rule.sources[row, columns].tolist()}))

    def question(self, random: np.random.Generator) -> list[int]:
        """A random prompt."""
        prompt: list[int] = self.model.task.sample(random, self.model.length, 1).prompts[0].tolist()
        return prompt

    def other(self, token: int, position: int) -> int:
        """Another token that can stand at a position; the same one if there is no other."""
        allowed = np.flatnonzero(self._allowed[position]).tolist()
        return int(allowed[(allowed.index(token) + 1) % len(allowed)])

    def ids(self, plain: Sequence[int], first: int = 0) -> tuple[int, ...]:
        """The model's ids of the task's tokens that stand from a position on."""
        tokens = np.array([plain], dtype=np.int64)
        if self.model.placed is not None:
            return tuple(self.model.placed.place(tokens, first)[0].tolist())
        return tuple(self.model.token_ids(self.model.length)[tokens[0]].tolist())

    def text(self, prompt: Sequence[int]) -> str | None:
        """The text that the model's tokenizer turns into the ids of a prompt; None where no text does."""
        vocabulary = self.model.transformer.architecture.vocabulary
        texts = [vocabulary[token] for token in self.ids(prompt)]
        if self.model.placed is not None:
            return "".join(f" {text}" for text in texts)
        return token_separator(vocabulary).join(texts) if len(prompt) == self._claim.num_prompt else None

    def continue_prompt(self, prompt: Sequence[int], num_tokens: int) -> tuple[int, ...]:
        """The chain after a prompt, at most ``num_tokens``, the end token left out.

        Raises:
            InputError: the prompt has no ``=`` yet, is too long, or holds a token that cannot stand there.
        """
        first, stop = self._claim.num_prompt, min(self.num_tokens, len(prompt) + num_tokens)
        is_placed = all(self._allowed[place, token] for place, token in enumerate(prompt[: self.num_tokens]))
        if not first <= len(prompt) <= self.num_tokens or not is_placed:
            raise InputError(
                f"expected {first} to {self.num_tokens} tokens that can stand where they do, found {beginning(prompt)}"
            )
        values = list(prompt)
        while len(values) < stop:
            rule, row = self._rules[len(values) - 1]
            read = np.array([values[place] for place in rule.sources[row].tolist()], dtype=np.int64)
            fits = ((rule.own == ANY) | (rule.own == values[-1])) & ((rule.read == ANY) | (rule.read == read)).all(
                axis=1
            )
            written = np.unique(rule.expected[fits])
            if len(written) != 1:
                raise InputError(f"the claim of {self.model.task.name} says nothing of position {len(values)}")
            if (token := int(written[0])) == self._end:
                break
            values.append(token)
        return tuple(values[len(prompt) :])

    @cached_property
    def _rules(self) -> dict[int, tuple[Rule, int]]:
        """The rule by which each position writes, and its row in it."""
        return {
            position: (rule, row) for rule in self._claim.rules for row, position in enumerate(rule.positions.tolist())
        }
