"""The command line as scripts see it: what goes where, and the exit status."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import serialformer
from serialformer.decode.engine import ENGINE_NAMES
from tests.cli.conftest import ADDER

EXAMPLES = Path(__file__).parents[2] / "examples"
MULTIPLIER = str(EXAMPLES / "multiplier16.blif")


@pytest.fixture(scope="module")
def compiled_adder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiled")
    (folder / "adder.blif").write_text(ADDER)
    serialformer.compile(folder / "adder.blif").save(folder / "adder")
    return folder / "adder"


@pytest.fixture
def adder(compiled_adder: Path, adder_file: Path, tmp_path: Path) -> str:
    """A directory of its own for each test; what `compile` writes has tests of its own."""
    return str(shutil.copytree(compiled_adder, tmp_path / "adder"))


def test_compile_prints_the_sizes(tmp_path: Path, cli: Any) -> None:
    result = cli("compile", MULTIPLIER, "-o", str(tmp_path / "m"), "--verbose")
    assert (result.status, result.err) == (0, "")
    facts = dict(line.split(": ", 1) for line in result.out.splitlines())
    assert facts["gates"] == facts["tokens"] == "1408"
    assert facts["heads"] == "2" and facts["layers"] == "1"
    assert float(facts["attention_gap"]) > 40 and float(facts["logit_margin"]) > 20


def test_compile_says_what_it_made_and_what_to_do_next(adder_file: Path, tmp_path: Path, cli: Any) -> None:
    result = cli("compile", adder_file, "-o", str(tmp_path / "new" / "m"))
    first, proven, following = result.out.splitlines()
    assert first.startswith(f"{tmp_path}/new/m: 4 gates, 1 layer, 3 heads, width ")
    assert first.endswith(" parameters, 4 tokens an answer")
    assert proven == "certified: right on every input"
    assert following == f"next: serialformer run {tmp_path}/new/m -i a=0 -i b=0"
    assert cli(*following.split()[2:]).out == "s=0\n"


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_compile_json(tmp_path: Path, cli: Any, dtype: str) -> None:
    result = cli("compile", MULTIPLIER, "-o", str(tmp_path / "m"), "--dtype", dtype, "--target", "gpt2", "--json")
    facts = json.loads(result.out)
    assert facts["dtype"] == dtype
    assert facts["bytes"] == facts["parameters"] * (4 if dtype == "float32" else 2)
    assert serialformer.load(tmp_path / "m").transformer.architecture.dtype == dtype


def test_run_prints_a_line_a_word(adder: str, cli: Any) -> None:
    result = cli("run", adder, "-i", "a=0b10", "-i", "b=0x3")
    assert (result.status, result.out, result.err) == (0, "s=5\n", "")


@pytest.mark.parametrize("engine", ["auto", "dense", "hf"])
def test_run_json(adder: str, cli: Any, engine: str) -> None:
    if engine == "hf":
        pytest.importorskip("transformers")
    result = cli("run", adder, "-i", "a=2", "-i", "b=3", "--engine", engine, "--json")
    answer = json.loads(result.out)
    assert answer["outputs"] == {"s": 5}
    assert answer["chain"] == ["0", "1", "0", "1"]
    assert answer["engine"] == engine or (engine == "auto" and answer["engine"] in ENGINE_NAMES)
    assert answer["tokens"] == 4
    assert answer["seconds"] > 0


def test_run_trace(adder: str, cli: Any) -> None:
    result = cli("run", adder, "-i", "a=2", "-i", "b=3", "--trace")
    assert result.out.splitlines() == [
        "t0 and(a[0]=0, b[0]=1) = 0  c @5",
        "t1 xor(a[0]=0, b[0]=1) = 1  s[0] @6",
        "t2 xor(a[1]=1, b[1]=1, c=0) = 0  s[1] @7",
        "t3 majority(a[1]=1, b[1]=1, c=0) = 1  s[2] @8",
        "s=5",
    ]
    both = cli("run", adder, "-i", "a=2", "-i", "b=3", "--trace", "--json")
    assert json.loads(both.out)["outputs"] == {"s": 5}
    assert json.loads(both.out)["trace"] == result.out.splitlines()[:-1] and both.err == ""
    assert "trace" not in json.loads(cli("run", adder, "-i", "a=2", "-i", "b=3", "--json").out)


def test_run_cut_short(adder: str, cli: Any) -> None:
    inputs = ("run", adder, "-i", "a=2", "-i", "b=3")
    cut = "cut after 2 of 4 chain tokens: no outputs yet\n"
    plain = cli(*inputs, "--max-tokens", "2")
    assert (plain.status, plain.out, plain.err) == (0, "", cut)
    traced = cli(*inputs, "--max-tokens", "2", "--trace")
    assert traced.out.splitlines() == ["t0 and(a[0]=0, b[0]=1) = 0  c @5", "t1 xor(a[0]=0, b[0]=1) = 1  s[0] @6"]
    as_json = cli(*inputs, "--max-tokens", "2", "--json")
    answer = json.loads(as_json.out)
    assert (answer["outputs"], answer["chain"], answer["tokens"]) == ({}, ["0", "1"], 2)
    assert as_json.err == cut
    for enough in ("4", "1000000"):
        assert (cli(*inputs, "--max-tokens", enough).out, cli(*inputs, "--max-tokens", enough).err) == ("s=5\n", "")


def test_run_batch(adder: str, cli: Any, tmp_path: Path) -> None:
    rows = [(a, b) for a in range(4) for b in range(4)]
    (tmp_path / "in.csv").write_text("b,a\n" + "".join(f"{hex(b)},{a}\n" for a, b in rows))
    result = cli("run", adder, "--batch", str(tmp_path / "in.csv"), "-o", str(tmp_path / "out.csv"))
    assert (result.status, result.out, result.err) == (0, "", "")
    with (tmp_path / "out.csv").open() as file:
        assert [int(row["s"]) for row in csv.DictReader(file)] == [a + b for a, b in rows]


def test_verify(adder: str, cli: Any, adder_file: Path, tmp_path: Path) -> None:
    result = cli("verify", adder, "--exhaustive", "--engine", "dense")
    assert result.status == 0
    assert result.out == "verified: every input, 16 run by dense, 0 wrong\ntokens compared: 64\n"
    result = cli("verify", adder, "--samples", "7", "--json", "--engine", "dense")
    assert json.loads(result.out) == {
        "verified": True, "inputs": 7, "tokens": 28, "wrong_inputs": 0, "first_wrong": "", "engine": "dense",
    }  # fmt: skip
    (tmp_path / "wrong.blif").write_text(adder_file.read_text().replace("11- 1\n", ""))
    result = cli("verify", adder, "--against", str(tmp_path / "wrong.blif"), "--exhaustive", "--engine", "dense")
    assert result.status == 1
    assert result.out.splitlines()[0] == "WRONG: every input, 16 run by dense, 3 wrong"
    assert result.out.splitlines()[2] == "with a=2, b=2: token t3 is 1, expected 0"


def test_verify_with_transformers(adder: str, cli: Any) -> None:
    pytest.importorskip("transformers")
    assert cli("verify", adder, "--exhaustive", "--engine", "hf").out.startswith("verified: every input, 16 run by hf")


def test_info(adder: str, cli: Any) -> None:
    circuit = json.loads(cli("info", adder + ".blif", "--json").out)
    assert (circuit["gates"], circuit["depth"], circuit["inputs"], circuit["outputs"]) == (4, 2, 4, 3)
    checkpoint = json.loads(cli("info", adder, "--json").out)
    keys = "kind tokens layers heads width parameters bytes attention_gap logit_margin gates depth inputs outputs"
    assert set(keys.split()) <= set(checkpoint)
    assert checkpoint["kind"] == "circuit" and checkpoint["heads"] == 3
    lines = cli("info", adder).out.splitlines()
    facts = {line[:19].rstrip(): line[19:].strip() for line in lines}
    assert facts["input words"] == "a (2 bits), b (2 bits)" and facts["tokens"] == "4" and facts["certified"] == "yes"
    assert "proven" not in facts and not any(mark in line for line in lines for mark in "{}")


def test_help_and_no_arguments(cli: Any) -> None:
    for arguments in ((), ("--help",), ("-h",), ("compile", "--help"), ("run", "-h")):
        result = cli(*arguments)
        assert "Usage: serialformer" in result.out + result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compile", "missing.aig", "-o", "x"], "error: missing.aig: no such file\nhint: check the path"),
        (["compile", "design.vhdl", "-o", "x"], "error: design.vhdl: no circuit format '.vhdl'"),
        (["compile", "design.v", "-o", "x"], "error: design.v: no such file"),
        (["compile", "-", "-o", "x"], "error: -: circuits are read from and written to files with a suffix, not"),
        (["compile", "exists", "-o", "x"], "error: exists: is a directory, not a circuit file\nhint: the suffix"),
        (["info", "missing"], "error: missing: no such file or directory\nhint: the suffix tells the format"),
        (["compile", MULTIPLIER, "-o", "exists"], "error: exists: exists already\nhint: --force replaces it"),
        (["compile", MULTIPLIER, "-o", "empty.csv/x"], "error: empty.csv/x: cannot be written: "),
        (["compile", MULTIPLIER, "-o", "x", "--dtype", "int8"], "int8"),
        (["compile", MULTIPLIER, "-o", "x", "--target", "bert"], "bert"),
        (["compile", "broken.blif", "-o", "x"], "broken.blif:"),
        (["run", "missing", "-i", "a=1"], "error: missing: no such checkpoint directory"),
        (["run", "exists", "-i", "a=1"], "error: exists/serialformer.json: no such file"),
        (["run", "adder", "-i", "a=1"], "error: no value for 'b'\nhint: the inputs are: a (2 bits), b (2 bits)"),
        (["run", "adder", "-i", "a=9", "-i", "b=0"], "error: a=9 does not fit its 2 bits"),
        (["run", "adder", "-i", "a=-1", "-i", "b=0"], "error: -i a: '-1' is negative"),
        (["run", "adder", "-i", "a=two", "-i", "b=0"], "error: -i a: 'two' is not a number"),
        (["run", "adder", "-i", "a", "-i", "b=0"], "error: -i: expected NAME=VALUE, found 'a'"),
        (["run", "adder", "-i", "a=1", "-i", "a=2"], "error: -i: 'a' is given twice"),
        (["run", "adder", "-i", "a=1", "-o", "x"], "error: -o requires --batch"),
        (["run", "adder", "--batch", "in.csv"], "error: --batch needs -o OUT.csv"),
        (["run", "adder", "--batch", "in.csv", "-o", "x", "--trace"], "error: --batch cannot be combined with"),
        (["run", "adder", "--batch", "missing.csv", "-o", "x"], "error: missing.csv: no such file"),
        (["run", "adder", "--batch", "empty.csv", "-o", "x"], "error: empty.csv: is empty"),
        (["run", "adder", "--batch", "header.csv", "-o", "x"], "error: header.csv:1: no column b; unknown column c"),
        (["run", "adder", "--batch", "short.csv", "-o", "x"], "error: short.csv:3: expected 2 fields, found 1"),
        (["run", "adder", "--batch", "value.csv", "-o", "x"], "error: value.csv:2 (b): '' is not a number"),
        (["run", "adder", "--batch", "large.csv", "-o", "x"], "error: large.csv:2: b=4 does not fit its 2 bits"),
        (["run", "adder", "--batch", "in.csv", "-o", "in.csv/x"], "error: in.csv/x: cannot be written"),
        (["run", "adder", "-i", "a=1", "-i", "b=1", "--engine", "warp"], "error: no engine 'warp'\nhint: one of auto,"),
        (["run", "adder", "--batch", "in.csv", "-o", "x", "--engine", "warp"], "error: no engine 'warp'"),
        (
            ["run", "adder", "--batch", "in.csv", "-o", "x", "--max-tokens", "3"],
            "error: --batch cannot be combined with",
        ),
        (["run", "adder", "-i", "a=1", "-i", "b=1", "--max-tokens", "0"], "greater than or equal to 1"),
        (["run", "adder", "--batch", "latin.csv", "-o", "x"], "error: latin.csv: is not UTF-8 text"),
        (["run", "adder", "--batch", "quote.csv", "-o", "x"], "error: quote.csv:5 (b): 'x' is not a number"),
        (["run", "adder", "--batch", "negative.csv", "-o", "x"], "error: negative.csv:4 (a): '-1' is negative"),
        (["run", "adder", "--batch", "long.csv", "-o", "x"], "error: long.csv:3: expected 2 fields, found 3"),
        (["run", "adder", "--batch", "twice.csv", "-o", "x"], "error: twice.csv:1: a column occurs twice"),
        (["run", "adder", "--batch", "huge.csv", "-o", "x"], "error: huge.csv:2: is not CSV: field larger than"),
        (["run", "adder", "--batch", ".", "-o", "x"], "error: .: cannot be read: Is a directory"),
        (["run", "adder", "--batch", "in.csv", "-o", "exists"], "error: exists: cannot be written: Is a directory"),
        (["verify", "adder", "--exhaustive", "--samples", "3"], "error: --samples and --exhaustive cannot"),
        (["verify", "adder", "--samples", "0"], "greater than or equal to 1"),
        (["verify", "adder", "--against", MULTIPLIER], "error: the circuits have different input words"),
        (["info", "missing.aig"], "error: missing.aig: no such file"),
        (["nonsense"], "nonsense"),
    ],
)
def test_bad_input(
    arguments: list[str], message: str, tmp_path: Path, cli: Any, adder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "exists").mkdir()
    (tmp_path / "broken.blif").write_text(".model x\n.inputs a\n.outputs y\n.names a y\n2 1\n.end\n")
    tables = {
        "in": "a,b\n1,1\n", "empty": "", "header": "a,c\n1,1\n", "short": "a,b\n1,1\n1\n", "value": "a,b\n1,\n",
        "large": "a,b\n1,4\n", "latin": "a,b\n1,\xe9\n", "quote": 'a,b\n"1\n",1\n\n1,x\n', "long": "a,b\n1,1\n1,1,1\n",
        "negative": "b,a\n0x1,1\n\n1,-1\nx,x\n", "twice": "a,b,a\n", "huge": "a,b\n1," + "1" * 200_000,
    }  # fmt: skip
    for name, text in tables.items():
        (tmp_path / f"{name}.csv").write_text(text, encoding="latin-1")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    result = cli(*arguments)
    assert result.status == 2
    assert result.out == ""
    assert message in result.err
    assert "Traceback" not in result.err
    assert sorted(path.name for path in tmp_path.rglob("*")) == before, "nothing half-written"


def test_without_transformers_the_engine_says_what_to_install(adder: str) -> None:
    program = (
        "import sys; sys.modules['torch'] = None; sys.argv = ['serialformer', 'run', sys.argv[1], '-i', 'a=1', '-i',"
        " 'b=1', '--engine', 'hf']; from serialformer.cli.main import main; main()"
    )
    run = subprocess.run([sys.executable, "-c", program, adder], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr.startswith("error: engine hf needs torch\nhint: pip install 'serialformer[torch]'")


def test_output_into_a_closed_pipe(adder: str) -> None:
    command = f"{sys.executable} -m serialformer run {adder} -i a=1 -i b=1 --trace | head -c 1"
    run = subprocess.run(command, shell=True, capture_output=True, text=True, check=False, env={**os.environ})
    assert (run.stdout, run.stderr) == ("t", "")
