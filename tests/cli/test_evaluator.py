"""The command evaluator, and run and info of what it makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import serialformer
from serialformer import CircuitBuilder
from tests.value_problems import WORKED_CHAIN, WORKED_PROMPT


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("evaluator") / "model"
    serialformer.construct("circuit-value", 12).save(path)
    return path


@pytest.fixture
def half_adder(tmp_path: Path) -> Path:
    build = CircuitBuilder()
    a, b = build.input("a"), build.input("b")
    build.output("sum", build.xor(a, b))
    build.output("carry", build.and_(a, b))
    serialformer.write(build.circuit(), tmp_path / "half.blif")
    return tmp_path / "half.blif"


def test_made_and_told_about(cli: Any, tmp_path: Path) -> None:
    status, out, _ = cli("evaluator", "--gates", 12, "-o", tmp_path / "made", "--json")
    made = json.loads(out)
    assert status == 0 and made.pop("seconds") >= 0
    status, out, _ = cli("info", tmp_path / "made", "--json")
    facts = json.loads(out)
    assert (status, facts) == (0, made)
    assert {key: facts[key] for key in ("kind", "gates", "tokens", "layers", "heads", "positions", "vocabulary")} == {
        "kind": "evaluator", "gates": 12, "tokens": 48, "layers": 3, "heads": 2, "positions": 97, "vocabulary": 20,
    }  # fmt: skip
    assert facts["attention_gap"] > 40 and facts["logit_margin"] > 20 and facts["bytes"] == 4 * facts["parameters"]
    status, _, err = cli("evaluator", "--gates", 12, "-o", tmp_path / "made")
    assert status == 2 and "exists already" in err
    status, _, err = cli("evaluator", "--gates", 0, "-o", tmp_path / "none")
    assert (status, err) == (2, "error: expected from 1 to 131,072 gates, found 0\n")
    status, out, _ = cli("evaluator", "--gates", 3, "-o", tmp_path / "narrow", "--dtype", "bfloat16", "--verbose")
    assert status == 0 and "dtype: bfloat16\n" in out


def test_run_of_any_circuit(cli: Any, directory: Path, half_adder: Path) -> None:
    for a in (0, 1):
        for b in (0, 1):
            status, out, err = cli("run", directory, "--circuit", half_adder, "-i", f"a={a}", "-i", f"b={b}")
            assert (status, out, err) == (0, f"sum={a ^ b}\ncarry={a & b}\n", "")


def test_without_a_chain(cli: Any, tmp_path: Path, half_adder: Path) -> None:
    options = ("--gates", 12, "--setting", "base", "--depth", 4)
    status, out, _ = cli("evaluator", *options, "-o", tmp_path / "base", "--json")
    made = json.loads(out)
    assert (status, made["layers"], made["tokens"], made["setting"], made["positions"]) == (0, 4, 1, "base", 49)
    for a in (0, 1):
        for b in (0, 1):
            status, out, _ = cli("run", tmp_path / "base", "--circuit", half_adder, "-i", f"a={a}", "-i", f"b={b}")
            assert (status, out) == (0, f"sum={a ^ b}\ncarry={a & b}\n")
    assert cli("certify", tmp_path / "base").status == 0
    status, _, err = cli(
        "run", tmp_path / "base", "--prompt", "TRUE NA NA 1 " + "".join(f"NOT {n} NA {n + 1} " for n in range(1, 6))
    )
    assert status == 2 and "--depth 6 makes one that is deep enough" in err
    status, _, err = cli("evaluator", "--gates", 3, "--depth", 2, "-o", tmp_path / "none")
    assert status == 2 and "requires the setting base" in err


def test_run_json_and_trace(cli: Any, directory: Path, half_adder: Path) -> None:
    arguments = ("run", directory, "--circuit", half_adder, "-i", "a=1", "-i", "b=1")
    status, out, err = cli(*arguments, "--json", "--trace")
    result = json.loads(out)
    assert status == 0 and result["outputs"] == {"sum": 0, "carry": 1} and result["engine"] == "dense"
    assert result["tokens"] == len(result["chain"]) == 4 * len(result["trace"]) and err == ""
    assert result["chain"][:8] == ["TRUE", "NA", "NA", "TRUE"] * 2
    status, out, err = cli(*arguments, "--trace", "--engine", "dense")
    assert status == 0 and out.splitlines()[0] == "g1 TRUE = TRUE  a @28" and out.endswith("sum=0\ncarry=1\n")
    status, out, err = cli(*arguments, "--trace", "--max-tokens", 6)
    assert (status, out) == (0, "g1 TRUE = TRUE  a @28\n")
    assert err == "cut after 6 of 24 chain tokens: no outputs yet\n"


def test_run_prompt(cli: Any, directory: Path) -> None:
    assert cli("run", directory, "--prompt", WORKED_PROMPT) == (0, WORKED_CHAIN + "\n", "")
    status, out, _ = cli("run", directory, "--prompt", WORKED_PROMPT, "--json")
    assert status == 0 and json.loads(out)["outputs"] == {"value": 1}


def test_bad_input(cli: Any, directory: Path, half_adder: Path, tmp_path: Path) -> None:
    status, _, err = cli("run", directory)
    assert (status, err) == (
        2,
        f"error: {directory}: is an evaluator of circuits, which takes other input\n"
        "hint: give a circuit and values: model.run(circuit, a=1), or serialformer run DIR --circuit FILE -i a=1\n",
    )
    status, _, err = cli("run", directory, "--circuit", half_adder, "--prompt", "TRUE NA NA 1")
    assert (status, err) == (2, "error: --circuit and --prompt cannot be combined\n")
    status, _, err = cli("run", directory, "--circuit", half_adder, "--batch", half_adder)
    assert status == 2 and err.startswith("error: --batch cannot be combined with ") and "--circuit" in err
    status, _, err = cli("run", directory, "--batch", half_adder, "-o", tmp_path / "out.csv")
    assert status == 2 and err.startswith(f"error: {directory}: is an evaluator of circuits, not a compiled circuit")
    status, _, err = cli("run", directory, "--circuit", half_adder, "-i", "a=1")
    assert status == 2 and "no value for 'b'" in err
    status, _, err = cli("run", directory, "--prompt", "XOR 1 1 1")
    assert status == 2 and "gate 1: 'XOR' is none of TRUE" in err
    status, _, err = cli("verify", directory)
    assert status == 2 and "serialformer run DIR --circuit FILE -i a=1" in err
    serialformer.compile(serialformer.read(half_adder)).save(tmp_path / "compiled")
    status, _, err = cli("run", tmp_path / "compiled", "--circuit", half_adder)
    assert status == 2 and "is a compiled circuit, which takes other input" in err


def test_a_circuit_that_is_too_large(cli: Any, tmp_path: Path, half_adder: Path) -> None:
    serialformer.construct("circuit-value", 5).save(tmp_path / "small")
    status, _, err = cli("run", tmp_path / "small", "--circuit", half_adder, "-i", "a=1", "-i", "b=1")
    assert (status, err) == (
        2,
        f"error: {tmp_path}/small: the circuit takes 6 gates of TRUE, FALSE, AND, OR and NOT; this evaluator is made"
        " for 5\nhint: serialformer evaluator --gates 6 makes one that is large enough\n",
    )
