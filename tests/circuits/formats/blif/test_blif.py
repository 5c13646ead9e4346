"""BLIF: its grammar, its errors, hierarchies, writing, and agreement with ABC on real files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serialformer.circuits.builder import CircuitBuilder
from serialformer.circuits.circuit import Circuit
from serialformer.circuits.formats.aiger.aiger import read_aiger
from serialformer.circuits.formats.blif import flatten as flattening
from serialformer.circuits.formats.blif.blif import format_blif, parse_blif, read_blif, write_blif
from serialformer.circuits.formats.blif.covers import table_to_cover
from serialformer.circuits.formats.blif.flatten import flatten
from serialformer.circuits.formats.blif.models import TokenNumbers, read_models
from serialformer.circuits.formats.statements import split_statements
from serialformer.circuits.strategies import circuits
from serialformer.circuits.words import Word
from serialformer.errors import FormatError
from tests.abc_tool import prove_equivalent, run_abc
from tests.circuits.equivalence import assert_same_outputs, random_circuit
from tests.effort import effort


def parse(text: str) -> Circuit:
    return parse_blif(text.encode(), name="t.blif")


def refused(text: str) -> str:
    with pytest.raises(FormatError) as caught:
        parse(text)
    assert "\nhint: " in str(caught.value)
    return str(caught.value)


def one_cover(inputs: str, rows: str) -> Circuit:
    return parse(f".model m\n.inputs {inputs}\n.outputs y\n.names {inputs} y\n{rows}\n.end\n")


def table_of(circuit: Circuit) -> int:
    (table,) = circuit.table.tolist()
    return int(table)


def test_covers_of_up_to_six_inputs_are_one_gate() -> None:
    assert table_of(one_cover("a b", "11 1")) == 0b1000
    assert table_of(one_cover("a b", "10 1")) == 0b0010  # the first input is the least significant
    assert table_of(one_cover("a b", "1- 1\n-1 1")) == 0b1110
    assert table_of(one_cover("a b", "11 0")) == 0b0111  # output column 0: the complement
    assert table_of(one_cover("a b", "-- 1")) == 0b1111
    assert table_of(one_cover("a b", "")) == 0
    assert table_of(one_cover("a b c d e f", "111111 0")) == 2**63 - 1
    assert table_of(one_cover("a b c d e f", "000000 1\n11111- 1")) == 1 | 1 << 31 | 1 << 63


def test_constants() -> None:
    circuit = parse(".model m\n.outputs k l o p\n.names k\n.names l\n1\n.names o\n0\n.names p\n 1 \n.end")
    assert circuit.evaluate() == {"k": 0, "l": 1, "o": 0, "p": 1}
    assert circuit.arity.tolist() == [0, 0, 0, 0]


def test_undriven_dollar_nets_are_constants() -> None:
    circuit = parse(".model m\n.inputs a\n.outputs $undef x\n.names a $true $false x\n110 1\n.end")
    assert circuit.evaluate(a=1) == {"$undef": 0, "x": 1}
    driven = parse(".model m\n.inputs $true\n.outputs x $false\n.names $true x\n1 1\n.names $false\n1\n.end")
    assert driven.evaluate({"$true": 0}) == {"x": 0, "$false": 1}


def test_lines_comments_and_order() -> None:
    circuit = parse(
        "# first\n.model m # .inputs z\r\n.inputs a \\\n  b\\\n\n.inputs c\n.wire_load_slope 0.1\n"
        ".default_input_arrival 0 0\n.outputs y \\ # ends here\n z\n.area 3\n.names t c y\n1- 1\n\n# between\n-1 1\n"
        ".names \\\na\\\n b t\n11 1\n.names a z\n0 1\n"
    )
    assert circuit.evaluate(a=1, b=1, c=0) == {"y": 1, "z": 0}
    assert circuit.gate_names == ("t", "y", "z")
    assert [word.name for word in circuit.input_words or ()] == ["a", "b", "c"]


def test_file_without_model_or_end() -> None:
    assert parse(".inputs a\n.outputs y\n.names a y\n1 1").evaluate(a=1) == {"y": 1}


def test_ports() -> None:
    circuit = parse(".model m\n.inputs a[1] a[0] unused\n.outputs a[0] y y\n.names a[1] y\n1 1\n.end")
    assert circuit.outputs.tolist() == [1, 3, 3]
    assert circuit.evaluate(a=0b10, unused=0) == {"a": 0, "y": 1, "y_2": 1}
    assert parse(".model m\n.end").num_outputs == 0
    assert parse(".model m").num_inputs == 0


def test_external_dont_cares_are_ignored() -> None:
    text = ".model m\n.inputs a\n.outputs y\n.names a y\n1 1\n.exdc\n.inputs a\n.outputs y\n.names a y\n0 1\n.end\n"
    assert parse(text).evaluate(a=1) == {"y": 1}
    assert parse(text + ".model other\n.end\n").num_gates == 1


@pytest.mark.parametrize("num_rows", [0, 1, 2, 5])
@pytest.mark.parametrize("value", "01")
def test_wide_covers_become_two_input_trees(num_rows: int, value: str) -> None:
    random = np.random.default_rng(num_rows)
    rows = random.choice(np.array(["0", "1", "-"]), (num_rows, 9), p=[0.2, 0.3, 0.5])
    text = "\n".join("".join(row) + " " + value for row in rows)
    circuit = one_cover("a b c d e f g h i", text)
    assert circuit.max_arity <= 2
    assert circuit.gate_names[-1] == "y" and set(circuit.gate_names[:-1]) <= {""}
    bits = random.integers(0, 2, (200, 9))
    for assignment in bits:
        matches = any(
            all(symbol in ("-", str(bit)) for symbol, bit in zip(row, assignment, strict=True)) for row in rows
        )
        expected = (matches == (value == "1")) if num_rows else False
        assert circuit.evaluate(dict(zip("abcdefghi", assignment.tolist(), strict=True))) == {"y": int(expected)}


@pytest.mark.parametrize(("row", "value"), [("-------", 1), ("1------", None), ("-----0-", None)])
def test_wide_covers_of_one_literal_or_none(row: str, value: int | None) -> None:
    circuit = one_cover("a b c d e f g", f"{row} 1")
    assert circuit.num_gates == 1
    for a, f in ((0, 0), (0, 1), (1, 0), (1, 1)):
        expected = value if value is not None else (a if row[0] == "1" else 1 - f)
        assert circuit.evaluate(dict.fromkeys("bcdeg", 0) | {"a": a, "f": f}) == {"y": expected}


def test_wide_and_narrow_covers_in_one_file() -> None:
    wide = "\n".join("-" * place + "1" + "-" * (7 - place) + " 0" for place in range(8))
    bits = [f"a[{place}]" for place in range(8)]
    circuit = parse(
        f".model m\n.inputs {' '.join(bits)}\n.outputs z n w\n.names z n\n0 1\n.names {' '.join(bits)} z\n{wide}\n"
        f".names {' '.join(bits[::-1])} w\n10000000 1\n.end"
    )
    for value in range(256):
        assert circuit.evaluate(a=value) == {"z": int(value == 0), "n": int(value != 0), "w": int(value == 128)}


ADDER = """.model top
.inputs a[0] a[1] b[0] b[1]
.outputs s[0] s[1] s[2]
.subckt full a=a[0] b=b[0] c=zero s=s[0] carry=k
.subckt full carry=s[2] a=a[1] b=b[1] c=k s=s[1]
.names zero
.end
.model unused
.subckt nowhere x=y
.end
.model full
.inputs a b c
.outputs s carry
.subckt half a=a b=b s=t carry=k1
.subckt half a=t b=c s=s carry=k2
.names k1 k2 carry
00 0
.end
.model half
.inputs a b
.outputs s carry
.names a b s
01 1
10 1
.names a b carry
11 1
.end
"""


@pytest.mark.parametrize("first", [6, 7])
def test_covers_of_six_and_seven_inputs_in_one_file(first: int) -> None:
    """A cover of six is the widest that stays one gate; its literals do not get into its wide neighbours."""
    names = [f"x[{place}]" for place in range(7)]
    covers = {6: f".names {' '.join(names[:6])} y6\n100000 1\n", 7: f".names {' '.join(names)} y7\n0100000 1\n"}
    text = f".model m\n.inputs {' '.join(names)}\n.outputs y6 y7\n{covers[first]}{covers[13 - first]}.end\n"
    circuit = parse(text)
    for x in range(128):
        assert circuit.evaluate(x=x) == {"y6": int(x & 63 == 1), "y7": int(x == 2)}


def test_hierarchy_is_flattened_with_prefixed_names() -> None:
    circuit = parse(ADDER)
    for a in range(4):
        for b in range(4):
            assert circuit.evaluate(a=a, b=b) == {"s": a + b}
    assert circuit.num_gates == 11
    assert {"zero", "full.1/half.2/s", "full.2/half.1/carry", "full.2/carry"} <= set(circuit.gate_names)


def test_abc_flattens_to_the_same(tmp_path: Path) -> None:
    text = ADDER.replace(".model unused\n.subckt nowhere x=y\n.end\n", "")
    (tmp_path / "hierarchy.blif").write_text(text)
    write_blif(parse(text), tmp_path / "flat.blif")
    prove_equivalent(tmp_path / "hierarchy.blif", tmp_path / "flat.blif")


def test_instances_with_feed_through_and_open_ports() -> None:
    text = """.model top
.inputs a
.outputs y
.subckt through p=a q=m
.subckt through p=m
.subckt through q=y p=$true
.end
.model through
.inputs p p2
.outputs p q
.names p q
0 1
.end
"""
    assert parse(text).evaluate(a=1) == {"y": 0}
    assert "'through.1/p2' is read but never defined" in refused(text.replace(".names p q\n0", ".names p p2 q\n00"))


def test_conn_copies_a_net() -> None:
    assert parse(".model m\n.inputs a\n.outputs y\n.conn a y\n.end").evaluate(a=1) == {"y": 1}
    assert refused(".model m\n.conn a\n.end").startswith("t.blif:2: expected .conn FROM TO, found '.conn a'")


def test_hierarchy_errors() -> None:
    assert refused(ADDER.replace(".subckt full a=a[0]", ".subckt ful a=a[0]")) == (
        "t.blif:4: model 'ful' is not in this file\nhint: did you mean 'full'?"
    )
    assert refused(ADDER.replace("carry=s[2]", "carri=s[2]")) == (
        "t.blif:5: model 'full' has no port 'carri'\nhint: did you mean 'carry'?"
    )
    assert refused(ADDER.replace("s=t", "s")).startswith("t.blif:14: expected formal=actual, found 's'\n")
    assert refused(ADDER.replace("s=t", "b=t")).startswith("t.blif:14: port 'b' is connected twice\n")
    assert refused(".model a\n.subckt\n").startswith(
        "t.blif:2: expected .subckt MODEL formal=actual ..., found no model"
    )
    assert refused(".model a\n.subckt b\n.end\n.model b\n.names y\n.subckt a\n.end") == (
        "t.blif:6: model 'a' contains itself: a -> b -> a\nhint: a hierarchy is a tree"
    )
    assert refused(".model a\n.subckt a\n").startswith("t.blif:2: model 'a' contains itself: a -> a\n")
    assert refused(".model a\n.end\n.model a\n.end").startswith("t.blif:3: model 'a' is defined twice\n")
    assert refused(".model a\n.subckt b x=y\n.end\n.model b\n.inputs x\n.blackbox\n.end").startswith(
        "t.blif:2: model 'b' is a black box: its inside is not in this file\n"
    )


def exponential(levels: int) -> str:
    """Each model holds the next one twice."""
    models = [
        f".model m{level}\n.inputs a\n.outputs y\n.subckt m{level + 1} a=a y=t\n.subckt m{level + 1} a=t y=y\n.end\n"
        for level in range(levels)
    ]
    return "".join(models) + f".model m{levels}\n.inputs a\n.outputs y\n.names a y\n0 1\n.end\n"


def test_blow_up_is_counted_before_it_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse(exponential(8)).num_gates == 256
    made: list[str] = []

    class CountedBatch(flattening._Batch):
        def __init__(self, **parts: Any) -> None:
            super().__init__(**parts)
            made.append(self.model.name)

    monkeypatch.setattr(flattening, "_Batch", CountedBatch)
    parse(exponential(8))
    assert made == [f"m{level}" for level in range(9)], "all instances of a model are put in place together"
    made.clear()
    message = refused(exponential(60))
    assert message.startswith("t.blif:1: flattening model 'm0' makes 1,152,921,504,606,846,976 gates, which take ")
    assert message.endswith("hint: the limit is half of this machine's memory; read a smaller model")
    empty = exponential(60).replace(".names a y\n0 1\n", "")
    assert "makes 0 gates, which take" in refused(empty)  # instances take memory even where they hold no gate
    assert not made, "nothing was put in place"


def test_limit_is_an_argument() -> None:
    statements = split_statements(exponential(4).encode(), name="t.blif", join=b"\\")
    numbers = TokenNumbers(statements)
    models = read_models(statements, numbers, sequential=False)
    assert len(flatten(statements, models, numbers.texts, limit=100_000).lines) == 16
    with pytest.raises(FormatError, match="makes 16 gates"):
        flatten(statements, models, numbers.texts, limit=1000)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "t.blif: expected .model, found nothing\nhint: a BLIF file begins with .model NAME"),
        ("# only this\n", "t.blif: expected .model, found nothing"),
        ("aig 3 1 0 1 2\n", "t.blif:1: expected .model, found 'aig 3 1 0 1 2'"),
        (".model m\n.name a y\n1 1", "t.blif:2: unknown statement '.name'\nhint: did you mean '.names'?"),
        (".model m\n\n.NAMES a\n", "t.blif:3: unknown statement '.NAMES'\nhint: did you mean '.names'?"),
        (".model m\n.zebra\n", "t.blif:2: unknown statement '.zebra'\nhint: remove the line"),
        (
            ".model m\n.latch a b re c 3\n",
            "t.blif:2: 1 latch: this is a sequential circuit\nhint: serialformer.read_sequential reads it",
        ),
        (
            ".model m\n.latch a b\n.latch b c 2\n.latch c d re k\n.mlatch x",
            "t.blif:2: 4 latches: this is a sequential circuit",
        ),
        (".model m\n.gate and2 a=b\n", "t.blif:2: .gate: cells of a technology library are not supported\nhint: write"),
        (".model m\n.search x.blif\n", "t.blif:2: .search: other files are not read"),
        (".model m\n.start_kiss\n", "t.blif:2: .start_kiss: a state machine is sequential"),
        (".model m\n.inputs a\n1 1\n", "t.blif:3: expected a statement that begins with a dot, found '1 1'"),
        (".model m\n.end\n.inputs a\n", "t.blif:3: expected .model after .end, found '.inputs a'"),
        (".model m\n.names\n", "t.blif:2: expected .names with at least one net"),
        (".model m\n.inputs a\n.names a y\n11 1\n", "t.blif:4: expected a row of 1 of 0, 1, -, a space and an output"),
        (".model m\n.inputs a\n.names a y\n1\n", "t.blif:4: expected a row of 1 of 0, 1, -, a space and an output"),
        (".model m\n.inputs a\n.names a y\n2 1\n", "t.blif:4: expected a row of 1 of 0, 1, -"),
        (".model m\n.inputs a\n.names a y\n1 x\n", "t.blif:4: expected a row of 1 of 0, 1, -"),
        (".model m\n.inputs a b\n.names a b y\n1 1 1\n", "t.blif:4: expected a row of 2 of 0, 1, -"),
        (".model m\n.names y\n1 1\n", "t.blif:3: expected a row of an output value 0 or 1, found '1 1'"),
        (".model m\n.names a b c d e f g y\n111x111 1\n", "t.blif:3: expected a row of 7 of 0, 1, -"),
        (
            ".model m\n.inputs a\n.names a y\n1 1\n0 0\n",
            "t.blif:5: the rows of one .names end in both 0 and 1, here in 0\nhint: rows say where the output is 1",
        ),
        (".model m\n.inputs a a\n", "t.blif:2: 'a' is declared an input twice"),
        (".model m\n.inputs a\n.outputs y\n.end", "t.blif:3: output 'y' is never defined"),
        (".model m\n.inputs b\n.names a y\n1 1\n", "t.blif:3: 'a' is read but never defined"),
        (".model m\n.names y\n.names y\n1\n", "t.blif:3: 'y' is defined twice"),
        (".model m\n.inputs y\n.names y\n", "t.blif:3: 'y' is an input and driven by a gate"),
        (".model m\n.names y x\n1 1\n.names x y\n1 1\n", "depends on itself\nhint: a combinational circuit"),
        (".model m\n.names a b c d e f y y\n------1 1", "t.blif:2: 'y' depends on itself"),
    ],
)
def test_errors_say_where_and_what(text: str, expected: str) -> None:
    message = refused(text)
    assert message.startswith(expected) or ("t.blif" not in expected and expected in message)


def test_long_lines_are_cut_in_messages() -> None:
    assert len(refused(".model m\n" + "x" * 10_000 + "\n")) < 300
    assert len(refused(".model m\n." + "x" * 10_000 + "\n")) < 300


@given(st.data())
def test_short_covers_are_right(data: st.DataObject) -> None:
    arity = data.draw(st.integers(0, 6))
    table = data.draw(st.integers(0, (1 << (1 << arity)) - 1))
    rows, value = table_to_cover(table, arity)

    def match(row: str, entry: int) -> bool:
        return all(symbol in ("-", str(entry >> place & 1)) for place, symbol in enumerate(row))

    hits = [{entry for entry in range(1 << arity) if match(row, entry)} for row in rows]
    covered = set().union(*hits)
    assert covered == {entry for entry in range(1 << arity) if (table >> entry & 1) == value}
    for place, hit in enumerate(hits):  # irredundant: no row is covered by the others
        assert hit - set().union(*hits[:place], *hits[place + 1 :])


def test_covers_are_short() -> None:
    assert table_to_cover(0b0111, 2) == (("11",), 0)
    assert table_to_cover(2**64 - 2, 6) == (("000000",), 0)
    assert table_to_cover(0, 0) == ((), 1)
    assert table_to_cover(0, 2) == (("--",), 0)  # ABC refuses inputs without rows
    assert table_to_cover(1, 0) == (("",), 1)


@effort(2)
@given(circuits())
def test_round_trip(circuit: Circuit) -> None:
    text = format_blif(circuit)
    back = parse_blif(text, name="t.blif")
    assert_same_outputs(circuit, back)
    assert back.input_words == circuit.input_words
    shared = {word.name for word in circuit.input_words or ()} & {word.name for word in circuit.output_words or ()}
    if not shared:
        assert back.output_words == circuit.output_words
    assert format_blif(back) == text


def test_names_that_blif_cannot_carry() -> None:
    build = CircuitBuilder()
    wires = [build.input(name) for name in ("a b", ".x", "c\\", "n#", "50%", "n9", "ä")]
    gate = build.gate(0b1000, wires[0], wires[1], name="a b")
    build.output("y", build.gate(0b0110, gate, wires[2], name="n9"))
    build.output("a b", gate)
    text = format_blif(build.circuit()).decode()
    assert ".inputs a%20b %2ex c%5c n%23 50%25 n9 ä\n" in text
    assert ".outputs y a%20b_out\n" in text  # the input has that name
    assert_same_outputs(build.circuit(), parse(text))


def test_outputs_that_are_inputs_or_repeats() -> None:
    build = CircuitBuilder()
    a, b = build.input("a"), build.input("b")
    gate = build.and_(a, b)
    for name, wire in (("a", a), ("other", a), ("y", gate), ("z", gate), ("b", gate)):
        build.output(name, wire)
    text = format_blif(build.circuit()).decode()
    assert ".outputs a other y z b_out\n" in text
    assert text.endswith(".names a b y\n11 1\n.names a other\n1 1\n.names y z\n1 1\n.names y b_out\n1 1\n.end\n")


def test_ambiguous_words_stay_apart() -> None:
    gates = {"fan_in": np.zeros((0, 2), np.int32), "arity": np.zeros(0, np.uint8), "table": np.zeros(0, np.uint64)}
    words = (Word(name="a", bits=(0, 1)), Word(name="a[0]", bits=(2,)))
    circuit = Circuit(num_inputs=3, outputs=np.array([2, 0], np.int32), input_words=words, **gates)
    assert_same_outputs(circuit, parse_blif(format_blif(circuit), name="t.blif"))


def test_long_lists_are_wrapped() -> None:
    build = CircuitBuilder()
    build.outputs("y", build.inputs("a", 100))
    text = format_blif(build.circuit()).decode()
    assert max(map(len, text.splitlines())) <= 80
    assert parse(text).evaluate(a=12345) == {"y": 12345}


@pytest.mark.parametrize("name", ["adder", "cavlc", "ctrl", "max", "priority"])
def test_epfl_files_equal_their_aiger_files(name: str, real_circuits: Path, tmp_path: Path) -> None:
    circuit = read_blif(real_circuits / "epfl" / f"{name}.blif")
    (tmp_path / "real.aig").write_bytes((real_circuits / "epfl" / f"{name}.aig").read_bytes())
    write_blif(circuit, tmp_path / "ours.blif")
    prove_equivalent(tmp_path / "ours.blif", tmp_path / "real.aig")


def test_abc_reads_what_we_write(tmp_path: Path) -> None:
    """Our writer, then ABC, then the reader of another format."""
    cases = [random_circuit(seed) for seed in range(30)]
    for number, circuit in enumerate(cases):
        write_blif(circuit, tmp_path / f"{number}.blif")
    run_abc(
        "; ".join(f"read_blif {number}.blif; strash; write_aiger -s {number}.aig" for number in range(len(cases))),
        cwd=tmp_path,
    )
    for number, circuit in enumerate(cases):
        assert_same_outputs(circuit, read_aiger(tmp_path / f"{number}.aig"))


def test_we_read_what_abc_writes(tmp_path: Path) -> None:
    for seed in range(10):
        circuit = random_circuit(seed)
        write_blif(circuit, tmp_path / f"{seed}.blif")
    run_abc(
        "; ".join(f"read_blif {seed}.blif; strash; if -K 6; write_blif {seed}.lut.blif" for seed in range(10)),
        cwd=tmp_path,
    )
    for seed in range(10):
        assert_same_outputs(random_circuit(seed), read_blif(tmp_path / f"{seed}.lut.blif"))


def test_inputs_by_other_names_and_none_at_all() -> None:
    assert parse(".model m\n.input a\n.inputs b\n.output y\n.names a b y\n11 1\n.end").evaluate(a=1, b=1) == {"y": 1}
    circuit = parse(".model m\n.outputs y\n.names t c y\n11 1\n.names b a t\n10 1\n.end")
    assert [word.name for word in circuit.input_words or ()] == ["c", "b", "a"]
    assert circuit.evaluate(a=0, b=1, c=1) == {"y": 1}
