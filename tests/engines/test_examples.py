"""The examples without Python of ours: they read the cases, and say what is wrong with an engine that says 0."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from serialformer import compile
from serialformer.engines.cases import Case, write_cases
from serialformer.engines.scattered import scattered_circuit
from serialformer.engines.suite import make_cases

EXAMPLES = Path(__file__).parents[2] / "examples" / "engines"


@pytest.fixture(scope="module")
def cases() -> tuple[Case, ...]:
    return make_cases(compile(scattered_circuit(0, num_inputs=6, num_gates=60)), ("whole_chain", "one_token", "ends"))


def expected(cases: tuple[Case, ...]) -> str:
    wrong = sum(any(case.expected) for case in cases)
    assert 0 < wrong < len(cases)
    return f"{sum(len(case.expected) for case in cases)} tokens, {wrong} cases wrong\n"


def test_c(cases: tuple[Case, ...], tmp_path: Path) -> None:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler: cc is not on the PATH")  # the example in JavaScript and our reader cover the format
    write_cases(cases, tmp_path / "cases.jsonl")
    program = tmp_path / "known_answers"
    subprocess.run(["cc", "-Wall", "-Werror", str(EXAMPLES / "known_answers.c"), "-o", str(program)], check=True)
    run = subprocess.run([str(program), str(tmp_path / "cases.jsonl")], capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (1, expected(cases))


def test_javascript(cases: tuple[Case, ...], tmp_path: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("no node")
    write_cases(cases, tmp_path / "cases.jsonl")
    command = ["node", str(EXAMPLES / "known_answers.js"), str(tmp_path / "cases.jsonl")]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 1 and run.stdout.endswith(expected(cases))
    assert "should be 1, is 0; it depends on positions" in run.stdout


def test_examples_are_short() -> None:
    assert all(len(path.read_text().splitlines()) <= 60 for path in EXAMPLES.iterdir())
