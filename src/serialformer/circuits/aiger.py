"""AIGER, ASCII (.aag) and binary (.aig): AND gates between literals, where an odd literal is a negation.

The format: docs/formats/aiger.md; Biere, Heljanko, Wieringa, "AIGER 1.9 And Beyond", 2011.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, UInt8

from serialformer.circuits.aiger_binary import decode_ands, encode_ands
from serialformer.circuits.and_graph import circuit_to_and_graph
from serialformer.circuits.builder import NOT
from serialformer.circuits.circuit import NO_WIRE, Circuit
from serialformer.circuits.netlist import MAX_WIRES, Netlist, netlist_to_circuit
from serialformer.circuits.scan import scan_tokens, show_bytes
from serialformer.circuits.words import names_to_words, words_to_names
from serialformer.errors import FormatError
from serialformer.files import read_file, write_file

MAX_SILENT_INPUTS = 1 << 16
"""A binary file spends no byte on an input: beyond this many, it must be at least as long as it has inputs."""

_BLOCK = 1 << 16
"""ANDs that become gates together."""

_HEADER = re.compile(rb"(aag|aig)((?:[ \t]+[0-9]+)*)[ \t\r]*")
_SYMBOL = re.compile(rb"([ilobcjf])([0-9]+)(?: (.*))?", re.DOTALL)
_SYMBOL_KINDS = {"i": "inputs", "o": "outputs", "b": "bad states", "c": "constraints"}
_EXPECTED_HEADER = "expected the header 'aag M I L O A' or 'aig M I L O A' (and at most B C J F)"


@dataclass(frozen=True, kw_only=True)
class _Header:
    """The first line: the largest variable and the length of each section."""

    binary: bool
    largest: int
    inputs: int
    outputs: int
    ands: int
    bad: int
    constraints: int
    size: int  # bytes, with the line's end

    @property
    def all_outputs(self) -> int:
        return self.outputs + self.bad + self.constraints

    def row(self, line: int) -> str:
        """What stands on a line after the header, for messages."""
        for what, count in (
            ("input", 0 if self.binary else self.inputs),
            ("output", self.outputs),
            ("bad state", self.bad),
            ("constraint", self.constraints),
        ):
            if line < count:
                return f"{what} {line}"
            line -= count
        return f"AND {line}"


@dataclass(frozen=True, kw_only=True)
class _Body:
    """The literals of a file, and where its symbols start."""

    inputs: Int[np.ndarray, " inputs"]
    outputs: Int[np.ndarray, " outputs"]
    lhs: Int[np.ndarray, " ands"]
    rhs: Int[np.ndarray, "ands 2"]
    first_line: int  # the line of the first AND, in an ASCII file
    end: int  # the byte where the symbols start
    end_line: int  # and their line, in an ASCII file


def read_aiger(path: str | os.PathLike[str]) -> Circuit:
    """The circuit of an .aag or .aig file (told apart by its first word); see ``parse_aiger``."""
    return parse_aiger(read_file(path), name=str(path))


def parse_aiger(data: bytes, *, name: str) -> Circuit:
    r"""The circuit of an AIGER file.

    Negations cost no gate where an AND or a single output reads them. Bad states and constraints become outputs
    (words ``bad`` and ``constraint``, unless symbols name them).

    Args:
        data: the file.
        name: what to call it in messages.

    Raises:
        FormatError: the file breaks the format, or has latches, justice or fairness.

    >>> parse_aiger(b"aag 3 2 0 1 1\n2\n4\n7\n6 3 5\ni0 a\ni1 b\no0 either\n", name="or.aag").evaluate(a=0, b=1)
    {'either': 1}
    """
    header = _parse_header(data, name)
    body = (_parse_binary if header.binary else _parse_ascii)(data, header, name)
    symbols = _parse_symbols(data, header, body, name)
    bad = [symbol or f"bad[{index}]" for index, symbol in enumerate(symbols["b"])]
    constraints = [symbol or f"constraint[{index}]" for index, symbol in enumerate(symbols["c"])]
    return _body_to_circuit(
        header, body, name, input_names=symbols["i"], output_names=[*symbols["o"], *bad, *constraints]
    )


def _parse_header(data: bytes, name: str) -> _Header:
    end = data.find(b"\n", 0, 1000)
    line = data[: min(end if end >= 0 else len(data), 1000)]
    match = _HEADER.fullmatch(line)
    numbers = match[2].split() if match else []
    if match is None or not 5 <= len(numbers) <= 9:
        found = show_bytes(line) if match is None else f"{len(numbers)} numbers"
        raise FormatError(
            f"{_EXPECTED_HEADER}, found {found}", where=f"{name}:1", hint="is this an AIGER file? See docs/formats"
        )
    longest = max(len(number.lstrip(b"0")) for number in numbers)
    if longest > 15:
        raise FormatError(
            f"expected header numbers of at most 15 digits, found one of {longest}",
            where=f"{name}:1",
            hint="no file is that large",
        )
    largest, inputs, latches, outputs, ands, bad, constraints, justice, fairness = [
        *map(int, numbers),
        *[0] * (9 - len(numbers)),
    ]
    binary = match[1] == b"aig"
    where = f"{name}:1"
    total = inputs + latches + ands
    if largest != total if binary else largest < total:
        relation = "M = I + L + A" if binary else "M >= I + L + A"
        raise FormatError(
            f"expected {relation}, found M={largest}, I={inputs}, L={latches}, A={ands}",
            where=where,
            hint="the header is damaged, or M is not the largest variable",
        )
    if latches:
        raise FormatError(
            f"{latches} latch{'es' if latches > 1 else ''}: sequential circuits are not supported yet",
            where=where,
            hint="unroll it into a combinational circuit first",
        )
    if justice or fairness:
        raise FormatError(
            f"expected no justice and fairness properties, found {justice} and {fairness}:"
            " they speak of infinite runs and make sense for sequential circuits only",
            where=where,
            hint="drop these sections",
        )
    size = len(line) + (end >= 0)
    all_outputs = outputs + bad + constraints
    least = 2 * all_outputs + (2 * ands if binary else 2 * inputs + 6 * ands)
    if least > len(data) - size + 1:
        raise FormatError(
            f"expected at least {least} bytes after the header for what it counts, found {len(data) - size}",
            where=where,
            hint="the file is cut short, or the header is damaged",
        )
    if binary and inputs > MAX_SILENT_INPUTS + len(data):
        raise FormatError(
            f"expected at most {MAX_SILENT_INPUTS + len(data)} inputs in a binary file of {len(data)} bytes,"
            f" found {inputs}",
            where=where,
            hint="name the inputs in the symbol table, or use the ASCII format",
        )
    return _Header(
        binary=binary,
        largest=largest,
        inputs=inputs,
        outputs=outputs,
        ands=ands,
        bad=bad,
        constraints=constraints,
        size=size,
    )


def _parse_ascii(data: bytes, header: _Header, name: str) -> _Body:
    num_rows = header.inputs + header.all_outputs
    literals, end = _parse_lines(data, header, [1] * num_rows + [3] * header.ands, name)
    inputs, outputs = literals[: header.inputs], literals[header.inputs : num_rows]
    ands = literals[num_rows:].reshape(-1, 3)
    defined = np.concatenate([inputs, ands[:, 0]])
    if ((defined < 2) | (defined % 2 == 1)).any():
        wrong = int(np.argmax((defined < 2) | (defined % 2 == 1)))
        line = wrong if wrong < header.inputs else num_rows + wrong - header.inputs
        raise FormatError(
            f"expected an even literal from 2 to {2 * header.largest} that {header.row(line)} defines,"
            f" found {int(defined[wrong])}",
            where=f"{name}:{line + 2}",
            hint="a definition cannot be negated, and 0 and 1 are the constants",
        )
    _, first, inverse = np.unique(inputs, return_index=True, return_inverse=True)
    if len(first) < len(inputs):
        line = int(np.flatnonzero(first[inverse] != np.arange(len(inputs)))[0])
        raise FormatError(
            f"literal {int(inputs[line])} is an input twice", where=f"{name}:{line + 2}", hint="number inputs apart"
        )
    return _Body(
        inputs=inputs,
        outputs=outputs,
        lhs=ands[:, 0],
        rhs=ands[:, 1:],
        first_line=2 + num_rows,
        end=end,
        end_line=2 + num_rows + header.ands,
    )


def _parse_binary(data: bytes, header: _Header, name: str) -> _Body:
    outputs, start = _parse_lines(data, header, [1] * header.all_outputs, name)
    first = 2 * (header.inputs + 1)
    rhs, end = decode_ands(data, start=start, first_literal=first, num_ands=header.ands, name=name)
    return _Body(
        inputs=np.arange(2, first, 2, dtype=rhs.dtype),
        outputs=outputs,
        lhs=np.arange(first, first + 2 * header.ands, 2, dtype=rhs.dtype),
        rhs=rhs,
        first_line=0,
        end=end,
        end_line=0,
    )


def _parse_lines(data: bytes, header: _Header, expected: list[int], name: str) -> tuple[Int[np.ndarray, " n"], int]:
    """The literals of the lines after the header, so many a line, and where these lines end."""
    num_lines = len(expected)
    if not num_lines:
        return np.zeros(0, dtype=np.int64), header.size
    newlines = np.flatnonzero(np.frombuffer(data, dtype=np.uint8)[header.size :] == 10)
    end = header.size + int(newlines[num_lines - 1]) + 1 if num_lines <= len(newlines) else len(data)
    tokens = scan_tokens(data[header.size : end])
    counts = np.bincount(tokens.line, minlength=num_lines)[:num_lines]
    if (counts != expected).any():
        line = int(np.argmax(counts != expected))
        wanted = "one literal" if expected[line] == 1 else "three literals"
        ended = line >= len(newlines) and counts[line] == 0
        raise FormatError(
            f"expected {wanted} for {header.row(line)}, found {'the end of the file' if ended else int(counts[line])}",
            where=f"{name}:{line + 2}",
            hint="the header counts the lines that follow it: is the file cut short?",
        )
    literals = tokens.numbers
    wrong = (literals < 0) | (literals > 2 * header.largest + 1)
    if wrong.any():
        token = int(np.argmax(wrong))
        line = int(tokens.line[token])
        raise FormatError(
            f"expected a literal from 0 to {2 * header.largest + 1} in {header.row(line)}, found {tokens.text(token)}",
            where=f"{name}:{line + 2}",
            hint="variables go up to the header's first number, literals are twice that and one more for a negation",
        )
    return literals, end


def _parse_symbols(data: bytes, header: _Header, body: _Body, name: str) -> dict[str, list[str | None]]:
    """The names of inputs, outputs, bad states and constraints, up to the comment."""
    symbols: dict[str, list[str | None]] = {
        "i": [None] * header.inputs,
        "o": [None] * header.outputs,
        "b": [None] * header.bad,
        "c": [None] * header.constraints,
    }
    start, line_number = body.end, body.end_line
    while start < len(data):
        newline = data.find(b"\n", start)
        end = newline if newline >= 0 else len(data)
        line = data[start:end].rstrip(b"\r")
        where = f"{name}:byte {start}" if header.binary else f"{name}:{line_number}"
        match = _SYMBOL.fullmatch(line)
        if match is None:
            if line[:1] == b"c":
                break  # the comment: anything, to the end of the file
            if line.strip():
                raise FormatError(
                    f"expected a symbol such as 'i0 name', or 'c' and a comment, found {show_bytes(line)}",
                    where=where,
                    hint="is the header's count of ANDs too small?",
                )
        else:
            _add_symbol(symbols, match[1].decode(), match[2], match[3] or b"", where)
        start, line_number = end + 1, line_number + 1
    return symbols


def _add_symbol(symbols: dict[str, list[str | None]], kind: str, index: bytes, text: bytes, where: str) -> None:
    count = len(symbols.get(kind, ()))
    digits = index.lstrip(b"0") or b"0"
    if len(digits) > 15 or int(digits) >= count:
        what = _SYMBOL_KINDS.get(kind, "latches, justice or fairness properties")
        raise FormatError(
            f"expected a symbol for one of {count} {what}, found {show_bytes(kind.encode() + index)}",
            where=where,
            hint="symbols count from 0",
        )
    if symbols[kind][int(digits)] is not None:
        raise FormatError(f"{kind}{int(digits)} is named twice", where=where, hint="drop one of its symbols")
    symbols[kind][int(digits)] = text.decode("utf-8", "backslashreplace")


def _body_to_circuit(
    header: _Header,
    body: _Body,
    name: str,
    *,
    input_names: list[str | None],
    output_names: list[str | None],
) -> Circuit:
    """Absorbs negations and constants in the ANDs' tables, and adds gates for what is left at the outputs.

    A net holds an AND's value, or its complement where the first output that reads it wants that.
    """
    sides = (body.inputs, body.lhs, body.rhs.ravel(), body.outputs)
    labels = np.zeros(0, dtype=np.int64)
    num_variables = header.largest + 1
    if header.largest > header.inputs + header.ands:  # gaps in the numbering, perhaps huge ones
        labels, ranks = np.unique(
            np.concatenate([np.zeros(1, dtype=np.int64), *[side >> 1 for side in sides]]), return_inverse=True
        )
        cuts = np.cumsum([1] + [len(side) for side in sides])
        inputs, lhs, reads, read = np.split(ranks.astype(np.int32), cuts)[1:5]
        num_variables = len(labels)
    else:
        if header.largest > MAX_WIRES // 2:
            raise FormatError(
                f"expected at most {MAX_WIRES // 2:,} variables, found {header.largest:,}",
                where=f"{name}:1",
                hint="split the circuit",
            )
        inputs, lhs, reads, read = [(side >> 1).astype(np.int32, copy=False) for side in sides]
    reads = reads.reshape(-1, 2)

    flipped = np.zeros(num_variables, dtype=np.uint8)  # 1 where the net holds the complement
    output_variables, first_output = np.unique(read, return_index=True)
    flipped[output_variables] = body.outputs[first_output] & 1
    flipped[0] = 0
    flipped[inputs] = 0
    # What the outputs need besides: a constant for each value, a NOT for each net of the other polarity.
    negated = (body.outputs & 1) ^ flipped[read]
    needs_gate = (read == 0) | (negated == 1)
    extra, extra_rank = np.unique(2 * read[needs_gate].astype(np.int64) + negated[needs_gate], return_inverse=True)
    output_nets = read.copy()
    output_nets[needs_gate] = num_variables + extra_rank
    is_constant = extra < 2

    num_ands = header.ands
    fan_in = np.full((num_ands + len(extra), 2), NO_WIRE, dtype=np.int32)
    arity = np.empty(len(fan_in), dtype=np.uint8)
    table = np.empty(len(fan_in), dtype=np.uint64)
    for start in range(0, num_ands, _BLOCK):
        block = slice(start, min(start + _BLOCK, num_ands))
        flips = (body.rhs[block] & 1).astype(np.uint8) ^ flipped[reads[block]]
        table[block], arity[block], fan_in[block] = _and_gates(
            reads[block, 0], reads[block, 1], flips[:, 0], flips[:, 1], flipped[lhs[block]]
        )
    fan_in[num_ands:][~is_constant, 0] = extra[~is_constant] >> 1
    arity[num_ands:] = ~is_constant
    table[num_ands:] = np.where(is_constant, extra & 1, NOT)
    if header.binary:  # in order by its nature, and net n is wire n - 1: net 0, the constant, is read by no gate
        fan_in -= fan_in > 0
        return Circuit(
            num_inputs=header.inputs,
            fan_in=fan_in,
            arity=arity,
            table=table,
            outputs=output_nets - np.int32(1),
            input_words=names_to_words(input_names, default="in"),
            output_words=names_to_words(output_names, default="out"),
        )

    def net_name(net: int) -> str:
        return str(2 * int(labels[net] if len(labels) else net))

    def where(gate: int) -> str:
        return f"{name}:{body.first_line + gate}" if 0 <= gate < num_ands else name

    netlist = Netlist(
        num_nets=num_variables + len(extra),
        inputs=inputs,
        outputs=output_nets,
        driven=np.concatenate([lhs, np.arange(num_variables, num_variables + len(extra), dtype=np.int32)]),
        fan_in=fan_in,
        arity=arity,
        table=table,
    )
    return netlist_to_circuit(
        netlist, net_name=net_name, where=where, input_names=input_names, output_names=output_names
    )


def _and_gates(
    first: Int[np.ndarray, " ands"],
    second: Int[np.ndarray, " ands"],
    flip_first: UInt8[np.ndarray, " ands"],
    flip_second: UInt8[np.ndarray, " ands"],
    flip_result: UInt8[np.ndarray, " ands"],
) -> tuple[np.ndarray, np.ndarray, Int[np.ndarray, "ands 2"]]:
    """Tables, arities and fan-in of ANDs of two nets, each perhaps complemented; net 0 is the constant false."""
    a = np.where(flip_first == 1, 0b0101, 0b1010)
    b = np.where(flip_second == 1, 0b0011, 0b1100)
    # A constant's column of the table is all ones or zeros; the entries that then remain are packed together.
    a[first == 0] = np.where(flip_first == 1, 0b1111, 0)[first == 0]
    b[second == 0] = np.where(flip_second == 1, 0b1111, 0)[second == 0]
    table = (a & b) ^ np.where(flip_result == 1, 0b1111, 0)
    only_first, only_second = (second == 0) & (first != 0), (first == 0) & (second != 0)
    constant = (first == 0) & (second == 0)
    table = np.where(only_first, table & 0b11, table)
    table = np.where(only_second, (table & 1) | (table >> 2 & 1) << 1, table)
    table = np.where(constant, table & 1, table)
    arity = np.where(constant, 0, np.where(only_first | only_second, 1, 2)).astype(np.uint8)
    fan_in = np.stack([np.where(first == 0, second, first), second], axis=1)
    fan_in[arity < 2, 1] = NO_WIRE
    fan_in[arity < 1, 0] = NO_WIRE
    return table.astype(np.uint64), arity, fan_in


def write_aiger(circuit: Circuit, path: str | os.PathLike[str]) -> None:
    """Writes a circuit as AIGER: ASCII where the path ends in ``.aag``, else binary."""
    write_file(path, format_aiger(circuit, binary=not os.fspath(path).endswith(".aag")))


def format_aiger(circuit: Circuit, *, binary: bool = True) -> bytes:
    r"""The circuit as an AIGER file, with its words as the symbol table; names of gates are lost.

    Gates become ANDs with structural hashing: two with the same inputs are one.

    >>> from serialformer.circuits.builder import CircuitBuilder
    >>> build = CircuitBuilder()
    >>> build.output("either", build.or_(build.input("a"), build.input("b")))
    >>> format_aiger(build.circuit(), binary=False)
    b'aag 3 2 0 1 1\n2\n4\n7\n6 5 3\ni0 a\ni1 b\no0 either\n'
    """
    assert circuit.input_words is not None and circuit.output_words is not None
    graph = circuit_to_and_graph(circuit, xor_nodes=False)
    num_inputs, num_ands = graph.num_inputs, graph.num_nodes
    first_literal = 2 * (num_inputs + 1)
    kind = "aig" if binary else "aag"
    head = [f"{kind} {num_inputs + num_ands} {num_inputs} 0 {circuit.num_outputs} {num_ands}"]
    if not binary:
        head += [str(2 * (index + 1)) for index in range(num_inputs)]
    head += map(str, graph.outputs.tolist())
    if not binary:
        lhs = range(first_literal, first_literal + 2 * num_ands, 2)
        head += [f"{left} {a} {b}" for left, (a, b) in zip(lhs, graph.operands.tolist(), strict=True)]
    symbols = [
        f"{letter}{place} {text}\n"
        for letter, words, count in (
            ("i", circuit.input_words, num_inputs),
            ("o", circuit.output_words, circuit.num_outputs),
        )
        for place, text in enumerate(words_to_names(words, count))
    ]
    for symbol in symbols:
        if "\n" in symbol[:-1]:
            raise FormatError(f"expected names on one line, found {symbol[:-1]!r}", hint="rename this word")
    ands = encode_ands(first_literal, graph.operands) if binary else b""
    return ("\n".join(head) + "\n").encode() + ands + "".join(symbols).encode("utf-8", "backslashreplace")
