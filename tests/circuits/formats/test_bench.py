"""BENCH: its grammar, its errors, writing, and agreement with ABC and known answers on real files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from serialformer.circuits.builder import CircuitBuilder
from serialformer.circuits.circuit import Circuit
from serialformer.circuits.evaluate import evaluate_outputs
from serialformer.circuits.formats.aiger.aiger import read_aiger
from serialformer.circuits.formats.bench import format_bench, parse_bench, read_bench, write_bench
from serialformer.circuits.formats.blif.blif import write_blif
from serialformer.circuits.strategies import circuits
from serialformer.errors import FormatError
from tests.abc_tool import prove_equivalent, run_abc
from tests.circuits.equivalence import assert_same_outputs, random_circuit
from tests.effort import effort

ISCAS85 = ["c17", "c432", "c880", "c1908", "c3540", "c6288"]
ISCAS89 = {"s27": 3, "s298": 14, "s344": 15, "s641": 19, "s1196": 18, "s5378": 179}


def parse(text: str) -> Circuit:
    return parse_bench(text.encode(), name="t.bench")


def refused(text: str) -> str:
    with pytest.raises(FormatError) as caught:
        parse(text)
    assert "\nhint: " in str(caught.value)
    return str(caught.value)


def gate(kind: str, num_inputs: int) -> Circuit:
    names = [f"a[{place}]" for place in range(num_inputs)]
    ports = "".join(f"INPUT({name})\n" for name in names)
    return parse(f"{ports}OUTPUT(y)\ny = {kind}({', '.join(names)})\n")


MEANINGS = {
    "AND": lambda ones, width: ones == width,
    "NAND": lambda ones, width: ones < width,
    "OR": lambda ones, width: ones > 0,
    "NOR": lambda ones, width: ones == 0,
    "XOR": lambda ones, width: ones % 2 == 1,
    "XNOR": lambda ones, width: ones % 2 == 0,
    "NXOR": lambda ones, width: ones % 2 == 0,
}


@pytest.mark.parametrize("kind", MEANINGS)
@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 9])
def test_operators_of_any_number_of_inputs(kind: str, width: int) -> None:
    circuit = gate(kind, width)
    assert circuit.num_gates == max(1, width - 1)
    assert circuit.depth == max(1, (width - 1).bit_length())
    assert circuit.gate_names == ("",) * (circuit.num_gates - 1) + ("y",)
    for value in range(1 << width):
        assert circuit.evaluate(a=value) == {"y": int(MEANINGS[kind](value.bit_count(), width))}


@pytest.mark.parametrize(("kind", "table"), [("NOT", 0b01), ("inv", 0b01), ("BUF", 0b10), ("Buff", 0b10)])
def test_gates_of_one_input(kind: str, table: int) -> None:
    circuit = gate(kind, 1)
    assert circuit.table.tolist() == [table]


def test_multiplexer_chooses_its_second_input_where_the_first_is_zero() -> None:
    circuit = parse("INPUT(s)\nINPUT(a)\nINPUT(b)\nOUTPUT(y)\ny = MUX(s, a, b)\n")
    assert circuit.num_gates == 1
    assert [circuit.evaluate(s=s, a=a, b=1 - a)["y"] for s in (0, 1) for a in (0, 1)] == [0, 1, 1, 0]


def test_tables_have_their_first_input_least_significant() -> None:
    circuit = parse("INPUT(a)\nINPUT(b)\nOUTPUT(y)\ny = LUT 0x2 ( a, b )\n")
    assert circuit.evaluate(a=1, b=0) == {"y": 1}
    assert circuit.evaluate(a=0, b=1) == {"y": 0}
    wide = parse(
        "".join(f"INPUT(a[{i}])\n" for i in range(6))
        + "OUTPUT(y)\ny = lut 0X8000000000000001 ("
        + ",".join(f"a[{i}]" for i in range(6))
        + ")"
    )
    assert wide.num_gates == 1
    assert [value for value in range(64) if wide.evaluate(a=value)["y"]] == [0, 63]


def test_order_case_spaces_and_comments() -> None:
    circuit = parse(
        "# c\noutput( y )\r\n y=And( t ,b)# both\n\n\tt  =\tnot (a)\nInput(\ta )\nINPUT(b)\nOUTPUT(b)\nOUTPUT(y)\n#"
    )
    assert circuit.evaluate(a=0, b=1) == {"y": 1, "b": 1, "y_2": 1}
    assert circuit.outputs.tolist() == [3, 1, 3]
    assert circuit.gate_names == ("t", "y")
    assert parse("\ufeffINPUT(a)\nOUTPUT(a)").evaluate(a=1) == {"a": 1}


def test_constants() -> None:
    circuit = parse("INPUT(a)\nk = gnd\nl = VDD\nm = AND(a, vdd)\nOUTPUT(k)\nOUTPUT(l)\nOUTPUT(m)\nOUTPUT(Gnd)\n")
    assert circuit.evaluate(a=1) == {"k": 0, "l": 1, "m": 1, "Gnd": 0}
    own = parse("INPUT(gnd)\nvdd = NOT(gnd)\ny = OR(gnd, vdd)\nk = vdd\nOUTPUT(vdd)\nOUTPUT(y)\nOUTPUT(k)\n")
    assert own.evaluate(gnd=1) == {"vdd": 0, "y": 1, "k": 1}  # nets may be called so; `k = vdd` is the constant


def test_no_gates_and_no_inputs() -> None:
    assert parse("INPUT(a)\n").num_outputs == 0
    assert parse("# nothing\n").num_inputs == 0
    assert parse("OUTPUT(a)\na = vdd\n").evaluate() == {"a": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "t.bench: expected INPUT(net), OUTPUT(net) or net = GATE(net, ...), found nothing"),
        (
            "INPUT(a)\nhello\n",
            "t.bench:2: expected INPUT(net), OUTPUT(net) or net = GATE(net, ...), found 'hello'\nhint: one",
        ),
        ("INPUT a\n", "t.bench:1: expected INPUT(net), OUTPUT(net)"),
        ("INPUT(a b)\n", "t.bench:1: expected INPUT(net), OUTPUT(net)"),
        ("INPUT()\n", "t.bench:1: expected INPUT(net), OUTPUT(net)"),
        ("INPUT(a)\ny = AND(a,)\n", "t.bench:2: expected INPUT(net), OUTPUT(net)"),
        ("INPUT(a)\ny = AND(a,,a)\n", "t.bench:2: expected INPUT(net), OUTPUT(net)"),
        ("INPUT(a)\ny = AND(a, a\n", "t.bench:2: expected INPUT(net), OUTPUT(net)"),
        ("INPUT(a)\n= = AND(a, a)\n", "t.bench:2: expected INPUT(net), OUTPUT(net)"),
        ("INPUT(a)\ny = a\n", "t.bench:2: expected INPUT(net), OUTPUT(net)"),
        ("INPUT(a)\nOUTPT(a)\n", "t.bench:2: expected INPUT or OUTPUT, found 'OUTPT'\nhint: did you mean 'OUTPUT'?"),
        ("INPUT(a)\ny = NADN(a, a)\n", "t.bench:2: unknown gate 'NADN'\nhint: did you mean 'NAND'?"),
        ("INPUT(a)\ny = QQQQ(a, a)\n", "t.bench:2: unknown gate 'QQQQ'\nhint: the gates are: AND, OR, "),
        ("INPUT(a)\ny = NOT(a, a)\n", "t.bench:2: expected 1 input for NOT, found 2"),
        ("INPUT(a)\ny = MUX(a, a)\n", "t.bench:2: expected 3 inputs for MUX, found 2\nhint: MUX is MUX(select, a, b)"),
        ("INPUT(a)\ny = LUT(a, a)\n", "t.bench:2: expected a table after LUT, found none"),
        ("INPUT(a)\ny = LUT 0x10 (a, a)\n", "t.bench:2: expected a table 0x... of 4 bits for 2 inputs, found '0x10'"),
        ("INPUT(a)\ny = LUT 8 (a, a)\n", "t.bench:2: expected a table 0x... of 4 bits for 2 inputs, found '8'"),
        (
            "INPUT(a)\ny = LUT 0x1 (a,a,a,a,a,a,a)\n",
            "t.bench:2: expected a LUT of at most 6 inputs, found 7\nhint: map",
        ),
        ("INPUT(a)\ny = AND 0x1 (a, a)\n", "t.bench:2: expected INPUT(net), OUTPUT(net)"),
        ("y = DFF(a)\n", "t.bench:1: 1 latch: this is a sequential circuit\nhint: serialformer.read_seq"),
        ("INPUT(a)\ny = DFF(a)\nz = dff(y)\n", "t.bench:2: 2 latches: this is a sequential circuit"),
        ("INPUT(a)\nINPUT(a)\n", "t.bench:2: 'a' is declared an input twice"),
        ("INPUT(a)\n\nOUTPUT(z)\n", "t.bench:3: output 'z' is never defined"),
        ("INPUT(a)\ny = AND(a, b)\nOUTPUT(y)\n", "t.bench:2: 'b' is read but never defined"),
        ("INPUT(a)\ny = NOT(a)\ny = BUFF(a)\n", "t.bench:3: 'y' is defined twice"),
        ("INPUT(a)\na = NOT(a)\n", "t.bench:2: 'a' is an input and driven by a gate"),
        ("x = NOT(y)\ny = NOT(x)\n", "t.bench:1: 'x' depends on itself\nhint: a combinational circuit has no cycles"),
    ],
)
def test_errors_say_where_and_what(text: str, expected: str) -> None:
    message = refused(text)
    assert message.startswith(expected), message


def test_the_first_wrong_line_is_reported() -> None:
    assert refused("INPUT(a)\ny = NOT(a, a)\nhello\nINPUT(\n").startswith("t.bench:2:")


def test_long_lines_are_cut_in_messages() -> None:
    assert len(refused("y = AND(" + "a" * 10_000)) < 300
    assert len(refused("y = " + "a" * 10_000 + "(b)")) < 300


@effort(2)
@given(circuits())
def test_round_trip(circuit: Circuit) -> None:
    text = format_bench(circuit)
    back = parse_bench(text, name="t.bench")
    assert_same_outputs(circuit, back)
    assert back.input_words == circuit.input_words
    shared = {word.name for word in circuit.input_words or ()} & {word.name for word in circuit.output_words or ()}
    if not shared:
        assert back.output_words == circuit.output_words
    # Outputs that are inputs are buffers from then on, which the first line counts.
    assert format_bench(back).partition(b"\n")[2] == text.partition(b"\n")[2]


def test_written_gates() -> None:
    build = CircuitBuilder()
    a, b = build.input("a"), build.input("b")
    tables = (0b1000, 0b0111, 0b1110, 0b0001, 0b0110, 0b1001, 0b0010)
    build.outputs("y", [build.gate(table, a, b) for table in tables] + [build.not_(a), build.constant(True)])
    build.output("a", a)
    build.output("b", a)
    build.output("z", a)
    assert format_bench(build.circuit()).decode().splitlines()[3:] == [
        *(f"OUTPUT(y[{place}])" for place in range(9)),
        "OUTPUT(a)",
        "OUTPUT(b_out)",
        "OUTPUT(z)",
        *(f"y[{place}] = {kind}(a, b)" for place, kind in enumerate(("AND", "NAND", "OR", "NOR", "XOR", "XNOR"))),
        "y[6] = LUT 0x2 ( a, b )",
        "y[7] = NOT(a)",
        "y[8] = vdd",
        "b_out = BUFF(a)",
        "z = BUFF(a)",
    ]


def test_names_that_bench_cannot_carry() -> None:
    build = CircuitBuilder()
    build.output("f(x)", build.and_(build.input("a,b"), build.input("c=d e")))
    text = format_bench(build.circuit()).decode()
    assert text.splitlines()[1:] == [
        "INPUT(a%2cb)",
        "INPUT(c%3dd%20e)",
        "OUTPUT(f%28x%29)",
        "f%28x%29 = AND(a%2cb, c%3dd%20e)",
    ]


def test_nets_called_like_constants() -> None:
    build = CircuitBuilder()
    gnd = build.input("gnd")
    build.output("vdd", build.not_(gnd))
    build.output("GND", build.constant(False))
    build.output("one", build.constant(True))
    circuit = build.circuit()
    assert_same_outputs(circuit, parse_bench(format_bench(circuit), name="t.bench"))


@pytest.mark.parametrize("name", ISCAS85)
def test_iscas85_files_equal_what_abc_reads(name: str, real_circuits: Path, tmp_path: Path) -> None:
    circuit = read_bench(real_circuits / "iscas85" / f"{name}.bench")
    (tmp_path / "real.bench").write_bytes((real_circuits / "iscas85" / f"{name}.bench").read_bytes())
    write_bench(circuit, tmp_path / "ours.bench")
    write_blif(circuit, tmp_path / "ours.blif")
    prove_equivalent(tmp_path / "ours.bench", tmp_path / "real.bench")
    prove_equivalent(tmp_path / "ours.blif", tmp_path / "real.bench")


@pytest.mark.parametrize("name", ISCAS89)
def test_iscas89_files_are_sequential(name: str, real_circuits: Path) -> None:
    with pytest.raises(FormatError, match=f"{ISCAS89[name]} latches: this is a sequential circuit"):
        read_bench(real_circuits / "iscas89" / f"{name}.bench")


@pytest.mark.parametrize("name", ISCAS89)
def test_iscas89_logic_equals_what_abc_reads(name: str, real_circuits: Path, tmp_path: Path) -> None:
    """Each flip-flop cut: its output an input, its input an output."""
    text = (real_circuits / "iscas89" / f"{name}.bench").read_text()
    lines = []
    for line in text.splitlines():
        target, equals, call = line.partition("=")
        if equals and call.strip().startswith("DFF"):
            lines += [f"INPUT({target.strip()})", f"OUTPUT({call.strip()[4:-1]})"]
        else:
            lines.append(line)
    cut = "\n".join(lines) + "\n"
    (tmp_path / "cut.bench").write_text(cut)
    write_bench(parse(cut), tmp_path / "ours.bench")
    prove_equivalent(tmp_path / "ours.bench", tmp_path / "cut.bench")


def test_c17_by_hand(real_circuits: Path) -> None:
    circuit = read_bench(real_circuits / "iscas85" / "c17.bench")
    for value in range(32):
        one, two, three, six, seven = (value >> place & 1 for place in range(5))
        ten, eleven = 1 - (one & three), 1 - (three & six)
        sixteen, nineteen = 1 - (two & eleven), 1 - (eleven & seven)
        expected = {"22": 1 - (ten & sixteen), "23": 1 - (sixteen & nineteen)}
        given_bits = {"1": one, "2": two, "3": three, "6": six, "7": seven}
        assert circuit.evaluate(given_bits) == expected


def test_c6288_multiplies(real_circuits: Path) -> None:
    """Two factors of sixteen inputs, least significant first; so is the product but for its last two bits, swapped."""
    circuit = read_bench(real_circuits / "iscas85" / "c6288.bench")
    random = np.random.default_rng(6288)
    factors = random.integers(0, 1 << 16, (2000, 2))
    factors[:3] = [[0, 0], [65535, 65535], [1, 65535]]
    bits = np.concatenate([factors[:, :1] >> np.arange(16) & 1, factors[:, 1:] >> np.arange(16) & 1], axis=1)
    outputs = evaluate_outputs(circuit, bits.astype(np.uint8)).astype(np.int64)
    assert (outputs @ (1 << np.array([*range(30), 31, 30])) == factors[:, 0] * factors[:, 1]).all()


def test_abc_reads_what_we_write(tmp_path: Path) -> None:
    """Our writer, then ABC, then the reader of another format."""
    cases = [random_circuit(seed) for seed in range(30)]
    for number, circuit in enumerate(cases):
        write_bench(circuit, tmp_path / f"{number}.bench")
    run_abc(
        "; ".join(f"read_bench {number}.bench; strash; write_aiger -s {number}.aig" for number in range(len(cases))),
        cwd=tmp_path,
    )
    for number, circuit in enumerate(cases):
        assert_same_outputs(circuit, read_aiger(tmp_path / f"{number}.aig"))


def test_we_read_what_abc_writes(tmp_path: Path) -> None:
    for seed in range(10):
        write_blif(random_circuit(seed), tmp_path / f"{seed}.blif")
    run_abc(
        "; ".join(
            f"read_blif {seed}.blif; write_bench {seed}.tables.bench; strash; write_bench -l {seed}.gates.bench"
            for seed in range(10)
        ),
        cwd=tmp_path,
    )
    for seed in range(10):
        for kind in ("tables", "gates"):
            assert_same_outputs(random_circuit(seed), read_bench(tmp_path / f"{seed}.{kind}.bench"))
