"""The circuit value problem: the value of the last gate of a Boolean circuit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from serialformer.arrays import Bool, Int64
from serialformer.errors import TaskError
from serialformer.tasks.examples import Examples
from serialformer.tasks.task import EQUALS, Task, even_examples

WORDS = ("TRUE", "FALSE", "AND", "OR", "NOT", "NA", EQUALS)
TRUE, FALSE, AND, OR, NOT, NOT_APPLICABLE = range(6)
"""The words' places after the m numbers of gates."""

NEWEST = 4
"""How many of the gates that an input may be, counted from the last, the curriculum ``newest`` prefers."""


@dataclass(frozen=True, kw_only=True)
class CircuitValue(Task):
    """Evaluates a circuit, gate by gate.

    Prompt: four tokens per gate, in topological order: its type, the numbers of its first and second input, its own
    number; ``NA`` where there is no such input; then ``=``. Chain: four tokens per gate: its type, the values of its
    inputs, its own value. Answer: the value of the last gate. ``TRUE NA NA 1 FALSE NA NA 2 NOT 1 NA 3 OR 3 1 4 =`` has
    the chain ``TRUE NA NA TRUE FALSE NA NA FALSE NOT TRUE NA FALSE OR FALSE TRUE TRUE`` and the answer ``TRUE``. Gates'
    numbers are tokens, so the vocabulary grows with the length. The hint labels are the chain's tokens at their own
    places, ``NA`` among them. Ours, since the paper does not say: the first two gates are constants; later ones are
    constants with a probability of 0.2, of the rest NOT with 0.2, and else AND or OR alike; constants are TRUE or FALSE
    alike; inputs are uniform over the earlier gates, the same one twice included.

    Attributes:
        constants: the probability that a gate after the second is a constant.
        negations: the probability that one which is not is NOT.
    """

    name: ClassVar[str] = "circuit-value"
    version: ClassVar[int] = 1
    items: ClassVar[str] = "gates"
    prompt_form: ClassVar[str] = "four tokens per gate: type, first input, second input, own number, NA where absent"

    constants: float = 0.2
    negations: float = 0.2

    def __post_init__(self) -> None:
        for name in ("constants", "negations"):
            if not 0 <= getattr(self, name) <= 1:
                raise TaskError(f"expected a probability, found {getattr(self, name)}", where=f"{self.name}, {name}")

    @property
    def complexity(self) -> str:
        return "P-complete"

    @property
    def curricula(self) -> Mapping[str, str]:
        return {
            "early": "every input is one of the first two gates",
            "newest": "every input is one of the first two gates; at .5 any earlier one, most often the last four",
        }

    def vocabulary(self, length: int) -> tuple[str, ...]:
        return (*map(str, range(1, length + 1)), *WORDS)

    def end_token(self, length: int) -> int:
        return length + WORDS.index(EQUALS)

    def prompt_width(self, length: int) -> int:
        return 4 * length + 1

    def chain_width(self, length: int) -> int:
        return 4 * length

    def num_items(self, num_tokens: int) -> int | None:
        return num_tokens // 4 if num_tokens and num_tokens % 4 == 0 else None

    def aligned_items(self, length: int) -> tuple[Int64[np.ndarray, " prompt"], Int64[np.ndarray, " chain"]] | None:
        items = np.repeat(np.arange(length), 4)
        return np.append(items, length), items

    def prompt_problem(self, texts: list[str]) -> str | None:
        for gate in range(len(texts) // 4):
            kind, first, second, own = texts[4 * gate : 4 * gate + 4]
            num_inputs = {"TRUE": 0, "FALSE": 0, "NOT": 1, "AND": 2, "OR": 2}.get(kind)
            where = f"gate {gate + 1}"
            if num_inputs is None:
                return f"{where}: {kind!r} is no type of gate"
            if own != str(gate + 1):
                return f"{where}: its own number is {own!r}"
            for place, wire in enumerate((first, second)):
                if place >= num_inputs and wire != "NA":
                    return f"{where}: {kind} has {num_inputs} inputs, found {wire!r} instead of NA"
                if place < num_inputs and (not wire.isdigit() or int(wire) > gate):
                    return f"{where}: input {wire!r} is no earlier gate"
        return None

    def shallow_views(
        self, prompts: Int64[np.ndarray, "rows prompt"], length: int
    ) -> Mapping[str, Int64[np.ndarray, "rows _"]]:
        """The first two constants and the last gate's type; and the types of its inputs as well."""
        kinds, first, second = self._split(prompts, length)
        rows, last = np.arange(len(prompts)), kinds[:, -1]
        left = np.where(last > FALSE, kinds[rows, first[:, -1]], -1)
        right = np.where((last > FALSE) & (last != NOT), kinds[rows, second[:, -1]], -1)
        ends = [kinds[:, 0], kinds[:, 1 % length], last]
        return {
            "the last gate's type": np.stack(ends, axis=1),
            "its inputs' types as well": np.stack([*ends, left, right], axis=1),
        }

    def _draw(
        self, random: np.random.Generator, length: int, num_samples: int, curriculum: str, amount: float
    ) -> Int64[np.ndarray, "rows prompt"]:
        shape = (num_samples, length)
        chance = random.random(shape, dtype=np.float32)
        is_constant = chance < self.constants
        is_constant[:, :2] = True
        # What is left of the chance once constants are taken off is uniform again.
        is_negation = chance >= 1 - (1 - self.constants) * self.negations
        coin = random.integers(0, 2, shape, dtype=np.int8)
        kinds = np.where(is_constant, TRUE + coin, np.where(is_negation, NOT, AND + coin)).astype(np.int64)
        earlier = np.arange(length, dtype=np.float32)
        lowest = np.zeros((2, *shape), dtype=np.float32)
        if curriculum in ("early", "newest"):
            # A reach of 4.3 gates draws the fifth in 0.3 of 4.3 cases.
            grown = 1 - amount if curriculum == "early" else min(1, 2 * (1 - amount))
            earlier = np.minimum(earlier, 2 + np.float32(grown) * (length - 2), dtype=np.float32)
        if curriculum == "newest" and amount > 0:
            # The last gates are read by few others, so their share would be too small to learn them from.
            is_new = random.random((2, *shape), dtype=np.float32) < min(0.5, amount)
            lowest = np.where(is_new, np.maximum(earlier - NEWEST, 0), 0).astype(np.float32)
        wires = (lowest + random.random((2, *shape), dtype=np.float32) * (earlier - lowest)).astype(np.int64)
        wires = np.minimum(wires, np.maximum(np.arange(length) - 1, 0))
        absent = length + NOT_APPLICABLE
        prompts = np.empty((num_samples, 4 * length + 1), dtype=np.int64)
        prompts[:, :-1:4] = length + kinds
        prompts[:, 1:-1:4] = np.where(is_constant, absent, wires[0])
        prompts[:, 2:-1:4] = np.where(is_constant | is_negation, absent, wires[1])
        prompts[:, 3::4] = np.arange(length)
        prompts[:, -1] = self.end_token(length)
        return prompts

    def _split(
        self, prompts: Int64[np.ndarray, "rows prompt"], length: int
    ) -> tuple[Int64[np.ndarray, "rows length"], Int64[np.ndarray, "rows length"], Int64[np.ndarray, "rows length"]]:
        """The gates' types, and their inputs as places of earlier gates, 0 where absent."""
        gates = prompts[:, :-1].reshape(len(prompts), length, 4)
        wires = np.where(gates[:, :, 1:3] < length, gates[:, :, 1:3], 0)
        return gates[:, :, 0] - length, wires[:, :, 0], wires[:, :, 1]

    def _solve(self, prompts: Int64[np.ndarray, "rows prompt"], length: int) -> Examples:
        kinds, first, second = self._split(prompts, length)
        rows = np.arange(len(prompts))
        values = np.zeros((len(prompts), length), dtype=bool)
        for gate in range(length):
            kind = kinds[:, gate]
            left, right = values[rows, first[:, gate]], values[rows, second[:, gate]]
            both = np.where(kind == AND, left & right, left | right)
            values[:, gate] = np.where(kind == NOT, ~left, np.where(kind <= FALSE, kind == TRUE, both))
        words = length + np.where(values, TRUE, FALSE)
        absent = length + NOT_APPLICABLE
        chains = np.empty((len(prompts), 4 * length), dtype=np.int64)
        chains[:, ::4] = length + kinds
        chains[:, 1::4] = np.where(kinds <= FALSE, absent, np.take_along_axis(words, first, axis=1))
        chains[:, 2::4] = np.where((kinds == AND) | (kinds == OR), np.take_along_axis(words, second, axis=1), absent)
        chains[:, 3::4] = words
        return even_examples(self, prompts, chains, chains, length)

    def _follow(
        self,
        prompts: Int64[np.ndarray, "rows prompt"],
        chains: Int64[np.ndarray, "rows chain"],
        length: int,
    ) -> Bool[np.ndarray, "rows chain"]:
        kinds, first, second = self._split(prompts, length)
        values = chains.reshape(len(chains), length, 4) - length
        values = np.where((values >= 0) & (values <= NOT_APPLICABLE), values, NOT_APPLICABLE + 1)
        own = values[:, :, 3]
        left = np.where(kinds <= FALSE, NOT_APPLICABLE, np.take_along_axis(own, first, axis=1))
        right = np.where((kinds == AND) | (kinds == OR), np.take_along_axis(own, second, axis=1), NOT_APPLICABLE)
        # The rules as a set of (type, first value, second value, own value), of the values that the chain itself gives.
        keys = ((kinds * 8 + values[:, :, 1]) * 8 + values[:, :, 2]) * 8 + own
        follow = np.stack(
            [values[:, :, 0] == kinds, values[:, :, 1] == left, values[:, :, 2] == right, np.isin(keys, _rules())],
            axis=2,
        )
        return follow.reshape(chains.shape)

    def _answer(self, prompts: Int64[np.ndarray, "rows prompt"], length: int) -> Int64[np.ndarray, "rows answer"]:
        # All gates at once, again and again, until nothing changes: as often as the circuit is deep.
        kinds, first, second = self._split(prompts, length)
        values = kinds == TRUE
        while True:
            left, right = np.take_along_axis(values, first, axis=1), np.take_along_axis(values, second, axis=1)
            new = np.choose(kinds, [np.True_, np.False_, left & right, left | right, ~left])
            if (new == values).all():
                return np.where(values[:, -1:], length + TRUE, length + FALSE)
            values = new


def _rules() -> list[int]:
    """What may stand in the chain: type, values of the inputs and own value, three bits each."""
    absent = NOT_APPLICABLE
    rules = [(TRUE, absent, absent, TRUE), (FALSE, absent, absent, FALSE)]
    rules += [(NOT, TRUE, absent, FALSE), (NOT, FALSE, absent, TRUE)]
    rules += [(AND, TRUE, TRUE, TRUE), (AND, TRUE, FALSE, FALSE), (AND, FALSE, TRUE, FALSE), (AND, FALSE, FALSE, FALSE)]
    rules += [(OR, TRUE, TRUE, TRUE), (OR, TRUE, FALSE, TRUE), (OR, FALSE, TRUE, TRUE), (OR, FALSE, FALSE, FALSE)]
    return [((kind * 8 + left) * 8 + right) * 8 + own for kind, left, right, own in rules]
