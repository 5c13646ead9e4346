"""Transcript: what a model was asked, what it wrote, and what it answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from serialformer.architecture import token_separator
from serialformer.arrays import Int64
from serialformer.notebook import fact_table, first_few

MAX_TOKENS_SHOWN = 64
"""In a notebook: this many of the chain's first tokens, and as many of its last."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Transcript(Mapping[str, int]):
    """One run of a model; as a mapping, its output words: ``transcript["product"]``.

    Attributes:
        vocabulary: the text of each token id.
        prompt: token ids, end mark included.
        chain: the token ids that the model made.
        outputs: the value of each output word; empty for a model of a task.
        answer: for a model of a task, the text of each token of its answer.
        expected: for a model of a task, the text of each token of the true answer.
        engine: the engine that decoded; ``indexed and dense`` if each made some of the tokens.
        seconds: how long decoding took.
        num_tokens: how many tokens the model made, where ``chain`` tells several bits for each; None elsewhere.
    """

    vocabulary: tuple[str, ...]
    prompt: Int64[np.ndarray, " prompt"]
    chain: Int64[np.ndarray, " chain"]
    outputs: Mapping[str, int]
    answer: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()
    engine: str
    seconds: float
    num_tokens: int | None = None

    def __getitem__(self, name: str) -> int:
        return self.outputs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.outputs)

    def __len__(self) -> int:
        return len(self.outputs)

    @property
    def asked(self) -> tuple[str, ...]:
        """The text of each token of the prompt."""
        return tuple(self.vocabulary[token] for token in self.prompt)

    @property
    def made(self) -> tuple[str, ...]:
        """The text of each token that the model made."""
        return tuple(self.vocabulary[token] for token in self.chain)

    @property
    def num_made(self) -> int:
        """How many tokens the model made."""
        return len(self.chain) if self.num_tokens is None else self.num_tokens

    @property
    def text(self) -> str:
        """Prompt and chain as the tokenizer writes them."""
        return token_separator(self.vocabulary).join((*self.asked, *self.made))

    def to_json(self) -> dict[str, Any]:
        """What ``serialformer run --json`` prints: outputs, or answer and true answer, and the chain as text."""
        answers = {"answer": list(self.answer), "expected": list(self.expected)}
        return {
            **(answers if self.expected else {"outputs": dict(self.outputs)}),
            "chain": list(self.made),
            "engine": self.engine,
            "tokens": self.num_made,
            "seconds": self.seconds,
        }

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value}" for name, value in self.outputs.items()) or " ".join(self.answer)
        return f"Transcript({values}; {self.num_made} chain tokens, engine {self.engine}, {self.seconds:.3g} s)"

    def _repr_html_(self) -> str:
        """What a notebook shows: the outputs, and both ends of the chain."""
        ends = (
            [self.chain]
            if len(self.chain) <= 2 * MAX_TOKENS_SHOWN
            else [self.chain[:MAX_TOKENS_SHOWN], self.chain[-MAX_TOKENS_SHOWN:]]
        )
        separator = token_separator(self.vocabulary)
        shown = " ... ".join(separator.join(self.vocabulary[token] for token in end) for end in ends)
        outputs = first_few([f"{name}={value}" for name, value in self.outputs.items()])
        return fact_table(
            "Transcript",
            {
                **({"answer": first_few(self.answer)} if self.answer else {"outputs": outputs}),
                "chain": f"{self.num_made:,} tokens by {self.engine} in {self.seconds:.3g} s",
                "tokens": shown,
            },
        )
