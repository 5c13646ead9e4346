"""Transcript: what a model was asked, what it thought, what it answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from serialformer.architecture import token_separator
from serialformer.notebook import fact_table, first_few

MAX_TOKENS_SHOWN = 64
"""In a notebook: as many of the chain's first, and of its last."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Transcript(Mapping[str, int]):
    """One run of a model; as a mapping, its output words: ``transcript["product"]``.

    Attributes:
        vocabulary: the text of each token id.
        prompt: token ids, end mark included.
        chain: the token ids that the model made; the last ones are the answer.
        outputs: the value of each output word.
        engine: the engine that decoded.
        seconds: how long decoding took.
    """

    vocabulary: tuple[str, ...]
    prompt: Int64[np.ndarray, " prompt"]
    chain: Int64[np.ndarray, " chain"]
    outputs: Mapping[str, int]
    engine: str
    seconds: float

    def __getitem__(self, name: str) -> int:
        return self.outputs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.outputs)

    def __len__(self) -> int:
        return len(self.outputs)

    @property
    def text(self) -> str:
        """Prompt and chain as the tokenizer writes them."""
        tokens = np.concatenate([self.prompt, self.chain])
        return token_separator(self.vocabulary).join(self.vocabulary[token] for token in tokens)

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value}" for name, value in self.outputs.items())
        return f"Transcript({values}; {len(self.chain)} chain tokens, engine {self.engine}, {self.seconds:.3g} s)"

    def _repr_html_(self) -> str:
        """What a notebook shows: the outputs, and both ends of the chain."""
        ends = (
            [self.chain]
            if len(self.chain) <= 2 * MAX_TOKENS_SHOWN
            else [self.chain[:MAX_TOKENS_SHOWN], self.chain[-MAX_TOKENS_SHOWN:]]
        )
        separator = token_separator(self.vocabulary)
        shown = " ... ".join(separator.join(self.vocabulary[token] for token in end) for end in ends)
        return fact_table(
            "Transcript",
            {
                "outputs": first_few([f"{name}={value}" for name, value in self.outputs.items()]),
                "chain": f"{len(self.chain):,} tokens by {self.engine} in {self.seconds:.3g} s",
                "tokens": shown,
            },
        )
