"""A finite automaton, given as a table: the states it goes through."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from serialformer.arrays import Bool, Int64
from serialformer.errors import TaskError
from serialformer.tasks.examples import Examples
from serialformer.tasks.task import EQUALS, Task, even_examples

LETTERS = "abcdefghijklmnopqrstuvwxyz"
MAX_STATES = 256
ACCEPT, REJECT = "accept", "reject"


@dataclass(frozen=True, kw_only=True)
class Automaton(Task):
    """Runs a finite automaton on a word.

    Prompt: uniform letters ``a``, ``b``, ..., then ``=``. Chain: the state after each letter, ``q0``, ``q1``, ...; and,
    if accepting states are given, ``accept`` or ``reject``. Answer: the last token of the chain. The table has a row
    for each state and in it the next state for each letter: the default, ``0,1;0,2;2,2``, looks for two b's in a row,
    and ``b a b b =`` has the chain ``q1 q0 q1 q2`` and the answer ``q2``. The hint labels are the states under the
    letters, and the answer at ``=``. The paper does not have this task: its format is our choice.

    Attributes:
        table: rows separated by ``;``, next states by ``,``; up to 256 states and 26 letters.
        start: the state before the first letter.
        accepting: the accepting states, separated by ``,``; none if the answer is to be the state.
    """

    name: ClassVar[str] = "automaton"
    version: ClassVar[int] = 1
    items: ClassVar[str] = "letters"
    prompt_form: ClassVar[str] = "letters a, b, ..., as many kinds as the table has columns"

    table: str = "0,1;0,2;2,2"
    start: int = 0
    accepting: str = ""

    def __post_init__(self) -> None:
        num_states = len(self.next_states)
        accepting = _parse_numbers(self.accepting, "accepting") if self.accepting else []
        wrong = [state for state in (self.start, *accepting) if not 0 <= state < num_states]
        if wrong:
            raise TaskError(f"no state {wrong[0]}: the table has {num_states} rows", where=self.name)

    @property
    def next_states(self) -> Int64[np.ndarray, "states letters"]:
        """``next_states[state, letter]``."""
        return _parse_table(self.table)

    @property
    def complexity(self) -> str:
        return "regular, so in NC1"

    @property
    def neutral_item(self) -> str | None:
        neutral = self._neutral_letters()
        return LETTERS[neutral[0]] if len(neutral) else None

    def _neutral_letters(self) -> Int64[np.ndarray, " neutral"]:
        return np.flatnonzero((self.next_states == np.arange(len(self.next_states))[:, None]).all(axis=0))

    def vocabulary(self, length: int) -> tuple[str, ...]:
        num_states, num_letters = self.next_states.shape
        verdicts = (ACCEPT, REJECT) if self.accepting else ()
        return (*LETTERS[:num_letters], *(f"q{state}" for state in range(num_states)), *verdicts, EQUALS)

    def prompt_width(self, length: int) -> int:
        return length + 1

    def chain_width(self, length: int) -> int:
        return length + bool(self.accepting)

    def num_items(self, num_tokens: int) -> int | None:
        return num_tokens or None

    def aligned_items(self, length: int) -> tuple[Int64[np.ndarray, " prompt"], Int64[np.ndarray, " chain"]] | None:
        return np.arange(length + 1), np.arange(self.chain_width(length))

    def prompt_problem(self, texts: list[str]) -> str | None:
        wrong = next((text for text in texts if len(text) > 1), None)
        return None if wrong is None else f"{wrong!r} is no letter"

    def _draw(
        self, random: np.random.Generator, length: int, num_samples: int, curriculum: str, amount: float
    ) -> Int64[np.ndarray, "rows prompt"]:
        prompts = np.full((num_samples, length + 1), self.end_token(length), dtype=np.int64)
        prompts[:, :-1] = random.integers(0, self.next_states.shape[1], (num_samples, length), dtype=np.int8)
        if amount:
            prompts[:, :-1][random.random((num_samples, length)) < amount] = self._neutral_letters()[0]
        return prompts

    def _solve(self, prompts: Int64[np.ndarray, "rows prompt"], length: int) -> Examples:
        table = self.next_states
        states = np.empty((len(prompts), length), dtype=np.int64)
        state = np.full(len(prompts), self.start, dtype=np.int64)
        for place in range(length):
            states[:, place] = state = table[state, prompts[:, place]]
        tokens = states + table.shape[1]
        chains = np.concatenate([tokens, self._verdict(state)], axis=1) if self.accepting else tokens
        return even_examples(self, prompts, chains, tokens, length)

    def _verdict(self, states: Int64[np.ndarray, " rows"]) -> Int64[np.ndarray, "rows 1"]:
        """The ids of ``accept`` or ``reject``."""
        accepted = np.isin(states, _parse_numbers(self.accepting, "accepting"))
        return (sum(self.next_states.shape) + ~accepted[:, None]).astype(np.int64)

    def _follow(
        self,
        prompts: Int64[np.ndarray, "rows prompt"],
        chains: Int64[np.ndarray, "rows chain"],
        length: int,
    ) -> Bool[np.ndarray, "rows chain"]:
        num_states, num_letters = self.next_states.shape
        states = chains[:, :length] - num_letters
        before = np.concatenate([np.full((len(states), 1), self.start), states[:, :-1]], axis=1)
        known = (states >= 0) & (states < num_states) & (before >= 0) & (before < num_states)
        # Each edge of the automaton as one number: is this step among them?
        letters = np.arange(num_letters)
        edges = (np.arange(num_states)[:, None] * num_letters + letters) * num_states + self.next_states
        steps = (before * num_letters + prompts[:, :-1]) * num_states + states
        follow = known & np.isin(steps, edges)
        if not self.accepting:
            return follow
        last = states[:, -1]
        known_last = (last >= 0) & (last < num_states)
        right = chains[:, -1] == self._verdict(np.where(known_last, last, 0))[:, 0]
        return np.concatenate([follow, (known_last & right)[:, None]], axis=1)

    def _answer(self, prompts: Int64[np.ndarray, "rows prompt"], length: int) -> Int64[np.ndarray, "rows answer"]:
        # What the rest of the word does to every state, from its end: maps composed, no run.
        table = self.next_states
        maps = np.broadcast_to(np.arange(len(table)), (len(prompts), len(table)))
        for place in range(length - 1, -1, -1):
            maps = np.take_along_axis(maps, table[:, prompts[:, place]].T, axis=1)
        last = maps[:, self.start]
        return self._verdict(last) if self.accepting else last[:, None] + table.shape[1]


@lru_cache(maxsize=32)
def _parse_table(text: str) -> Int64[np.ndarray, "states letters"]:
    rows = [_parse_numbers(row, "table") for row in text.split(";")]
    hint = "rows separated by ; and next states by , as in 0,1;0,2;2,2"
    if len({len(row) for row in rows}) != 1:
        raise TaskError("the rows of the table differ in length", where="automaton", hint=hint)
    if len(rows) > MAX_STATES or len(rows[0]) > len(LETTERS):
        raise TaskError(
            f"{len(rows)} states and {len(rows[0])} letters, more than {MAX_STATES} and {len(LETTERS)}",
            where="automaton",
        )
    table = np.array(rows, dtype=np.int64)
    if table.max() >= len(rows):
        raise TaskError(f"no state {table.max()}: the table has {len(rows)} rows", where="automaton", hint=hint)
    return table


def _parse_numbers(text: str, what: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    wrong = next((part for part in parts if not (part.isascii() and part.isdigit() and len(part) <= 6)), None)
    if wrong is not None:
        raise TaskError(
            f"expected the number of a state, found {wrong!r}",
            where=f"automaton, {what}",
            hint="rows separated by ; and next states by , as in 0,1;0,2;2,2",
        )
    return [int(part) for part in parts]
