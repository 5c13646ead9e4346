"""AIGER, ASCII (.aag) and binary (.aig): AND gates between literals, where an odd literal is a negation.

The format: docs/formats/aiger.md; Biere, Heljanko, Wieringa, "AIGER 1.9 And Beyond", 2011.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

import numpy as np

from serialformer.arrays import Int, UInt8
from serialformer.circuits.builder import NOT
from serialformer.circuits.circuit import NO_WIRE, Circuit
from serialformer.circuits.formats.aiger.binary import decode_ands, encode_ands
from serialformer.circuits.formats.aiger.lines import Header, Lines, parse_header, parse_lines, skip_properties
from serialformer.circuits.formats.and_graph import circuit_to_and_graph
from serialformer.circuits.formats.netlist import MAX_WIRES, Netlist, netlist_to_circuit
from serialformer.circuits.formats.scan import show_bytes
from serialformer.circuits.sequential.sequential import SequentialCircuit, rotate_inputs, to_sequential
from serialformer.circuits.words import names_to_words, words_to_names
from serialformer.errors import FormatError
from serialformer.files import read_file, write_file

_BLOCK = 1 << 16
"""ANDs that become gates together."""

_SYMBOL = re.compile(rb"([ilobcjf])([0-9]+)(?: (.*))?", re.DOTALL)
_SYMBOL_KINDS = {
    **{"i": "inputs", "l": "latches", "o": "outputs", "b": "bad states"},
    **{"c": "constraints", "j": "justice properties", "f": "fairness constraints"},
}


@dataclass(frozen=True, kw_only=True)
class _Body:
    """The literals of a file, and where its symbols start."""

    inputs: Int[np.ndarray, " inputs"]  # those of the latches first
    outputs: Int[np.ndarray, " outputs"]  # likewise
    resets: Int[np.ndarray, " latches"]
    lhs: Int[np.ndarray, " ands"]
    rhs: Int[np.ndarray, "ands 2"]
    first_line: int  # the line of the first AND, in an ASCII file
    end: int  # the byte where the symbols start
    end_line: int  # and their line, in an ASCII file


def read_aiger(path: str | os.PathLike[str]) -> Circuit:
    """The circuit of an .aag or .aig file (told apart by its first word); see ``parse_aiger``."""
    return parse_aiger(read_file(path), name=str(path))


def parse_aiger(data: bytes, *, name: str) -> Circuit:
    r"""The circuit of an AIGER file without latches.

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
    return _parse(data, parse_header(data, name, sequential=False), name).circuit


def read_sequential_aiger(path: str | os.PathLike[str]) -> SequentialCircuit:
    """The circuit of an .aag or .aig file, with its latches; see ``parse_sequential_aiger``."""
    return parse_sequential_aiger(read_file(path), name=str(path))


def parse_sequential_aiger(data: bytes, *, name: str) -> SequentialCircuit:
    r"""The circuit of an AIGER file, with or without latches.

    A latch begins with 0, 1 or, if its reset is its own literal, uninitialised. Bad states and constraints are outputs
    as in ``parse_aiger``; justice and fairness speak of infinite runs and are left out.

    Args:
        data: the file.
        name: what to call it in messages.

    Raises:
        FormatError: the file breaks the format.

    >>> toggle = parse_sequential_aiger(b"aag 1 0 1 1 0\n2 3 1\n2\nl0 lamp\n", name="toggle.aag")
    >>> toggle.registers
    (Register(name='lamp', next_name='next.lamp', initial=(1,)),)
    """
    return _parse(data, parse_header(data, name, sequential=True), name)


def _parse(data: bytes, header: Header, name: str) -> SequentialCircuit:
    body = (_parse_binary if header.binary else _parse_ascii)(data, header, name)
    symbols = _parse_symbols(data, header, body, name)
    bad = [symbol or f"bad[{index}]" for index, symbol in enumerate(symbols["b"])]
    constraints = [symbol or f"constraint[{index}]" for index, symbol in enumerate(symbols["c"])]
    output_names = [*symbols["o"], *bad, *constraints]
    no_names: list[str | None] = [None] * header.latches
    circuit = _body_to_circuit(
        header,
        body,
        name,
        input_names=[*no_names, *symbols["i"]],
        output_names=[*no_names, *output_names],
    )
    if not header.latches:
        return SequentialCircuit(circuit=circuit, registers=())
    return to_sequential(
        circuit,
        state_names=symbols["l"],
        input_names=symbols["i"],
        output_names=output_names,
        initial=[reset if reset < 2 else None for reset in body.resets.tolist()],
    )


def _parse_ascii(data: bytes, header: Header, name: str) -> _Body:
    num_inputs, num_defining = header.inputs, header.inputs + header.latches
    least = np.repeat([1, 2, 1], [num_inputs, header.latches, header.all_outputs])
    num_rows = len(least)
    ands_of = np.full(header.ands, 3)
    if header.justice or header.fairness:
        lines = parse_lines(data, header, least, name)
        after = skip_properties(data, header, lines, name)
        literals = lines.literals
        ands_lines = parse_lines(data, header, ands_of, name, after=after)
        ands, first_line, end = ands_lines.literals.reshape(-1, 3), after.end_line, ands_lines
    else:
        lines = end = parse_lines(data, header, np.concatenate([least, ands_of]), name)
        cut = len(lines.literals) - 3 * header.ands
        literals, ands, first_line = lines.literals[:cut], lines.literals[cut:].reshape(-1, 3), 1 + num_rows
    latch_first = lines.first[num_inputs:num_defining]
    defined = np.concatenate([literals[:num_inputs], literals[latch_first], ands[:, 0]])
    if ((defined < 2) | (defined % 2 == 1)).any():
        wrong = int(np.argmax((defined < 2) | (defined % 2 == 1)))
        row = wrong if wrong < num_defining else num_rows + wrong - num_defining
        line = 2 + row if wrong < num_defining else first_line + 1 + wrong - num_defining
        raise FormatError(
            f"expected an even literal from 2 to {2 * header.largest} that {header.row(row)} defines,"
            f" found {int(defined[wrong])}",
            where=f"{name}:{line}",
            hint="a definition cannot be negated, and 0 and 1 are the constants",
        )
    inputs = defined[:num_defining]
    _, first, inverse = np.unique(inputs, return_index=True, return_inverse=True)
    if len(first) < len(inputs):
        line = int(np.flatnonzero(first[inverse] != np.arange(len(inputs)))[0])
        what = "an input" if line < num_inputs else "an input or a latch"
        raise FormatError(
            f"literal {int(inputs[line])} is {what} twice", where=f"{name}:{line + 2}", hint="number inputs apart"
        )
    latches = inputs[num_inputs:]
    nexts, resets = _latch_columns(lines, latches, num_inputs, len(literals), header, name)
    return _Body(
        inputs=np.concatenate([latches, inputs[:num_inputs]]),
        outputs=np.concatenate([nexts, literals[len(literals) - header.all_outputs :]]),
        resets=resets,
        lhs=ands[:, 0],
        rhs=ands[:, 1:],
        first_line=first_line + 1,
        end=end.end,
        end_line=end.end_line + 1,
    )


def _parse_binary(data: bytes, header: Header, name: str) -> _Body:
    num_latches = header.latches
    lines = end = parse_lines(data, header, np.ones(num_latches + header.all_outputs, dtype=np.int64), name)
    if header.justice or header.fairness:
        end = skip_properties(data, header, lines, name)
    first_latch = 2 * (header.inputs + 1)
    first = first_latch + 2 * num_latches
    rhs, end_of_ands = decode_ands(data, start=end.end, first_literal=first, num_ands=header.ands, name=name)
    latches = np.arange(first_latch, first, 2, dtype=rhs.dtype)
    literals = lines.literals
    nexts, resets = _latch_columns(lines, latches, 0, len(literals), header, name)
    return _Body(
        inputs=np.concatenate([latches, np.arange(2, first_latch, 2, dtype=rhs.dtype)]),
        outputs=np.concatenate([nexts, literals[len(literals) - header.all_outputs :]]),
        resets=resets,
        lhs=np.arange(first, first + 2 * header.ands, 2, dtype=rhs.dtype),
        rhs=rhs,
        first_line=0,
        end=end_of_ands,
        end_line=0,
    )


def _latch_columns(
    lines: Lines,
    latches: Int[np.ndarray, " latches"],
    first_row: int,
    num_literals: int,
    header: Header,
    name: str,
) -> tuple[Int[np.ndarray, " latches"], Int[np.ndarray, " latches"]]:
    """The next literal of each latch, and its reset: 0, 1, or 2 where it has none."""
    rows = np.arange(first_row, first_row + len(latches))
    first = lines.first[rows] + (0 if header.binary else 1)
    ends = np.append(lines.first, num_literals)[rows + 1]
    has_reset = ends - first == 2
    resets = np.zeros(len(latches), dtype=np.int64)
    resets[has_reset] = lines.literals[first[has_reset] + 1]
    is_free = has_reset & (resets == latches)
    wrong = ~is_free & (resets > 1)
    if wrong.any():
        latch = int(np.argmax(wrong))
        raise FormatError(
            f"expected a reset of 0, 1 or the latch's own literal {int(latches[latch])} in latch {latch},"
            f" found {int(resets[latch])}",
            where=f"{name}:{first_row + latch + 2}",
            hint="its own literal means that it is not initialised",
        )
    resets[is_free] = 2
    return lines.literals[first], resets


def _parse_symbols(data: bytes, header: Header, body: _Body, name: str) -> dict[str, list[str | None]]:
    """The names of inputs, latches, outputs and properties, up to the comment."""
    symbols: dict[str, list[str | None]] = {
        "i": [None] * header.inputs,
        "l": [None] * header.latches,
        "o": [None] * header.outputs,
        "b": [None] * header.bad,
        "c": [None] * header.constraints,
        "j": [None] * header.justice,
        "f": [None] * header.fairness,
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
    count = len(symbols[kind])
    digits = index.lstrip(b"0") or b"0"
    if len(digits) > 15 or int(digits) >= count:
        raise FormatError(
            f"expected a symbol for one of {count} {_SYMBOL_KINDS[kind]}, found {show_bytes(kind.encode() + index)}",
            where=where,
            hint="symbols count from 0",
        )
    if symbols[kind][int(digits)] is not None:
        raise FormatError(f"{kind}{int(digits)} is named twice", where=where, hint="drop one of its symbols")
    symbols[kind][int(digits)] = text.decode("utf-8", "backslashreplace")


def _body_to_circuit(
    header: Header,
    body: _Body,
    name: str,
    *,
    input_names: list[str | None],
    output_names: list[str | None],
) -> Circuit:
    """Absorbs negations and constants in the ANDs' tables, and adds gates for those that remain at the outputs.

    A net holds an AND's value, or its complement where the first output that reads it wants that.
    """
    sides = (body.inputs, body.lhs, body.rhs.ravel(), body.outputs)
    labels = np.zeros(0, dtype=np.int64)
    num_variables = header.largest + 1
    if header.largest > header.inputs + header.latches + header.ands:  # gaps in the numbering, perhaps huge ones
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
    if (
        header.binary and not header.latches
    ):  # in order by its nature, and net n is wire n - 1: net 0, the constant, is read by no gate
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


def write_aiger(circuit: Circuit | SequentialCircuit, path: str | os.PathLike[str]) -> None:
    """Writes a circuit as AIGER: ASCII where the path ends in ``.aag``, else binary."""
    write_file(path, format_aiger(circuit, binary=not os.fspath(path).endswith(".aag")))


def format_aiger(circuit: Circuit | SequentialCircuit, *, binary: bool = True) -> bytes:
    r"""The circuit as an AIGER file, with its words as the symbol table; names of gates are lost.

    Gates become ANDs with structural hashing: two with the same inputs are one. Registers become latches.

    >>> from serialformer.circuits.builder import CircuitBuilder
    >>> build = CircuitBuilder()
    >>> build.output("either", build.or_(build.input("a"), build.input("b")))
    >>> format_aiger(build.circuit(), binary=False)
    b'aag 3 2 0 1 1\n2\n4\n7\n6 5 3\ni0 a\ni1 b\no0 either\n'
    """
    resets: list[int | None] = []
    if isinstance(circuit, SequentialCircuit):
        resets, circuit = list(circuit.initial_of_bits), rotate_inputs(circuit.circuit, circuit.num_state_bits)
    assert circuit.input_words is not None and circuit.output_words is not None
    graph = circuit_to_and_graph(circuit, xor_nodes=False)
    num_latches, num_ands = len(resets), graph.num_nodes
    num_inputs = graph.num_inputs - num_latches
    first_latch, first_literal = 2 * (num_inputs + 1), 2 * (graph.num_inputs + 1)
    kind = "aig" if binary else "aag"
    counts = f"{num_inputs} {num_latches} {circuit.num_outputs - num_latches} {num_ands}"
    head = [f"{kind} {graph.num_inputs + num_ands} {counts}"]
    if not binary:
        head += [str(2 * (index + 1)) for index in range(num_inputs)]
    literals = graph.outputs.tolist()
    for latch, (next_literal, reset) in enumerate(zip(literals, resets, strict=False)):
        own = str(first_latch + 2 * latch)
        fields = [] if binary else [own]
        fields += [str(next_literal), *({0: [], 1: ["1"], None: [own]}[reset])]
        head.append(" ".join(fields))
    head += map(str, literals[num_latches:])
    if not binary:
        lhs = range(first_literal, first_literal + 2 * num_ands, 2)
        head += [f"{left} {a} {b}" for left, (a, b) in zip(lhs, graph.operands.tolist(), strict=True)]
    input_names = words_to_names(circuit.input_words, circuit.num_inputs)
    output_names = words_to_names(circuit.output_words, circuit.num_outputs)
    symbols = [
        f"{letter}{place} {text}\n"
        for letter, names in (
            ("i", input_names[:num_inputs]),
            ("l", input_names[num_inputs:]),
            ("o", output_names[num_latches:]),
        )
        for place, text in enumerate(names)
    ]
    for symbol in symbols:
        if "\n" in symbol[:-1]:
            raise FormatError(f"expected names on one line, found {symbol[:-1]!r}", hint="rename this word")
    ands = encode_ands(first_literal, graph.operands) if binary else b""
    return ("\n".join(head) + "\n").encode() + ands + "".join(symbols).encode("utf-8", "backslashreplace")
