"""Examples: a batch of prompts with their chains, hints and answers, as arrays of token ids."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from serialformer.arrays import Int64

NO_LABEL = -1
"""The label of a position that has no loss; torch's ``cross_entropy`` takes it as ``ignore_index=-1``."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Examples:
    """A batch of one task at one length.

    Rows are left-aligned: a row's prompt is its first ``prompt_lengths[row]`` tokens, the last of which is ``=``, and
    what follows is padding with ``=``; chains likewise. In most tasks all rows of a length have one size.

    Attributes:
        prompts: token ids, ``=`` included.
        prompt_lengths: tokens of each prompt, ``=`` included.
        chains: token ids of the chain of thought, the answer's included.
        chain_lengths: tokens of each chain.
        hints: for each position of the prompt, the token of the chain that belongs there, or NO_LABEL. Where the answer
            is one token it stands at ``=``; a longer answer follows ``=`` and has its first token there.
        answer_starts: the place of the answer's first token in each chain.
        num_answer_tokens: tokens of an answer.
        end_token: the id of ``=``.
    """

    prompts: Int64[np.ndarray, "rows prompt"]
    prompt_lengths: Int64[np.ndarray, " rows"]
    chains: Int64[np.ndarray, "rows chain"]
    chain_lengths: Int64[np.ndarray, " rows"]
    hints: Int64[np.ndarray, "rows prompt"]
    answer_starts: Int64[np.ndarray, " rows"]
    num_answer_tokens: int
    end_token: int

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def answers(self) -> Int64[np.ndarray, "rows answer"]:
        """Token ids of the answers."""
        return self.answers_in(self.chains)

    def answers_in(self, chains: Int64[np.ndarray, "rows made"]) -> Int64[np.ndarray, "rows answer"]:
        """The tokens at the answers' places in other chains of these prompts; NO_LABEL beyond a chain's end."""
        places = self.answer_starts[:, None] + np.arange(self.num_answer_tokens)
        if not chains.shape[1]:
            return np.full(places.shape, NO_LABEL, dtype=np.int64)
        found = np.take_along_axis(chains, np.minimum(places, chains.shape[1] - 1), axis=1)
        return np.where(places < chains.shape[1], found, NO_LABEL)

    def sequences(self) -> Int64[np.ndarray, "rows tokens"]:
        """Prompt and chain of each row as one sequence, padded with ``=``."""
        return join(self.prompts, self.prompt_lengths, self.chains, self.chain_lengths, self.end_token)

    def select(self, rows: Int64[np.ndarray, " chosen"]) -> Examples:
        """Some of the rows, cut to the longest prompt and chain among them."""
        prompt_width = int(self.prompt_lengths[rows].max(initial=0))
        chain_width = int(self.chain_lengths[rows].max(initial=0))
        return replace(
            self,
            prompts=self.prompts[rows, :prompt_width],
            prompt_lengths=self.prompt_lengths[rows],
            chains=self.chains[rows, :chain_width],
            chain_lengths=self.chain_lengths[rows],
            hints=self.hints[rows, :prompt_width],
            answer_starts=self.answer_starts[rows],
        )

    def blocks(self, num_rows: int) -> Iterator[Int64[np.ndarray, " chosen"]]:
        """Numbers of rows, at most ``num_rows`` at a time, whose prompts and chains have one size."""
        sizes = self.prompt_lengths << 32 | self.chain_lengths
        for size in np.unique(sizes):
            (rows,) = np.nonzero(sizes == size)
            for start in range(0, len(rows), num_rows):
                yield rows[start : start + num_rows]

    def renumber(self, ids: Int64[np.ndarray, " vocabulary"]) -> Examples:
        """The same examples in another vocabulary: ``ids[token]`` is the new id of ``token``."""
        return replace(
            self,
            prompts=ids[self.prompts],
            chains=ids[self.chains],
            hints=np.where(self.hints == NO_LABEL, NO_LABEL, ids[self.hints]),
            end_token=int(ids[self.end_token]),
        )


def join(
    left: Int64[np.ndarray, "rows left"],
    left_lengths: Int64[np.ndarray, " rows"],
    right: Int64[np.ndarray, "rows right"],
    right_lengths: Int64[np.ndarray, " rows"],
    padding: int,
) -> Int64[np.ndarray, "rows joined"]:
    """Two left-aligned batches, row after row, left-aligned again.

    >>> left, right = np.array([[1, 2], [3, 0]]), np.array([[7, 8], [9, 0]])
    >>> join(left, np.array([2, 1]), right, np.array([2, 1]), 0)
    array([[1, 2, 7, 8],
           [3, 9, 0, 0]])
    """
    width = int((left_lengths + right_lengths).max(initial=0))
    joined = np.full((len(left), width), padding, dtype=np.int64)
    if len(left) and (left_lengths == left.shape[1]).all() and (right_lengths == right.shape[1]).all():
        joined[:, : left.shape[1]] = left
        joined[:, left.shape[1] :] = right
        return joined
    for part, lengths, starts in (
        (left, left_lengths, np.zeros_like(left_lengths)),
        (right, right_lengths, left_lengths),
    ):
        rows, places = np.nonzero(np.arange(part.shape[1]) < lengths[:, None])
        joined[rows, starts[rows] + places] = part[rows, places]
    return joined
