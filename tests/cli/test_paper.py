"""``--target paper`` on the command line: compile, info, run, batch, trace, verify, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def adder(adder_file: Path, tmp_path: Path, cli: Any) -> str:
    directory = str(tmp_path / "adder")
    result = cli("compile", adder_file, "-o", directory, "--target", "paper", "--precision", "1", "--verbose")
    assert result.status == 0 and "target: paper\n" in result.out and "precision: 1\n" in result.out
    return directory


def test_info_run_trace_and_batch(adder: str, tmp_path: Path, cli: Any) -> None:
    facts = json.loads(cli("info", adder, "--json").out)
    assert (facts["target"], facts["precision"], facts["layers"], facts["heads"]) == ("paper", 1, 1, 2)
    assert facts["attention_gap"] == 1.5 and facts["logit_margin"] == 0.5
    answer = json.loads(cli("run", adder, "-i", "a=2", "-i", "b=3", "--json").out)
    assert answer["outputs"] == {"s": 5} and answer["engine"] == "dense"
    lines = cli("run", adder, "-i", "a=2", "-i", "b=3", "--trace").out.splitlines()
    assert lines[-1] == "s=5" and len(lines) == facts["tokens"] + 1
    (tmp_path / "in.csv").write_text("a,b\n1,2\n3,3\n")
    assert cli("run", adder, "--batch", str(tmp_path / "in.csv"), "-o", str(tmp_path / "out.csv")).status == 0
    assert (tmp_path / "out.csv").read_text() == "s\n3\n6\n"


def test_verify(adder: str, adder_file: Path, cli: Any) -> None:
    result = cli("verify", adder, "--exhaustive")
    assert result.status == 0 and result.out.startswith("verified: every input, 16 run by dense, 0 wrong")
    assert cli("verify", adder, "--samples", "3", "--engine", "dense").status == 0
    assert cli("verify", adder, "--against", str(adder_file)).status == 0


@pytest.mark.parametrize("engine", ["indexed", "sliced", "hf"])
def test_other_engines_are_refused(adder: str, cli: Any, engine: str) -> None:
    for command in (["run", adder, "-i", "a=1", "-i", "b=1"], ["verify", adder]):
        result = cli(*command, "--engine", engine)
        assert (result.status, result.out) == (2, "")
        assert result.err == (
            f"error: engine {engine} runs stock models only; this model has no layer norm, does not scale its scores,"
            " rounds every operation\nhint: --engine dense runs it\n"
        )


def test_options_of_the_other_target(adder_file: Path, tmp_path: Path, cli: Any) -> None:
    compile_ = ["compile", str(adder_file), "-o", str(tmp_path / "model")]
    for options, message in (
        (
            ["--precision", "1"],
            "--precision requires --target paper\nhint: target gpt2 has --dtype, --head-width, --spare-positions,"
            " --gguf, --onnx",
        ),
        (
            ["--target", "paper", "--dtype", "float16"],
            "--dtype requires --target gpt2 or llama\nhint: target paper has",
        ),
        (["--target", "paper", "--precision", "0"], "expected a precision from 1 to 12, found 0"),
    ):
        result = cli(*compile_, *options)
        assert (result.status, result.out) == (2, "") and message in result.err
        assert not (tmp_path / "model").exists()


def test_gpt2_says_its_target_too(adder_file: Path, tmp_path: Path, cli: Any) -> None:
    facts = json.loads(cli("compile", str(adder_file), "-o", str(tmp_path / "m"), "--json").out)
    assert facts["target"] == "gpt2" and "precision" not in facts and facts["dtype"] == "float32"
