from __future__ import annotations

import itertools
import struct
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given

from serialformer.circuits.builder import CircuitBuilder
from serialformer.circuits.circuit import Circuit
from serialformer.circuits.evaluate import evaluate_outputs
from serialformer.circuits.formats.aiger.aiger import read_aiger, write_aiger
from serialformer.circuits.formats.bristol import format_bristol, parse_bristol, read_bristol, write_bristol
from serialformer.circuits.strategies import circuits
from serialformer.circuits.words import Word
from serialformer.errors import FormatError
from tests.abc_tool import prove_equivalent
from tests.circuits.equivalence import input_rows
from tests.effort import effort

STYLES: tuple[Literal["fashion", "old"], ...] = ("fashion", "old")


def parse(text: str) -> Circuit:
    return parse_bristol(text.encode(), name="f.txt")


def plain_simulation(text: str, inputs: list[int], num_inputs: int, num_outputs: int) -> list[int]:
    """The last wires' values for the first wires' values, read naively: an oracle that shares no code."""
    wires = dict(enumerate(inputs))
    lines = [line.split() for line in text.splitlines() if line.split()]
    for *numbers, kind in lines:
        if not kind.isalpha():
            continue
        reads, written = [int(number) for number in numbers[2:-1]], int(numbers[-1])
        if kind == "EQ":
            wires[written] = reads[0]
        elif kind == "EQW":
            wires[written] = wires[reads[0]]
        elif kind == "INV":
            wires[written] = 1 - wires[reads[0]]
        elif kind == "AND":
            wires[written] = wires[reads[0]] & wires[reads[1]]
        else:
            assert kind == "XOR"
            wires[written] = wires[reads[0]] ^ wires[reads[1]]
    num_wires = int(lines[0][1])
    assert sorted(wires) == list(range(num_wires))
    assert len(inputs) == num_inputs
    return [wires[wire] for wire in range(num_wires - num_outputs, num_wires)]


# What the format can say.


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("AND", [0, 0, 0, 1]),
        ("XOR", [0, 1, 1, 0]),
        ("OR", [0, 1, 1, 1]),
        ("NAND", [1, 1, 1, 0]),
        ("NOR", [1, 0, 0, 0]),
        ("XNOR", [1, 0, 0, 1]),
        ("xor", [0, 1, 1, 0]),
    ],
)
def test_gates_of_two_inputs(kind: str, values: list[int]) -> None:
    circuit = parse(f"1 3\n2 1 1\n1 1\n\n2 1 0 1 2 {kind}\n")
    assert [circuit.evaluate(in0=a, in1=b)["out0"] for b, a in itertools.product((0, 1), repeat=2)] == values


@pytest.mark.parametrize(("kind", "values"), [("INV", [1, 0]), ("NOT", [1, 0]), ("EQW", [0, 1]), ("Inv", [1, 0])])
def test_gates_of_one_input(kind: str, values: list[int]) -> None:
    circuit = parse(f"1 2\n1 1\n1 1\n\n1 1 0 1 {kind}\n")
    assert [circuit.evaluate(in0=a)["out0"] for a in (0, 1)] == values


def test_eq_is_a_constant() -> None:
    circuit = parse("2 2\n0\n1 2\n\n1 1 1 1 EQ\n1 1 0 0 EQ\n")
    assert circuit.arity.tolist() == [0, 0]
    assert circuit.evaluate() == {"out0": 0b10}


@pytest.mark.parametrize("counted", [1, 2])
def test_mand_is_as_many_ands_as_it_writes(counted: int) -> None:
    circuit = parse(f"{counted} 6\n2 2 2\n1 2\n\n4 2 0 1 2 3 4 5 MAND\n")
    assert circuit.fan_in.tolist() == [[0, 2], [1, 3]]
    assert circuit.evaluate(in0=0b11, in1=0b10) == {"out0": 0b10}


def test_words_and_bit_order() -> None:
    circuit = parse("2 7\n2 2 3\n2 1 1\n\n1 1 1 6 INV\n1 1 4 5 EQW\n")
    assert circuit.input_words == (Word(name="in0", bits=(0, 1)), Word(name="in1", bits=(2, 3, 4)))
    assert circuit.output_words == (Word(name="out0", bits=(0,)), Word(name="out1", bits=(1,)))
    assert circuit.evaluate(in0=0b01, in1=0b100) == {"out0": 1, "out1": 1}


def test_outputs_may_be_inputs() -> None:
    assert parse("0 2\n1 2\n1 1\n").outputs.tolist() == [1]


def test_old_format() -> None:
    circuit = parse("2 6\n2 2   2\n\n2 1 0 2 4 XOR\n2 1 1 3 5 XOR\n")
    assert circuit.evaluate(in0=0b11, in1=0b01) == {"out0": 0b10}


def test_old_format_with_one_input() -> None:
    circuit = parse("1 3\n2 0 1\n2 1 0 1 2 AND\n")
    assert [word.name for word in circuit.input_words] == ["in0"]
    assert circuit.evaluate(in0=3) == {"out0": 1}


def test_gates_in_any_order_blank_lines_and_spaces() -> None:
    circuit = parse("\n 3 5 \r\n\n2 1 1\r\n\t1 1\n\n1 1 3 4 INV\n\n2 1 0 2 3 AND\n \n1 1 1 2 INV\n\n\n")
    assert [circuit.evaluate(in0=a, in1=b)["out0"] for b, a in itertools.product((0, 1), repeat=2)] == [1, 0, 1, 1]


def test_wires_that_nothing_reads_need_no_driver() -> None:
    assert parse("1 9\n1 1\n1 1\n\n1 1 0 8 INV\n").num_gates == 1


def test_words_of_no_bits_are_dropped() -> None:
    circuit = parse("1 3\n3 1 0 1\n2 0 1\n\n2 1 0 1 2 AND\n")
    assert circuit.evaluate(in0=1, in2=1) == {"out1": 1}


# What it refuses, and how it says so.


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("", "f.txt:1", "expected the number of gates and the number of wires, found an empty file"),
        ("aag 0 0 0 0 0\n", "f.txt:1", "expected the number of gates and the number of wires, found 'aag 0 0 0 0 0'"),
        ("\n1 2 3\n", "f.txt:2", "found '1 2 3'"),
        ("1 2\n", "f.txt:1", "expected the widths of the inputs, found the end of the file"),
        ("1 2\nx 1\n", "f.txt:2", "expected the widths of the inputs, found 'x 1'"),
        ("1 3\n2 1\n1 1\n2 1 0 1 2 AND\n", "f.txt:2", "expected 2 widths after the number of words, found 1"),
        ("1 3\n2 1 1\n1 1 1\n2 1 0 1 2 AND\n", "f.txt:3", "expected 1 widths after the number of words, found 2"),
        ("1 3\n1 1\n2 1 0 1 2 AND\n", "f.txt:2", "expected the widths of two inputs and one output (old format)"),
        ("1 3\n2 2 2\n1 1\n", "f.txt:1", "than the 3 wires, found 4 inputs and 1 outputs"),
        ("0 0\n1 1\n1 1\n", "f.txt:1", "than the 0 wires, found 1 inputs and 1 outputs"),
        ("0 9999999999\n1 9999999999\n1 1\n", "f.txt:2", "expected at most 65566 inputs in a file of 30 bytes"),
        ("1 9999999999\n1 1\n1 1\n", "f.txt:1", "expected at most 65578 wires in a file of 21 bytes, found 9999999999"),
        ("2 4\n2 1 1\n1 1\n\n2 1 0 1 2 AND\n", "f.txt:5", "expected 2 gates, found 1"),
        ("1 4\n2 1 1\n1 1\n\n2 1 0 1 2 AND\n1 1 2 3 INV\n", "f.txt:1", "expected 1 gates, found 2"),
        ("1 3\n2 1 1\n1 1\n\n2 1 0 1 2 NANDY\n", "f.txt:5", "expected a gate that ends in one of AND, XOR, OR, NAND"),
        ("1 3\n2 1 1\n1 1\n\n2 1 0 1 2\n", "f.txt:5", "expected a gate that ends in one of"),
        ("1 3\n2 1 1\n1 1\n\n2 1 0 1 AND\n", "f.txt:5", "expected how many wires a gate reads and writes"),
        ("1 3\n2 1 1\n1 1\n\nAND\n", "f.txt:5", "then its kind, found 'AND'"),
        ("1 3\n2 1 1\n1 1\n\n2 -1 0 1 2 AND\n", "f.txt:5", "found '2 -1 0 1 2 AND'"),
        ("1 4\n3 1 1 1\n1 1\n\n3 1 0 1 2 3 AND\n", "f.txt:5", "expected two wires read and one written by AND"),
        ("1 3\n2 1 1\n1 1\n\n2 1 0 1 2 INV\n", "f.txt:5", "one and one by INV, NOT, EQ and EQW, twice as many"),
        ("1 4\n2 1 1\n1 1\n\n3 1 0 1 1 2 MAND\n", "f.txt:5", "twice as many read as written by MAND"),
        ("1 3\n2 1 1\n1 1\n\n2 1 0 3 2 AND\n", "f.txt:5", "expected a wire from 0 to 2, found '3'"),
        ("1 3\n2 1 1\n1 1\n\n2 1 0 x 2 AND\n", "f.txt:5", "expected a wire from 0 to 2, found 'x'"),
        ("1 3\n2 1 1\n1 1\n\n2 1 0 -1 2 AND\n", "f.txt:5", "expected a wire from 0 to 2, found '-1'"),
        ("1 2\n1 1\n1 1\n\n1 1 2 1 EQ\n", "f.txt:5", "expected 0 or 1 in EQ, found '1 1 2 1 EQ'"),
        ("2 3\n2 1 1\n1 1\n\n2 1 0 1 2 AND\n2 1 0 1 2 AND\n", "f.txt:6", "'wire 2' is defined twice"),
        ("1 2\n2 1 1\n1 1\n\n2 1 0 0 1 AND\n", "f.txt:5", "'wire 1' is an input and driven by a gate"),
        ("1 4\n2 1 1\n1 1\n\n2 1 0 2 3 AND\n", "f.txt:5", "'wire 2' is read but never defined"),
        ("1 4\n2 1 1\n1 1\n\n2 1 0 1 2 AND\n", "f.txt", "output 'wire 3' is never defined"),
        ("2 3\n1 1\n1 1\n\n2 1 0 2 1 AND\n2 1 0 1 2 AND\n", "f.txt:", "depends on itself"),
    ],
)
def test_errors(text: str, where: str, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse(text)
    assert message in caught.value.message
    assert caught.value.where is not None
    assert caught.value.where.startswith(where) if where.endswith(":") else caught.value.where == where
    assert caught.value.hint


def test_the_old_format_refuses_what_it_cannot_hold() -> None:
    build = CircuitBuilder()
    for name in "abc":
        build.input(name)
    with pytest.raises(FormatError, match="at most two input words for the old Bristol format, found 3"):
        format_bristol(build.circuit(), style="old")
    build = CircuitBuilder()
    build.output("one", build.constant(True))
    with pytest.raises(FormatError, match="expected an input to make constants from, found none"):
        format_bristol(build.circuit(), style="old")


# Round trips.


def position_values(words: tuple[Word, ...], bits: np.ndarray) -> list[int]:
    """The value of each word that has bits."""
    return [sum(int(bits[place]) << index for index, place in enumerate(word.bits) if place >= 0) for word in words]


@given(circuits(max_inputs=5))
def test_round_trip(circuit: Circuit) -> None:
    for style in STYLES:
        try:
            data = format_bristol(circuit, style=style)
        except FormatError:
            assert style == "old"
            assert len(circuit.input_words) > 2 or not circuit.num_inputs
            continue
        again = parse_bristol(data, name="again")
        assert [word.width for word in again.input_words] == [word.width for word in circuit.input_words]
        widths = [word.width for word in circuit.output_words]
        if style == "old":
            widths = [sum(widths)] if sum(widths) else []
        assert [word.width for word in again.output_words] == widths
        for bits in input_rows(circuit.num_inputs)[:12]:
            values = position_values(circuit.input_words, bits)
            outputs = evaluate_outputs(circuit, bits[None])[0]
            expected = position_values(circuit.output_words, outputs)
            if style == "old":
                ends = itertools.accumulate((word.width for word in circuit.output_words), initial=0)
                expected = [sum(value << end for value, end in zip(expected, ends, strict=False))] * bool(widths)
            names = [word.name for word in again.input_words]
            found = again.evaluate(dict(zip(names, values, strict=True)))
            assert list(found.values()) == expected
        assert parse_bristol(format_bristol(again), name="third").num_inputs == again.num_inputs


@effort(0.5)
@given(circuits(max_inputs=4, named_words=False))
def test_writing_as_a_plain_simulation_reads_it(circuit: Circuit) -> None:
    text = format_bristol(circuit).decode()
    for bits in input_rows(circuit.num_inputs):
        outputs = evaluate_outputs(circuit, bits[None])[0].tolist()
        assert plain_simulation(text, bits.tolist(), circuit.num_inputs, circuit.num_outputs) == outputs


def test_writing_outputs_that_are_inputs_repeats_and_constants() -> None:
    build = CircuitBuilder()
    a, b = build.input("a"), build.input("b")
    both = build.and_(a, b)
    build.outputs("y", [a, both, both, build.not_(both), build.constant(False), build.constant(True), b, build.not_(b)])
    circuit = build.circuit()
    assert format_bristol(circuit).decode() == (
        "8 10\n2 1 1\n1 8\n\n"
        "2 1 1 0 3 AND\n1 1 0 2 EQW\n1 1 3 4 EQW\n1 1 3 5 INV\n1 1 0 6 EQ\n1 1 1 7 EQ\n1 1 1 8 EQW\n1 1 1 9 INV\n"
    )
    for style in STYLES:
        again = parse_bristol(format_bristol(circuit, style=style), name="again")
        for a, b in itertools.product((0, 1), repeat=2):
            assert again.evaluate(in0=a, in1=b)["out0"] == circuit.evaluate(a=a, b=b)["y"]


def test_paths(tmp_path: Path) -> None:
    circuit = parse("1 3\n2 1 1\n1 1\n\n2 1 0 1 2 XOR\n")
    for style in STYLES:
        write_bristol(circuit, tmp_path / "c.txt", style=style)
        assert read_bristol(tmp_path / "c.txt").evaluate(in0=1, in1=0) == {"out0": 1}
    assert (tmp_path / "c.txt").read_text() == "1 3\n1 1 1\n\n2 1 1 0 2 XOR\n"


# Real files.

SIZES = {
    "adder64": 376,
    "zero_equal": 127,
    "mult64": 13_675,
    "FP-add": 15_637,
    "aes_128": 36_663,
    "adder_32bit_old": 375,
}


@pytest.fixture(scope="session")
def real(real_circuits: Path) -> dict[str, Circuit]:
    return {path.stem: read_bristol(path) for path in sorted((real_circuits / "bristol").glob("*.txt"))}


def random_words(bits: int, count: int) -> list[int]:
    rng = np.random.default_rng(bits)
    return [int.from_bytes(rng.bytes(bits // 8), "little") for _ in range(count)]


def test_sizes(real: dict[str, Circuit]) -> None:
    assert {name: circuit.num_gates for name, circuit in real.items()} == SIZES


def test_aes_128(real: dict[str, Circuit]) -> None:
    # FIPS-197, appendices B and C.1; wire 0 is the least significant bit, the key comes first.
    for key, message, expected in (
        (0x000102030405060708090A0B0C0D0E0F, 0x00112233445566778899AABBCCDDEEFF, 0x69C4E0D86A7B0430D8CDB78070B4C55A),
        (0x2B7E151628AED2A6ABF7158809CF4F3C, 0x3243F6A8885A308D313198A2E0370734, 0x3925841D02DC09FBDC118597196A0B32),
    ):
        assert real["aes_128"].evaluate(in0=key, in1=message) == {"out0": expected}


def test_integers(real: dict[str, Circuit]) -> None:
    for a, b in zip(random_words(64, 40), random_words(64, 80)[40:], strict=True):
        assert real["adder64"].evaluate(in0=a, in1=b) == {"out0": (a + b) % 2**64}
        assert real["mult64"].evaluate(in0=a, in1=b) == {"out0": a * b % 2**64}
        a, b = a >> 32, b >> 32
        assert real["adder_32bit_old"].evaluate(in0=a, in1=b) == {"out0": a + b}
        assert real["zero_equal"].evaluate(in0=a) == {"out0": int(a == 0)}
    assert real["zero_equal"].evaluate(in0=0) == {"out0": 1}


def test_double_addition(real: dict[str, Circuit]) -> None:
    def as_bits(number: float) -> int:
        return struct.unpack("<Q", struct.pack("<d", number))[0]

    rng = np.random.default_rng(3)
    numbers = rng.standard_normal(60) * 10.0 ** rng.integers(-12, 12, 60)
    for a, b in zip(numbers[:30].tolist(), numbers[30:].tolist(), strict=True):
        assert real["FP-add"].evaluate(in0=as_bits(a), in1=as_bits(b)) == {"out0": as_bits(a + b)}


@pytest.mark.parametrize("name", SIZES)
def test_real_file_rewritten_is_proven_equivalent(real: dict[str, Circuit], name: str, tmp_path: Path) -> None:
    circuit = real[name]
    again = parse_bristol(format_bristol(circuit), name="again")
    assert again.input_words == circuit.input_words
    assert again.output_words == circuit.output_words
    assert (again.table == 0b1000).sum() <= (circuit.table == 0b1000).sum()  # no more ANDs; a few more INVs
    assert again.num_gates <= 1.1 * circuit.num_gates
    write_aiger(circuit, tmp_path / "first.aig")
    write_aiger(again, tmp_path / "second.aig")
    prove_equivalent(tmp_path / "first.aig", tmp_path / "second.aig")


def test_from_aiger_to_both_styles(real_circuits: Path, tmp_path: Path) -> None:
    original = real_circuits / "epfl/int2float.aig"
    (tmp_path / "original.aig").write_bytes(original.read_bytes())
    for style in STYLES:
        again = parse_bristol(format_bristol(read_aiger(original), style=style), name="again")
        write_aiger(again, tmp_path / f"{style}.aig")
        prove_equivalent(tmp_path / "original.aig", tmp_path / f"{style}.aig")
