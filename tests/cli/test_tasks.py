"""The commands tasks and evaluate, and info and run on models of tasks."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import serialformer
from serialformer.tasks.registry import TASKS, make_task
from tests.task_models import exact_parity, random_model


@pytest.fixture
def parity(tmp_path: Path) -> str:
    exact_parity(6).save(tmp_path / "parity")
    return str(tmp_path / "parity")


def test_tasks(cli: Any) -> None:
    status, out, err = cli("tasks")
    assert (status, err) == (0, "")
    entries = dict(entry.split("\n", 1) for entry in out.rstrip("\n").split("\n\n"))
    assert list(entries) == list(TASKS)
    facts = dict(line.strip().split(": ", 1) for line in entries["modular-addition"].splitlines())
    assert facts == {
        "class": "ACC0, outside AC0",
        "also": "C_7 (modulus=7), C_2 (modulus=2)",
        "length counts": "residues",
        "parameters": "modulus=7",
        "prompt": "3 5 6 4 =",
        "chain": "3 1 0 4",
        "answer": "4",
    }


def test_tasks_json(cli: Any) -> None:
    status, out, err = cli("tasks", "--json")
    facts = json.loads(out)
    assert (status, err, list(facts)) == (0, "", list(TASKS))
    for name, entry in facts.items():
        assert entry["parameters"] == make_task(name).parameters
        assert entry["version"] == 1 and "Prompt:" in entry["description"]
        assert len(entry["prompt"].split()) <= entry["prompt_tokens"] and entry["prompt"].endswith(" =")
        assert len(entry["chain"].split()) <= entry["chain_tokens"]
        assert entry["answer"] in entry["chain"]


def test_one_task(cli: Any) -> None:
    status, out, _ = cli("tasks", "word-problem", "-p", "group=Z5", "--length", "6", "--seed", "3")
    assert status == 0 and "ACC0 (solvable group)" in out and "6 tokens in the vocabulary, at most 7 in a prompt" in out
    assert "Multiplies elements of a group." in out
    (prompt,) = [line for line in out.splitlines() if line.startswith("  prompt: ")]
    assert len(prompt.split()) == 8
    again = json.loads(cli("tasks", "word-problem", "-p", "group=Z5", "--length", "6", "--seed", "3", "--json")[1])
    assert prompt.endswith(again["word-problem"]["prompt"])


def test_one_task_lists_its_curricula(cli: Any) -> None:
    lines = cli("tasks", "circuit-value")[1].splitlines()
    listed = dict(line.removeprefix("  curriculum ").split(": ", 1) for line in lines if "  curriculum " in line)
    assert listed == make_task("circuit-value").curricula and {"early", "newest"} <= set(listed)
    assert json.loads(cli("tasks", "circuit-value", "--json")[1])["circuit-value"]["curricula"] == listed
    assert "curriculum" not in cli("tasks", "edit-distance")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prity"], "no task 'prity'\nhint: did you mean parity or"),
        (["-p", "modulus=3"], "-p and --length go with a TASK\nhint: one of modular-addition, "),
        (["parity", "--length", "0"], "parity: expected a length of at least 1, found 0"),
        (["modular-addition", "-p", "modulus=x"], "modular-addition, modulus: expected a whole number, found 'x'"),
    ],
)
def test_errors_of_tasks(cli: Any, arguments: list[str], message: str) -> None:
    status, out, err = cli("tasks", *arguments)
    assert (status, out) == (2, "") and err.startswith(f"error: {message}")


def test_evaluate_json(cli: Any, parity: str) -> None:
    status, out, err = cli("evaluate", parity, "--samples", "50", "--json")
    facts = json.loads(out)
    assert (status, err) == (0, "")
    assert {key: facts[key] for key in ("task", "parameters", "setting", "length", "model_length", "samples")} == {
        "task": "parity",
        "parameters": {},
        "setting": "cot",
        "length": 6,
        "model_length": 6,
        "samples": 50,
    }
    for name in ("chain", "answer", "generated_chain", "generated_answer"):
        assert facts[f"{name}_accuracy"] == 1.0
        low, high = facts[f"{name}_accuracy_interval"]
        assert 0.92 < low < high == 1.0
    assert facts["counts"]["chains"] == 50 and facts["counts"]["tokens"] == 300
    assert facts["engine"] == "indexed" and facts["seed"] == 0


def test_evaluate_lengths(cli: Any, parity: str) -> None:
    status, out, _ = cli("evaluate", parity, "--length", "4:6", "--samples", "40", "--seed", "2", "--json")
    facts = json.loads(out)
    assert status == 0 and facts["length"] == "4:6" and facts["samples"] == 120
    assert [entry["length"] for entry in facts["lengths"]] == [4, 5, 6]
    assert facts["lengths"][2]["chain_accuracy"] == 1.0 and facts["lengths"][0]["chain_accuracy"] < 1.0
    for name, count in facts["counts"].items():
        assert count == sum(entry["counts"][name] for entry in facts["lengths"])
    # A length scores the same by itself.
    alone = json.loads(cli("evaluate", parity, "--length", "4", "--samples", "40", "--seed", "2", "--json")[1])
    assert alone["counts"] == facts["lengths"][0]["counts"]


def test_evaluate_prints(cli: Any, parity: str) -> None:
    status, out, err = cli("evaluate", parity, "--samples", "20")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[:3] == [
        "task: parity",
        "setting: cot, made for length 6",
        "length 6: 20 samples, seed 0, engine indexed",
    ]
    assert lines[3] == "  chain_accuracy: 1.0000  (95 %: 0.8389 to 1.0000)"
    _, out, _ = cli("evaluate", parity, "--samples", "20", "--length", "5:6")
    assert out.splitlines()[2:4] == [
        "20 samples of each length, seed 0, engine indexed",
        "length  chain  answer  generated chain  generated answer",
    ]
    assert out.splitlines()[5].split() == ["6", "1.0000", "1.0000", "1.0000", "1.0000"]


def test_a_model_that_is_not_one_hot_names_the_engine_that_ran(cli: Any, tmp_path: Path) -> None:
    random_model(make_task("parity"), 5).save(tmp_path / "m")
    status, out, err = cli("evaluate", str(tmp_path / "m"), "--length", "3:5", "--samples", "20", "--json")
    assert (status, json.loads(out)["engine"], err) == (0, "dense", "")
    status, out, err = cli("evaluate", str(tmp_path / "m"), "--samples", "20", "--engine", "indexed", "--json")
    assert status == 0 and json.loads(out)["engine"] == "dense"
    assert err.startswith("indexed engine: ") and err.endswith("; the dense engine continues\n")
    status, out, err = cli("run", str(tmp_path / "m"), "--prompt", "0 1 1", "--engine", "indexed", "--json")
    assert (status, json.loads(out)["engine"]) == (0, "dense") and err.startswith("indexed engine: ")
    assert cli("evaluate", str(tmp_path / "m"), "--samples", "20", "--engine", "dense")[2] == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--length", "7"], "parity of length 7: takes 14 positions, the model has 13\nhint: the model is made for le"),
        (
            ["--length", "2:9"],
            "parity of length 7: takes 14 positions, the model has 13\nhint: the model is made for l",
        ),
        (["--length", "0"], "parity: expected a length of at least 1, found 0"),
        (["--length", "a"], "--length: expected N or N:M, found 'a'"),
        (["--length", "6:5"], "--length: 5 is below 6\nhint: write 5:6"),
        (["--length", "1:999999"], "--length: 999,999 lengths, over 10,000"),
        (["--engine", "fast"], "no engine 'fast'\nhint: one of auto, dense, indexed, sliced, hf"),
    ],
)
def test_errors_of_evaluate(cli: Any, parity: str, arguments: list[str], message: str) -> None:
    status, out, err = cli("evaluate", parity, "--samples", "5", *arguments)
    assert (status, out) == (2, "") and err.startswith(f"error: {message}")


def test_info(cli: Any, parity: str) -> None:
    status, out, err = cli("info", parity)
    facts = dict(re.split(" {2,}", line, maxsplit=1) for line in out.splitlines())
    assert (status, err) == (0, "")
    assert (facts["kind"], facts["task"], facts["length"], facts["tokens"]) == ("task", "parity", "6", "6")
    assert (facts["provenance"], facts["note"]) == ("unknown", "made from a circuit")
    as_json = json.loads(cli("info", parity, "--json")[1])
    assert {"kind", "tokens", "layers", "heads", "width", "parameters", "bytes"} <= set(as_json)


def test_run_a_prompt(cli: Any, parity: str) -> None:
    assert cli("run", parity, "--prompt", "1 0 1 1 0 1") == (0, "chain: 1 1 0 1 1 0\nanswer: 0\n", "")
    facts = json.loads(cli("run", parity, "--prompt", "101101=", "--json")[1])
    assert facts["chain"] == ["1", "1", "0", "1", "1", "0"] and facts["answer"] == facts["expected"] == ["0"]
    assert (facts["tokens"], facts["engine"]) == (6, "dense")


def test_run_says_if_the_answer_is_wrong(cli: Any, tmp_path: Path) -> None:
    model = random_model(make_task("modular-addition", {"modulus": 113}), 3).save(tmp_path / "m")
    assert model.run_text("5 6 7", engine="dense").answer != ("18",)
    status, out, err = cli("run", str(tmp_path / "m"), "--prompt", "5 6 7", "--engine", "dense")
    assert status == 0 and out.startswith("chain: ") and err == "the true answer is 18\n"
    assert model.run_text("5 6", engine="dense").answer != ("11",)
    status, _, err = cli("run", str(tmp_path / "m"), "--prompt", "5 6", "--engine", "dense")
    assert status == 0 and err == "the true answer is 11; the prompt has length 2, the model was made for 3\n"


def test_circuits_and_tasks_are_told_apart(cli: Any, parity: str, tmp_path: Path) -> None:
    build = serialformer.CircuitBuilder()
    build.output("y", build.not_(build.input("x")))
    circuit = str(serialformer.compile(build.circuit()).save(tmp_path / "circuit").directory)
    for arguments, message in (
        (
            ["run", parity, "-i", "x=1"],
            "is a model of a task, which takes other input\nhint: give a prompt as text: ",
        ),
        (["verify", parity], "is a model of a task, not a compiled circuit"),
        (["certify", parity], "was not constructed (provenance: unknown): no construction says what its weights"),
        (["evaluate", circuit], "is a compiled circuit, not a model of a task\nhint: give a value for each input word"),
        (["run", circuit, "--prompt", "1"], "is a compiled circuit, which takes other input"),
    ):
        status, out, err = cli(*arguments)
        assert (status, out) == (2, "")
        assert err.startswith(f"error: {arguments[1]}: {message}")
    status, _, err = cli("run", parity, "--prompt", "1", "--trace")
    assert (status, err) == (2, "error: --prompt cannot be combined with -i, --trace, --batch, -o or --max-tokens\n")
    status, _, err = cli("run", parity, "--prompt", "2")
    assert (status, err) == (
        2,
        "error: prompt of parity: no token '2' at place 1\nhint: expected bits, each 0 or 1, then =\n",
    )


def test_samples_are_written(cli: Any, tmp_path: Path) -> None:
    path = tmp_path / "new" / "data.jsonl"
    result = cli("tasks", "c7", "--samples", "1203", "--length", "4", "--seed", "7", "-o", path)
    assert result.status == 0 and result.out == f"file: {path}\nsamples: 1203\nlength: 4\n"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(rows) == 1203 and len({row["prompt"] for row in rows}) > 900
    for row in rows:
        items = list(map(int, row["prompt"].removesuffix(" =").split()))
        sums = [sum(items[: count + 1]) % 7 for count in range(4)]
        assert row["chain"] == " ".join(map(str, sums)) and row["answer"] == str(sums[-1])
    first = path.read_bytes()
    cli("tasks", "C_7", "--samples", "1203", "--length", "4", "--seed", "7", "-o", path)
    assert path.read_bytes() == first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("parity", "--samples", "3"), "--samples N and -o DATA.jsonl require each other"),
        (("parity", "-o", "x"), "--samples N and -o DATA.jsonl require each other"),
        (("--samples", "3", "-o", "x"), "--samples requires a TASK\nhint: one of modular-addition"),
    ],
)
def test_samples_refused(
    arguments: tuple[str, ...], message: str, cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = cli("tasks", *arguments)
    assert result.status == 2 and message in result.err and not list(tmp_path.iterdir())
