"""Known answers of circuits without a chain: the output bits, which the layers compute from the input bits alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from serialformer.circuits.circuit import NO_WIRE
from serialformer.circuits.evaluate import evaluate_wires
from serialformer.constructions.circuit_depth import FILLER
from serialformer.constructions.program import EQUALS
from serialformer.engines.known import KnownAnswers, beginning
from serialformer.errors import InputError


class KnownColumns(KnownAnswers):
    """What must follow after any prompt of a model without a chain.

    A prompt is the input bits, a filler for each gate, ``=``, and any number of tokens of the answer, right or not:
    none of the others depends on them.

    Args:
        model: a circuit that was compiled without a chain.

    >>> from serialformer import CircuitBuilder, compile
    >>> build = CircuitBuilder()
    >>> a, b = build.inputs("a", 2)
    >>> low = build.xor(a, b)
    >>> build.outputs("y", [low, build.not_(low)])
    >>> known = KnownColumns(compile(build.circuit(), chain="none"))
    >>> known.prompt([0, 1]), known.continue_prompt(known.prompt([0, 1]), 2), known.reads(5)
    ([0, 1, 4, 4, 2], (1, 0), (0, 1))
    """

    chain = "none"

    @property
    def num_prompt(self) -> int:
        return self.words.num_inputs + self.words.num_columns + 1

    def prompt(self, bits: Sequence[int]) -> list[int]:
        return [*bits, *[FILLER] * self.words.num_columns, EQUALS]

    def reads(self, position: int) -> tuple[int, ...]:
        """The positions of the input bits on which the output that stands at a position depends."""
        place = position - self.num_prompt
        return self._inputs_of_outputs[place] if 0 <= place < self.words.num_outputs else ()

    def continue_prompt(self, prompt: Sequence[int], num_tokens: int) -> tuple[int, ...]:
        """The rest of the answer, at most ``num_tokens``, the end token left out.

        Raises:
            InputError: it is no prompt of this model, perhaps with a part of an answer.
        """
        bits, made = list(prompt[: self.num_inputs]), prompt[self.num_prompt :]
        is_whole = list(prompt[: self.num_prompt]) == self.prompt(bits) and len(bits) == self.num_inputs
        if not is_whole or len(prompt) > self.num_tokens or not {*bits, *made} <= {0, 1}:
            raise InputError(
                f"expected {self.num_inputs} bits, {self.words.num_columns} fillers, = and at most"
                f" {self.words.num_outputs} bits, found {beginning(prompt)}"
            )
        circuit = self.words.circuit
        wires = evaluate_wires(circuit, np.array([bits], dtype=np.uint8).reshape(1, self.num_inputs))[0]
        return tuple(wires[circuit.outputs].tolist()[len(made) :][:num_tokens])

    @cached_property
    def _inputs_of_outputs(self) -> list[tuple[int, ...]]:
        """For each output the inputs that it depends on, as far as the wiring says."""
        circuit = self.words.circuit
        reached: list[frozenset[int]] = [frozenset([wire]) for wire in range(circuit.num_inputs)]
        for row in circuit.fan_in.tolist():
            reached.append(frozenset().union(*(reached[wire] for wire in row if wire != NO_WIRE)))
        return [tuple(sorted(reached[wire])) for wire in circuit.outputs.tolist()]
