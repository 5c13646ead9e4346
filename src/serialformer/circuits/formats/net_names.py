"""Names for the nets of a circuit that is written to a text format: legal there, each used once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import repeat

from serialformer.circuits.circuit import Circuit
from serialformer.circuits.words import ABSENT, Word, words_to_names


@dataclass(frozen=True, kw_only=True)
class NetNames:
    """What to call things.

    Attributes:
        wires: the name of each wire's net.
        outputs: the name of each output bit's net.
        buffers: the outputs whose net is not that of a wire: its name, and the wire that it copies.
    """

    wires: list[str]
    outputs: list[str]
    buffers: list[tuple[str, int]]


class UniqueNames:
    """Hands out names that clash with none before, in amortised constant time."""

    def __init__(self) -> None:
        self.taken: set[str] = set()
        self._suffixes: dict[str, int] = {}

    def claim(self, name: str) -> str:
        if name in self.taken:
            suffix = self._suffixes.get(name, 2)
            while f"{name}_{suffix}" in self.taken:
                suffix += 1
            self._suffixes[name] = suffix + 1
            name = f"{name}_{suffix}"
        self.taken.add(name)
        return name


def name_nets(circuit: Circuit, illegal: re.Pattern[str]) -> NetNames:
    """Names for all nets of a circuit.

    Inputs and outputs are called what their words say. An output word that would share a name with an input, and is
    not that input, gets ``_out`` appended to its name. Gates are called what the circuit calls them where that is legal
    and free, or else ``n`` and the number of their wire.

    Args:
        circuit: the circuit.
        illegal: what a name may not hold; such a character is written as ``%`` and two hexadecimal digits a byte.
    """
    assert circuit.input_words is not None and circuit.output_words is not None
    names = UniqueNames()
    inputs = [
        names.claim(escape_name(name, illegal)) for name in words_to_names(circuit.input_words, circuit.num_inputs)
    ]
    wire_of_input = {name: wire for wire, name in enumerate(inputs)}
    wires: list[str] = inputs + [""] * circuit.num_gates
    outputs = [""] * circuit.num_outputs
    buffers = []
    output_wires = circuit.outputs.tolist()
    word_names = UniqueNames()
    word_names.taken = {word.name for word in (*circuit.input_words, *circuit.output_words)}
    for word in circuit.output_words:
        bits = _bit_names(word, illegal)
        if any(wire_of_input.get(name, output_wires[place]) != output_wires[place] for place, name in bits):
            renamed = Word(name=word_names.claim(word.name + "_out"), bits=word.bits)
            bits = _bit_names(renamed, illegal)
        for place, name in bits:
            wire = output_wires[place]
            if wire_of_input.get(name) == wire:
                outputs[place] = name
                continue
            outputs[place] = names.claim(name)
            if wires[wire]:
                buffers.append((outputs[place], wire))
            else:
                wires[wire] = outputs[place]
    nameless = []
    gate_names = circuit.gate_names or repeat("", circuit.num_gates)
    for wire, name in enumerate(gate_names, circuit.num_inputs):
        if wires[wire]:
            continue
        if not name or name in names.taken or illegal.search(name):
            nameless.append(wire)
        else:
            wires[wire] = names.claim(name)
    for wire in nameless:
        wires[wire] = names.claim(f"n{wire}")
    return NetNames(wires=wires, outputs=outputs, buffers=buffers)


def _bit_names(word: Word, illegal: re.Pattern[str]) -> list[tuple[int, str]]:
    """The place and the name of each bit that the word has."""
    bits = [(index, place) for index, place in enumerate(word.bits) if place != ABSENT]
    labels = [word.name if word.width == 1 else f"{word.name}[{index}]" for index, _ in bits]
    return [(place, escape_name(label, illegal)) for (_, place), label in zip(bits, labels, strict=True)]


def escape_name(name: str, illegal: re.Pattern[str]) -> str:
    """The name with each illegal character as ``%`` and two hexadecimal digits a byte.

    >>> escape_name("a b", re.compile(r"[ %]"))
    'a%20b'
    """
    replaced = illegal.sub(
        lambda match: "".join(f"%{byte:02x}" for byte in match[0].encode(errors="surrogatepass")), name
    )
    return replaced or "%"
