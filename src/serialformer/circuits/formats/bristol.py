"""Bristol circuits, the old format and "Fashion": XOR, AND and INV gates between numbered wires.

The format: docs/formats/bristol.md.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from serialformer.arrays import Int
from serialformer.circuits.builder import AND, BUFFER, NAND, NOR, NOT, OR, XNOR, XOR
from serialformer.circuits.circuit import NO_WIRE, Circuit
from serialformer.circuits.formats.and_graph import circuit_to_and_graph
from serialformer.circuits.formats.netlist import Netlist, netlist_to_circuit
from serialformer.circuits.formats.scan import NOT_A_NUMBER, Tokens, scan_tokens
from serialformer.circuits.words import ABSENT, Word
from serialformer.errors import FormatError
from serialformer.files import read_file, write_file

MAX_SILENT_WIRES = 1 << 16
"""A file need not spend a byte on an input: beyond this many, it must be at least as long as it has inputs."""

_TWO_INPUTS = {"AND": AND, "XOR": XOR, "OR": OR, "NAND": NAND, "NOR": NOR, "XNOR": XNOR}
_ONE_INPUT = {"INV": NOT, "NOT": NOT, "EQW": BUFFER}
_KINDS = (*_TWO_INPUTS, *_ONE_INPUT, "EQ", "MAND")
_TABLES = np.array([*_TWO_INPUTS.values(), *_ONE_INPUT.values(), 0, AND])
_READS = np.array([2] * len(_TWO_INPUTS) + [1] * len(_ONE_INPUT) + [1, 0])  # a MAND's is any even number
_EQ, _MAND = _KINDS.index("EQ"), _KINDS.index("MAND")


@dataclass(frozen=True, kw_only=True)
class _Lines:
    """The lines that are not blank: the first token of each, how many it has, and its number in the file."""

    tokens: Tokens
    first: Int[np.ndarray, " lines"]
    count: Int[np.ndarray, " lines"]
    name: str

    def where(self, line: int) -> str:
        if line < len(self.first):
            return f"{self.name}:{int(self.tokens.line[self.first[line]]) + 1}"
        return f"{self.name}:{int(self.tokens.line[-1]) + 1 if len(self.tokens.line) else 1}"

    def numbers(self, line: int) -> list[int]:
        start = int(self.first[line])
        return [int(number) for number in self.tokens.numbers[start : start + int(self.count[line])]]

    def is_numeric(self, line: int) -> bool:
        return line < len(self.first) and NOT_A_NUMBER not in self.numbers(line)


@dataclass(frozen=True, kw_only=True)
class _Header:
    """The header before the gates; ``lines`` is how many lines that takes."""

    gates: int
    wires: int
    inputs: list[int]  # the width of each word
    outputs: list[int]
    lines: int


def read_bristol(path: str | os.PathLike[str]) -> Circuit:
    """The circuit of a Bristol file, old or Fashion; see ``parse_bristol``."""
    return parse_bristol(read_file(path), name=str(path))


def parse_bristol(data: bytes, *, name: str) -> Circuit:
    r"""The circuit of a Bristol file: input words ``in0``, ``in1``, ..., output words ``out0``, ``out1``, ....

    Bit i of a word is its wire i in the file's order; old files may mean the opposite. Words of no bits are dropped.

    Args:
        data: the file; its first lines tell the old format from Fashion.
        name: what to call it in messages.

    Raises:
        FormatError: the file breaks the format.

    >>> text = b"2 4\n2 1 1\n1 2\n\n2 1 0 1 2 XOR\n2 1 0 1 3 AND\n"
    >>> parse_bristol(text, name="half_adder.txt").evaluate(in0=1, in1=1)
    {'out0': 2}
    """
    tokens = scan_tokens(data)
    first = np.flatnonzero(np.diff(tokens.line, prepend=-1))
    count = np.diff(first, append=len(tokens.line))
    lines = _Lines(tokens=tokens, first=first, count=count, name=name)
    header = _parse_header(lines, len(data))
    line, kind, reads, writes = _parse_gate_lines(lines, header)

    # One gate a line, but a MAND is as many as it writes: a_0 .. a_n-1 b_0 .. b_n-1 c_0 .. c_n-1.
    row = np.repeat(np.arange(len(line)), writes)
    column = np.arange(len(row)) - np.repeat(np.cumsum(writes) - writes, writes)
    start = lines.first[line[row]] + 2
    arity = np.where(kind[row] == _MAND, 2, np.where(kind[row] == _EQ, 0, reads[row]))
    numbers = tokens.numbers
    a = numbers[start + column]
    b = numbers[start + np.where(kind[row] == _MAND, writes[row], 1) + column]
    table = np.where(kind[row] == _EQ, a, _TABLES[kind[row]])
    num_inputs = sum(header.inputs)
    netlist = Netlist(
        num_nets=header.wires,
        inputs=np.arange(num_inputs),
        outputs=np.arange(header.wires - sum(header.outputs), header.wires),
        driven=numbers[start + reads[row] + column],
        fan_in=np.stack([np.where(arity > 0, a, NO_WIRE), np.where(arity > 1, b, NO_WIRE)], axis=1),
        arity=arity.astype(np.uint8),
        table=table.astype(np.uint64),
    )
    return netlist_to_circuit(
        netlist,
        net_name=lambda net: f"wire {net}",
        where=lambda gate: lines.where(int(line[row[gate]])) if 0 <= gate < len(row) else name,
        input_words=_widths_to_words("in", header.inputs),
        output_words=_widths_to_words("out", header.outputs),
    )


def _widths_to_words(prefix: str, widths: Sequence[int]) -> tuple[Word, ...]:
    ends = np.cumsum(widths).tolist()
    return tuple(
        Word(name=f"{prefix}{index}", bits=tuple(range(end - width, end)))
        for index, (width, end) in enumerate(zip(widths, ends, strict=True))
        if width
    )


def _parse_header(lines: _Lines, num_bytes: int) -> _Header:
    if not lines.is_numeric(0) or len(lines.numbers(0)) != 2:
        found = "an empty file" if not len(lines.first) else _shown(lines, 0)
        raise FormatError(
            f"expected the number of gates and the number of wires, found {found}",
            where=lines.where(0),
            hint="is this a Bristol file? See docs/formats",
        )
    num_gates, num_wires = lines.numbers(0)
    if not lines.is_numeric(1):
        raise FormatError(
            f"expected the widths of the inputs, found {_shown(lines, 1)}",
            where=lines.where(1),
            hint="Fashion: '2 64 64' says two words of 64 bits; the old format: '64 64 64' adds the output's width",
        )
    if lines.is_numeric(2):
        header = _Header(gates=num_gates, wires=num_wires, inputs=_widths(lines, 1), outputs=_widths(lines, 2), lines=3)
    else:
        widths = lines.numbers(1)
        if len(widths) != 3:
            raise FormatError(
                f"expected the widths of two inputs and one output (old format), found {len(widths)} numbers",
                where=lines.where(1),
                hint="in the Fashion format a line for the outputs follows this one",
            )
        header = _Header(gates=num_gates, wires=num_wires, inputs=widths[:2], outputs=widths[2:], lines=2)
    num_inputs, num_outputs = sum(header.inputs), sum(header.outputs)
    for what, number, most in (
        ("inputs", num_inputs, MAX_SILENT_WIRES + num_bytes),
        ("wires", num_wires, MAX_SILENT_WIRES + 2 * num_bytes),
    ):
        if number > most:
            raise FormatError(
                f"expected at most {most} {what} in a file of {num_bytes} bytes, found {number}",
                where=lines.where(1 if what == "inputs" else 0),
                hint="the header is damaged, or the file cut short",
            )
    if max(num_inputs, num_outputs) > num_wires:
        raise FormatError(
            f"expected no more inputs and outputs than the {num_wires} wires,"
            f" found {num_inputs} inputs and {num_outputs} outputs",
            where=lines.where(0),
            hint="the second number counts all wires, inputs too",
        )
    return header


def _widths(lines: _Lines, line: int) -> list[int]:
    """The widths on a Fashion header's line: how many words, then the width of each."""
    number, *widths = lines.numbers(line)
    if number != len(widths):
        raise FormatError(
            f"expected {number} widths after the number of words, found {len(widths)}",
            where=lines.where(line),
            hint="'2 64 64' says two words of 64 bits each",
        )
    return widths


def _shown(lines: _Lines, line: int) -> str:
    """The start of a line, for messages."""
    if line >= len(lines.first):
        return "the end of the file"
    first = int(lines.first[line])
    shown = " ".join(lines.tokens.text(first + index)[1:-1] for index in range(min(6, int(lines.count[line]))))
    return f"'{shown}{' ...' if lines.count[line] > 6 else ''}'"


def _parse_gate_lines(
    lines: _Lines, header: _Header
) -> tuple[
    Int[np.ndarray, " gate_lines"],
    Int[np.ndarray, " gate_lines"],
    Int[np.ndarray, " gate_lines"],
    Int[np.ndarray, " gate_lines"],
]:
    """For each line of a gate its index, its kind, how many numbers it reads and how many wires it writes."""
    line = np.arange(header.lines, len(lines.first))
    first, count = lines.first[line], lines.count[line]
    numbers = lines.tokens.numbers
    kind = _gate_kinds(lines.tokens, first + count - 1)

    def refuse(wrong: np.ndarray, expected: str, hint: str) -> None:
        if wrong.any():
            bad = int(line[int(np.argmax(wrong))])
            raise FormatError(f"expected {expected}, found {_shown(lines, bad)}", where=lines.where(bad), hint=hint)

    refuse(kind < 0, f"a gate that ends in one of {', '.join(_KINDS)}", "'2 1 0 1 2 AND': wire 2 is wire 0 AND wire 1")
    short = count < 4
    reads, writes = numbers[np.where(short, 0, first)], numbers[np.where(short, 0, first + 1)]
    refuse(
        short | (reads < 0) | (writes < 0) | (reads + writes + 3 != count),
        "how many wires a gate reads and writes, then these wires, then its kind",
        "'2 1 0 1 2 AND' reads two wires and writes one",
    )
    is_mand = kind == _MAND
    refuse(
        np.where(is_mand, (reads != 2 * writes) | (writes == 0), (reads != _READS[kind]) | (writes != 1)),
        "two wires read and one written by AND, XOR, OR, NAND, NOR and XNOR, one and one by INV, NOT, EQ and EQW,"
        " twice as many read as written by MAND",
        "split wider gates",
    )
    is_wire = np.zeros(len(numbers), dtype=bool)
    inside = (
        np.repeat(first + 2, count - 3)
        + np.arange(int((count - 3).sum()))
        - np.repeat(np.cumsum(count - 3) - (count - 3), count - 3)
    )
    is_wire[inside] = True
    literal = first[kind == _EQ] + 2
    is_wire[literal] = False
    wrong = is_wire & ((numbers < 0) | (numbers >= header.wires))
    if wrong.any():
        token = int(np.argmax(wrong))
        raise FormatError(
            f"expected a wire from 0 to {header.wires - 1}, found {lines.tokens.text(token)}",
            where=f"{lines.name}:{int(lines.tokens.line[token]) + 1}",
            hint="the header's second number counts the wires",
        )
    not_a_bit = (numbers[literal] < 0) | (numbers[literal] > 1)
    refuse(np.isin(np.arange(len(line)), np.flatnonzero(kind == _EQ)[not_a_bit]), "0 or 1 in EQ", "EQW copies a wire")
    if header.gates not in (len(line), int(writes.sum())):
        raise FormatError(
            f"expected {header.gates} gates, found {len(line)}",
            where=lines.where(0 if len(line) > header.gates else len(lines.first)),
            hint="the header's first number counts the gates: is the file cut short?",
        )
    return line, kind, reads, writes


def _gate_kinds(tokens: Tokens, last: Int[np.ndarray, " gates"]) -> Int[np.ndarray, " gates"]:
    """The index in ``_KINDS`` of these tokens, in any case of letters, or -1."""
    text = np.frombuffer(tokens.data, dtype=np.uint8)
    length = tokens.end[last] - tokens.start[last]
    key = np.zeros(len(last), dtype=np.int64)
    for place in range(4):
        active = length > place
        key[active] |= (text[tokens.start[last[active]] + place].astype(np.int64) & ~0x20) << (8 * place)
    kind = np.full(len(last), -1, dtype=np.int64)
    for index, word in enumerate(_KINDS):
        kind[(key == int.from_bytes(word.encode(), "little")) & (length == len(word))] = index
    return kind


def write_bristol(
    circuit: Circuit, path: str | os.PathLike[str], *, style: Literal["fashion", "old"] = "fashion"
) -> None:
    """Writes a circuit as a Bristol file; see ``format_bristol``."""
    write_file(path, format_bristol(circuit, style=style))


def format_bristol(circuit: Circuit, *, style: Literal["fashion", "old"] = "fashion") -> bytes:
    r"""The circuit as a Bristol file of XOR, AND and INV gates; Fashion also has EQ (constants) and EQW (copies).

    Words keep their order and their values, but not their names; a bit that a word lacks becomes an unused input or a
    constant 0. Names of gates are lost. The old format holds at most two input words, and its one output word is all
    output words one after the other, the first least significant.

    Raises:
        FormatError: the old format cannot hold it: more than two input words, or constants without an input.

    >>> from serialformer.circuits.builder import CircuitBuilder
    >>> build = CircuitBuilder()
    >>> build.output("either", build.or_(build.input("a"), build.input("b")))
    >>> print(format_bristol(build.circuit()).decode(), end="")
    4 6
    2 1 1
    1 1
    <BLANKLINE>
    1 1 1 2 INV
    1 1 0 3 INV
    2 1 2 3 4 AND
    1 1 4 5 INV
    """
    assert circuit.input_words is not None and circuit.output_words is not None
    inputs = [word.width for word in circuit.input_words]
    outputs = [word.width for word in circuit.output_words]
    if style == "old" and len(inputs) > 2:
        raise FormatError(
            f"expected at most two input words for the old Bristol format, found {len(inputs)}",
            hint="write the Fashion format, which holds any number",
        )
    writer = _Writer(circuit, copies=style == "fashion")
    num_gates, num_wires = len(writer.kinds), sum(inputs) + len(writer.kinds)
    if style == "fashion":
        header = [" ".join(map(str, [len(widths), *widths])) for widths in (inputs, outputs)]
    else:
        header = [" ".join(map(str, [*inputs, *[0] * (2 - len(inputs)), sum(outputs)]))]
    return "\n".join([f"{num_gates} {num_wires}", *header, "", *writer.lines(), ""]).encode()


class _Writer:
    """Gates as they are put out. Nets: the inputs in the order of the words, then one for each gate."""

    def __init__(self, circuit: Circuit, *, copies: bool) -> None:
        graph = circuit_to_and_graph(circuit, xor_nodes=True)
        assert circuit.input_words is not None and circuit.output_words is not None
        self.copies = copies
        self.kinds: list[str] = []
        self.reads: list[tuple[int, ...]] = []
        self.inverses: dict[int, int] = {}
        self.zero: int | None = None
        places = [place for word in circuit.input_words for place in word.bits]
        self.num_inputs = len(places)
        self.nets = [0] * (1 + graph.num_inputs)  # the net of each variable of the graph; variable 0 has none
        for net, place in enumerate(places):
            if place != ABSENT:
                self.nets[place + 1] = net
        for (a, b), is_xor in zip(graph.operands.tolist(), graph.is_xor.tolist(), strict=True):
            first, second = self.net(a), self.net(b)
            self.nets.append(self.add("XOR" if is_xor else "AND", first, second))
        literals = graph.outputs.tolist()
        self.outputs: dict[int, None] = {}  # nets of gates, one for each output bit, in order
        for word in circuit.output_words:
            for place in word.bits:
                self.outputs[self.output(0 if place == ABSENT else literals[place])] = None

    def add(self, kind: str, *reads: int) -> int:
        """Puts out a gate and returns its net (for EQ, ``reads`` is the constant)."""
        self.kinds.append(kind)
        self.reads.append(reads)
        return self.num_inputs + len(self.kinds) - 1

    def net(self, literal: int) -> int:
        """A net with the value of a literal that is not a constant; inverters are shared."""
        net = self.nets[literal >> 1]
        if not literal & 1:
            return net
        if net not in self.inverses:
            self.inverses[net] = self.add("INV", net)
        return self.inverses[net]

    def output(self, literal: int) -> int:
        """A net of a gate with the value of a literal that is not an output yet."""
        if literal < 2:
            return self.constant(literal)
        net = self.net(literal)
        if net >= self.num_inputs and net not in self.outputs:
            return net
        # A copy; without EQW, the inverse of the inverse.
        return self.add("EQW", net) if self.copies else self.add("INV", self.net(literal ^ 1))

    def constant(self, value: int) -> int:
        if self.copies:
            return self.add("EQ", value)
        if not self.num_inputs:
            raise FormatError(
                "expected an input to make constants from, found none: the old Bristol format has no constants",
                hint="write the Fashion format, which has them",
            )
        if value == 0:
            return self.add("XOR", 0, 0)
        if self.zero is None:
            self.zero = self.add("XOR", 0, 0)
        return self.add("INV", self.zero)

    def lines(self) -> list[str]:
        """The gates' lines; the outputs take the last wires, in order."""
        num_nets = self.num_inputs + len(self.kinds)
        wire = np.zeros(num_nets, dtype=np.int64)
        outputs = np.array([*self.outputs], dtype=np.int64)
        inner = np.ones(num_nets, dtype=bool)
        inner[outputs] = False
        wire[inner] = np.arange(num_nets - len(outputs))
        wire[outputs] = np.arange(num_nets - len(outputs), num_nets)
        wires = wire.tolist()
        result = []
        for net, (kind, reads) in enumerate(zip(self.kinds, self.reads, strict=True), self.num_inputs):
            if len(reads) == 2:
                result.append(f"2 1 {wires[reads[0]]} {wires[reads[1]]} {wires[net]} {kind}")
            else:
                result.append(f"1 1 {reads[0] if kind == 'EQ' else wires[reads[0]]} {wires[net]} {kind}")
        return result
