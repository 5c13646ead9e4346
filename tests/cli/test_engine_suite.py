from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from serialformer import compile
from serialformer.engines import recipes
from serialformer.engines.cases import read_cases
from serialformer.engines.scattered import scattered_circuit
from serialformer.engines.suite import read_suite
from tests.cli.conftest import Result


def test_engine_cases(cli: Callable[..., Result], tmp_path: Path) -> None:
    compile(scattered_circuit(0, num_inputs=6, num_gates=57)).save(tmp_path / "model")
    result = cli("engine-cases", tmp_path / "model", "-o", tmp_path / "cases.jsonl")
    assert (result.status, result.err) == (0, "")
    cases = read_cases(tmp_path / "cases.jsonl")
    tokens = sum(len(case.expected) for case in cases)
    assert result.out == f"file: {tmp_path}/cases.jsonl\ncases: {len(cases)}\ntokens: {tokens}\n"
    result = cli("engine-cases", tmp_path / "model", "-o", tmp_path / "cases.jsonl", "--json")
    assert json.loads(result.out)["tokens"] == tokens


def test_engine_cases_of_a_task(cli: Callable[..., Result], tmp_path: Path) -> None:
    made = cli("construct", "parity", "--length", 30, "--target", "llama", "-o", tmp_path / "parity")
    assert made.status == 0
    result = cli("engine-cases", tmp_path / "parity", "-o", tmp_path / "cases.jsonl", "--json")
    assert json.loads(result.out)["cases"] == len(read_cases(tmp_path / "cases.jsonl"))


def test_engine_cases_of_too_short_a_chain(cli: Callable[..., Result], tmp_path: Path) -> None:
    assert cli("construct", "parity", "--length", 4, "-o", tmp_path / "parity").status == 0
    result = cli("engine-cases", tmp_path / "parity", "-o", tmp_path / "cases.jsonl")
    assert result.status == 2 and "expected a chain of at least 27 tokens, found 4" in result.err
    assert not (tmp_path / "cases.jsonl").exists()


def test_engine_suite(cli: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = tuple(recipe for recipe in recipes.default_recipes() if recipe.name == "gpt2-61-float32")
    monkeypatch.setattr(recipes, "default_recipes", lambda: few)
    result = cli("engine-suite", "-o", tmp_path / "suite", "--json")
    facts = json.loads(result.out)
    (model,) = read_suite(tmp_path / "suite")
    assert facts["models"] == 1 and facts["cases"] == len(model.cases) and facts["tokens"] == model.num_tokens
    again = cli("engine-suite", "-o", tmp_path / "suite")
    assert again.status == 2 and "exists already" in again.err
