"""SequentialCircuit: a circuit with registers, as the combinational circuit of one clock cycle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from serialformer.arrays import UInt8
from serialformer.circuits.circuit import Circuit
from serialformer.circuits.sequential.registers import Fill, Register, check_registers, count_state_bits
from serialformer.circuits.sequential.simulation import Cycle, Simulation
from serialformer.circuits.words import ABSENT, Word, names_to_words

NEXT = "next."
"""Stands before a register's name in the name of the output word that holds its next value."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SequentialCircuit:
    """Registers of one clock, and the combinational circuit from (state, inputs) to (next state, outputs).

    Attributes:
        circuit: one cycle. Its first input bits are the state and its first output bits the next state, in the same
            order; its first words are the registers'.
        registers: the words of the state, in the order in which they are words of the circuit.

    Raises:
        CircuitError: words and registers do not fit together.

    >>> from serialformer.circuits.formats.aiger.aiger import parse_sequential_aiger
    >>> toggle = parse_sequential_aiger(b"aag 1 0 1 1 0\\n2 3\\n2\\nl0 q\\n", name="toggle.aag")
    >>> toggle, [cycle.outputs for cycle in toggle.simulate([{}] * 3)]
    (SequentialCircuit(1 state bits, 0 inputs, 1 gates, 1 outputs), [{'out': 0}, {'out': 1}, {'out': 0}])
    """

    circuit: Circuit
    registers: tuple[Register, ...]

    def __post_init__(self) -> None:
        check_registers(self.registers, self.circuit.input_words or (), self.circuit.output_words or ())

    @property
    def num_state_bits(self) -> int:
        return count_state_bits(self.registers, self.circuit.input_words or ())

    @property
    def input_words(self) -> tuple[Word, ...]:
        """The inputs from outside; their places count from the first bit of the state."""
        return (self.circuit.input_words or ())[len(self.registers) :]

    @property
    def output_words(self) -> tuple[Word, ...]:
        """The outputs to outside; their places count from the first bit of the next state."""
        return (self.circuit.output_words or ())[len(self.registers) :]

    @property
    def initial_of_bits(self) -> tuple[int | None, ...]:
        """What each state bit holds before the first cycle: 0, 1 or None."""
        initial: list[int | None] = [None] * self.num_state_bits
        for register, word in zip(self.registers, self.circuit.input_words or (), strict=False):
            for value, place in zip(register.initial, word.bits, strict=True):
                if place != ABSENT:
                    initial[place] = value
        return tuple(initial)

    def simulation(
        self,
        initial: Mapping[str, int] | None = None,
        *,
        fill: Fill | None = None,
        generator: np.random.Generator | None = None,
    ) -> Simulation:
        """A run of the circuit, before its first cycle; see ``Simulation`` for the arguments."""
        from serialformer.circuits.evaluate import evaluate_outputs

        def evaluate(bits: UInt8[np.ndarray, "rows bits"]) -> UInt8[np.ndarray, "rows outputs"]:
            return evaluate_outputs(self.circuit, bits)

        words = self.circuit.input_words or (), self.circuit.output_words or ()
        return Simulation(*words, self.registers, evaluate, initial, fill=fill, generator=generator)

    def simulate(
        self,
        stimulus: Iterable[Mapping[str, int]],
        initial: Mapping[str, int] | None = None,
        *,
        fill: Fill | None = None,
        generator: np.random.Generator | None = None,
    ) -> Iterator[Cycle]:
        """The cycles that the circuit goes through, one for each mapping of input words to values."""
        return self.simulation(initial, fill=fill, generator=generator).run(stimulus)

    def __repr__(self) -> str:
        state, circuit = self.num_state_bits, self.circuit
        return (
            f"SequentialCircuit({state} state bits, {circuit.num_inputs - state} inputs,"
            f" {circuit.num_gates} gates, {circuit.num_outputs - state} outputs)"
        )


def to_sequential(
    circuit: Circuit,
    *,
    state_names: Sequence[str | None],
    input_names: Sequence[str | None],
    output_names: Sequence[str | None],
    initial: Sequence[int | None],
) -> SequentialCircuit:
    """Names the words of one clock cycle.

    Bits become words by the rule of words; unnamed state bits form ``state``. Inputs and outputs keep their names: a
    register of an input's name gets a suffix, and so does a next value of an output's.

    Args:
        circuit: its first inputs are the state, its first outputs the next state; its words do not matter.
        state_names: a name for each state bit.
        input_names: a name for each input after the state.
        output_names: a name for each output after the next state.
        initial: for each state bit 0, 1 or None.
    """
    num_state = len(state_names)
    inputs = _shifted(names_to_words(input_names, default="in"), num_state)
    outputs = _shifted(names_to_words(output_names, default="out"), num_state)
    state = names_to_words(state_names, default="state")
    before = _name_apart([word.name for word in state], inputs)
    after = _name_apart([NEXT + name for name in before], outputs)
    registers = tuple(
        Register(
            name=name,
            next_name=next_name,
            initial=tuple(0 if place == ABSENT else initial[place] for place in word.bits),
        )
        for word, name, next_name in zip(state, before, after, strict=True)
    )
    before_words = tuple(replace(word, name=name) for word, name in zip(state, before, strict=True))
    after_words = tuple(replace(word, name=name) for word, name in zip(state, after, strict=True))
    named = replace(circuit, input_words=before_words + inputs, output_words=after_words + outputs)
    return SequentialCircuit(circuit=named, registers=registers)


def _shifted(words: Sequence[Word], by: int) -> tuple[Word, ...]:
    """The words with each place moved up."""
    return tuple(
        Word(name=word.name, bits=tuple(place if place == ABSENT else place + by for place in word.bits))
        for word in words
    )


def _name_apart(names: Sequence[str], others: Sequence[Word]) -> list[str]:
    """The names, each that is taken by another word with the first free suffix."""
    taken = {word.name for word in others}
    reserved = taken | set(names)
    result, suffix = [], 2
    for name in names:
        while name in taken:
            candidate, suffix = f"{name}_{suffix}", suffix + 1
            if candidate not in reserved:
                name = candidate
        taken.add(name)
        reserved.add(name)
        result.append(name)
    return result


def rotate_inputs(circuit: Circuit, count: int) -> Circuit:
    """The circuit with its first inputs after the others, as formats want state.

    Args:
        circuit: any circuit.
        count: how many inputs go after.
    """
    new_wire = np.arange(-1, circuit.num_wires, dtype=np.int32)  # the first entry: NO_WIRE stays
    new_wire[1 : circuit.num_inputs + 1] = (np.arange(circuit.num_inputs) - count) % max(1, circuit.num_inputs)
    assert circuit.input_words is not None
    words = tuple(
        replace(word, bits=tuple(ABSENT if place == ABSENT else int(new_wire[place + 1]) for place in word.bits))
        for word in circuit.input_words
    )
    return replace(
        circuit,
        fan_in=new_wire[circuit.fan_in + 1],
        outputs=new_wire[circuit.outputs + 1],
        input_words=words,
    )
