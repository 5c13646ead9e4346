"""BENCH, the format of the ISCAS circuits: reading and writing. The format's page is docs/formats/bench.md."""

from __future__ import annotations

import os
import re

import numpy as np

from serialformer.arrays import Int, Int32
from serialformer.circuits.builder import AND, BUFFER, NAND, NOR, NOT, OR, XNOR, XOR
from serialformer.circuits.circuit import MAX_FAN_IN, Circuit
from serialformer.circuits.formats.gate_list import GateList, gates_to_circuit
from serialformer.circuits.formats.latches import READS_LATCHES, Latches, count_latches, gates_to_sequential
from serialformer.circuits.formats.net_names import name_nets
from serialformer.circuits.formats.netlist import Netlist
from serialformer.circuits.formats.statements import Statements, near_hint, shorten, split_statements
from serialformer.circuits.sequential.sequential import SequentialCircuit
from serialformer.files import read_file, write_file

_OPERATORS = {
    "AND": (AND, False),
    "OR": (OR, False),
    "XOR": (XOR, False),
    "NAND": (AND, True),
    "NOR": (OR, True),
    "XNOR": (XOR, True),
    "NXOR": (XOR, True),
}
"""Gates of any number of inputs: the table of two, and whether the result is inverted."""

_UNARY = {"NOT": NOT, "INV": NOT, "BUF": BUFFER, "BUFF": BUFFER}

_MUX = 0b11100100
"""MUX(select, a, b): first input least significant, so entry 4b + 2a + select."""

_OTHER_LATCHES = ("DFFE", "DFFR", "DFFS", "DFFSR", "LATCH", "DLATCH")

_OPERANDS = {"MUX": "MUX is MUX(select, a, b)", "DFF": "DFF is DFF(d); the clock is not named"}

_CONSTANTS = {"vdd": 1, "gnd": 0}

_BLOCK = 1 << 15
"""Lines that are read together."""

_GATES = (*_OPERATORS, *_UNARY, "MUX", "LUT", "DFF")

_GRAMMAR = "INPUT(net), OUTPUT(net) or net = GATE(net, ...)"

_HEXADECIMAL = re.compile(r"0[xX][0-9a-fA-F]{1,64}")

_ILLEGAL = re.compile(r"[\x00-\x20\x7f#%(),=]")
"""What a net's name may not hold."""

_NAMES_OF_TABLES = {
    (1, NOT): "NOT",
    (1, BUFFER): "BUFF",
    (2, AND): "AND",
    (2, OR): "OR",
    (2, XOR): "XOR",
    (2, NAND): "NAND",
    (2, NOR): "NOR",
    (2, XNOR): "XNOR",
}


def read_bench(path: str | os.PathLike[str]) -> Circuit:
    """Reads a BENCH file; see ``parse_bench``."""
    return parse_bench(read_file(path), name=str(path))


def write_bench(circuit: Circuit, path: str | os.PathLike[str]) -> None:
    """Writes a circuit as a BENCH file; see ``format_bench``."""
    write_file(path, format_bench(circuit))


def parse_bench(data: bytes, *, name: str) -> Circuit:
    """The circuit of a BENCH file.

    A gate of more than two inputs becomes a balanced tree of two-input gates, a ``LUT`` of up to six stays one gate.

    Args:
        data: the file.
        name: what to call it in messages.

    Raises:
        FormatError: it is not BENCH, or sequential.

    >>> parse_bench(b"INPUT(a)\\nINPUT(b)\\nOUTPUT(y)\\ny = NAND(a, b)\\n", name="nand.bench").evaluate(a=1, b=1)
    {'y': 0}
    """
    statements = split_statements(data, name=name, alone=b"(),=")
    return _Reader(statements).read(sequential=False).circuit


def read_sequential_bench(path: str | os.PathLike[str]) -> SequentialCircuit:
    """Reads a BENCH file with or without flip-flops; see ``parse_sequential_bench``."""
    return parse_sequential_bench(read_file(path), name=str(path))


def parse_sequential_bench(data: bytes, *, name: str) -> SequentialCircuit:
    """The circuit of a BENCH file with its flip-flops.

    The format says nothing of what a ``DFF`` holds at first: as in ABC and in the papers on these circuits, it is 0.

    Args:
        data: the file.
        name: what to call it in messages.

    Raises:
        FormatError: it is not BENCH.

    >>> toggle = parse_sequential_bench(b"OUTPUT(q)\\nq = DFF(d)\\nd = NOT(q)\\n", name="toggle.bench")
    >>> [cycle.outputs["q"] for cycle in toggle.simulate([{}] * 3)]
    [0, 1, 0]
    """
    return _Reader(split_statements(data, name=name, alone=b"(),=")).read(sequential=True)


def format_bench(circuit: Circuit) -> bytes:
    """A circuit as a BENCH file that ABC reads back: named gates, and ``LUT`` for tables that have no name.

    Nets are called what the circuit calls its words and gates; what BENCH cannot carry is changed as
    docs/formats/bench.md says.

    >>> from serialformer.circuits.builder import CircuitBuilder
    >>> build = CircuitBuilder()
    >>> a, b = build.input("a"), build.input("b")
    >>> build.output("y", build.gate(0b0010, a, b))
    >>> print(format_bench(build.circuit()).decode(), end="")
    # 2 inputs, 1 outputs, 1 gates
    INPUT(a)
    INPUT(b)
    OUTPUT(y)
    y = LUT 0x2 ( a, b )
    """
    nets = name_nets(circuit, _ILLEGAL)
    lines = [f"# {circuit.num_inputs} inputs, {circuit.num_outputs} outputs, {circuit.num_gates} gates"]
    lines += [f"INPUT({name})" for name in nets.wires[: circuit.num_inputs]]
    lines += [f"OUTPUT({name})" for name in nets.outputs]
    fan_in = circuit.fan_in.tolist()
    gates = zip(circuit.arity.tolist(), circuit.table.tolist(), strict=True)
    for gate, (arity, table) in enumerate(gates):
        target = nets.wires[circuit.num_inputs + gate]
        if arity == 0 or (arity == 1 and table in (0b00, 0b11)):  # ABC refuses LUT 0x3 ( a )
            lines.append(f"{target} = {'vdd' if table else 'gnd'}")
            continue
        read = ", ".join([nets.wires[wire] for wire in fan_in[gate][:arity]])
        name = _NAMES_OF_TABLES.get((arity, table))
        lines.append(f"{target} = {name}({read})" if name else f"{target} = LUT 0x{table:x} ( {read} )")
    lines += [f"{output} = BUFF({nets.wires[wire]})" for output, wire in nets.buffers]
    return "".join(f"{line}\n" for line in lines).encode(errors="backslashreplace")


class _Reader:
    """Lines of equal length are read together, as the rows of one array."""

    def __init__(self, statements: Statements) -> None:
        self.statements = statements
        self.texts = statements.texts()
        self.gates = GateList(statements.num_distinct)
        self.ports: dict[str, list[np.ndarray]] = {"INPUT": [], "OUTPUT": []}
        self.latches: list[np.ndarray] = []
        self.constants: list[np.ndarray] = []
        self.defined = np.zeros(statements.num_distinct, dtype=bool)
        self.wrong: list[tuple[int, str, str]] = []
        single = statements.text_length == 1
        symbol = statements.bytes_of_file[statements.text_start[single]]
        place = dict(zip(symbol.tolist(), np.flatnonzero(single).tolist(), strict=True))
        self.marks = {mark: place.get(ord(mark), -1) for mark in "=(),"}
        self.is_mark = np.zeros(statements.num_distinct, dtype=bool)
        self.is_mark[[token for token in self.marks.values() if token >= 0]] = True

    def read(self, *, sequential: bool) -> SequentialCircuit:
        if not self.statements.data.strip():
            raise self.statements.error(-1, f"expected {_GRAMMAR}, found nothing", hint="the file is empty")
        lengths = np.diff(self.statements.first)
        order = np.argsort(lengths, kind="stable")
        sizes, starts = np.unique(lengths[order], return_index=True)
        groups = np.split(order, starts[1:]) if len(sizes) else []
        for size, group in zip(sizes.tolist(), groups, strict=True):
            for start in range(0, len(group), _BLOCK):
                lines = group[start : start + _BLOCK]
                self._read_lines(self.statements.tokens[self.statements.first[lines][:, None] + np.arange(size)], lines)
        del order, groups
        if self.wrong:
            line, message, hint = min(self.wrong)
            found = f"expected {_GRAMMAR}, found {self.statements.line_text(line)}"
            raise self.statements.error(line, message or found, hint=hint)
        latches = np.concatenate([np.zeros((3, 0), dtype=np.int64), *self.latches], axis=1)
        latches = latches[:, np.argsort(latches[0], kind="stable")]
        if latches.shape[1] and not sequential:
            raise self.statements.error(int(latches[0].min()), count_latches(latches.shape[1]), hint=READS_LATCHES)
        return self._connect(latches)

    def _read_lines(self, rows: Int32[np.ndarray, "lines size"], lines: Int[np.ndarray, " lines"]) -> None:
        """Reads lines of one number of tokens."""
        size = rows.shape[1]
        if size == 3:
            self._read_constants(rows, lines)
        elif size == 4:
            self._read_ports(rows, lines)
        elif size >= 6:
            is_table = size % 2 == 1  # net = LUT 0xHEX ( a , b ) has one token more than net = AND ( a , b )
            opening = 3 + is_table
            inputs = rows[:, opening + 1 : -1 : 2]
            good = (rows[:, 1] == self.marks["="]) & (rows[:, opening] == self.marks["("])
            good &= (rows[:, -1] == self.marks[")"]) & (rows[:, opening + 2 : -1 : 2] == self.marks[","]).all(axis=1)
            good &= ~self.is_mark[rows[:, [0, 2, opening - 1]]].any(axis=1) & ~self.is_mark[inputs].any(axis=1)
            self._refuse(lines[~good])
            read = self._read_tables if is_table else self._read_gates
            read(rows[good], inputs[good], lines[good])
        else:
            self._refuse(lines)

    def _refuse(
        self,
        lines: Int[np.ndarray, " lines"],
        message: str = "",
        hint: str = "one statement a line; names hold no space, comma, = or parenthesis",
    ) -> None:
        """Notes the first of the lines as wrong; of all that are noted, the first in the file is reported."""
        if len(lines):
            self.wrong.append((int(lines.min()), message, hint))

    def _by_word(self, words: Int32[np.ndarray, " lines"]) -> list[tuple[str, np.ndarray]]:
        """The distinct words of a column as they stand in the file, and the rows that have each."""
        order = np.argsort(words, kind="stable")
        tokens, starts = np.unique(words[order], return_index=True)
        groups = np.split(order, starts[1:]) if len(tokens) else []
        return [(self.texts[token], group) for token, group in zip(tokens.tolist(), groups, strict=True)]

    def _read_ports(self, rows: Int32[np.ndarray, "lines 4"], lines: Int[np.ndarray, " lines"]) -> None:
        good = (
            (rows[:, 1] == self.marks["("])
            & (rows[:, 3] == self.marks[")"])
            & ~self.is_mark[rows[:, [0, 2]]].any(axis=1)
        )
        self._refuse(lines[~good])
        rows, lines = rows[good], lines[good]
        for text, chosen in self._by_word(rows[:, 0]):
            if text.upper() in self.ports:
                self.ports[text.upper()].append(np.stack([lines[chosen], rows[chosen, 2]]))
            else:
                near = near_hint(text.upper(), self.ports, otherwise=f"a line is {_GRAMMAR}")
                self._refuse(lines[chosen], f"expected INPUT or OUTPUT, found {shorten(text)}", near)

    def _read_constants(self, rows: Int32[np.ndarray, "lines 3"], lines: Int[np.ndarray, " lines"]) -> None:
        """``net = vdd`` and ``net = gnd``."""
        good = (rows[:, 1] == self.marks["="]) & ~self.is_mark[rows[:, 0]]
        values = np.zeros(len(rows), dtype=np.int64)
        for text, chosen in self._by_word(rows[:, 2]):
            if text.lower() in _CONSTANTS:
                values[chosen] = _CONSTANTS[text.lower()]
            else:
                good[chosen] = False
        self._refuse(lines[~good])
        self.constants.append(np.stack([rows[good, 0].astype(np.int64), values[good], lines[good]]))

    def _read_gates(
        self,
        rows: Int32[np.ndarray, "lines size"],
        inputs: Int[np.ndarray, "lines arity"],
        lines: Int[np.ndarray, " lines"],
    ) -> None:
        """``net = GATE(net, ...)``."""
        arity = inputs.shape[1]
        driven = rows[:, 0].astype(np.int32)
        self.defined[driven] = True
        for text, chosen in self._by_word(rows[:, 2]):
            word, here = text.upper(), (driven[chosen], inputs[chosen])
            if word in _OPERATORS:
                table, inverts = _OPERATORS[word]
                if arity == 1:
                    self.gates.add(*here, NOT if inverts else BUFFER, lines[chosen])
                else:
                    root_table = table ^ 0b1111 if inverts else table
                    self.gates.add_trees(*here, table=table, root_table=root_table, lines=lines[chosen])
            elif word == "DFF" and arity == 1:
                self.latches.append(np.stack([lines[chosen], driven[chosen], inputs[chosen, 0]]))
            elif word in _OTHER_LATCHES:
                self._refuse(lines[chosen], f"{shorten(text)}: of the latches only DFF is read", "write it with DFF")
            elif word in _UNARY or word in ("MUX", "DFF"):
                expected = 3 if word == "MUX" else 1
                if arity == expected:
                    self.gates.add(*here, _UNARY.get(word, _MUX), lines[chosen])
                else:
                    plural = "s" * (expected > 1)
                    message = f"expected {expected} input{plural} for {word}, found {arity}"
                    self._refuse(lines[chosen], message, _OPERANDS.get(word, "did you mean AND?"))
            elif word == "LUT":
                self._refuse(lines[chosen], "expected a table after LUT, found none", "write net = LUT 0x8 ( a, b )")
            else:
                hint = near_hint(word, _GATES, otherwise=f"the gates are: {', '.join(_GATES)}")
                self._refuse(lines[chosen], f"unknown gate {shorten(text)}", hint)

    def _read_tables(
        self,
        rows: Int32[np.ndarray, "lines size"],
        inputs: Int[np.ndarray, "lines arity"],
        lines: Int[np.ndarray, " lines"],
    ) -> None:
        """``net = LUT 0xHEX ( net, ... )``, first input least significant."""
        arity = inputs.shape[1]
        driven = rows[:, 0].astype(np.int32)
        self.defined[driven] = True
        for text, chosen in self._by_word(rows[:, 2]):
            if text.upper() != "LUT":
                self._refuse(lines[chosen])
            elif arity > MAX_FAN_IN:
                message = f"expected a LUT of at most {MAX_FAN_IN} inputs, found {arity}"
                self._refuse(lines[chosen], message, f"map to {MAX_FAN_IN} inputs first (ABC: if -K {MAX_FAN_IN})")
            else:
                for number, those in self._by_word(rows[chosen, 3]):
                    places = chosen[those]
                    if not _HEXADECIMAL.fullmatch(number) or (table := int(number, 16)) >> (1 << arity):
                        expected = f"expected a table 0x... of {1 << arity} bits for {arity} inputs"
                        self._refuse(
                            lines[places], f"{expected}, found {shorten(number)}", "bit i is the value at inputs i"
                        )
                    else:
                        self.gates.add(driven[places], inputs[places], table, lines[places])

    def _connect(self, latches: Int[np.ndarray, "3 latches"]) -> SequentialCircuit:
        ports = {}
        for word, parts in self.ports.items():
            lines, nets = np.concatenate([np.zeros((2, 0), dtype=np.int64), *parts], axis=1)
            order = np.argsort(lines, kind="stable")
            ports[word] = nets[order], lines[order]
        inputs, input_lines = ports["INPUT"]
        outputs, output_lines = ports["OUTPUT"]
        self._add_constants(inputs, np.concatenate([outputs, latches[2]]))
        num_named, num_nets = len(self.texts), self.gates.num_nets
        driven, fan_in, arity, table, lines = self.gates.arrays()
        netlist = Netlist(
            num_nets=num_nets,
            inputs=inputs,
            outputs=outputs,
            driven=driven,
            fan_in=fan_in,
            arity=arity,
            table=table,
        )
        if not latches.shape[1]:
            circuit = gates_to_circuit(
                self.statements,
                netlist,
                lines=lines,
                net_name=lambda net: self.texts[net] if net < num_named else "",
                gate_names=lambda: self.statements.names(driven),
                input_lines=input_lines,
                output_lines=output_lines,
            )
            return SequentialCircuit(circuit=circuit, registers=())
        return gates_to_sequential(
            self.statements,
            netlist,
            Latches(
                names=[self.texts[net] for net in latches[1].tolist()],
                driven=latches[1],
                read=latches[2],
                initial=[0] * latches.shape[1],
                lines=latches[0],
            ),
            lines=lines,
            net_name=lambda net: self.texts[net] if net < num_named else "",
            gate_names=lambda: self.statements.names(driven),
            input_lines=input_lines,
            output_lines=output_lines,
        )

    def _add_constants(self, inputs: Int[np.ndarray, " inputs"], outputs: Int[np.ndarray, " outputs"]) -> None:
        """Adds the constants: targets of ``net = gnd``, and ``gnd`` itself where it is read and never defined."""
        targets, values, lines = np.concatenate([np.zeros((3, 0), dtype=np.int64), *self.constants], axis=1)
        no_wires = np.zeros((len(targets), 0), dtype=np.int64)
        self.gates.add(targets, no_wires, values.astype(np.uint64), lines)
        self.defined[inputs] = True
        self.defined[targets] = True
        short = np.flatnonzero((self.statements.text_length == 3) & ~self.defined)
        initial = self.statements.bytes_of_file[self.statements.text_start[short]]
        for token in short[np.isin(initial, list(b"gGvV"))].tolist():
            value = _CONSTANTS.get(self.texts[token].lower())
            if value is not None and (self.gates.reads(token) or (outputs == token).any()):
                self.gates.add(
                    np.array([token], dtype=np.int64),
                    np.zeros((1, 0), dtype=np.int64),
                    value,
                    np.zeros(1, dtype=np.int64),
                )
