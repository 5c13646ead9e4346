"""Known answers: the one right continuation of any sequence of a compiled circuit, found from the circuit alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np

from serialformer.constructions.program import EQUALS, Program, schedule_to_program
from serialformer.constructions.schedule import Chain
from serialformer.errors import InputError
from serialformer.models.model import Model

END = "end"
"""What the end token is called where gates are named."""


def beginning(prompt: Sequence[int]) -> str:
    """The first tokens of a prompt, as messages show it.

    >>> beginning([1, 0, 2])
    '1 0 2'
    """
    return " ".join(map(str, prompt[:40])) + (" ..." if len(prompt) > 40 else "")


class KnownAnswers:
    """What must follow, according to the circuit, after any prompt of a model of it.

    A prompt is the input bits, ``=``, and any number of chain tokens, right or not: a gate takes the bits that stand
    in the sequence. The weights are never looked at. Prompts and chains are in plain tokens: 0 and 1 for the bits and 2
    for ``=``. ``ids`` gives the model's own, which differ where tokens say at which position they stand.

    Args:
        model: a compiled circuit.

    Raises:
        InputError: it is none.

    >>> from serialformer import CircuitBuilder, compile
    >>> build = CircuitBuilder()
    >>> a, b = build.inputs("a", 2)
    >>> low = build.xor(a, b)
    >>> build.outputs("y", [low, build.not_(low)])
    >>> known = KnownAnswers(compile(build.circuit()))
    >>> known.continue_prompt([0, 1, 2], 2), known.continue_prompt([0, 1, 2, 0], 1)
    ((1, 0), (1,))
    >>> known.gates, known.reads(3), known.reads(4)
    (('y[0]', 'y[1]'), (0, 1), (3,))
    """

    chain: ClassVar[Chain] = "gates"
    """Of the models that it is about."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.words = model.words
        if self.words.packed is not None:
            raise InputError("has several gates in a token; known answers are those of chains of one gate per token")
        if self.words.chain != self.chain:
            raise InputError(f"was compiled with the chain {self.words.chain!r}, not {self.chain!r}")

    @property
    def num_inputs(self) -> int:
        """Input bits, which stand before ``=``."""
        return self.words.num_inputs

    @property
    def num_prompt(self) -> int:
        """Tokens of a prompt without any of its chain."""
        return self.num_inputs + 1

    @property
    def num_tokens(self) -> int:
        """Prompt, ``=`` and the whole chain."""
        return self.words.num_tokens

    @cached_property
    def program(self) -> Program:
        """Which tokens each token of the chain depends on, and how."""
        return schedule_to_program(self.words.circuit, self.words.schedule)

    @cached_property
    def gates(self) -> tuple[str, ...]:
        """The name of the gate that each chain token is the value of; of an output its own name."""
        circuit, schedule = self.words.circuit, self.words.schedule
        names = [
            (circuit.gate_names[gate] if circuit.gate_names and gate >= 0 else "") or f"t{token}"
            for token, gate in enumerate(schedule.gate.tolist())
        ]
        first = len(names) - self.words.num_outputs
        for word in self.words.outputs:
            for bit, place in zip(word.bits, word.places, strict=True):
                names[first + place] = word.name if word.width == 1 else f"{word.name}[{bit}]"
        return tuple(names)

    def reads(self, position: int) -> tuple[int, ...]:
        """The positions whose tokens decide the token at a position of the chain, or of the end token."""
        token = position - self.num_prompt
        if not 0 <= token < self.program.num_chain_tokens:
            return ()
        return tuple(self.program.reads[token, : self.program.arity[token]].tolist())

    def prompt(self, bits: Sequence[int]) -> list[int]:
        """The prompt for input bits."""
        return [*bits, EQUALS]

    def question(self, random: np.random.Generator) -> list[int]:
        """A random prompt without any of its chain."""
        return self.prompt(random.integers(0, 2, self.num_inputs).tolist())

    def other(self, token: int, position: int) -> int:
        """Another token that can stand at a position: the other bit."""
        return token ^ 1

    def ids(self, plain: Sequence[int], first: int = 0) -> tuple[int, ...]:
        """The model's ids of plain tokens that stand from a position on."""
        placed = self.words.placed
        return (
            tuple(plain)
            if placed is None
            else tuple(placed.place(np.array([plain], dtype=np.int64), first)[0].tolist())
        )

    def text(self, prompt: Sequence[int]) -> str | None:
        """The text that the model's tokenizer turns into the ids of a prompt; None where no text does.

        A GPT-2's ``=`` ends a text, so that nothing can stand after it.
        """
        vocabulary = self.model.transformer.architecture.vocabulary
        if self.words.placed is not None:
            return "".join(f" {vocabulary[token]}" for token in self.ids(prompt))
        return "".join(vocabulary[token] for token in prompt) if len(prompt) == self.num_prompt else None

    def continue_prompt(self, prompt: Sequence[int], num_tokens: int) -> tuple[int, ...]:
        """The chain after a prompt, at most ``num_tokens``, the end token left out.

        Raises:
            InputError: the prompt is shorter than the inputs with ``=``, too long, or holds something else than bits.
        """
        first = self.num_inputs + 1
        chain = [*prompt[: self.num_inputs], *prompt[first:]]
        if not first <= len(prompt) <= self.num_tokens or prompt[first - 1] != EQUALS or not {*chain} <= {0, 1}:
            raise InputError(
                f"expected {self.num_inputs} bits, = and at most {self.program.num_chain_tokens} bits, found"
                f" {beginning(prompt)}"
            )
        values = list(prompt)
        values[first - 1] = 0  # ``=`` reads as 0
        reads, arity, table = self._lists
        stop = min(self.num_tokens, len(prompt) + num_tokens)
        for token in range(len(prompt) - first, stop - first):
            index = 0
            for place in range(arity[token]):
                index |= values[reads[token][place]] << place
            values.append(table[token] >> index & 1)
        return tuple(values[len(prompt) :])

    @cached_property
    def _lists(self) -> tuple[list[list[int]], list[int], list[int]]:
        program = self.program
        return program.reads.tolist(), program.arity.tolist(), program.table.tolist()
