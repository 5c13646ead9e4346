"""Loops and jumps that are rewritten before slang reads them, against simulators that read the source itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from serialformer.circuits.verilog.jumps import rewrite_jumps
from serialformer.circuits.verilog.macros import Macros
from serialformer.circuits.verilog.verilog import elaborate_verilog, read_verilog
from serialformer.errors import FormatError
from tests.circuits.verilog.differential import compare
from tests.circuits.verilog.random_designs import random_design, side_by_side

pytest.importorskip("pyosys", reason="pyosys (extra hdl) is not installed")

BODIES = {
    "a body that is a block": "i = 0; do begin y = y + a; i = i + 1; end while (i < 3);",
    "a body that is one statement": "do y = y + a; while (y != 0 && y < 20 && a > 3 && 0);",
    "a body that is done once": "i = 9; do begin y = y + b; i = i + 1; end while (i < 3);",
    "a condition that depends on data": "i = 0; do begin y = y + i; i = i + 1; end while (i < 4 && !a[i]);",
    "an if without else as the body, before an else": """
      i = 0; if (a[0]) do if (b[0]) y = y + 1; while (i > 0); else y = 77;""",
    "nested, with declarations": """
      i = 0;
      do begin : outer
        integer j;
        j = 0;
        do begin : inner
          reg [3:0] t;
          t = a ^ j;
          y = y * 3 + t;
          j = j + 1;
        end : inner while (j < 2);
        i = i + 1;
      end while (i < 3);""",
    "words in comments and strings": """
      i = 0; // do begin
      /* while (0); */ do /* begin */ begin // end while (0);
        y = y + "do" + a; // end
        i = i + 1; /* end */
      end // while
      while /* ( */ (i < 2 /* ) */
        && i < 5) // ;
      ;""",
    "disabled as the end of a round": """
      i = 0; do begin : round i = i + 1; if (a[0]) disable round; y = y + i; end while (i < 3);""",
    "disabled around do while": """
      i = 0; begin : all do begin i = i + 1; if (a == i) disable all; y = y + i; end while (i < 4); y = y + 100; end""",
    "the body of a loop": """
      for (i = 0; i < 4; i = i + 1) begin : body if (a[i]) disable body; y = y + b; end""",
    "a search": "begin : search for (i = 0; i < 4; i = i + 1) if (a[i]) begin y = i + 1; disable search; end end",
    "a block around a loop and more": """
      begin : search for (i = 0; i < 4; i = i + 1) begin if (a[i]) disable search; y = y + 1; end y = 50; end
      y = y + 1;""",
    "out of two loops": """
      begin : both
        for (i = 0; i < 3; i = i + 1) for (j = 0; j < 3; j = j + 1) begin
          if (a == i + j + b) disable both;
          y = y + 1;
        end
        y = y + 100;
      end""",
    "the next round of the outer of two loops": """
      for (i = 0; i < 3; i = i + 1) begin : outer
        for (j = 0; j < 3; j = j + 1) begin if (a == i + j) disable outer; y = y + 1; end
        y = y + 20;
      end""",
    "two blocks from the same loop": """
      begin : far
        begin : near
          for (i = 0; i < 4; i = i + 1) begin
            if (a == i) disable near;
            if (b == i) disable far;
            y = y + 1;
          end
          y = y + 10;
        end
        y = y + 40;
      end""",
    "blocks of one name, of which the inner is meant": """
      begin : x begin : x if (a[0]) disable x; y = 1; end y = y + 2; end""",
    "no loop at all": "begin : x y = a; if (b[0]) disable x; y = y + b; if (b[1]) disable x; y = y * 2; end",
    "the last statement": "begin : x y = a; if (b[0]) begin y = 3; disable x; end else begin y = 4; disable x; end end",
    "an item of a case": """
      begin : x
        case (a[1:0]) 0: disable x; 1: begin y = 1; if (b[0]) disable x; y = 2; end default: y = 9; endcase
      end""",
    "an item of a case, before more": """
      begin : x
        casez (a) 4'b1??0, 4'd5: begin disable x; end default y = 9; endcase
        y = y + 1;
      end""",
    "a while loop": "i = 0; while (i < 4) begin : x i = i + 1; if (b[0]) disable x; y = y + a; end",
    "a repeated statement": "repeat (3) y = y * 2 + a; repeat (a[1:0]) y = y + 1; repeat (4'd15 + 4'd3) y = y + 64;",
    "a repeated block that ends early": "repeat (3) begin : x y = y + a; if (y[1]) disable x; y = y + b; end",
    "an early end of a repetition": "begin : x repeat (3) begin y = y + a; if (y[1]) disable x; end y = y + 100; end",
    "nothing left to do": "begin : x y = a; disable x; y = 5; end",
    "a macro that is an expression": "begin : x if (a == `FIVE) disable x; y = `TWICE(b); end",
    "a task": "first_one(a, y);",
    "a function": "y = lowest(a);",
}
FRAME = """`define FIVE (2 + 3)
`define TWICE(x) ((x) * 2)
module m{number}(input [3:0] a, b, output reg [7:0] y);
  integer i, j;
  task first_one(input [3:0] w, output [7:0] n);
    begin : counting
      integer k;
      n = 0;
      for (k = 0; k < 4; k = k + 1) begin if (w[k]) disable counting; n = n + 1; end
      n = 99;
    end
  endtask
  function [7:0] lowest(input [3:0] w);
    integer k;
    begin
      lowest = 9;
      begin : looking
        for (k = 0; k < 4; k = k + 1) if (w[k]) begin lowest = k; disable looking; end
        lowest = 50;
      end
      lowest = lowest + 1;
    end
  endfunction
  always @* begin
    y = 0;
    {body}
  end
endmodule
"""
REGISTERS = """
module registers(input clk, r, input [3:0] a, output reg [3:0] q, p);
  integer i;
  initial begin q = 0; p = 0; end
  always @(posedge clk or posedge r)
    if (r) q <= 0;
    else begin : step
      q <= q + 1;
      for (i = 0; i < 4; i = i + 1) if (a[i]) begin q[i] <= a[3 - i]; disable step; end
      q <= q + a;
    end
  always @(posedge clk) begin : other
    if (a == 3) disable other;
    p <= p + a;
  end
endmodule
"""


def test_there_are_some_dozens() -> None:
    assert len(BODIES) >= 24


@pytest.mark.parametrize(
    ("suffix", "simulator"),
    [
        ("v", "iverilog"),
        ("sv", "iverilog"),
        ("sv", "verilator"),
        pytest.param("v", "verilator", marks=pytest.mark.slow),  # as much compiling as for the same bodies above
    ],
)
def test_agrees(suffix: str, simulator: str, tmp_path: Path) -> None:
    if shutil.which(simulator) is None:
        pytest.skip(f"{simulator} is not installed")
    chosen = dict(BODIES)
    if simulator == "verilator":
        # It widens the sum to the integer that it counts with, where Icarus and the standard do not; and it cannot read
        # a block with a name or declarations as the body of do ... while.
        del chosen["disabled as the end of a round"]
        edits = {"4'd15 + 4'd3": "4'd2", "begin : inner": "begin", "end : inner": "end"}
        edits |= {"begin : outer\n        integer j;": "begin"}
        edits |= {"reg [3:0] t;": "", "t = a ^ j;": "", "* 3 + t": "* 3 + (a ^ j)"}
        for given, instead in edits.items():
            chosen = {name: text.replace(given, instead) for name, text in chosen.items()}
    if suffix == "v":  # do is no word of Verilog-2005, so that such files are read as SystemVerilog
        chosen = {name: text for name, text in chosen.items() if "do" not in text.split()}
    path = tmp_path / f"design.{suffix}"
    modules = [FRAME.format(number=number, body=body) for number, body in enumerate(chosen.values())]
    ports = "".join(f", output [7:0] y{number}" for number in range(len(chosen)))
    instances = "".join(f"  m{number} u{number}(a, b, y{number});\n" for number in range(len(chosen)))
    top = f"module top(input clk, r, input [3:0] a, b{ports}, output [3:0] q, p);\n{instances}"
    path.write_text("".join(modules) + REGISTERS + f"{top}  registers x(clk, r, a, q, p);\nendmodule\n")
    found = compare([path], "top", simulator, rows=200, seed=1, max_seconds=120)
    assert (found.verdict, found.detail) == ("agrees", "")
    assert found.known == 1
    assert elaborate_verilog(path, top="top").is_verilog_2005 == (suffix == "v")


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog (iverilog) is not installed")
def test_random_designs_with_jumps(tmp_path: Path) -> None:
    path = tmp_path / "designs.sv"
    path.write_text(side_by_side([random_design(seed, f"d{seed}", has_disable=True) for seed in SEEDS]))
    text = path.read_text()
    assert min(text.count(word) for word in (" disable ", " do begin", "repeat (")) >= 5
    found = compare([path], "top", "iverilog", rows=32, seed=1, max_seconds=20)
    assert (found.verdict, found.detail) == ("agrees", "")


SEEDS = (0, 2, 3, 4, 5, 6, 7, 9, 12, 13, 14, 15, 19, 20, 21, 22, 23)
"""Seeds of designs that Icarus runs to an end and we do not refuse."""


def test_increments_in_conditions(tmp_path: Path) -> None:
    """Which no simulator at hand reads, so against Python."""
    (tmp_path / "m.sv").write_text("""module m(input [3:0] a, b, output reg [3:0] y, z);
  integer i, j;
  always_comb begin
    y = 0; i = 0;
    do begin y = y + a; if (y[0]) continue; y = y + 1; if (b == i) break; end while (i++ < 3);
    y = y + i;
    z = 0; j = 0;
    while (j++ < 5) begin z = z + 1; if (a == j) break; end
    z = z ^ j;
  end
endmodule
""")
    circuit = read_verilog(tmp_path / "m.sv")
    for a in range(16):
        for b in range(16):
            y = i = 0
            while True:
                y = (y + a) % 16
                if y % 2 == 0:
                    y = (y + 1) % 16
                    if b == i:
                        break
                i += 1
                if not i - 1 < 3:
                    break
            j = next((j for j in range(1, 6) if a == j), 6)
            assert circuit.evaluate(a=a, b=b) == {"y": (y + i) % 16, "z": min(j, 5) ^ j}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "`HALF i = i + 1; end while (i < 3);",
            "this do ... while is not read: there is the macro `HALF, which",
        ),
        ("do begin i = i + 1;\n`ifdef X\n`endif\nend while (i < 3);", "is not read: there is the directive `ifdef\n"),
        ("begin : q\n end disable q;", "this disable is not read: no block that is around it is called 'q'\n"),
        ("begin : x\n disable m.x;\n end", "this disable is not read: only a block that is around it can be"),
        ("do i = i + 1; while (a != 1);", "not known to end: after 4000 rounds its condition is no constant"),
        ("do i = i + 1; while (nothing);", "use of undeclared identifier 'nothing'"),
    ],
)
def test_refused(body: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    body = body.replace("`HALF", "do `HALF")
    text = f"`define HALF begin\nmodule m(input a, output reg y);\n integer i;\n always @* begin\n  i = 0;\n  {body}\n"
    (tmp_path / "design.sv").write_text(text + "  y = i;\n end\nendmodule\n")
    with pytest.raises(FormatError) as caught:
        read_verilog("design.sv")
    assert message in str(caught.value)
    number = text.split("\n").index(next(line for line in text.split("\n") if "disable" in line or "do " in line)) + 1
    assert str(caught.value).startswith(f"design.sv:{number}: ")


def test_a_message_behind_a_rewritten_loop_has_its_line_and_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.v").write_text(
        "module m(input [3:0] a, output reg [3:0] y);\n always @* begin\n  y = 0;\n"
        "  repeat (2) begin : x y = y + a; if (a[0]) disable x; y = y + none; end\n end\nendmodule\n"
    )
    with pytest.raises(FormatError) as caught:
        read_verilog("m.v")
    line = "  repeat (2) begin : x y = y + a; if (a[0]) disable x; y = y + none; end"
    expected = f"m.v:4: use of undeclared identifier 'none'\n    {line}\n    {' ' * line.index('none')}^"
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "function f(input n); begin : x if (n) disable x; f = f(n); end endfunction",
            "it would end all calls of a function that calls itself",
        ),
        ("begin : x `NONE disable x; end", "there is the macro `NONE, which none of the files defines"),
        ("begin : x @(posedge c) disable x; end", "there is '@' at the beginning of a statement"),
        ("begin : x fork disable x; join end", "there is 'fork' within a statement"),
        ("begin : x disable fork; end", "only a block that is around it can be disabled, by its name alone"),
    ],
)
def test_what_is_kept(text: str, reason: str) -> None:
    rewritten = rewrite_jumps(text, "m.v", Macros({}, []))
    assert rewritten.text == text
    assert rewritten.kept == {text.index("disable"): reason}


def test_do_is_a_name_in_verilog_2005(tmp_path: Path) -> None:
    (tmp_path / "m.v").write_text("""module m(input di, output do, output reg y);
  assign do = ~di;
  always @* begin y = 0; if (do) y = do; repeat (2) y = ~y & do; end
endmodule
""")
    circuit = read_verilog(tmp_path / "m.v")
    assert [circuit.evaluate(di=di) for di in (0, 1)] == [{"do": 1, "y": 1}, {"do": 0, "y": 0}]
