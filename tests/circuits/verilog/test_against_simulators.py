"""What we make of Verilog against Icarus Verilog, which reads the source for itself."""

from __future__ import annotations

import os
import select
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from serialformer.circuits.verilog.simulators import Source, simulate_source
from serialformer.circuits.words import Word
from serialformer.errors import FormatError, InputError, ToolError
from tests.circuits.verilog.differential import compare
from tests.circuits.verilog.random_designs import random_design, side_by_side

pytest.importorskip("pyosys", reason="pyosys (extra hdl) is not installed")

pytestmark = pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog (iverilog) is not installed")

NUM_PARTS, DESIGNS_PER_PART = 10, 20
UNENDING = (27, 28, 144, 155)
"""Seeds of designs that Icarus never has done with."""

SEEDS = [seed for seed in range(NUM_PARTS * DESIGNS_PER_PART + len(UNENDING)) if seed not in UNENDING]
ALONE = (29, 33, 35, 40, 57, 67, 77, 79, 83, 90, 100, 103, 106, 108, 115, 129, 183, 184, 203)
"""Seeds of designs that we refuse, or Icarus, which would keep those beside them from being compared. What stands here
decides how long the test takes, not what it says."""

AGREE = {
    "a name in a generate block that has none": """
module top(input [1:0] a, output [1:0] y, z);
  if (1) begin wire [1:0] t; assign t = ~a; end
  assign y = genblk1.t;
  for (genvar i = 0; i < 2; i = i + 1) begin wire t; assign t = a[i] ^ a[0]; end
  assign z = {genblk2[1].t, genblk2[0].t};
endmodule""",
    "a negated sum beside a register": """
module top(input clk, input signed [3:0] a, output signed [7:0] y, output reg signed [7:0] z, w);
  wire signed [3:0] n = -a;
  assign y = -n;
  always @(posedge clk) begin z <= -n; w <= 8'd100 / (a | 4'd1); end
  initial z = 0;
endmodule""",
    "the same in a module of its own": """
module negate(input signed [3:0] n, output signed [7:0] y); assign y = -n; endmodule
module top(input clk, input signed [3:0] a, output signed [7:0] y);
  reg signed [3:0] n = 0;
  always @(posedge clk) n <= -a;
  negate u(.n(n), .y(y));
endmodule""",
    "a write beyond an array's end": """
module top(input [1:0] i, input clk, r, output reg [3:0] y, output [3:0] z);
  reg t [0:3];
  reg s [0:3];
  integer k;
  always @* begin
    for (k = 0; k < 4; k = k + 1) t[k] = 0;
    t[i + 1] = 1;
    y = {t[3], t[2], t[1], t[0]};
  end
  always @(posedge clk or posedge r)
    if (r) for (k = 0; k < 4; k = k + 1) s[k] <= 0;
    else s[i + 1] <= 1;
  assign z = {s[3], s[2], s[1], s[0]};
endmodule""",
    "a write below an array's beginning": """
module top(input clk, input signed [1:0] i, input [3:0] d, input [1:0] a, output [3:0] y);
  reg [3:0] m [0:3];
  integer k;
  initial for (k = 0; k < 4; k = k + 1) m[k] = k;
  always @(posedge clk) m[i] <= d;
  assign y = m[a];
endmodule""",
    "a loop that changes its variable": """
module top(input [3:0] a, output reg [3:0] y, output reg [2:0] n);
  integer i;
  always @* begin
    y = 0;
    n = 0;
    for (i = 0; i < 4; i = i + 1) begin
      if (i == 1) i = i + 1;
      y[i] = a[i];
      n = n + 1;
    end
  end
endmodule""",
    "a table in an initial block": """
module top(input clk, input [1:0] a, output reg [3:0] y, output [3:0] z);
  reg [3:0] table_of [0:3];
  integer i;
  initial for (i = 0; i < 4; i = i + 1) table_of[i] = 5 * i + 1;
  always @(posedge clk) y <= table_of[a];
  assign z = table_of[a];
endmodule""",
    "a clock that enters instances, by way of wires and buffers": """
module buffer(input i, output o); assign o = i; endmodule
module counter(input clk, r, output reg [2:0] q); always @(posedge clk) if (r) q <= 0; else q <= q + 1; endmodule
module late(input nclk, input [2:0] d, output reg [2:0] q); always @(negedge nclk) q <= d; endmodule
module top(input clk, r, output [2:0] y, z);
  wire a = clk;
  wire b;
  wire c = ~clk;
  buffer u(a, b);
  counter v(.clk(b), .r(r), .q(y));
  late w(.nclk(c), .d(y), .q(z));
endmodule""",
    "an empty module beside registers": """
module cell_of_a_vendor(input s); endmodule
module top(input clk, d, output reg q); cell_of_a_vendor u(.s(d)); always @(posedge clk) q <= d; endmodule""",
    "what computes nothing": """
module top(input clk, input [3:0] d, output reg [3:0] q);
  initial begin $display("begin"); $dumpfile("x.vcd"); $dumpvars(0, top); end
  always @(posedge clk) begin
    q <= #1 d;
    if (d == 3) $display("three %d", (d));
    if (q == 5 && d == 9) $finish(1);
    $write("x");
  end
endmodule""",
    "memories of any depth, read beyond the end": """
module top(input clk, input [2:0] a, w, input [3:0] d, output [3:0] y, z);
  reg [3:0] m [0:4];
  reg [3:0] n [0:6];
  integer i;
  initial begin for (i = 0; i < 5; i = i + 1) m[i] = i; for (i = 0; i < 7; i = i + 1) n[i] = ~i; end
  always @(posedge clk) begin m[w] <= d; if (w < 7) n[w] <= d; end
  assign y = m[a];
  assign z = a < 7 ? n[a] : 4'd9;
endmodule""",
    "a power with a variable exponent": """
module top(input [3:0] a, input signed [3:0] b, input [2:0] e, output [11:0] y, output signed [11:0] z, output [7:0] w);
  assign y = a ** e;
  assign z = b ** e;
  assign w = 2 ** e;
endmodule""",
    "a wire of an instance by its path": """
module child(input [3:0] a, output [3:0] y); wire [3:0] inner = a ^ 4'd5; assign y = inner + 1; endmodule
module top(input [3:0] a, output [3:0] y, z); child u(.a(a), .y(y)); assign z = u.inner; endmodule""",
    "cases that cover everything without a default": """
module top(input clk, r, x, output reg [1:0] z, output reg y);
  reg [1:0] state, following;
  reg other;
  always @* case (state) 0: following = x; 1: following = x ? 2 : 0; 2: following = 3; 3: following = {2{x}}; endcase
  always @* if (state == 0) other = x; else if (state != 0) other = ~x; else other = other;
  always @(posedge clk) if (r) state <= 0; else state <= following;
  always @* begin z = state; y = other; end
endmodule""",
    "registers with asynchronous resets of both polarities": """
module top(input clk, r, n, input [3:0] d, output reg [3:0] q, p);
  always @(posedge clk or posedge r) if (r) q <= 5; else q <= d;
  always @(posedge clk or negedge n) if (!n) p <= 0; else p <= p + d;
endmodule""",
    "a table that a case statement makes": """
module top(input [3:0] a, input [2:0] b, output reg [7:0] y, output reg [3:0] z);
  always @* case (a)
    0: y = 17; 1: y = 34; 2: y = 3; 3: y = 99; 4: y = 5; 5: y = 60; 6: y = 7; 7: y = 8; 8: y = 200;
    9: y = 9; 10: y = 77; 11: y = 11; 12: y = 12; default: y = 255;
  endcase
  always @* case (b) 0: z = 3; 1: z = 9; 2: z = 4; 3: z = 1; 4: z = 15; 5: z = 6; 6: z = 2; 7: z = 8; endcase
endmodule""",
    "a falling edge": """
module top(input clk, input [3:0] d, output reg [3:0] q = 3); always @(negedge clk) q <= q + d; endmodule""",
}


@pytest.mark.parametrize("name", AGREE)
def test_agrees(name: str, tmp_path: Path) -> None:
    path = tmp_path / "design.v"
    path.write_text(AGREE[name] + "\n")
    found = compare([path], "top", "iverilog", rows=100, seed=1)
    assert (found.verdict, found.detail) == ("agrees", "")
    assert found.known > 0.5, "most bits are compared"


def test_a_wrong_circuit_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, other = tmp_path / "design.v", tmp_path / "other.v"
    path.write_text("module top(input [3:0] a, output [3:0] y); assign y = a + 1; endmodule\n")
    other.write_text("module top(input [3:0] a, output [3:0] y); assign y = a - 1; endmodule\n")
    assert compare([path], "top", "iverilog", rows=8, seed=1, simulated=[other]).verdict == "differs"


@pytest.mark.parametrize("part", range(NUM_PARTS))
def test_random_designs(part: int, tmp_path: Path) -> None:
    """Icarus cannot run every design, and we refuse a constant x; most must be compared, and none may differ.

    Designs are compared side by side in one module, and each alone where that does not agree.
    """
    seeds = SEEDS[part * DESIGNS_PER_PART : (part + 1) * DESIGNS_PER_PART]
    together = [seed for seed in seeds if seed not in ALONE]
    path = tmp_path / "designs.sv"
    path.write_text(side_by_side([random_design(seed, f"design{seed}") for seed in together]))
    found = compare([path], "top", "iverilog", rows=32, seed=part)
    num_agreeing = len(together) if found.verdict == "agrees" else 0
    path = tmp_path / "design.sv"
    for seed in [seed for seed in seeds if seed in ALONE or not num_agreeing]:
        path.write_text(random_design(seed).text)
        alone = compare([path], "top", "iverilog", rows=32, seed=seed)
        assert alone.verdict != "differs", f"seed {seed}: {alone.detail}"
        if alone.verdict == "we refuse":
            assert "has a bit that is x" in alone.detail, f"seed {seed}: {alone.detail}"
        num_agreeing += alone.verdict == "agrees"
    assert found.verdict != "differs", f"only side by side: {found.detail}"
    assert num_agreeing >= 0.75 * len(seeds)


def test_a_wrong_design_among_others_differs(tmp_path: Path) -> None:
    designs = [random_design(seed, f"design{seed}") for seed in (0, 1, 2)]
    changed = next(line for line in designs[1].text.splitlines() if line.startswith("  assign y0 = "))
    wrong = designs[1].text.replace(changed, changed.replace("= ", "= ~(").replace(";", ");"))
    path, other = tmp_path / "designs.sv", tmp_path / "other.sv"
    path.write_text(side_by_side(designs))
    other.write_text(side_by_side([designs[0], replace(designs[1], text=wrong), designs[2]]))
    found = compare([path], "top", "iverilog", rows=32, seed=1, simulated=[other])
    assert found.verdict == "differs" and "design1_y0[" in found.detail


def test_refusals_of_simulators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "design.v"
    path.write_text("module top(input a, output y); assign y = ; endmodule\n")
    source = Source(paths=(str(path),), top="top", parameters={}, macros={})
    words = (Word(name="a", bits=(0,)),), (Word(name="y", bits=(0,)),)
    rows = np.zeros((1, 1), dtype=np.uint8)
    with pytest.raises(FormatError, match="iverilog refuses the design: .*error"):
        simulate_source(source, *words, rows, "iverilog")
    with pytest.raises(InputError, match="no simulator 'spice'\nhint: one of iverilog, verilator"):
        simulate_source(source, *words, rows, "spice")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="iverilog needs iverilog, vvp, which are not on the PATH"):
        simulate_source(source, *words, rows, "iverilog")


def test_a_time_limit_also_ends_what_the_simulator_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "held")  # by the child, for as long as it lives
    held = os.open(tmp_path / "held", os.O_RDONLY | os.O_NONBLOCK)
    for name in ("iverilog", "vvp"):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n/bin/sleep 1000 > {tmp_path}/held &\necho begun > {tmp_path}/held\nwait\n")
        program.chmod(0o755)
    path = tmp_path / "design.v"
    path.write_text("module top(input a, output y); assign y = a; endmodule\n")
    source = Source(paths=(str(path),), top="top", parameters={}, macros={})
    words = (Word(name="a", bits=(0,)),), (Word(name="y", bits=(0,)),)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="iverilog did not end within 1 seconds"):
        simulate_source(source, *words, np.zeros((1, 1), dtype=np.uint8), "iverilog", max_seconds=1.0)
    assert os.read(held, 100) == b"begun\n"
    end = select.poll()
    end.register(held)
    assert end.poll(10_000), "the child lives on"
    os.close(held)
