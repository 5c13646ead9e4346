"""Circuit value problems as text, and what their chains should be, by plain Python over strings."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

WORKED_PROMPT = "TRUE NA NA 1 FALSE NA NA 2 NOT 1 NA 3 OR 3 1 4 ="
WORKED_CHAIN = "TRUE NA NA TRUE FALSE NA NA FALSE NOT TRUE NA FALSE OR FALSE TRUE TRUE"
"""The example that the paper spells out."""


def slow_chain(prompt: list[str]) -> list[str]:
    """The chain of a prompt (without ``=``)."""
    values: dict[str, str] = {}
    chain = []
    for start in range(0, len(prompt), 4):
        kind, first, second, own = prompt[start : start + 4]
        read = [name if name == "NA" else values[name] for name in (first, second)]
        truths = [value == "TRUE" for value in read if value != "NA"]
        result = {"TRUE": True, "FALSE": False, "AND": all(truths), "OR": any(truths), "NOT": truths == [False]}[kind]
        values[own] = "TRUE" if result else "FALSE"
        chain += [kind, *read, values[own]]
    return chain


def every_problem(num_gates: int) -> Iterator[list[str]]:
    """Every circuit of so many gates, as its prompt without ``=``."""
    choices = []
    for gate in range(1, num_gates + 1):
        earlier = [str(number) for number in range(1, gate)]
        lines = [["TRUE", "NA", "NA"], ["FALSE", "NA", "NA"], *(["NOT", name, "NA"] for name in earlier)]
        lines += [[kind, first, second] for kind in ("AND", "OR") for first, second in product(earlier, repeat=2)]
        choices.append([[*line, str(gate)] for line in lines])
    for gates in product(*choices):
        yield [token for gate in gates for token in gate]


def random_problem(random: np.random.Generator, num_gates: int) -> list[str]:
    """A circuit whose gates are of all types alike and read any earlier gate."""
    prompt: list[str] = []
    for gate in range(1, num_gates + 1):
        kind = ("TRUE", "FALSE", "NOT", "AND", "OR")[int(random.integers(0, 5 if gate > 1 else 2))]
        first, second = (str(random.integers(1, gate)) if gate > 1 else "NA" for _ in range(2))
        count = {"TRUE": 0, "FALSE": 0, "NOT": 1}.get(kind, 2)
        prompt += [kind, first if count > 0 else "NA", second if count > 1 else "NA", str(gate)]
    return prompt
