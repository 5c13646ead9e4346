"""The command construct, and what info, run and evaluate make of its models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


def test_construct_and_evaluate(cli: Any, tmp_path: Path) -> None:
    directory = str(tmp_path / "m")
    status, out, err = cli(
        "construct", "modular-addition", "--length", "9", "-p", "modulus=5", "-o", directory, "--json"
    )
    assert (status, err) == (0, "")
    facts = json.loads(out)
    assert facts.pop("seconds") > 0
    assert facts == {
        "kind": "task",
        "setting": "cot",
        "activation": "gelu_new",
        "provenance": "constructed",
        "construction": "modular-addition",
        "task": "modular-addition",
        "task_parameters": "modulus=5",
        "length": 9,
        "tokens": 9,
        "layers": 1,
        "heads": 1,
        "width": 25,
        "hidden_width": 100,
        "hidden_units": 26,
        "positions": 19,
        "vocabulary": 6,
        "parameters": facts["parameters"],
        "bytes": 4 * facts["parameters"],
        "dtype": "float32",
        "certified": True,
        "attention_gap": pytest.approx(51.2, abs=0.1),
        "logit_margin": facts["logit_margin"],
    }
    status, out, _ = cli("info", directory, "--json")
    assert status == 0 and json.loads(out) == facts
    status, out, _ = cli("evaluate", directory, "--samples", "25", "--json")
    shares = json.loads(out)
    assert status == 0 and shares["samples"] == 25
    kinds = ("chain", "answer", "generated_chain", "generated_answer")
    assert [shares[f"{kind}_accuracy"] for kind in kinds] == [1.0] * 4
    assert cli("run", directory, "--prompt", "4 4 4 4 4 4 4 4 4 =")[1] == "chain: 4 3 2 1 0 4 3 2 1\nanswer: 1\n"


def test_plain_output(cli: Any, tmp_path: Path) -> None:
    directory = str(tmp_path / "m")
    status, out, _ = cli("construct", "parity", "--length", "3", "--dtype", "bfloat16", "-o", directory, "--verbose")
    assert status == 0
    lines = out.splitlines()
    assert lines[:3] == [f"directory: {directory}", "kind: task", "task: parity"]
    assert "hidden_units: 5" in lines and "dtype: bfloat16" in lines


def test_without_a_chain(cli: Any, tmp_path: Path) -> None:
    directory = str(tmp_path / "m")
    status, out, _ = cli(
        "construct", "parity", "--length", "6", "--setting", "base", "--depth", "2", "-o", directory, "--verbose"
    )
    assert status == 0
    assert {"setting: base", "layers: 2", "tokens: 1", "certified: True"} <= set(out.splitlines())
    status, out, _ = cli("certify", directory)
    assert status == 0 and "prompts: all words of 6 bits, for what the last 3 come to" in out
    status, out, _ = cli("run", directory, "--prompt", "1 1 1 0 1 0")
    assert status == 0 and "answer: 1" in out


def test_a_llama(cli: Any, tmp_path: Path) -> None:
    directory = str(tmp_path / "m")
    options = ("--target", "llama", "--tie", "--hidden", "128", "--head-width", "32")
    status, out, err = cli("construct", "parity", "--length", "6", *options, "-o", directory, "--json")
    assert (status, err) == (0, "") and json.loads(out)["width"] == 128
    status, out, _ = cli("run", directory, "--prompt", "1 0 1 1 0 0", "--json")
    assert status == 0 and json.loads(out)["chain"] == ["1", "1", "0", "1", "1", "1"]
    status, out, _ = cli("certify", directory)
    assert status == 0
    status, out, _ = cli("evaluate", directory, "--samples", "20", "--json")
    assert status == 0 and json.loads(out)["generated_chain_accuracy"] == 1.0
    status, _, err = cli("run", directory, "--prompt", "1 0 1")
    assert status == 2 and err.startswith("error: parity of length 3: the model is made for prompts of 6 items")
    assert cli("explore", directory, "-o", str(tmp_path / "page.html"))[0] == 0
    refused: tuple[tuple[tuple[str, ...], str], ...] = (
        (("iterated-squaring", "--target", "llama"), "error: the prompts of iterated-squaring differ in length"),
        (
            ("parity", "--hidden", "64"),
            "error: target gpt2 has no hidden for a task\nhint: --target llama, or leave it out",
        ),
        (
            ("parity", "--target", "llama", "--setting", "base", "--layers", "3"),
            "error: without a chain the number of layers follows from the depth",
        ),
    )
    for others, message in refused:
        status, _, err = cli("construct", *others, "--length", "6", "-o", str(tmp_path / "n"))
        assert status == 2 and err.startswith(message) and "hint: " in err
        assert not (tmp_path / "n").exists()


def test_refusals(cli: Any, tmp_path: Path) -> None:
    directory = str(tmp_path / "m")
    status, _, err = cli("construct", "edit-distance", "--length", "4", "-o", directory)
    assert status == 2 and err.startswith("error: edit-distance has no construction\nhint: these tasks have one: ")
    status, _, err = cli("construct", "parity", "--length", "4", "--setting", "hint", "-o", directory)
    assert (status, err) == (
        2,
        "error: no construction for the setting 'hint'\nhint: there are constructions for cot and base\n",
    )
    status, _, err = cli("construct", "parity", "--length", "4", "--depth", "2", "-o", directory)
    assert (status, err) == (
        2,
        "error: a depth (--depth) requires the setting base\nhint: with a chain it is given\n",
    )
    status, _, err = cli("construct", "modular-addition", "--length", "4", "-p", "modulus=3001", "-o", directory)
    assert (status, err) == (
        2,
        "error: modular-addition takes 9,006,002 hidden units, over 262,144\nhint: choose smaller parameters\n",
    )
    (tmp_path / "m").mkdir()
    status, _, err = cli("construct", "parity", "--length", "4", "-o", directory)
    assert (status, err) == (
        2,
        f"error: {directory}: exists already\nhint: --force replaces it; or choose another name\n",
    )


def test_a_llama_without_a_chain(cli: Any, tmp_path: Path) -> None:
    directory = str(tmp_path / "m")
    options = ("--target", "llama", "--setting", "base", "--depth", "2", "--hidden", "128", "--head-width", "32")
    status, out, err = cli("construct", "parity", "--length", "6", *options, "-o", directory, "--json")
    made = json.loads(out)
    assert (status, err) == (0, "") and (made["width"], made["layers"], made["activation"]) == (128, 2, "silu")
    status, out, _ = cli("certify", directory)
    assert status == 0 and "prompts: all words of 6 bits, for what the last 3 come to" in out
    status, out, _ = cli("run", directory, "--prompt", "1 1 1 0 1 0")
    assert status == 0 and "answer: 1" in out
    status, _, err = cli("explore", directory, "-o", str(tmp_path / "page.html"))
    assert status == 2 and "is a Llama of a task without a chain; the page shows" in err
