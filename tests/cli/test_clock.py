"""``run --cycles``: rows, waveforms, initial values, errors; against Python integers and Yosys' simulator."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import serialformer
from tests.cli.conftest import Result

Cli = Callable[..., Result]

# Counts up by ``step`` where ``go``, from 5; ``free`` is a bit of state that nothing initialises.
COUNTER = """.model counter
.inputs clk go step[0] step[1]
.outputs value[0] value[1] value[2] odd
.latch n0 count[0] re clk 1
.latch n1 count[1] re clk 0
.latch n2 count[2] re clk 1
.latch free free re clk 3
.names go step[0] a0
11 1
.names go step[1] a1
11 1
.names count[0] a0 n0
10 1
01 1
.names count[0] a0 c0
11 1
.names count[1] a1 c0 n1
100 1
010 1
001 1
111 1
.names count[1] a1 c0 c1
11- 1
1-1 1
-11 1
.names count[2] c1 n2
10 1
01 1
.names count[0] value[0]
1 1
.names count[1] value[1]
1 1
.names count[2] value[2]
1 1
.names count[0] free odd
1- 1
-1 1
.end
"""


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("counter")
    (folder / "counter.blif").write_text(COUNTER)
    serialformer.compile(folder / "counter.blif").save(folder / "model")
    return folder / "model"


def expected_rows(rows: list[tuple[int, int]], count: int = 5, free: int = 0) -> list[tuple[int, int]]:
    made = []
    for go, step in rows:
        made.append((count, count & 1 | free))
        count = (count + go * step) % 8
    return made


def rows_of(text: str) -> list[tuple[int, int]]:
    header, *rows = list(csv.reader(text.splitlines()))
    assert header == ["value", "odd"]
    return [(int(value), int(odd)) for value, odd in rows]


def test_held_inputs(cli: Cli, counter: Path) -> None:
    result = cli("run", counter, "--cycles", 9, "-i", "go=1", "-i", "step=3", "-i", "free=0")
    assert (result.status, result.err) == (0, "")
    assert rows_of(result.out) == expected_rows([(1, 3)] * 9)


@pytest.mark.parametrize("engine", ["auto", "dense", "sliced"])
def test_stimulus(cli: Cli, counter: Path, tmp_path: Path, engine: str) -> None:
    rows = [(1, 1), (0, 3), (1, 2), (1, 3), (0, 0), (1, 3)]
    (tmp_path / "in.csv").write_text("step,go\n" + "".join(f"{step},{go}\n" for go, step in rows))
    arguments = ("run", counter, "--stimulus", tmp_path / "in.csv", "--initial", "zero", "--engine", engine)
    assert rows_of(cli(*arguments).out) == expected_rows(rows)
    assert cli(*arguments, "-o", tmp_path / "out.csv").out == ""
    assert rows_of((tmp_path / "out.csv").read_text()) == expected_rows(rows)
    # Fewer cycles than rows; registers begin where they are told to.
    assert rows_of(cli(*arguments, "--cycles", 2, "-i", "count=7", "-i", "free=1").out) == expected_rows(rows[:2], 7, 1)
    (tmp_path / "go.csv").write_text("go\n" + "".join(f"{go}\n" for go, _ in rows))
    arguments = ("run", counter, "--stimulus", tmp_path / "go.csv", "-i", "step=2", "-i", "free=0")
    assert rows_of(cli(*arguments).out) == expected_rows([(go, 2) for go, _ in rows])


def test_json(cli: Cli, counter: Path) -> None:
    result = cli("run", counter, "--cycles", 3, "-i", "go=1", "-i", "step=1", "-i", "free=1", "--json")
    found = json.loads(result.out)
    assert found.pop("seconds") > 0
    tokens = 3 * serialformer.load(counter).num_new_tokens
    assert found == {
        "cycles": 3,
        "outputs": [{"value": 5, "odd": 1}, {"value": 6, "odd": 1}, {"value": 7, "odd": 1}],
        "state": {"count": 0, "free": 1},
        "engine": "dense",
        "tokens": tokens,
    }


def test_random_initial_values(cli: Cli, counter: Path) -> None:
    def free(*options: object) -> int:
        held = ("-i", "go=0", "-i", "step=0", "-i", "count=0")
        return rows_of(cli("run", counter, "--cycles", 1, *held, "--initial", "random", *options).out)[0][1]

    drawn = [free("--seed", seed) for seed in range(12)]
    assert set(drawn) == {0, 1}
    assert drawn[0] == free() == free("--seed", 0)


def test_waveform(cli: Cli, counter: Path, tmp_path: Path) -> None:
    vcdvcd = pytest.importorskip("vcdvcd", reason="vcdvcd (extra dev) is not installed")
    held = ("-i", "go=1", "-i", "step=3", "-i", "free=0")
    assert cli("run", counter, "--cycles", 6, *held, "--vcd", tmp_path / "wave.vcd").status == 0
    wave = vcdvcd.VCDVCD(str(tmp_path / "wave.vcd"))
    counts = [(5 + 3 * cycle) % 8 for cycle in range(7)]
    register = wave["serialformer.registers.count[2:0]"]
    assert [int(register[cycle], 2) for cycle in range(7)] == counts
    value = wave["serialformer.outputs.value[2:0]"]
    assert [int(value[cycle], 2) for cycle in range(6)] == counts[:6]
    assert wave["serialformer.inputs.step[1:0]"].tv == [(0, "11")]


SHIFTER = """
module shifter(input clk, output [7:0] sum, output [15:0] noise);
  reg [15:0] register = 16'hace1;
  reg [7:0] total = 8'd0;
  assign sum = total ^ register[7:0];
  assign noise = register;
  always @(posedge clk) begin
    register <= {register[14:0], register[15] ^ register[13] ^ register[12] ^ register[10]};
    total <= total + register[7:0];
  end
endmodule
"""


def test_waveform_against_yosys(cli: Cli, tmp_path: Path) -> None:
    pytest.importorskip("pyosys", reason="pyosys (extra hdl) is not installed")
    vcdvcd = pytest.importorskip("vcdvcd", reason="vcdvcd (extra dev) is not installed")
    (tmp_path / "shifter.v").write_text(SHIFTER)
    script = ["read_verilog -sv shifter.v", "prep -top shifter", "sim -clock clk -n 60 -vcd yosys.vcd"]
    program = f"from pyosys import libyosys; [libyosys.run_pass(line) for line in {script!r}]"
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True)
    assert cli("compile", tmp_path / "shifter.v", "-o", tmp_path / "model").status == 0
    assert cli("run", tmp_path / "model", "--cycles", 50, "--vcd", tmp_path / "ours.vcd").status == 0
    ours, theirs = vcdvcd.VCDVCD(str(tmp_path / "ours.vcd")), vcdvcd.VCDVCD(str(tmp_path / "yosys.vcd"))
    clock = [time for time, value in theirs["shifter.clk"].tv if value == "1"]
    for name in ("sum[7:0]", "noise[15:0]"):
        mine, other = ours[f"serialformer.outputs.{name}"], theirs[f"shifter.{name}"]
        for cycle in range(50):  # just before the edge that ends the cycle
            assert int(mine[cycle], 2) == int(other[clock[cycle] - 1], 2), (name, cycle)


def test_a_sequential_model_like_any_other(cli: Cli, counter: Path, tmp_path: Path) -> None:
    source = counter.with_name("counter.blif")
    for path in (source, counter):
        facts = json.loads(cli("info", path, "--json").out)
        assert facts["registers"] == {"count": 3, "free": 1}
        assert (facts["state_bits"], facts["uninitialised_bits"]) == (4, 1)
        assert facts["output_words"] == {"next.count": 3, "next.free": 1, "value": 3, "odd": 1}
    assert cli("verify", counter, "--exhaustive", "--against", source).out.startswith("verified")
    assert cli("certify", counter).out.startswith("certified")
    assert cli("decompile", counter, "-o", tmp_path / "back.blif").status == 0
    back = serialformer.read(tmp_path / "back.blif")
    one = cli("run", counter, "-i", "count=6", "-i", "free=1", "-i", "go=1", "-i", "step=3").out
    assert one == "next.count=1\nnext.free=1\nvalue=6\nodd=1\n"
    assert back.evaluate(count=6, free=1, go=1, step=3) == {"next.count": 1, "next.free": 1, "value": 6, "odd": 1}


HELD = ("-i", "go=1", "-i", "step=1", "-i", "free=0")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--cycles", 3, "-i", "go=1", "-i", "step=1"),
            "1 register has no initial value: free\nhint: give a value (-i",
        ),
        (("--cycles", 3, "-i", "free=0", "-i", "go=1"), "no value for 'step'"),
        (("--cycles", 3, *HELD, "-i", "gone=1"), "no input word 'gone' (did you mean 'go'?)"),
        (("--cycles", 3, *HELD, "-i", "count=8"), "count=8 does not fit its 3 bits"),
        (("--vcd", "x.vcd", *HELD), "how many cycles?\nhint: --cycles N, or --stimulus IN.csv"),
        (("--cycles", 3, *HELD, "--seed", 1), "--seed requires --initial random"),
        (
            ("--cycles", 3, *HELD, "--trace"),
            "--cycles, --stimulus, --vcd, --initial and --seed go with none of --trace",
        ),
        (("--cycles", 3, "--stimulus", "SHORT", "-i", "free=0"), "expected a row for each of 3 cycles, found 2"),
        (("--stimulus", "SHORT", *HELD), "unknown column go, step"),
        (("--stimulus", "SHORT", "-i", "free=0", "-i", "go=0"), "unknown column go"),
    ],
)
def test_errors(cli: Cli, counter: Path, tmp_path: Path, arguments: tuple[object, ...], message: str) -> None:
    (tmp_path / "short.csv").write_text("go,step\n1,1\n1,2\n")
    given = [tmp_path / "short.csv" if argument == "SHORT" else argument for argument in arguments]
    result = cli("run", counter, *given, "-o", tmp_path / "out.csv")
    assert result.status == 2
    assert message in result.err
    assert not (tmp_path / "out.csv").exists()


def test_combinational_models_have_no_clock(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "not.bench").write_text("INPUT(a)\nOUTPUT(y)\ny = NOT(a)\n")
    serialformer.compile(tmp_path / "not.bench").save(tmp_path / "model")
    result = cli("run", tmp_path / "model", "--cycles", 3)
    assert (result.status, result.out) == (2, "")
    assert "is a combinational circuit: it has no registers to feed back\nhint: run it without --cycles" in result.err


def test_interrupted(counter: Path, tmp_path: Path) -> None:
    held = [part for value in ("go=1", "step=1", "free=0") for part in ("-i", value)]
    command = [sys.executable, "-m", "serialformer", "run", str(counter), "--cycles", "100000000", *held]
    process = subprocess.Popen(
        [*command, "--vcd", str(tmp_path / "wave.vcd"), "-o", str(tmp_path / "out.csv")],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for _ in range(600):  # until it writes
            if any(path.stat().st_size > 0 for path in tmp_path.iterdir()):
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()  # if it has not ended
    assert process.returncode == 130
    first, done, *rest = err.split()[:2], int(err.split()[2]), *err.split()[3:]
    assert (first, rest) == (["interrupted", "after"], ["of", "100000000", "cycles"])
    assert done > 0
    assert list(tmp_path.iterdir()) == []
