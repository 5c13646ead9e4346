"""Layout: what a model reads and what it is to predict at each position, for each setting.

The settings, for a prompt x1 .. xn = and a chain c1 .. cT that ends in the answer a:

    base      reads x1 .. xn =                  predicts a at =
    cot       reads x1 .. xn = c1 .. c(T-1)     predicts c1 at =, c2 at c1, ...
    hint      reads x1 .. xn =                  predicts the chain's tokens at the prompt's own positions, a at =
    filler    reads x1 .. xn = = .. = (T of =)  predicts a at the last of them
    aligned   reads x1 c1 x2 c2 .. xn           predicts c1 at x1, c2 at x2, ...: an item's part of the chain follows it

An answer of several tokens (the symbols of a permutation) is read back like a chain in base, hint and filler: its first
token is predicted where a stands above, the next at the first, and so on (ours; the paper leaves it open).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serialformer.arrays import Bool, Int64
from serialformer.errors import TaskError
from serialformer.tasks.examples import NO_LABEL, Examples, join
from serialformer.tasks.task import Task

SETTINGS = ("base", "cot", "hint", "filler", "aligned")


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """One batch as a model trains on it.

    Rows are left-aligned and padded with ``=``; causal attention keeps what comes after a row's end from mattering.

    Attributes:
        tokens: what is read. The last token that is predicted is not among them.
        labels: for each position, the token to be predicted there (already shifted: not the token that stands
            there), or NO_LABEL where there is no loss.
        answer_positions: the positions where the answer's tokens are predicted.
    """

    tokens: Int64[np.ndarray, "rows tokens"]
    labels: Int64[np.ndarray, "rows tokens"]
    answer_positions: Int64[np.ndarray, "rows answer"]

    @property
    def has_loss(self) -> Bool[np.ndarray, "rows tokens"]:
        """Where there is a label."""
        return self.labels != NO_LABEL


def lay_out(task: Task, examples: Examples, setting: str, length: int) -> Layout:
    """The layout of a batch in a setting.

    Raises:
        TaskError: there is no such setting, or the task's chain cannot be aligned with its prompt.

    >>> from serialformer.tasks.modular_addition import ModularAddition
    >>> task = ModularAddition()
    >>> examples = task.solve(np.array([[3, 5, 6, 7]]), 3)
    >>> cot = lay_out(task, examples, "cot", 3)
    >>> cot.tokens.tolist(), cot.labels.tolist()
    ([[3, 5, 6, 7, 3, 1]], [[-1, -1, -1, 3, 1, 0]])
    >>> lay_out(task, examples, "hint", 3).labels.tolist()
    [[3, 1, 0, 0]]
    """
    check_setting(setting)
    if setting == "cot":
        return _continue(examples, examples.chains, examples.chain_lengths, examples.answer_starts)
    if setting == "aligned":
        return _align(task, examples, length)
    answers = examples.answers
    counts = np.full(len(examples), examples.num_answer_tokens, dtype=np.int64)
    nothing = np.zeros(len(examples), dtype=np.int64)
    if setting == "filler":
        thinking = np.full_like(examples.chains, examples.end_token)
        continued = join(thinking, examples.chain_lengths, answers, counts, examples.end_token)
        layout = _continue(examples, continued, examples.chain_lengths + counts, examples.chain_lengths)
        positions = np.arange(layout.tokens.shape[1])
        before_answer = positions < layout.answer_positions[:, :1]
        return Layout(
            tokens=layout.tokens,
            labels=np.where(before_answer, NO_LABEL, layout.labels),
            answer_positions=layout.answer_positions,
        )
    layout = _continue(examples, answers, counts, nothing)
    if setting == "hint":
        # A batch may have no prompt of the greatest length; after the prompts there are no hints.
        hinted = np.full_like(layout.labels, NO_LABEL)
        width = min(layout.labels.shape[1], examples.hints.shape[1])
        hinted[:, :width] = examples.hints[:, :width]
        return Layout(
            tokens=layout.tokens,
            labels=np.where(layout.labels == NO_LABEL, hinted, layout.labels),
            answer_positions=layout.answer_positions,
        )
    return layout


def _continue(
    examples: Examples,
    continued: Int64[np.ndarray, "rows made"],
    lengths: Int64[np.ndarray, " rows"],
    answer_starts: Int64[np.ndarray, " rows"],
) -> Layout:
    """Tokens that follow the prompts, all of them with loss."""
    end = examples.end_token
    whole = join(examples.prompts, examples.prompt_lengths, continued, lengths, end)
    places = np.arange(whole.shape[1] - 1) - (examples.prompt_lengths[:, None] - 1)
    labels = np.where((places >= 0) & (places < lengths[:, None]), whole[:, 1:], NO_LABEL)
    first = examples.prompt_lengths - 1 + answer_starts
    return Layout(
        tokens=whole[:, :-1],
        labels=labels,
        answer_positions=first[:, None] + np.arange(examples.num_answer_tokens),
    )


def _align(task: Task, examples: Examples, length: int) -> Layout:
    """Each item's part of the chain after the item's part of the prompt."""
    items = task.aligned_items(length)
    if items is None:
        raise TaskError("the chain does not go along with the prompt", where=task.name, hint="use cot")
    prompt_items = items[0][: examples.prompts.shape[1]]
    chain_items = items[1][: examples.chains.shape[1]]
    from_chain = np.repeat([False, True], [len(prompt_items), len(chain_items)])
    order = np.lexsort((from_chain, np.concatenate([prompt_items, chain_items])))
    from_chain = from_chain[order]
    whole = np.concatenate([examples.prompts, examples.chains], axis=1)[:, order]
    # The place in the chain, from 1; rows that end before it have padding there.
    place = np.concatenate([np.zeros_like(prompt_items), 1 + np.arange(len(chain_items))])[order]
    labels = np.where(from_chain & (place <= examples.chain_lengths[:, None]), whole, NO_LABEL)
    predicted = np.flatnonzero(from_chain)
    return Layout(
        tokens=whole[:, : predicted[-1]],
        labels=labels[:, 1 : predicted[-1] + 1],
        answer_positions=predicted[examples.answer_starts][:, None] - 1 + np.arange(examples.num_answer_tokens),
    )


def check_setting(setting: str) -> None:
    """Refuses what is not one of SETTINGS."""
    if setting not in SETTINGS:
        raise TaskError(f"no setting {setting!r}", hint=f"one of {', '.join(SETTINGS)}")


def num_new_tokens(task: Task, setting: str, length: int) -> int:
    """How many tokens a model of this setting generates after a prompt: the chain, or the answer alone."""
    check_setting(setting)
    return task.chain_width(length) if setting in ("cot", "aligned") else task.num_answer_tokens


def num_positions(task: Task, setting: str, length: int) -> int:
    """Positions that a model needs in this setting: as many as the widest ``Layout.tokens``.

    >>> from serialformer.tasks.modular_addition import ModularAddition
    >>> [num_positions(ModularAddition(), setting, 16) for setting in SETTINGS]
    [17, 32, 17, 33, 32]
    """
    thinking = task.chain_width(length) if setting == "filler" else 0
    return task.prompt_width(length) + thinking + num_new_tokens(task, setting, length) - 1
