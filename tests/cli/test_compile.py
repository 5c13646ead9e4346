"""``compile`` from Verilog and through the optimiser, as scripts see it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import serialformer
from serialformer.circuits.verilog.simulators import SIMULATORS

pytest.importorskip("pyosys", reason="pyosys (extra hdl) is not installed")

MULTIPLIER = str(Path(__file__).parents[2] / "examples" / "multiplier16.blif")
ALU = """module adder #(parameter W = 4)(input [W-1:0] a, b, output [W:0] s);
 assign s = a + b;
endmodule
module other(input x, output y);
 assign y = ~x;
endmodule
"""


@pytest.fixture
def alu(tmp_path: Path) -> Path:
    path = tmp_path / "alu.v"
    path.write_text(ALU)
    return path


def test_verilog_to_answers(alu: Path, tmp_path: Path, cli: Any) -> None:
    result = cli("compile", alu, "-o", tmp_path / "m", "--top", "adder", "-P", "W=6", "--json")
    assert (result.status, result.err) == (0, "")
    facts = json.loads(result.out)
    assert facts["source"] == "alu.v" and facts["heads"] == 2
    assert (facts["optimisation_level"], facts["proven"]) == (1, None)
    assert facts["gates"] <= facts["gates_before"] and facts["input_words"] == {"a": 6, "b": 6}
    assert cli("run", tmp_path / "m", "-i", "a=63", "-i", "b=62").out == "s=125\n"
    assert facts["read_by"] == "slang, as Verilog-2005" and facts["passes"].endswith("write_aiger2")
    assert facts["certificate_begins"] == "at the netlist, not at the source (verify --against FILE --simulator NAME)"
    against = ("--against", alu, "--top", "adder", "-P", "W=6", "--samples", "50")
    assert cli("verify", tmp_path / "m", *against).out.startswith("verified: random inputs, 50")
    info = json.loads(cli("info", alu, "--top", "adder", "-P", "W=9", "--json").out)
    assert info["output_words"] == {"s": 10}


def test_several_files(tmp_path: Path, cli: Any) -> None:
    (tmp_path / "h").mkdir()
    (tmp_path / "h" / "w.vh").write_text("`define W 3\n")
    (tmp_path / "child.v").write_text(
        '`include "w.vh"\nmodule child(input [`W-1:0] a, output y); assign y = ^a; endmodule'
    )
    (tmp_path / "top.sv").write_text("module top(input [2:0] a, output y); child c(.a(a), .y(y)); endmodule\n")
    options = ("--source", tmp_path / "child.v", "--include", tmp_path / "h")
    result = cli("compile", tmp_path / "top.sv", *options, "-o", tmp_path / "m")
    assert result.status == 0 and result.out.startswith(f"{tmp_path}/m: 2 gates, 1 layer, ")
    assert "; the certificate begins at the netlist, not at the source" in result.out
    assert cli("run", tmp_path / "m", "-i", "a=7").out == "y=1\n"


@pytest.mark.parametrize(
    ("level", "lut", "gates"),
    [pytest.param(1, 3, 720, marks=pytest.mark.slow), (0, None, 1408), (None, 4, 495), (2, 3, 720)],
)
def test_levels(level: int | None, lut: int | None, gates: int, tmp_path: Path, cli: Any) -> None:
    options = [*([] if level is None else [f"-O{level}"]), *([] if lut is None else ["--lut", lut])]
    result = cli("compile", MULTIPLIER, "-o", tmp_path / "m", *options, "--prove", "--json")
    assert (result.status, result.err) == (0, "")
    facts = json.loads(result.out)
    assert facts["gates"] <= gates and facts["gates_before"] == 1408 and facts["proven"] is True
    assert facts["heads"] == (lut or 2)
    model = serialformer.load(tmp_path / "m")
    assert model.provenance.optimisation.gates_after == facts["gates"]
    assert model.run(a=51234, b=47111) == {"product": 51234 * 47111}
    info = json.loads(cli("info", tmp_path / "m", "--json").out)
    assert (info["gates_before"], info["proven"]) == (1408, True)


def test_a_failed_proof_writes_nothing(tmp_path: Path, cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from serialformer.circuits.mapping import optimise

    monkeypatch.setattr(optimise, "prove_equal", lambda first, second, seconds: False)
    result = cli("compile", MULTIPLIER, "-o", tmp_path / "m", "--lut", "3", "--prove")
    assert result.status == 2 and list(tmp_path.iterdir()) == []
    assert result.err.startswith("error: the optimised circuit does not compute the same")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["alu.v"], "error: alu.v: expected one top module, found 2: adder, other\nhint: choose one with --top NAME"),
        (["alu.v", "--top", "nope"], "error: alu.v: no module 'nope'\nhint: the modules are: adder, other"),
        (["alu.v", "--top", "adder", "-P", "Q=1"], "error: alu.v: module 'adder' has no parameter 'Q'"),
        (["alu.v", "--top", "adder", "-P", "W"], "error: -P: expected NAME=VALUE, found 'W'"),
        (["alu.v", "--top", "adder", "-D", "W="], "error: -D: expected NAME or NAME=TEXT, found 'W='"),
        (["alu.v", "--top", "adder", "-P", "W=1", "-P", "W=2"], "error: -P: 'W' is given twice"),
        (["alu.v", "--top", "adder", "--source", "missing.v"], "error: missing.v: no such file"),
        (["broken.v"], "error: broken.v:2: expected expression\n     assign y = ;\n                ^\n"),
        (
            [MULTIPLIER, "--top", "adder"],
            "error: " + MULTIPLIER + ": top, parameters, macros, includes and sources (--top, -P, -D,",
        ),
        ([MULTIPLIER, "-O", "4"], "less than or equal to 3"),
        ([MULTIPLIER, "--lut", "7"], "less than or equal to 6"),
        (
            [MULTIPLIER, "--lut", "3", "--target", "paper"],
            "error: expected gates of two inputs for target paper, found lut 3\nhint: more go with target gpt2",
        ),
        (["design.vhd"], "hint: VHDL is not read: GHDL makes Verilog of it"),
    ],
)
def test_refusals(
    arguments: list[str], message: str, alu: Path, tmp_path: Path, cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.v").write_text("module m(input a, output y);\n assign y = ;\nendmodule\n")
    result = cli("compile", *arguments, "-o", "m")
    assert (result.status, result.out) == (2, "")
    assert message in result.err and "Traceback" not in result.err
    assert not (tmp_path / "m").exists()


def test_yosys_keeps_its_log_to_itself(alu: Path, cli: Any) -> None:
    result = cli("info", alu, "--top", "other")
    names = [line.split("  ")[0] for line in result.out.splitlines()]
    assert result.err == "" and result.out.splitlines()[0].split() == ["gates", "1"]
    assert names == ["gates", "depth", "inputs", "outputs", "fan in", "input words", "output words"]


def test_verilog_is_not_written(alu: Path, tmp_path: Path, cli: Any) -> None:
    cli("compile", alu, "--top", "other", "-o", tmp_path / "m")
    result = cli("decompile", tmp_path / "m", "-o", tmp_path / "out.v")
    assert result.status == 2 and "Verilog is read, not written" in result.err


FUNCTION = """from serialformer import U8, circuit


@circuit
def product(a: U8, b: U8):
    return a.full_mul(b)
"""


@pytest.mark.parametrize(
    "options", [[], ["-O1"], ["--lut", "3"], ["-O0", "--dtype", "bfloat16"], ["--target", "paper"]]
)
@pytest.mark.parametrize("source", ["function", "netlist"])
def test_the_command_and_the_function_make_the_same_model(
    source: str, options: list[str], tmp_path: Path, cli: Any
) -> None:
    (tmp_path / "module.py").write_text(FUNCTION)
    shutil.copy(MULTIPLIER, tmp_path)
    path = f"{tmp_path}/module.py:product" if source == "function" else f"{tmp_path}/multiplier16.blif"
    assert cli("compile", path, "-o", tmp_path / "command", *options).status == 0
    arguments: dict[str, Any] = {}
    for option, value in (("-O1", {"level": 1}), ("-O0", {"level": 0}), ("--lut", {"lut": 3})):
        arguments |= value if option in options else {}
    arguments |= {"dtype": "bfloat16"} if "bfloat16" in options else {}
    arguments |= {"target": "paper"} if "paper" in options else {}
    serialformer.compile(path, **arguments).save(tmp_path / "function")
    files = sorted(file.name for file in (tmp_path / "command").iterdir())
    assert files == sorted(file.name for file in (tmp_path / "function").iterdir())
    for name in files:
        assert (tmp_path / "command" / name).read_bytes() == (tmp_path / "function" / name).read_bytes(), name


def test_macros_and_parameters(alu: Path, tmp_path: Path, cli: Any) -> None:
    path = tmp_path / "macro.v"
    path.write_text(
        "module m(input [3:0] a, output [3:0] y);\n`ifdef FAST\n assign y = a + `STEP;\n`endif\nendmodule\n"
    )
    assert cli("compile", path, "-o", tmp_path / "m", "-D", "FAST", "-D", "STEP=3").status == 0
    assert cli("run", tmp_path / "m", "-i", "a=4").out == "y=7\n"
    old = cli("info", alu, "--top", "adder", "-D", "W=9", "--json")
    assert json.loads(old.out)["input_words"] == {"a": 9, "b": 9}
    assert old.err == (
        "warning: W is a parameter: give it as -P W=9; -D defines macros, and will only do that in the next release\n"
    )


def test_what_is_ignored_is_said(tmp_path: Path, cli: Any) -> None:
    path = tmp_path / "noisy.v"
    path.write_text(
        'module m(input [3:0] a, output reg [3:0] y);\n always @* begin y = a; $display("y", y); end\nendmodule\n'
    )
    result = cli("compile", path, "-o", tmp_path / "m", "--json")
    assert result.err == "ignored, because it computes nothing: $display (1)\n" and result.status == 0


def test_which_model_of_a_file_is_said(tmp_path: Path, adder_file: Path, cli: Any) -> None:
    path = tmp_path / "two.blif"
    around = ".model top\n.inputs x\n.outputs z\n.subckt inner a=x y=t\n.names t z\n0 1\n.end\n"
    path.write_text(".model inner\n.inputs a\n.outputs y\n.names a y\n1 1\n.end\n" + around)
    note = "model 'top' of 2, the only one that no other instantiates\n"
    made = cli("compile", path, "-o", tmp_path / "m", "--json")
    assert made.status == 0 and made.err == note
    assert cli("run", tmp_path / "m", "-i", "x=0").out == "z=1\n"
    asked = cli("info", path, "--json")
    assert asked.status == 0 and asked.err == note
    for facts in (made, asked, cli("info", tmp_path / "m", "--json")):
        assert f"model {json.loads(facts.out)['model']}\n" == note
    alone = cli("info", adder_file, "--json")
    assert alone.err == "" and "model" not in json.loads(alone.out)


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog (iverilog) is not installed")
def test_verify_against_the_source(tmp_path: Path, cli: Any) -> None:
    path = tmp_path / "counter.v"
    text = """module m #(parameter W = 3)(input clk, r, input [3:0] d, output reg [W-1:0] q, output [3:0] y);
 reg [3:0] held;
 always @(posedge clk) begin if (r) q <= 1; else q <= q + d; held <= d; end
 assign y = d / held;
endmodule
"""
    path.write_text(text)
    assert cli("compile", path, "-o", tmp_path / "m", "-P", "W=4").status == 0
    against = ("verify", tmp_path / "m", "--against", path, "--simulator", "iverilog", "--samples", "40")
    result = cli(*against, "-P", "W=4")
    assert result.status == 0 and result.out.startswith("verified: random inputs against iverilog, 40 run by ")
    assert "output bits that have no value in the source, so that any will do: " in result.out, "it divides by zero"
    path.write_text(text.replace("q + d", "q - d"))
    result = cli(*against, "-P", "W=4")
    assert result.status == 1 and result.out.startswith("WRONG: random inputs against iverilog")
    assert "iverilog says" in result.out
    assert cli("verify", tmp_path / "m", "--simulator", "iverilog").err == (
        "error: --simulator requires --against and a Verilog file\n"
    )


@pytest.mark.skipif(
    any(shutil.which(program) is None for program in SIMULATORS["verilator"]),
    reason="Verilator (verilator, with g++ and make) is not installed",
)
def test_verify_against_the_source_with_verilator(tmp_path: Path, cli: Any) -> None:
    path = tmp_path / "counter.sv"
    text = """module m #(parameter W = 3)(input clk, r, input [3:0] d, output logic [W-1:0] q, output [3:0] y);
 logic [3:0] held = 9;
 always_ff @(posedge clk) begin if (r) q <= 1; else q <= q + d; held <= d; end
 assign y = d ^ held;
endmodule
"""
    path.write_text(text)
    assert cli("compile", path, "-o", tmp_path / "m", "-P", "W=4").status == 0
    against = ("verify", tmp_path / "m", "--against", path, "--simulator", "verilator", "--samples", "40")
    result = cli(*against, "-P", "W=4")
    assert result.status == 0 and result.out.startswith("verified: random inputs against verilator, 40 run by ")
    path.write_text(text.replace("q + d", "q - d"))
    result = cli(*against, "-P", "W=4", "--json")
    assert result.status == 1
    facts = json.loads(result.out)
    assert facts["verified"] is False and facts["wrong_inputs"] > 0 and "verilator says" in facts["first_wrong"]


def test_without_a_chain(cli: Any, tmp_path: Path) -> None:
    circuit, directory = tmp_path / "two.aag", str(tmp_path / "m")
    circuit.write_text("aag 3 2 0 2 1\n2\n4\n6\n2\n6 2 4\ni0 a\ni1 b\no0 both\no1 copy\n")
    status, out, _ = cli("compile", str(circuit), "--chain", "none", "-o", directory, "--verbose")
    assert status == 0
    assert {"chain: none", "columns: 1", "layers: 2", "tokens: 2", "certified: True"} <= set(out.splitlines())
    status, out, _ = cli("run", directory, "-i", "a=1", "-i", "b=1", "--trace")
    assert status == 0
    assert out.splitlines()[:2] == ["layer 1: and(a=1, b=1) = 1  g0 both @2", "layer 2: copy(g0=1) = 1  both @4"]
    status, _, err = cli("compile", str(circuit), "--chain", "none", "--layers", "1", "-o", str(tmp_path / "n"))
    assert status == 2 and err.startswith("error: expected at least 2 layers, one more than the depth of the outputs")
    assert not (tmp_path / "n").exists()
    options = ["--chain", "none", "--layers", "1", "--partial"]
    status, out, _ = cli("compile", str(circuit), *options, "-o", str(tmp_path / "n"))
    assert status == 0 and "certified: right on every input, but for both: too few layers" in out
    status, out, err = cli("run", str(tmp_path / "n"), "-i", "a=1", "-i", "b=1")
    assert status == 0 and "copy=1" in out
    assert err == "too few layers, nothing is proven of both\n"
    status, _, err = cli("compile", str(circuit), "--layers", "3", "-o", str(tmp_path / "o"))
    assert status == 2 and "go with a model without a chain (--chain none)" in err


def test_a_llama_without_a_chain(cli: Any, tmp_path: Path) -> None:
    circuit, directory = tmp_path / "two.aag", str(tmp_path / "m")
    circuit.write_text("aag 3 2 0 2 1\n2\n4\n6\n2\n6 2 4\ni0 a\ni1 b\no0 both\no1 copy\n")
    options = ("--chain", "none", "--target", "llama", "--dtype", "bfloat16", "--hidden", "128", "--head-width", "32")
    status, out, _ = cli("compile", str(circuit), *options, "-o", directory, "--verbose")
    assert status == 0
    assert {"chain: none", "columns: 1", "layers: 2", "target: llama", "certified: True"} <= set(out.splitlines())
    status, out, _ = cli("run", directory, "-i", "a=1", "-i", "b=1", "--trace")
    assert status == 0
    assert out.splitlines()[:2] == ["layer 1: and(a=1, b=1) = 1  g0 both @2", "layer 2: copy(g0=1) = 1  both @4"]
    assert cli("certify", directory).status == 0
    status, out, _ = cli("compile", str(circuit), *options, "--layers", "1", "--partial", "-o", str(tmp_path / "n"))
    assert status == 0 and "certified: right on every input, but for both: too few layers" in out
    status, out, _ = cli("explore", directory, "-o", str(tmp_path / "page.html"))
    assert status == 0 and (tmp_path / "page.html").is_file()
    status, out, _ = cli("engine-cases", directory, "-o", str(tmp_path / "cases.jsonl"))
    assert (status, out.splitlines()[1:2]) == (0, ["cases: 15"])
    status, _, err = cli("compile", str(circuit), *options, "--address", "distances", "-o", str(tmp_path / "o"))
    assert status == 2 and err.startswith("error: without a chain heads go by names")
