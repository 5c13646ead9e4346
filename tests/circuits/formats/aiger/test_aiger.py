from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from serialformer.circuits.builder import CircuitBuilder
from serialformer.circuits.circuit import Circuit
from serialformer.circuits.evaluate import evaluate_outputs
from serialformer.circuits.formats.aiger.aiger import format_aiger, parse_aiger, read_aiger, write_aiger
from serialformer.circuits.strategies import circuits
from serialformer.errors import FormatError
from tests.abc_tool import prove_equivalent
from tests.circuits.equivalence import assert_same_outputs, assert_same_words, input_rows


def parse(text: str | bytes) -> Circuit:
    return parse_aiger(text if isinstance(text, bytes) else text.encode(), name="f.aag")


def plain_simulation(data: bytes, rows: np.ndarray) -> np.ndarray:
    """The outputs of a combinational AIGER file for rows of inputs, read naively: an oracle that shares no code."""
    kind, _, num_inputs, _, num_outputs, num_ands = data.split(b"\n", 1)[0].split()[:6]
    counts = [int(number) for number in (num_inputs, num_outputs, num_ands)]
    rest = data.split(b"\n", 1)[1]

    def line() -> list[int]:
        nonlocal rest
        text, _, rest = rest.partition(b"\n")
        return [int(number) for number in text.split()]

    def number() -> int:
        nonlocal rest
        value = shift = 0
        while True:
            byte, rest = rest[0], rest[1:]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    binary = kind == b"aig"
    inputs = [2 * index + 2 for index in range(counts[0])] if binary else [line()[0] for _ in range(counts[0])]
    outputs = [line()[0] for _ in range(counts[1])]
    if binary:
        rest = rest[:]  # the bytes of the ANDs
        first, ands = 2 * counts[0] + 2, []
        for index in range(counts[2]):
            lhs = first + 2 * index
            rhs0 = lhs - number()
            ands.append((lhs, rhs0, rhs0 - number()))
    else:
        ands = [tuple(line()) for _ in range(counts[2])]
    values = {0: np.zeros(len(rows), dtype=bool)}
    values.update({literal: rows[:, index] == 1 for index, literal in enumerate(inputs)})

    def value(literal: int) -> np.ndarray:
        return values[literal & ~1] ^ bool(literal & 1)

    waiting = ands
    while waiting:
        ready = [gate for gate in waiting if gate[1] & ~1 in values and gate[2] & ~1 in values]
        for lhs, a, b in ready:
            values[lhs] = value(a) & value(b)
        waiting = [gate for gate in waiting if gate[0] not in values]
    return np.array([value(literal) for literal in outputs]).reshape(len(outputs), len(rows)).T.astype(np.uint8)


# What the format can say.


def test_empty() -> None:
    circuit = parse("aag 0 0 0 0 0\n")
    assert (circuit.num_inputs, circuit.num_gates, circuit.num_outputs) == (0, 0, 0)


def test_last_newline_may_be_missing() -> None:
    assert parse("aag 0 0 0 0 0").num_gates == 0
    assert parse("aag 1 1 0 1 0\n2\n2").outputs.tolist() == [0]
    assert parse("aag 1 1 0 1 0\n2\n2\ni0 x").input_words[0].name == "x"


def test_constant_outputs_share_one_gate_a_value() -> None:
    circuit = parse("aag 0 0 0 4 0\n0\n1\n1\n0\n")
    assert circuit.num_gates == 2
    assert circuit.arity.tolist() == [0, 0]
    assert circuit.evaluate() == {"out": 0b0110}


def test_outputs_that_are_inputs() -> None:
    circuit = parse("aag 1 1 0 4 0\n2\n2\n3\n3\n2\n")
    assert circuit.num_gates == 1  # one NOT, shared
    assert circuit.outputs.tolist() == [0, 1, 1, 0]


def test_negations_cost_no_gate() -> None:
    circuit = parse("aag 3 2 0 1 1\n2\n4\n7\n6 3 5\n")
    assert circuit.num_gates == 1
    assert circuit.table.tolist() == [0b1110]


def test_the_first_output_chooses_the_polarity() -> None:
    circuit = parse("aag 4 2 0 4 2\n2\n4\n7\n6\n7\n8\n6 2 4\n8 7 2\n")
    assert circuit.table.tolist() == [0b0111, 0b0100 >> 1 << 2, 0b01]  # NAND; NAND AND in0, absorbed; the NOT
    assert circuit.outputs.tolist() == [2, 4, 2, 3]
    for a, b in itertools.product((0, 1), repeat=2):
        both, only_a = a & b, a & ~b & 1
        assert circuit.evaluate({"in": a | b << 1})["out"] == (1 - both) * 0b101 | both << 1 | only_a << 3


@pytest.mark.parametrize(
    ("ands", "arity", "table"),
    [
        ("6 0 0", 0, 0b0),
        ("6 1 1", 0, 0b1),
        ("6 0 1", 0, 0b0),
        ("6 1 2", 1, 0b10),
        ("6 3 1", 1, 0b01),
        ("6 0 4", 1, 0b00),
        ("6 5 0", 1, 0b00),
        ("6 2 2", 2, 0b1000),
        ("6 2 3", 2, 0b0010),
    ],
)
def test_constants_and_repeats_in_an_and(ands: str, arity: int, table: int) -> None:
    circuit = parse(f"aag 3 2 0 1 1\n2\n4\n6\n{ands}\n")
    assert (circuit.arity.tolist(), circuit.table.tolist()) == ([arity], [table])
    np.testing.assert_array_equal(
        evaluate_outputs(circuit, input_rows(2)),
        plain_simulation(f"aag 3 2 0 1 1\n2\n4\n6\n{ands}\n".encode(), input_rows(2)),
    )


def test_any_order_and_gaps() -> None:
    text = "aag 999999999999 2 0 1 3\n1999999999998\n12\n7\n6 101 301\n100 12 1999999999998\n300 13 1999999999999\n"
    circuit = parse(text)
    assert circuit.num_gates == 3
    assert [circuit.evaluate({"in": value})["out"] for value in range(4)] == [1, 0, 0, 1]


def test_file_order_is_kept() -> None:
    circuit = parse("aag 5 2 0 1 3\n2\n4\n10\n8 3 5\n6 2 4\n10 7 9\n")
    assert circuit.table.tolist() == [0b0001, 0b1000, 0b0001]


def test_symbols_and_comment() -> None:
    text = "aag 3 3 0 2 0\n2\n4\n6\n2\n3\ni0 data bus[1]\ni1 data bus[0]\no1 q{µ}\nc\nanything\n\0\xff i0 again\n"
    circuit = parse(text)
    assert [(word.name, word.bits) for word in circuit.input_words] == [("data bus", (1, 0)), ("in", (2,))]
    assert [(word.name, word.bits) for word in circuit.output_words] == [("out", (0,)), ("q{µ}", (1,))]


def test_bad_states_and_constraints_are_outputs() -> None:
    circuit = parse("aag 2 2 0 1 0 2 1\n2\n4\n2\n3\n5\n4\nb1 unsafe\n")
    assert [(word.name, word.bits) for word in circuit.output_words] == [
        ("out", (0,)),
        ("bad", (1,)),
        ("unsafe", (2,)),
        ("constraint", (3,)),
    ]
    assert circuit.evaluate({"in": 0b01}) == {"out": 1, "bad": 0, "unsafe": 1, "constraint": 0}


def test_constraint_symbols_are_not_comments() -> None:
    circuit = parse("aag 1 1 0 0 0 0 1\n2\n2\nc0 env[0]\nc\nc0 is a comment here\n")
    assert [word.name for word in circuit.output_words] == ["env"]


def test_header_of_nine_numbers_and_zero_padding() -> None:
    assert parse(b"aig 0003 0002 0 0001 00001 0 0 0 0\n6\n\x02\x02").evaluate({"in": 3}) == {"out": 1}


def test_binary_deltas_may_hold_newlines() -> None:
    # 10 inputs, one AND of literals 22 - 10 and 12 - 10: both deltas are the byte of a newline.
    circuit = parse(b"aig 11 10 0 1 1\n22\n\n\ni0 a\n")
    assert circuit.fan_in.tolist() == [[5, 0]]


def test_binary_deltas_of_several_bytes() -> None:
    data = format_aiger(
        parse("aag 9001 9000 0 1 1\n" + "".join(f"{2 * i}\n" for i in range(1, 9001)) + "18002\n18002 2 4\n")
    )
    assert parse(data).fan_in.tolist() == [[1, 0]]


def test_windows_line_ends() -> None:
    circuit = parse("aag 3 2 0 1 1\r\n2\r\n4\r\n6\r\n6 2 4\r\ni0 a\r\nc\r\n")
    assert [word.name for word in circuit.input_words] == ["a", "in"]


# What it refuses, and how it says so.


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("", "f.aag:1", "expected the header 'aag M I L O A' or 'aig M I L O A' (and at most B C J F), found ''"),
        ("aag 1 2 3\n", "f.aag:1", "(and at most B C J F), found 3 numbers"),
        ("aag 0 0 0 0 0 0 0 0 0 0\n", "f.aag:1", "found 10 numbers"),
        ("module top;\n", "f.aag:1", "found 'module top;'"),
        (b"\x7fELF\x02\x01", "f.aag:1", r"found '\x7fELF\x02\x01'"),
        ("aag 1 1 0 x 0\n2\n", "f.aag:1", "found 'aag 1 1 0 x 0'"),
        ("aag 1 -1 0 0 0\n", "f.aag:1", "found 'aag 1 -1 0 0 0'"),
        ("aag 1" + "0" * 20 + " 0 0 0 0\n", "f.aag:1", "expected header numbers of at most 15 digits, found one of 21"),
        ("aag 1 2 0 0 0\n2\n4\n", "f.aag:1", "expected M >= I + L + A, found M=1, I=2, L=0, A=0"),
        ("aig 3 2 0 0 0\n", "f.aag:1", "expected M = I + L + A, found M=3, I=2, L=0, A=0"),
        ("aag 1 0 1 0 0\n2 3\n", "f.aag:1", "1 latch: this is a sequential circuit"),
        ("aag 3 0 3 0 0\n2 3\n", "f.aag:1", "3 latches: this is a sequential circuit"),
        ("aag 0 0 0 0 0 0 0 1 2\n", "f.aag:1", "expected no justice and fairness properties, found 1 and 2"),
        ("aag 99999999 99999999 0 0 0\n2\n", "f.aag:1", "expected at least 199999998 bytes after the header"),
        ("aig 99999999 0 0 0 99999999\n2\n", "f.aag:1", "expected at least 199999998 bytes after the header"),
        ("aag 0 0 0 99999999 0\n0\n", "f.aag:1", "for what it counts, found 2"),
        ("aig 9999999 9999999 0 0 0\n", "f.aag:1", "expected at most 65562 inputs in a binary file of 26 bytes"),
        ("aag 1 1 0 1 0\n2\n\ni0 x\n", "f.aag:3", "expected one literal for output 0, found 0"),
        ("aag 1 1 0 1 0\n2 3\n2\n", "f.aag:2", "expected one literal for input 0, found 2"),
        ("aag 2 1 0 1 1\n2\n4\n4 2\nc\n", "f.aag:4", "expected three literals for AND 0, found 2"),
        ("aag 1 1 0 2 0\n200\n2\n", "f.aag:4", "expected one literal for output 1, found the end of the file"),
        ("aag 1 1 0 1 0\n2\n4\n", "f.aag:3", "expected a literal from 0 to 3 in output 0, found '4'"),
        ("aag 1 1 0 1 0\n2\n-2\n", "f.aag:3", "expected a literal from 0 to 3 in output 0, found '-2'"),
        (b"aag 1 1 0 1 0\n2\n\xff\n", "f.aag:3", r"found '\xff'"),
        ("aag 1 1 0 1 0\n2\n" + "9" * 30 + "\n", "f.aag:3", "found '999999999999999999999...'"),
        ("aag 1 1 0 0 0\n3\n", "f.aag:2", "expected an even literal from 2 to 2 that input 0 defines, found 3"),
        ("aag 1 1 0 0 0\n0\n", "f.aag:2", "that input 0 defines, found 0"),
        ("aag 2 1 0 0 1\n2\n5 2 2\n", "f.aag:3", "expected an even literal from 2 to 4 that AND 0 defines, found 5"),
        ("aag 2 2 0 0 0\n2\n2\n", "f.aag:3", "literal 2 is an input twice"),
        ("aag 3 1 0 0 2\n2\n4 2 2\n4 2 3\n", "f.aag:4", "'4' is defined twice"),
        ("aag 2 1 0 0 1\n2\n2 2 2\n", "f.aag:3", "'2' is an input and driven by a gate"),
        ("aag 3 1 0 0 1\n2\n4 2 7\n", "f.aag:3", "'6' is read but never defined"),
        ("aag 1000000000 1 0 0 1\n2\n4 2 700\n", "f.aag:3", "'700' is read but never defined"),
        ("aag 2 1 0 1 0\n2\n5\n", "f.aag", "output '4' is never defined"),
        ("aag 3 1 0 0 2\n2\n4 6 2\n6 4 2\n", "f.aag:", "depends on itself"),
        ("aag 1 1 0 0 0\n2\n4 2 2\n", "f.aag:3", "expected a symbol such as 'i0 name', or 'c' and a comment"),
        ("aag 1 1 0 0 0\n2\ni1 x\n", "f.aag:3", "expected a symbol for one of 1 inputs, found 'i1'"),
        ("aag 1 1 0 0 0\n2\nl0 x\n", "f.aag:3", "expected a symbol for one of 0 latches"),
        ("aag 1 1 0 0 0\n2\no0 x\n", "f.aag:3", "expected a symbol for one of 0 outputs, found 'o0'"),
        ("aag 1 1 0 0 0\n2\ni0 x\ni0 y\n", "f.aag:4", "i0 is named twice"),
        (b"aig 3 2 0 1 1\n6\n", "f.aag:1", "at least 4 bytes after the header for what it counts, found 2"),
        (b"aig 3 2 0 1 1\n6\n\x82\x82", "f.aag:byte 18", "expected 1 ANDs from byte 16 on, found the end of the file"),
        (b"aig 3 2 0 1 1\n6\n\x00\x02", "f.aag:byte 16", "expected AND 0, literal 6, to read smaller literals"),
        (b"aig 3 2 0 1 1\n6\n\x02\x05", "f.aag:byte 16", "found the differences 2 and 5"),
        (b"aig 3 2 0 1 1\n6\n\x07\x00", "f.aag:byte 16", "found the differences 7 and 0"),
        (b"aig 3 2 0 1 1\n6\n" + b"\x80" * 9 + b"\x01\x00", "f.aag:byte 16", "of at most 9 bytes in AND 0, found 10"),
        (b"aig 3 2 0 1 1\n6\n\x02\x02i9 x\n", "f.aag:byte 18", "expected a symbol for one of 2 inputs, found 'i9'"),
        (b"aig 3 2 0 1 1\n60\n\x02\x02", "f.aag:2", "expected a literal from 0 to 7 in output 0, found '60'"),
    ],
)
def test_errors(text: str | bytes, where: str, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse(text)
    assert message in caught.value.message
    assert caught.value.where is not None
    assert caught.value.where.startswith(where) if where.endswith(":") else caught.value.where == where
    assert caught.value.hint


def test_names_that_no_symbol_can_hold_are_refused() -> None:
    build = CircuitBuilder()
    build.input("two\nlines")
    with pytest.raises(FormatError, match="expected names on one line, found 'i0 two"):
        format_aiger(build.circuit())


# Round trips.


@given(circuits())
def test_round_trip(circuit: Circuit) -> None:
    for binary in (False, True):
        data = format_aiger(circuit, binary=binary)
        again = parse_aiger(data, name="again")
        assert_same_outputs(circuit, again)
        assert_same_words(circuit, again)
        np.testing.assert_array_equal(
            plain_simulation(data, input_rows(circuit.num_inputs)),
            evaluate_outputs(circuit, input_rows(circuit.num_inputs)),
        )
        assert format_aiger(again, binary=binary) == data


def test_paths_choose_the_variant(tmp_path: Path) -> None:
    circuit = parse("aag 3 2 0 1 1\n2\n4\n7\n6 3 5\n")
    for name, start in (("c.aag", b"aag 3 2 0 1 1\n"), ("c.aig", b"aig 3 2 0 1 1\n")):
        write_aiger(circuit, tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)
        assert_same_outputs(circuit, read_aiger(tmp_path / name))
        assert_same_outputs(circuit, read_aiger(str(tmp_path / name)))


def test_a_large_file_is_read_in_linear_time() -> None:
    rng = np.random.default_rng(1)
    ands, inputs = 50_000, 100
    operands = np.sort(2 * rng.integers(1, inputs + 1 + np.arange(ands)[:, None], (ands, 2)) + 1, axis=1)[:, ::-1]
    literals = 2 * (inputs + 1 + np.arange(ands))
    lines = [f"{lhs} {a} {b}" for lhs, (a, b) in zip(literals.tolist(), operands.tolist(), strict=True)]
    head = [f"aag {inputs + ands} {inputs} 0 1 {ands}", *map(str, range(2, 2 * inputs + 2, 2)), str(literals[-1])]
    ordered = parse("\n".join([*head, *lines]))
    assert (ordered.fan_in == operands // 2 - 1).all()
    rng.shuffle(lines)
    shuffled = parse("\n".join([*head, *lines]))
    assert shuffled.num_gates == ands
    assert_same_outputs(ordered, shuffled)


# Real files.

COMBINATIONAL = ["and", "buffer", "empty", "false", "halfadder", "inverter", "or", "true", "xor1", "xorxormiter"]
LATCHES = {
    "cnt1.aag": 1,
    "cnt1e.aag": 1,
    "notcnt1.aag": 1,
    "notcnt1e.aag": 1,
    "toggle.aag": 1,
    "toggle-re.aag": 1,
    "mult2.aig": 2,
    "s2cfair.aig": 14,
    "s2cunfair.aig": 14,
}
EPFL = ["adder", "bar", "cavlc", "ctrl", "dec", "int2float", "max", "mem_ctrl", "priority", "sin", "square", "voter"]


@pytest.mark.parametrize("name", COMBINATIONAL)
def test_examples(real_circuits: Path, name: str) -> None:
    path = real_circuits / "aiger" / f"{name}.aag"
    circuit = read_aiger(path)
    rows = input_rows(circuit.num_inputs)
    np.testing.assert_array_equal(evaluate_outputs(circuit, rows), plain_simulation(path.read_bytes(), rows))


def test_half_adder(real_circuits: Path) -> None:
    circuit = read_aiger(real_circuits / "aiger/halfadder.aag")
    for x, y in itertools.product((0, 1), repeat=2):
        assert circuit.evaluate(x=x, y=y) == {"s": x ^ y, "c": x & y}


@pytest.mark.parametrize("name", LATCHES)
def test_sequential_examples_are_refused(real_circuits: Path, name: str) -> None:
    with pytest.raises(FormatError) as caught:
        read_aiger(real_circuits / "aiger" / name)
    plural = "es" if LATCHES[name] > 1 else ""
    assert caught.value.message == f"{LATCHES[name]} latch{plural}: this is a sequential circuit"
    assert str(caught.value.where).endswith(f"{name}:1")


def test_no_example_is_forgotten(real_circuits: Path) -> None:
    found = {path.name for path in (real_circuits / "aiger").glob("*.a?g")}
    assert found == {*(f"{name}.aag" for name in COMBINATIONAL), *LATCHES}
    assert {path.stem for path in (real_circuits / "epfl").glob("*.aig")} == set(EPFL)


@pytest.mark.parametrize("name", EPFL)
def test_epfl_rewritten_is_proven_equivalent(real_circuits: Path, tmp_path: Path, name: str) -> None:
    data = (real_circuits / "epfl" / f"{name}.aig").read_bytes()
    (tmp_path / "original.aig").write_bytes(data)
    circuit = parse_aiger(data, name=name)
    header = [int(number) for number in data.split(b"\n", 1)[0].split()[1:]]
    assert (circuit.num_inputs, circuit.num_outputs) == (header[1], header[3])
    write_aiger(circuit, tmp_path / "ours.aig")
    prove_equivalent(tmp_path / "original.aig", tmp_path / "ours.aig")
    again = read_aiger(tmp_path / "ours.aig")
    assert_same_words(circuit, again)
    assert int((again.arity == 2).sum()) <= header[4]
    rows = input_rows(circuit.num_inputs, rows=64)
    if len(data) < 60_000:  # the plain simulation takes quadratic time
        np.testing.assert_array_equal(evaluate_outputs(circuit, rows), plain_simulation(data, rows))


@pytest.mark.parametrize("name", ["ctrl", "max"])
def test_our_ascii_as_yosys_reads_it(real_circuits: Path, tmp_path: Path, name: str) -> None:
    pyosys = pytest.importorskip("pyosys.libyosys", reason="pyosys (extra hdl) is not installed")
    original = real_circuits / "epfl" / f"{name}.aig"
    (tmp_path / "original.aig").write_bytes(original.read_bytes())
    write_aiger(read_aiger(original), tmp_path / "ours.aag")
    design = pyosys.Design()
    for command in (f"read_aiger {tmp_path}/ours.aag", f"write_blif {tmp_path}/yosys.blif"):
        pyosys.run_pass(f"tee -q {command}", design)
    prove_equivalent(tmp_path / "original.aig", tmp_path / "yosys.blif")


def test_epfl_arithmetic(real_circuits: Path) -> None:
    rng = np.random.default_rng(2)

    def value(bits: int) -> int:
        return int.from_bytes(rng.bytes(bits // 8), "little")

    adder, square = (read_aiger(real_circuits / "epfl" / name) for name in ("adder.aig", "square.aig"))
    assert [(word.name, word.width) for word in adder.input_words] == [("a", 128), ("b", 128)]
    for _ in range(20):
        a, b = value(128), value(128)
        total = adder.evaluate(a=a, b=b)
        assert total["f"] | total["cOut"] << 128 == a + b
        a = value(64)
        assert square.evaluate({square.input_words[0].name: a}) == {square.output_words[0].name: a * a}
