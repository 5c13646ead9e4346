"""Registers: the words of a sequential circuit's state, and what they hold before the first cycle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from serialformer.arrays import Bool, UInt8
from serialformer.circuits.words import ABSENT, Word, values_to_bits
from serialformer.errors import CircuitError, InputError

Fill = Literal["zero", "random"]
"""What registers begin with for which neither the circuit nor the user says anything."""

FILLS = ("zero", "random")


@dataclass(frozen=True, kw_only=True)
class Register:
    """A word of state: an input word of the cycle's circuit, and the output word that it becomes.

    Attributes:
        name: the input word.
        next_name: the output word.
        initial: the value of each bit before the first cycle, least significant first; None: the file does not say.
    """

    name: str
    next_name: str
    initial: tuple[int | None, ...]


def count_state_bits(registers: Sequence[Register], input_words: Sequence[Word]) -> int:
    """How many bits the registers hold."""
    return sum(len(word.places) for word in input_words[: len(registers)])


def check_registers(registers: Sequence[Register], inputs: Sequence[Word], outputs: Sequence[Word]) -> None:
    """Refuses registers that are not the first words of one cycle's inputs and outputs.

    Raises:
        CircuitError: says which register.
    """
    if len(registers) > min(len(inputs), len(outputs)):
        raise CircuitError(f"expected {len(registers)} registers among the words, found fewer words")
    places: list[int] = []
    for register, before, after in zip(registers, inputs, outputs, strict=False):
        if (register.name, register.next_name) != (before.name, after.name) or before.bits != after.bits:
            raise CircuitError(
                f"expected the words of register {register.name!r} in one order of bits,"
                f" found {before.name!r} and {after.name!r}"
            )
        expected = [initial in (None, 0, 1) for initial in register.initial]
        if len(expected) != before.width or not all(expected):
            raise CircuitError(f"expected 0, 1 or None for each of the {before.width} bits of register {before.name!r}")
        places += before.places
    if sorted(places) != list(range(len(places))):
        raise CircuitError("expected the registers to be the first bits of inputs and outputs")


def initial_bits(
    registers: Sequence[Register],
    words: Sequence[Word],
    values: Mapping[str, int],
    *,
    fill: Fill | None,
    generator: np.random.Generator | None,
) -> UInt8[np.ndarray, " state"]:
    """The bits of the registers before the first cycle; see ``Simulation``."""
    if fill is not None and fill not in FILLS:
        raise InputError(f"no way {fill!r} to begin", hint=f"one of {', '.join(FILLS)}")
    if fill == "random" and generator is None:
        raise InputError("random initial values need a random generator", hint="numpy.random.default_rng(seed)")
    num_bits = sum(len(word.places) for word in words)
    bits, is_known = np.zeros(num_bits, dtype=np.uint8), np.zeros(num_bits, dtype=bool)
    if fill == "random" and generator is not None:
        bits = generator.integers(0, 2, num_bits, dtype=np.uint8)
    for register, word in zip(registers, words, strict=True):
        for value, place in zip(register.initial, word.bits, strict=True):
            if place != ABSENT and value is not None:
                bits[place], is_known[place] = value, True
    given = [word for word in words if word.name in values]
    unknown = set(values) - {word.name for word in words}
    if unknown:
        raise no_register(sorted(unknown)[0], [word.name for word in words])
    if given:
        chosen = values_to_bits(given, values, num_bits)
        places = [place for word in given for place in word.places]
        bits[places], is_known[places] = chosen[places], True
    if fill is None and not is_known.all():
        raise _uninitialised(words, is_known)
    return bits


def no_register(name: str, names: Sequence[str]) -> InputError:
    """The error to raise about a name that no register has."""
    return InputError(f"no register {name!r}", hint=f"the registers are: {', '.join(names[:12]) or 'none'}")


def _uninitialised(words: Sequence[Word], is_known: Bool[np.ndarray, " state"]) -> InputError:
    open_words = [word.name for word in words if not is_known[list(word.places)].all()]
    shown = ", ".join(open_words[:8]) + (f", and {len(open_words) - 8} more" if len(open_words) > 8 else "")
    plural = "s have" if len(open_words) > 1 else " has"
    return InputError(
        f"{len(open_words)} register{plural} no initial value: {shown}",
        hint=f"give a value (-i {open_words[0]}=0), or begin all of them with zero or at random"
        " (--initial zero, --initial random --seed 1)",
    )
