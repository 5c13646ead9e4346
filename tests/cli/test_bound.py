"""``serialformer bound``: what it writes and prints, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import serialformer


@pytest.fixture
def adder(adder_file: Path, tmp_path: Path, cli: Any) -> str:
    directory = str(tmp_path / "adder")
    assert cli("compile", adder_file, "-o", directory, "--target", "paper").status == 0
    return directory


def test_a_circuit_is_written_and_described(adder: str, tmp_path: Path, cli: Any) -> None:
    path = tmp_path / "first.bench"
    facts = json.loads(cli("bound", adder, "-o", path, "--json").out)
    circuit = serialformer.bound(adder)
    assert (facts["inputs"], facts["outputs"], facts["depth"]) == (4, 2, 312)
    assert (facts["gates"], facts["wires"]) == (circuit.num_gates, circuit.num_literals)
    assert facts["depth_without_copies"] == circuit.depth_without_copies < 30
    assert facts["and_wires"] + facts["or_wires"] == facts["wires"] and facts["threshold_wires"] == 0
    assert facts["input_words"] == {"a": 2, "b": 2} and facts["output_words"] == {"answer": 2}
    read, model = serialformer.read(path), serialformer.load(adder)
    for a in range(4):
        for b in range(4):
            first = int(model.run(a=a, b=b).chain[0])
            assert read.evaluate(a=a, b=b) == {"answer": first} == circuit.evaluate(a=a, b=b)
    lines = cli("bound", adder, "-o", path).out.splitlines()
    assert lines[0] == f"circuit: {path}" and "depth: 312" in lines and "output_words: answer (2 bits)" in lines


def test_chains_trees_and_thresholds(adder: str, tmp_path: Path, cli: Any) -> None:
    path = tmp_path / "second.blif"
    assert cli("bound", adder, "-o", path, "--chain", "1", "--tree").status == 0
    read = serialformer.read(path)
    assert read.max_arity == 2
    chain = serialformer.load(adder).run(a=3, b=1).chain
    assert read.evaluate(a=3, b=1) == {"chain0": int(chain[0]), "answer": int(chain[1])}
    parallel = json.loads(
        cli("bound", adder, "-o", path, "--chain", "1", "--parallel", "--method", "thresholds", "--json").out
    )
    assert parallel["depth"] == 42
    loose = json.loads(cli("bound", adder, "-o", path, "--no-align", "--json").out)
    assert loose["depth"] == loose["depth_without_copies"] < 30


def test_what_is_refused_writes_nothing(adder: str, tmp_path: Path, cli: Any) -> None:
    path = tmp_path / "refused.bench"
    gpt2 = str(tmp_path / "gpt2")
    assert cli("construct", "parity", "--length", "3", "-o", gpt2).status == 0
    for words, message in (
        ([adder, "-o", tmp_path / "refused.json"], "no circuit format '.json'\nhint: one of .bench, .blif, .v, .aig"),
        ([adder, "-o", path, "--length", "3"], "length: a compiled circuit has prompts of one length"),
        ([adder, "-o", path, "--max-wires", "100"], "wires, at most 100 are allowed\nhint: a shorter prompt"),
        ([adder, "-o", path, "--chain", "100"], "expected a prompt and a chain of 1 to"),
        ([gpt2, "-o", path], "the model computes in floats"),
        ([gpt2, "-o", path, "--precision", "1"], "for which rounding is not defined"),
        ([tmp_path / "nothing", "-o", path], "no such checkpoint directory"),
    ):
        result = cli("bound", *words)
        assert (result.status, result.out) == (2, "") and message in result.err, result
    assert not list(tmp_path.glob("refused*"))
