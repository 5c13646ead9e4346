"""Loops that may be left before their variable changes, against simulators that read the source itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from serialformer.circuits.verilog.jumps import rewrite_jumps
from serialformer.circuits.verilog.macros import Macros
from serialformer.circuits.verilog.verilog import read_verilog
from tests.circuits.verilog.differential import compare
from tests.circuits.verilog.random_designs import random_design, side_by_side

pytest.importorskip("pyosys", reason="pyosys (extra hdl) is not installed")

needs_icarus = pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog (iverilog) is not installed")

BODIES = {
    "while": "while (i < 4) begin if (a[i]) disable s; y = y + b; i = i + 1; end",
    "for with step": "for (i = 0; i < 6; i = i + 1) begin if (a[i % 4]) disable s; y = y + b; i = i + 1; end",
    "do": "do begin if (a[i]) disable s; y = y + b; i = i + 1; end while (i < 4);",
    "do in first": "i = 9; begin : s do begin if (a[i-9]) disable s; y = y + b; i = i + 1; end while (i < 4); end",
    "nested both": """
      while (i < 3) begin j = 0; while (j < 3) begin if (a == i * 3 + j) disable s; y = y + b; j = j + 1; end i
      = i + 1; end""",
    "nested inner": """
      while (i < 3) begin j = 0; begin : s while (j < 3) begin if (a == i * 3 + j) disable s; y = y + b; j = j
      + 1; end end y = y + j; i = i + 1; end""",
    "nested, next of outer": """
      for (i = 0; i < 3; i = i + 1) begin : o j = 0; while (j < 3) begin if (a == i * 3 + j) disable o; y = y +
      b; j = j + 1; end y = y + 32; end""",
    "two counters": """
      j = 9; begin : s while (i < j) begin if (a == j) disable s; y = y + b; j = j - 1; i = i + 2; end end""",
    "chained counters": """
      i = 1; j = 1; begin : s while (i < 40) begin if (a * 2 == i) disable s; y = y + b; k = i + j; j = i; i =
      k; end end""",
    "a flag that counts": """
      on = 1; begin : s while (on) begin if (a[i]) disable s; y = y + b; i = i + 1; on = i != 4; end end""",
    "small counter wraps": """
      n = 3; begin : s while (n != 1) begin if (a[n % 4]) disable s; y = y + b; n = n + 3'd1; end end""",
    "else": "while (i < 4) if (a[i]) disable s; else begin y = y + b; i = i + 1; end",
    "then": "while (i < 4) if (!a[i]) i = i + 1; else disable s;",
    "case": """
      while (i < 4) begin case (a ^ i) 3: disable s; 4, 5: y = y + 1; default: y = y + b; endcase i = i + 1;
      end""",
    "two jumps": "while (i < 4) begin : r if (a[i]) disable s; i = i + 1; if (b[i - 1]) disable r; y = y + 3; end",
    "next round changes alike": """
      while (i < 4) begin : r if (a[i]) begin y = y + 1; i = i + 1; disable r; end y = y + b; i = i + 1; end""",
    "changes twice": "while (i < 6) begin i = i + 1; if (a[i % 4]) disable s; y = y + b; i = i + 1; end",
    "first statement, repeat inside": "while (i < 4) begin if (a[i]) disable s; repeat (2) y = y + b; i = i + 1; end",
    "repeat around": "repeat (2) begin i = 0; while (i < 3) begin if (y[i]) disable s; y = y + a; i = i + 1; end end",
    "condition of data too": "while (i < 4 && !b[i]) begin if (a[i]) disable s; y = y + 3; i = i + 1; end",
    "triangle": """
      while (i < 4) begin for (j = i; j < 4; j = j + 1) begin if (a[j] & b[i]) disable s; y = y + 1; end i = i
      + 1; end""",
    "a step of data": "while (i < 4) begin if (a[i]) disable s; y = y + b; i = i + 1 + (b > 20); end",
    "compound": "while (i != 4) begin if (a[i]) disable s; y = y + b; begin i = `TWICE(i) - i + 1; end end",
    "function call": "while (i < 4) begin if (a[i]) disable s; y = y + twist(b, i); i = i + 1; end",
    "indices": "while (i < 4) begin if (a[i]) disable s; y[i] = b[i]; i = i + 1; end",
    "a constant jump": "while (1) begin if (i == 3) disable s; y = y + b; i = i + 1; end",
    "inner disable": """
      while (i < 4) begin begin : q if (a[i]) disable q; if (b[i]) disable s; y = y + 1; end i = i + 1; end""",
    "swap": """
      j = 7; begin : s while (i < 7) begin if (a == i) disable s; y = y + b; k = i; i = j - 6; j = k + 8; end
      end""",
    "choice of two": """
      while (i < 4) begin if (a[i &3]) disable s; if (i == 1) begin i = 2; k = 3; end else k = i; y = y + b; i
      = i + 1; end""",
    "macro of a kin": "while (i < 4) begin if (a[i % 4]) disable s; y = y + b; i = `ADD(i, 1); end",
    "choice on counter": "while (i < 4) begin if (a[i &3]) disable s; if (i == 1) i = 2; y = y + b; i = i + 1; end",
    "index changed": "while (i < 4) begin if (a[i % 4]) disable s; j = 1; i = i + j; y = y + b; end",
    "choice after": """
      while (i < 4) begin if (a[i % 4]) disable s; y = y + b; if (i == 2) i = i + 2; else i = i + 1; end""",
}
KEPT = {
    "task changes": "while (i < 4) begin if (a[i &3]) disable s; bump; y = y + b; i = i + 1; end",
    "task out": "while (i < 4) begin if (a[i &3]) disable s; put(i); y = y + b; i = i + 1; end",
    "function with effect": "while (i < 4) begin if (a[i &3]) disable s; y = y + odd(b); y = y + b; i = i + 1; end",
    "bit": "while (i < 4) begin if (a[i &3]) disable s; i[0] = 1; y = y + b; i = i + 1; end",
    "braces": "while (i < 4) begin if (a[i &3]) disable s; {n, i} = {n, i} + 35'd1; y = y + b; i = i + 1; end",
    "shadow": """
      while (i < 4) begin if (a[i &3]) disable s; begin : q integer i; i = 3; y = y + i; end y = y + b; i = i +
      1; end""",
    "inner head": """
      while (i < 4) begin if (a[i &3]) disable s; for (i = i; i < 2; i = i + 1) y = y + 1; y = y + b; i = i +
      1; end""",
    "inner loop": "while (i < 4) begin if (a[i &3]) disable s; repeat (2) i = i + 1; y = y + b; i = i + 1; end",
    "continue": """
      while (i < 4) begin : r i = i + 1; if (a[i % 4]) disable s; if (b[i % 4]) disable r; y = y + 1; i = i +
      1; end""",
    "macro": "while (i < 4) begin if (a[i &3]) disable s; `INC; y = y + b; i = i + 1; end",
    "macro in change": "while (i < 4) begin if (a[i % 4]) disable s; y = y + b; i = `NEXT; end",
    "case choice": """
      while (i < 4) begin if (a[i &3]) disable s; case (i) 1: i = 2; default: i = i; endcase y = y + b; i = i +
      1; end""",
    "inner disable skips": """
      while (i < 6) begin begin : q if (a[i % 4]) disable q; if (b[i % 4]) disable s; i = i + 1; end i = i + 1;
      end""",
}

FRAME = """`define TWICE(x) ((x) * 2)
`define ADD(p, q) ((p) + (q))
`define INC i = i + 1
`define NEXT i + 1
module m{number}(input [3:0] a, b, output reg [7:0] y);
  integer i, j, k;
  reg on;
  reg [2:0] n;
  function [7:0] twist(input [3:0] w, input [2:0] by);
    twist = (w << by) ^ w;
  endfunction
  task bump;
    i = i + 1;
  endtask
  task put(output integer t);
    t = 2;
  endtask
  function [7:0] odd(input [3:0] w);
    begin i = i + 1; odd = w + i; end
  endfunction
  always @* begin
    y = 0; i = 0; j = 0; n = 0; on = 0;
    begin : s
      {body}
    end
    y = y + 16 * i + 64 * j + n + on;
  end
endmodule
"""


@needs_icarus
@pytest.mark.parametrize("suffix", ["v", "sv"])
def test_agrees(suffix: str, tmp_path: Path) -> None:
    chosen = [text for text in BODIES.values() if ("do" in text.split()) == (suffix == "sv")]
    assert len(chosen) >= 2
    ports = "".join(f", output [7:0] y{number}" for number in range(len(chosen)))
    instances = "".join(f"  m{number} u{number}(a, b, y{number});\n" for number in range(len(chosen)))
    modules = "".join(FRAME.format(number=number, body=body) for number, body in enumerate(chosen))
    path = tmp_path / f"design.{suffix}"
    path.write_text(f"{modules}module top(input [3:0] a, b{ports});\n{instances}endmodule\n")
    found = compare([path], "top", "iverilog", rows=400, seed=1, max_seconds=120)
    assert (found.verdict, found.detail, found.known) == ("agrees", "", 1)


@pytest.mark.parametrize("name", KEPT)
def test_kept_where_rounds_differ(name: str) -> None:
    """Some of these end, but not after a number of rounds that is known; others change the variable unseen."""
    text = FRAME.format(number=0, body=KEPT[name])
    rewritten = rewrite_jumps(text, "m.v", Macros({"m.v": text}, [])).text
    assert "`serialformer_break" in rewritten
    assert "serialformer_next" not in rewritten


JUMPS = """
module m(input [3:0] a, b, output reg [7:0] y, z, w, v);
  function automatic [7:0] f(input [3:0] a, b);
    int i;
    i = 0;
    f = 0;
    while (i < 4) begin if (a[i]) return f + 8'(i); f = f + b; i++; end
    return f + 100;
  endfunction
  always_comb begin
    y = 0;
    for (int i = 0; i < 4; ) begin if (a[i]) break; y = y + b; i++; end
    z = 0;
    for (int i = 0; i < 9; i++) begin
      if (a[i & 3]) begin i += 2; continue; end
      if (z > 40) break;
      z = z + b;
      i += 2;
    end
    w = f(a, b);
    v = 0;
    for (int i = 0; i < 3; ) begin
      int j;
      j = 0;
      do begin
        if (a == 4'(i * 3 + j)) break;
        j++;
        v++;
        if (b == 4'(v)) continue;
        v += 3;
      end while (j < 3);
      if (v > 30) break;
      i += 1;
    end
  end
endmodule
"""


@pytest.mark.skipif(shutil.which("verilator") is None, reason="Verilator is not installed")
def test_words_of_systemverilog(tmp_path: Path) -> None:
    (tmp_path / "m.sv").write_text(JUMPS)
    found = compare([tmp_path / "m.sv"], None, "verilator", rows=400, seed=1, max_seconds=120)
    assert (found.verdict, found.detail, found.known) == ("agrees", "", 1)


def test_words_of_systemverilog_against_python(tmp_path: Path) -> None:
    (tmp_path / "m.sv").write_text(JUMPS)
    circuit = read_verilog(tmp_path / "m.sv")
    for a in range(16):
        first = next((i for i in range(4) if a >> i & 1), 4)
        for b in range(16):
            found = circuit.evaluate(a=a, b=b)
            assert (found["y"], found["w"]) == (first * b, first * b + (first if first < 4 else 100))


def test_constants_are_computed(tmp_path: Path) -> None:
    (tmp_path / "m.sv").write_text("""module m(input [1:0] a, output [7:0] y, z);
  reg [7:0] t [0:3];
  integer i;
  initial begin
    i = 0; t[0] = 0; t[1] = 1; t[2] = 2; t[3] = 3;
    begin : s while (i < 4) begin if (i == 2) disable s; t[i] = 50 + i; i = i + 1; end end
  end
  function automatic integer bits(input integer v);
    bits = 0;
    while (bits < 32) begin if (2 ** bits >= v) return bits; bits = bits + 1; end
  endfunction
  localparam W = bits(200);
  assign z = W;
  assign y = t[a];
endmodule
""")
    circuit = read_verilog(tmp_path / "m.sv")
    assert [circuit.evaluate(a=a) for a in range(4)] == [{"y": y, "z": 8} for y in (50, 51, 2, 3)]


@needs_icarus
def test_random_designs(tmp_path: Path) -> None:
    path = tmp_path / "designs.sv"
    designs = [random_design(seed, f"d{seed}", has_disable=True, has_late_changes=True) for seed in SEEDS]
    path.write_text(side_by_side(designs))
    found = compare([path], "top", "iverilog", rows=32, seed=1, max_seconds=60)
    assert (found.verdict, found.detail) == ("agrees", "")


SEEDS = (700000, 700001, 700002, 700003)
"""Seeds of designs that Icarus runs to an end and we do not refuse."""
