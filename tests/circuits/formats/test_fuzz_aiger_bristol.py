"""Damaged and hostile files: one FormatError or a circuit that works, and memory in proportion to the file."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serialformer.circuits.builder import CircuitBuilder
from serialformer.circuits.circuit import Circuit
from serialformer.circuits.formats.aiger.aiger import format_aiger, parse_aiger
from serialformer.circuits.formats.bristol import format_bristol, parse_bristol
from serialformer.errors import FormatError
from tests.circuits.equivalence import assert_same_outputs
from tests.effort import effort

Parser = Callable[..., Circuit]


def full_adder() -> Circuit:
    build = CircuitBuilder()
    a, b, carry = build.inputs("a", 2), build.inputs("b", 2), build.input("carry")
    total = []
    for x, y in zip(a, b, strict=True):
        total.append(build.gate(0b10010110, x, y, carry))
        carry = build.gate(0b11101000, x, y, carry)
    build.outputs("sum", [*total, carry])
    build.output(None, build.constant(True))
    return build.circuit()


AIGER = (
    format_aiger(full_adder(), binary=False),
    format_aiger(full_adder(), binary=True),
    b"aag 7 2 0 2 3\n2\n4\n6\n12\n6 13 15\n12 2 4\n14 3 5\ni0 x\ni1 y\no0 s\no1 c\nc\nhalf adder\n",
    b"aag 2 2 0 1 0 2 1\n2\n4\n2\n3\n5\n4\nb1 unsafe\nc0 env\n",
    b"aag 9 1 1 0 0\n4\n2 3\n",
)
BRISTOL = (
    format_bristol(full_adder()),
    b"3 7\n2 2   2\n\n2 1 0 2 4 XOR\n2 1 1 3 5 XOR\n1 1 0 6 INV\n",
    b"3 8\n2 2 2\n1 2\n\n4 2 0 1 2 3 4 5 MAND\n1 1 1 6 EQ\n1 1 5 7 EQW\n",
)
PIECES = (
    b"\n",
    b" ",
    b"0",
    b"1",
    b"-",
    b"99999999999999999999",
    b"\xff",
    b"\x80",
    b"AND",
    b"i0 x\n",
    b"c\n",
    b"\r",
    b"",
)


@st.composite
def damaged(draw: st.DrawFn, files: tuple[bytes, ...]) -> bytes:
    """A valid file with some slices removed, repeated, replaced, or taken from another file."""
    data = draw(st.sampled_from(files))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from((0, 1, 1, 2, 5, 1000))))
        piece = draw(st.sampled_from(PIECES) | st.binary(max_size=3) | st.integers(0, 40).map(lambda n: b"%d" % n))
        if draw(st.integers(0, 4)) == 0:
            other = draw(st.sampled_from(files))
            cut = draw(st.integers(0, len(other)))
            piece = other[cut : cut + draw(st.sampled_from((3, 20, 1000)))]
        data = data[:start] + piece + data[end:]
    return data


def check(parse: Parser, data: bytes) -> None:
    """Only a FormatError with a place and a hint; what is accepted can be evaluated and written."""
    try:
        circuit = parse(data, name="f")
    except FormatError as error:
        assert error.where is not None and error.where.startswith("f")
        assert error.hint
        assert str(error).isprintable() or "\n" in str(error)
        return
    if circuit.num_inputs <= 64:
        assert_same_outputs(circuit, parse_aiger(format_aiger(circuit), name="again"))


@effort(4)
@given(damaged(AIGER))
def test_damaged_aiger(data: bytes) -> None:
    check(parse_aiger, data)


@effort(4)
@given(damaged(BRISTOL))
def test_damaged_bristol(data: bytes) -> None:
    check(parse_bristol, data)


@given(st.binary(max_size=60))
def test_random_bytes(data: bytes) -> None:
    check(parse_bristol, data)
    for start in (b"", b"aag ", b"aig 3 2 0 1 1\n", b"aag 3 2 0 1 1\n"):
        check(parse_aiger, start + data)


@given(st.sampled_from(["aag", "aig"]), st.lists(st.integers(0, 6), min_size=5, max_size=9), st.data())
def test_small_headers(kind: str, header: list[int], data: st.DataObject) -> None:
    lines = data.draw(st.lists(st.lists(st.integers(0, 14), max_size=4), max_size=12))
    text = "\n".join([f"{kind} {' '.join(map(str, header))}", *(" ".join(map(str, line)) for line in lines)])
    check(parse_aiger, text.encode())


@pytest.mark.parametrize("parse", [parse_aiger, parse_bristol])
def test_every_prefix(parse: Parser) -> None:
    for data in AIGER if parse is parse_aiger else BRISTOL:
        for length in range(0, len(data), 3):
            check(parse, data[:length])


BILLION = 10**9


@pytest.mark.parametrize(
    ("parse", "data"),
    [
        *((parse_aiger, f"aag {h}\n2\n") for h in (f"{BILLION} {BILLION} 0 0 0", f"{BILLION} 0 0 0 {BILLION}")),
        *((parse_aiger, f"aig {h}\n2\n") for h in (f"{BILLION} {BILLION} 0 0 0", f"{BILLION} 0 0 0 {BILLION}")),
        *((parse_aiger, f"{kind} 0 0 0 {BILLION} 0\n0\n") for kind in ("aag", "aig")),
        *((parse_aiger, f"{kind} 0 0 0 0 0 {BILLION} {BILLION}\n0\n") for kind in ("aag", "aig")),
        (parse_aiger, f"aag {BILLION} 1 0 1 1\n2\n{BILLION}\n{BILLION} 2 2\n"),
        (parse_aiger, f"aig {BILLION - 1}{BILLION - 1} {BILLION} 0 0 0\n"),
        (parse_bristol, f"{BILLION} {BILLION}\n1 1\n1 1\n\n1 1 0 1 INV\n"),
        (parse_bristol, f"1 {BILLION}\n1 {BILLION}\n1 1\n\n1 1 0 1 INV\n"),
        (parse_bristol, f"1 {BILLION}\n1 1\n1 {BILLION}\n\n1 1 0 1 INV\n"),
        (parse_bristol, f"1 {BILLION}\n{BILLION} 0 1\n\n1 1 0 1 INV\n"),
        (parse_bristol, f"1 2\n1 1\n1 1\n\n{BILLION} {BILLION} 0 1 MAND\n"),
        (parse_bristol, f"{BILLION} 2\n{BILLION} 1\n1 1\n"),
        (parse_bristol, "1 2\n1 1\n1 1\n\n1 1 0 1 " + "A" * 100_000),
    ],
)
def test_lying_headers_take_no_memory(parse: Parser, data: str) -> None:
    check(parse, AIGER[0] if parse is parse_aiger else BRISTOL[0])  # compiled and imported before we measure
    tracemalloc.start()
    try:
        check(parse, data.encode())
        peak = tracemalloc.get_traced_memory()[1]
        assert peak < (1 << 20) + 20 * len(data)
    finally:
        tracemalloc.stop()
