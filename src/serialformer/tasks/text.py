"""Prompts from text, and tokens as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

import numpy as np

from serialformer.arrays import Int64
from serialformer.errors import TaskError
from serialformer.tasks.task import EQUALS, Task


def read_prompt(task: Task, text: str) -> tuple[Int64[np.ndarray, " prompt"], int]:
    """The token ids of a prompt, ``=`` at the end, and its length, whose vocabulary the ids are of.

    Tokens are separated by blanks; where all tokens of the task are single characters, they need not be. A final ``=``
    may be left out.

    Args:
        task: whose prompt it is.
        text: what was written.

    Raises:
        TaskError: a token is unknown, there are too many or too few of them, or they do not make a prompt.

    >>> from serialformer.tasks.modular_addition import ModularAddition
    >>> ids, length = read_prompt(ModularAddition(), "3 5 6 =")
    >>> ids.tolist(), length
    ([3, 5, 6, 7], 3)
    """
    texts = split_tokens(text, task.vocabulary(task.example_length))
    if texts and texts[-1] == EQUALS:
        texts.pop()
    length = task.num_items(len(texts))
    where = f"prompt of {task.name}"
    if length is None or length < task.min_length:
        raise TaskError(f"{len(texts)} tokens are no prompt", where=where, hint=f"expected {task.prompt_form}, then =")
    task.check_size(length, 1)
    vocabulary = task.vocabulary(length)
    number = {token: index for index, token in enumerate(vocabulary)}
    for place, token in enumerate(texts, start=1):
        if token not in number or token == EQUALS:
            near = [other for other in get_close_matches(token, vocabulary, n=2) if other != EQUALS]
            hint = f"did you mean {' or '.join(near)}?" if near else f"expected {task.prompt_form}, then ="
            raise TaskError(f"no token {token!r} at place {place}", where=where, hint=hint)
    problem = task.prompt_problem(texts)
    if problem is not None:
        raise TaskError(problem, where=where, hint=f"expected {task.prompt_form}, then =")
    return np.array([number[token] for token in [*texts, EQUALS]], dtype=np.int64), length


def split_tokens(text: str, vocabulary: Sequence[str]) -> list[str]:
    """The tokens of a text: between blanks, or characters where no token is longer than one.

    >>> split_tokens("3 5=", ("3", "5", "=")), split_tokens("12 =", ("12", "="))
    (['3', '5', '='], ['12', '='])
    """
    if all(len(token) == 1 for token in vocabulary):
        return list("".join(text.split()))
    return text.split()


def write_tokens(ids: Iterable[int] | Int64[np.ndarray, " tokens"], vocabulary: Sequence[str]) -> str:
    """Tokens as text, a blank between them.

    >>> write_tokens([0, 2, 1], ("12", "=", "3"))
    '12 3 ='
    """
    return " ".join(vocabulary[token] for token in ids)
