"""The commands certify and decompile: what they print and write, and how they end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import serialformer
from serialformer.transformer.checkpoint import save_transformer
from tests.proofs.test_certificate import altered


@pytest.fixture(params=["gpt2", "paper"])
def adder(request: pytest.FixtureRequest, adder_file: Path, tmp_path: Path, cli: Any) -> Path:
    directory = tmp_path / "adder"
    assert cli("compile", adder_file, "-o", directory, "--target", request.param).status == 0
    return directory


def damage(directory: Path) -> None:
    """Exchanges what the feed-forward layer writes for the two bits."""
    model = altered(serialformer.load(directory), "layers.0.mlp_out_weight", lambda weight: np.negative(weight, weight))
    save_transformer(model.transformer, directory, num_new_tokens=model.num_new_tokens)


def test_a_compiled_model_is_certified(adder: Path, cli: Any) -> None:
    before = json.loads((adder / "certificate.json").read_text())
    result = cli("certify", adder)
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith("certified\nprompts: all 2^4\nchain_tokens: ")
    assert json.loads((adder / "certificate.json").read_text()) == before and before["holds"] is True
    facts = json.loads(cli("certify", adder, "--json").out)
    assert facts == {key: value for key, value in before.items() if not key.endswith("_sha256")}


def test_a_damaged_model_is_not(adder: Path, cli: Any) -> None:
    before = json.loads((adder / "certificate.json").read_text())
    damage(adder)
    result = cli("certify", adder)
    assert result.status == 1
    assert result.out.startswith("NOT CERTIFIED\nposition 4, which writes chain token 0: ")
    after = json.loads((adder / "certificate.json").read_text())
    assert after["holds"] is False and after["failure"]["position"] == 4
    assert after["weights_sha256"] != before["weights_sha256"] and after["circuit_sha256"] == before["circuit_sha256"]


def test_another_number_format_has_a_file_of_its_own(adder_file: Path, tmp_path: Path, cli: Any) -> None:
    directory = tmp_path / "model"
    cli("compile", adder_file, "-o", directory)
    assert cli("certify", directory, "--dtype", "bfloat16").status == 0
    content = json.loads((directory / "certificate.bfloat16.json").read_text())
    assert content["arithmetic"]["storage"] == "bfloat16"
    assert cli("certify", directory, "-o", tmp_path / "elsewhere.json").status == 0
    assert json.loads((tmp_path / "elsewhere.json").read_text())["holds"] is True


def test_decompiling_gives_the_circuit_back(adder: Path, tmp_path: Path, cli: Any) -> None:
    result = cli("decompile", adder, "-o", tmp_path / "again.blif")
    gates = serialformer.load(adder).circuit.num_gates
    assert (result.status, result.out, result.err) == (0, f"gates: {gates}\n", "")
    again = serialformer.read(tmp_path / "again.blif")
    assert all(again.evaluate({"a": a, "b": b}) == {"s": a + b} for a in range(4) for b in range(4))


def test_bad_input_leaves_nothing(adder: Path, tmp_path: Path, cli: Any) -> None:
    result = cli("decompile", adder, "-o", tmp_path / "again.xyz")
    assert result.status == 2 and "no circuit format '.xyz'" in result.err
    for command in ("certify", "decompile"):
        options = ["-o", str(tmp_path / "x.aig")] if command == "decompile" else []
        assert cli(command, tmp_path / "missing", *options).status == 2
    mute = altered(serialformer.load(adder), "layers.0.mlp_out_weight", lambda weight: weight.fill(0))
    save_transformer(mute.transformer, adder, num_new_tokens=mute.num_new_tokens)
    result = cli("decompile", adder, "-o", tmp_path / "x.aig")
    assert result.status == 2 and "the weights cannot be read: position 4" in result.err
    assert not list(tmp_path.glob("again.*")) and not (tmp_path / "x.aig").exists()
