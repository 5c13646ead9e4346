"""Clock cycles, one after the other: what a cycle leaves in the registers is what the next begins with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from serialformer.arrays import Int64, UInt8
from serialformer.circuits.sequential.registers import Fill, Register, count_state_bits, initial_bits, no_register
from serialformer.circuits.words import ABSENT, Word, values_to_bits


@dataclass(frozen=True, kw_only=True, eq=False)
class _Side:
    """Words that are read again and again: for each the places of its bits, ``ABSENT`` where it has none."""

    places: dict[str, Int64[np.ndarray, " _"]]

    @classmethod
    def of(cls, words: Sequence[Word]) -> _Side:
        return cls(places={word.name: np.array(word.bits, dtype=np.int64) for word in words})

    def values(self, bits: UInt8[np.ndarray, " bits"]) -> dict[str, int]:
        """The value of each word, in a third of the time that ``bits_to_values`` takes."""
        padded = np.append(bits, np.uint8(0))  # its last bit is what ``ABSENT`` finds
        return {name: _to_integer(padded[places]) for name, places in self.places.items()}

    def value(self, name: str, bits: UInt8[np.ndarray, " bits"]) -> int:
        """The value of one word."""
        return _to_integer(np.append(bits, np.uint8(0))[self.places[name]])


def _to_integer(bits: UInt8[np.ndarray, " bits"]) -> int:
    """The integer of bits, least significant first.

    >>> _to_integer(np.array([0, 1, 1], dtype=np.uint8))
    6
    """
    return int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")


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
    _sides: tuple[_Side, _Side, _Side]  # state, inputs, outputs

    @cached_property
    def state(self) -> dict[str, int]:
        """The value of each register during the cycle."""
        return self._sides[0].values(self.given)

    @cached_property
    def inputs(self) -> dict[str, int]:
        """The value of each input word during the cycle."""
        return self._sides[1].values(self.given)

    @cached_property
    def outputs(self) -> dict[str, int]:
        """The value of each output word during the cycle: before the clock's edge."""
        return self._sides[2].values(self.made)

    @cached_property
    def next_state(self) -> dict[str, int]:
        """The value of each register after the cycle, under the register's own name."""
        return self._sides[0].values(self.made)


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
        count = len(registers)
        self._evaluate = evaluate
        self._num_state = count_state_bits(registers, inputs)
        self._sides = _Side.of(inputs[:count]), _Side.of(inputs[count:]), _Side.of(outputs[count:])
        # The inputs from outside, with places of their own.
        self._outside = tuple(
            Word(name=word.name, bits=tuple(p if p == ABSENT else p - self._num_state for p in word.bits))
            for word in inputs[count:]
        )
        self._num_outside = sum(len(word.places) for word in self._outside)
        self.state_bits = initial_bits(registers, inputs[:count], initial or {}, fill=fill, generator=generator)
        self.cycles_done = 0

    @property
    def state(self) -> dict[str, int]:
        """The value of each register, as the next cycle will find it."""
        return self._sides[0].values(self.state_bits)

    def register(self, name: str) -> int:
        """The value of one register, as the next cycle will find it.

        Raises:
            InputError: there is no such register.
        """
        if name not in self._sides[0].places:
            raise no_register(name, list(self._sides[0].places))
        return self._sides[0].value(name, self.state_bits)

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
            _sides=self._sides,
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
