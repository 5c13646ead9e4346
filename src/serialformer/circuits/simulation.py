"""Clock cycles, one after the other: what a cycle leaves in the registers is what the next begins with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import UInt8

from serialformer.circuits.registers import Fill, Register, count_state_bits, initial_bits
from serialformer.circuits.words import ABSENT, Word, bits_to_values, values_to_bits


@dataclass(frozen=True, kw_only=True, eq=False)
class Cycle:
    """One clock cycle: what stood in the registers and at the inputs, and what came of it.

    Attributes:
        number: how many cycles came before.
        given: the bits of state and inputs.
        made: the bits of next state and outputs.
    """

    number: int
    given: UInt8[np.ndarray, " given"]
    made: UInt8[np.ndarray, " made"]
    _words: tuple[Sequence[Word], Sequence[Word], int]

    @cached_property
    def state(self) -> dict[str, int]:
        """The value of each register during the cycle."""
        words, _, num_registers = self._words
        return bits_to_values(words[:num_registers], self.given)

    @cached_property
    def inputs(self) -> dict[str, int]:
        words, _, num_registers = self._words
        return bits_to_values(words[num_registers:], self.given)

    @cached_property
    def outputs(self) -> dict[str, int]:
        """The value of each output word during the cycle: before the clock's edge."""
        _, words, num_registers = self._words
        return bits_to_values(words[num_registers:], self.made)

    @cached_property
    def next_state(self) -> dict[str, int]:
        """The value of each register after the cycle, under the register's own name."""
        words, _, num_registers = self._words
        return bits_to_values(words[:num_registers], self.made)


class Simulation:
    """A sequential circuit in the middle of a run: its registers' bits, and what makes the next from them.

    Args:
        inputs: the input words of one cycle, those of the registers first.
        outputs: its output words, those of the next state first.
        registers: the registers.
        evaluate: one cycle, from rows of input bits to rows of output bits.
        initial: values of registers before the first cycle; those that are missing begin as the circuit says.
        fill: what the bits begin with that are left: ``zero`` or ``random``.
        generator: for ``random``.

    Raises:
        InputError: a register that has no initial value is left, a name is no register, a value does not fit.
    """

    def __init__(
        self,
        inputs: Sequence[Word],
        outputs: Sequence[Word],
        registers: Sequence[Register],
        evaluate: Callable[[UInt8[np.ndarray, "rows given"]], UInt8[np.ndarray, "rows made"]],
        initial: Mapping[str, int] | None = None,
        *,
        fill: Fill | None = None,
        generator: np.random.Generator | None = None,
    ) -> None:
        self._inputs, self._outputs, self._num_registers = tuple(inputs), tuple(outputs), len(registers)
        self._evaluate = evaluate
        self._state_words = self._inputs[: len(registers)]
        self._num_state = count_state_bits(registers, self._inputs)
        # The inputs from outside, with places of their own.
        self._outside = tuple(
            Word(name=word.name, bits=tuple(p if p == ABSENT else p - self._num_state for p in word.bits))
            for word in self._inputs[len(registers) :]
        )
        self._num_outside = sum(len(word.places) for word in self._outside)
        self.state_bits = initial_bits(registers, self._state_words, initial or {}, fill=fill, generator=generator)
        self.cycles_done = 0

    @property
    def state(self) -> dict[str, int]:
        """The value of each register, as the next cycle will find it."""
        return bits_to_values(self._state_words, self.state_bits)

    @property
    def input_words(self) -> tuple[Word, ...]:
        """The inputs from outside; their places are those of a row of ``step_bits``."""
        return self._outside

    def step(self, values: Mapping[str, int] | None = None, /, **named: int) -> Cycle:
        """Goes through one cycle with these values of the input words.

        Raises:
            InputError: a value is missing, unknown or too large.
        """
        return self.step_bits(values_to_bits(self._outside, {**(values or {}), **named}, self._num_outside))

    def step_bits(self, bits: UInt8[np.ndarray, " inputs"]) -> Cycle:
        """Goes through one cycle with these bits of the inputs."""
        given = np.concatenate([self.state_bits, bits])
        made = self._evaluate(given[None])[0]
        cycle = Cycle(
            number=self.cycles_done,
            given=given,
            made=made,
            _words=(self._inputs, self._outputs, self._num_registers),
        )
        self.state_bits = made[: self._num_state]
        self.cycles_done += 1
        return cycle

    def run(self, stimulus: Iterable[Mapping[str, int]]) -> Iterator[Cycle]:
        """Goes through a cycle for each mapping of input words to values."""
        for values in stimulus:
            yield self.step(values)


def run_many(
    evaluate: Callable[[UInt8[np.ndarray, "rows given"]], UInt8[np.ndarray, "rows made"]],
    state: UInt8[np.ndarray, "rows state"],
    stimulus: Iterable[UInt8[np.ndarray, "rows inputs"]],
) -> Iterator[tuple[UInt8[np.ndarray, "rows given"], UInt8[np.ndarray, "rows made"]]]:
    """Many simulations side by side, a row each: yields the bits that each cycle is given, and those that it makes.

    Args:
        evaluate: one cycle, from rows of (state, inputs) to rows of (next state, outputs).
        state: the bits of the registers before the first cycle.
        stimulus: for each cycle the bits of the inputs.
    """
    for inputs in stimulus:
        given = np.concatenate([state, inputs], axis=1)
        made = evaluate(given)
        yield given, made
        state = made[:, : state.shape[1]]
