"""AIGER's first line, and the lines of literals after it."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from serialformer.arrays import Int
from serialformer.circuits.formats.latches import READS_LATCHES, count_latches
from serialformer.circuits.formats.scan import scan_tokens, show_bytes
from serialformer.errors import FormatError

MAX_SILENT_INPUTS = 1 << 16
"""A binary file spends no byte on an input: beyond this many, it must be at least as long as it has inputs."""

_HEADER = re.compile(rb"(aag|aig)((?:[ \t]+[0-9]+)*)[ \t\r]*")
_EXPECTED_HEADER = "expected the header 'aag M I L O A' or 'aig M I L O A' (and at most B C J F)"


@dataclass(frozen=True, kw_only=True)
class Header:
    """The first line: the largest variable and the length of each section."""

    binary: bool
    largest: int
    inputs: int
    latches: int
    outputs: int
    ands: int
    bad: int
    constraints: int
    justice: int
    fairness: int
    size: int  # bytes, with the line's end

    @property
    def all_outputs(self) -> int:
        return self.outputs + self.bad + self.constraints

    @property
    def num_rows(self) -> int:
        """The lines before the ANDs, and before justice and fairness."""
        return (0 if self.binary else self.inputs) + self.latches + self.all_outputs

    def row(self, line: int) -> str:
        """The content of a line after the header, for messages."""
        for what, count in (
            ("input", 0 if self.binary else self.inputs),
            ("latch", self.latches),
            ("output", self.outputs),
            ("bad state", self.bad),
            ("constraint", self.constraints),
        ):
            if line < count:
                return f"{what} {line}"
            line -= count
        return f"AND {line}"


def parse_header(data: bytes, name: str, *, sequential: bool) -> Header:
    """Reads the header, and refuses what it counts and the file cannot hold.

    Raises:
        FormatError: it is no header; or, unless ``sequential``, it counts latches, justice or fairness.
    """
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
    if latches and not sequential:
        raise FormatError(count_latches(latches), where=where, hint=READS_LATCHES)
    if (justice or fairness) and not sequential:
        raise FormatError(
            f"expected no justice and fairness properties, found {justice} and {fairness}:"
            " they describe infinite runs and make sense for sequential circuits only",
            where=where,
            hint="drop these sections",
        )
    size = len(line) + (end >= 0)
    all_outputs = outputs + bad + constraints
    least = 2 * (all_outputs + justice + fairness)
    least += 2 * (latches + ands) if binary else 2 * inputs + 4 * latches + 6 * ands
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
    return Header(
        binary=binary,
        largest=largest,
        inputs=inputs,
        latches=latches,
        outputs=outputs,
        ands=ands,
        bad=bad,
        constraints=constraints,
        justice=justice,
        fairness=fairness,
        size=size,
    )


@dataclass(frozen=True, kw_only=True)
class Lines:
    """Lines of literals that have been read.

    Attributes:
        literals: all of them.
        first: for each line its first literal.
        end: the byte after the last line.
        end_line: the line after the last one, from 0.
    """

    literals: Int[np.ndarray, " literals"]
    first: Int[np.ndarray, " lines"]
    end: int
    end_line: int


def skip_properties(data: bytes, header: Header, after: Lines, name: str) -> Lines:
    """Reads justice properties, a size each and then their literals, and fairness constraints; they are left out."""
    sizes = parse_lines(data, header, np.ones(header.justice, dtype=np.int64), name, after=after, bound=len(data))
    total = int(sizes.literals.sum()) + header.fairness
    if 2 * total > len(data) - sizes.end + 1:
        raise FormatError(
            f"expected {total} literals of justice and fairness, found {len(data) - sizes.end} bytes",
            where=f"{name}:{sizes.end_line + 1}",
            hint="the file is cut short, or a size is wrong",
        )
    return parse_lines(data, header, np.ones(total, dtype=np.int64), name, after=sizes)


def parse_lines(
    data: bytes,
    header: Header,
    least: Int[np.ndarray, " lines"],
    name: str,
    *,
    after: Lines | None = None,
    bound: int | None = None,
) -> Lines:
    """Reads lines of literals.

    Args:
        data: the file.
        header: its header.
        least: how many literals each line has; a latch's may have one more.
        name: what to call it in messages.
        after: what stands before; default: the header.
        bound: the largest number; default: the largest literal.
    """
    num_lines = len(least)
    start, line_before = (header.size, 1) if after is None else (after.end, after.end_line)
    if not num_lines:
        return Lines(literals=np.zeros(0, np.int64), first=np.zeros(0, np.int64), end=start, end_line=line_before)
    newlines = np.flatnonzero(np.frombuffer(data, dtype=np.uint8)[start:] == 10)
    end = start + int(newlines[num_lines - 1]) + 1 if num_lines <= len(newlines) else len(data)
    tokens = scan_tokens(data[start:end])
    counts = np.bincount(tokens.line, minlength=num_lines)[:num_lines]
    is_wrong = counts != least
    first_latch = 0 if header.binary else header.inputs
    if after is None and header.latches:
        latches = slice(first_latch, first_latch + header.latches)
        is_wrong[latches] &= counts[latches] != least[latches] + 1

    def row(line: int) -> str:
        if after is None:
            return header.row(line)
        is_and = least[line] == 3
        return header.row(header.num_rows + line) if is_and else "a justice or fairness property"

    if is_wrong.any():
        line = int(np.argmax(is_wrong))
        wanted = {1: "one literal", 2: "two literals", 3: "three literals"}[int(least[line])]
        if after is None and first_latch <= line < first_latch + header.latches:
            wanted = "one or two literals" if header.binary else "two or three literals"
        ended = line >= len(newlines) and counts[line] == 0
        raise FormatError(
            f"expected {wanted} for {row(line)}, found {'the end of the file' if ended else int(counts[line])}",
            where=f"{name}:{line_before + line + 1}",
            hint="the header counts the lines that follow it: is the file cut short?",
        )
    literals = tokens.numbers
    largest = 2 * header.largest + 1 if bound is None else bound
    wrong = (literals < 0) | (literals > largest)
    if wrong.any():
        token = int(np.argmax(wrong))
        line = int(tokens.line[token])
        raise FormatError(
            f"expected a literal from 0 to {largest} in {row(line)}, found {tokens.text(token)}",
            where=f"{name}:{line_before + line + 1}",
            hint="variables go up to the header's first number, literals are twice that and one more for a negation",
        )
    first = np.cumsum(counts) - counts
    return Lines(literals=literals, first=first, end=end, end_line=line_before + num_lines)
