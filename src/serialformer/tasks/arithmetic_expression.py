"""Arithmetic expressions modulo a prime, reduced one operation at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from serialformer.arrays import Bool, Int64
from serialformer.errors import TaskError
from serialformer.tasks.examples import Examples
from serialformer.tasks.task import EQUALS, Task, even_examples, no_hints

SIGNS = ("+", "-", "*", "/", "(", ")", ";")
PLUS, MINUS, TIMES, DIVIDE, OPEN, CLOSE, THEN = range(7)
"""The signs' places after the p numbers."""
MAX_MODULUS = 1009


@dataclass(frozen=True, kw_only=True)
class ArithmeticExpression(Task):
    """Evaluates an expression modulo a prime p, with brackets around every operation.

    Prompt: an expression of n numbers and n - 1 operations, then ``=``. Chain: the expression after each operation is
    carried out, the one whose bracket closes first, with ``;`` between them. Answer: the number that is left. Modulo
    11, ``( ( 7 + 5 ) * 3 ) =`` has the chain ``( 1 * 3 ) ; 3`` and the answer ``3``. The chain grows with the square of
    n. Others train on such a task; this format is our choice: brackets everywhere, so that prompts and chains of one
    length have one size. Expressions are drawn from the answer backwards: the answer is uniform, and n - 1 times a
    number, each equally likely, is replaced by an operation that gives it; the operation is uniform over ``+ - * /``,
    its second operand uniform, but never 0 for ``*`` and ``/``. The hint labels are the values of the brackets where
    they close, and the answer at ``=``.

    Attributes:
        modulus: p, a prime up to 1009.
    """

    name: ClassVar[str] = "arithmetic-expression"
    version: ClassVar[int] = 1
    items: ClassVar[str] = "numbers"
    prompt_form: ClassVar[str] = "an expression with brackets around every operation, as in ( ( 7 + 5 ) * 3 )"
    min_length: ClassVar[int] = 2
    example_length: ClassVar[int] = 3

    modulus: int = 11

    def __post_init__(self) -> None:
        p = self.modulus
        if not 2 <= p <= MAX_MODULUS or any(p % factor == 0 for factor in range(2, int(p**0.5) + 1)):
            raise TaskError(f"expected a prime from 2 to {MAX_MODULUS}, found {p}", where=f"{self.name}, modulus")

    @property
    def complexity(self) -> str:
        return "NC1-complete"

    def vocabulary(self, length: int) -> tuple[str, ...]:
        return (*map(str, range(self.modulus)), *SIGNS, EQUALS)

    def prompt_width(self, length: int) -> int:
        return 4 * length - 2

    def chain_width(self, length: int) -> int:
        # Expressions of 1 to n - 1 numbers, 4 i - 3 tokens each, and n - 2 signs between them.
        return 2 * length * (length - 1) - 3 * (length - 1) + length - 2

    def num_items(self, num_tokens: int) -> int | None:
        return (num_tokens + 3) // 4 if num_tokens >= 5 and num_tokens % 4 == 1 else None

    def prompt_problem(self, texts: list[str]) -> str | None:
        number = {text: index for index, text in enumerate(self.vocabulary(2))}
        stack: list[int] = []
        for place, text in enumerate(texts, start=1):
            stack.append(number[text])
            if text != ")":
                continue
            if not self._is_operation(stack[-5:]):
                return f"what the bracket at place {place} closes is no operation on two numbers"
            _, left, operation, right, _ = stack[-5:]
            if operation == self.modulus + DIVIDE and right == 0:
                return f"division by zero in the bracket that place {place} closes"
            stack[-5:] = [int(self._operate(np.array([left]), np.array([operation]), np.array([right]))[0])]
        return None if len(stack) == 1 and stack[0] < self.modulus else "it is no single expression"

    def _is_operation(self, tokens: list[int]) -> bool:
        p = self.modulus
        return len(tokens) == 5 and (
            tokens[0] == p + OPEN and tokens[1] < p and p <= tokens[2] < p + OPEN and tokens[3] < p
        )

    def _operate(
        self, left: Int64[np.ndarray, " rows"], operation: Int64[np.ndarray, " rows"], right: Int64[np.ndarray, " rows"]
    ) -> Int64[np.ndarray, " rows"]:
        quotient = left * _inverses(self.modulus)[np.minimum(right, self.modulus - 1)]
        kind = np.clip(operation - self.modulus, PLUS, DIVIDE)
        return np.choose(kind, [left + right, left - right, left * right, quotient]) % self.modulus

    def _draw(
        self, random: np.random.Generator, length: int, num_samples: int, curriculum: str, amount: float
    ) -> Int64[np.ndarray, "rows prompt"]:
        p = self.modulus
        tokens = random.integers(0, p, (num_samples, 1))
        rows = np.arange(num_samples)
        for numbers in range(1, length):
            chosen = random.integers(0, numbers, num_samples)
            place = (np.cumsum(tokens < p, axis=1) == chosen[:, None] + 1).argmax(axis=1)
            value = tokens[rows, place]
            operation = p + random.integers(PLUS, DIVIDE, num_samples, endpoint=True)
            right = random.integers(operation >= p + TIMES, p)
            # The left operand undoes the operation.
            inverse = _inverses(p)[right]
            undone = [value - right, value + right, value * inverse, value * right]
            left = np.choose(operation - p, undone) % p
            brackets = np.full(num_samples, p + OPEN), np.full(num_samples, p + CLOSE)
            new = np.stack([brackets[0], left, operation, right, brackets[1]], axis=1)
            tokens = _replace(tokens, place, 1, new)
        return np.pad(tokens, ((0, 0), (0, 1)), constant_values=self.end_token(length))

    def _solve(self, prompts: Int64[np.ndarray, "rows prompt"], length: int) -> Examples:
        p = self.modulus
        expression, parts = prompts[:, :-1], []
        rows = np.arange(len(prompts))
        hints = no_hints(len(prompts), prompts.shape[1] - 1)
        # The place in the prompt of each token that is left.
        origin = np.broadcast_to(np.arange(expression.shape[1]), expression.shape)
        for numbers in range(length - 1, 0, -1):
            # An operation is ready where a number is followed by a sign and a number, all in brackets.
            number = expression < p
            ready = number[:, 1:-3] & number[:, 3:-1] & (expression[:, :-4] == p + OPEN)
            place = ready.argmax(axis=1)
            left, sign, right = (expression[rows, place + offset] for offset in (1, 2, 3))
            value = self._operate(left, sign, right)
            closes = origin[rows, place + 4]
            hints[rows, closes] = value
            expression = _replace(expression, place, 5, value[:, None])
            origin = _replace(origin, place, 5, closes[:, None])
            parts.append(expression)
            if numbers > 1:
                parts.append(np.full((len(prompts), 1), p + THEN))
        return even_examples(self, prompts, np.concatenate(parts, axis=1), hints, length)

    def _follow(
        self,
        prompts: Int64[np.ndarray, "rows prompt"],
        chains: Int64[np.ndarray, "rows chain"],
        length: int,
    ) -> Bool[np.ndarray, "rows chain"]:
        p = self.modulus
        follow = np.empty(chains.shape, dtype=bool)
        before, start, rows = prompts[:, :-1], 0, np.arange(len(prompts))
        for numbers in range(length - 1, 0, -1):
            width = 4 * numbers - 3
            part = chains[:, start : start + width]
            # The first bracket that closes, and the four tokens before it.
            close = (before == p + CLOSE).argmax(axis=1)
            opened = np.maximum(close - 4, 0)
            left, sign, right = (before[rows, opened + offset] for offset in (1, 2, 3))
            sound = (close >= 4) & (before[rows, close] == p + CLOSE) & (before[rows, opened] == p + OPEN)
            sound &= (left < p) & (right < p) & (sign >= p) & (sign < p + OPEN)
            places = np.arange(width)
            moved = np.where(places > opened[:, None], places + 4, places)
            same = part == np.take_along_axis(before, moved, axis=1)
            value = part[rows, np.minimum(opened, width - 1)]
            # Not the operation again, but whether its value, taken back, gives what was there.
            holds = np.choose(
                np.clip(sign - p, PLUS, DIVIDE),
                [(value - right) % p == left, (value + right) % p == left, value == left * right % p,
                 (value * right % p == left) & (right > 0)],
            )  # fmt: skip
            same[rows, np.minimum(opened, width - 1)] = holds & (value < p)
            follow[:, start : start + width] = same & sound[:, None]
            start += width
            if numbers > 1:
                follow[:, start] = chains[:, start] == p + THEN
                start += 1
            before = part
        return follow

    def _answer(self, prompts: Int64[np.ndarray, "rows prompt"], length: int) -> Int64[np.ndarray, "rows answer"]:
        # A stack machine that reads the prompt once.
        p = self.modulus
        rows = np.arange(len(prompts))
        stack = np.zeros((len(prompts), 3 * length + 2), dtype=np.int64)
        height = np.zeros(len(prompts), dtype=np.int64)
        for place in range(prompts.shape[1] - 1):
            token = prompts[:, place]
            closes = token == p + CLOSE
            pushed = ~closes & (token != p + OPEN)
            stack[rows[pushed], height[pushed]] = token[pushed]
            height += pushed
            done, top = rows[closes], height[closes]
            left, sign, right = (stack[done, top - offset] for offset in (3, 2, 1))
            stack[done, top - 3] = self._operate(left, sign, right)
            height -= 2 * closes
        return stack[:, :1].copy()


def _replace(
    tokens: Int64[np.ndarray, "rows old"],
    place: Int64[np.ndarray, " rows"],
    count: int,
    new: Int64[np.ndarray, "rows inserted"],
) -> Int64[np.ndarray, "rows made"]:
    """In each row, ``count`` tokens from its place on become the new ones."""
    inserted = new.shape[1]
    columns = np.arange(tokens.shape[1] - count + inserted) - place[:, None]
    source = np.where(columns < 0, columns, np.maximum(columns - inserted + count, 0)) + place[:, None]
    made = np.take_along_axis(tokens, np.minimum(source, tokens.shape[1] - 1), axis=1)
    rows = np.arange(len(tokens))[:, None]
    made[rows, place[:, None] + np.arange(inserted)] = new
    return made


@lru_cache(maxsize=8)
def _inverses(modulus: int) -> Int64[np.ndarray, " modulus"]:
    """The inverse of each residue; 0 for 0."""
    return np.array([0, *(pow(number, -1, modulus) for number in range(1, modulus))], dtype=np.int64)
