"""The pytest plugin: a sound engine passes, a broken one fails with the token's name, no suite skips."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from serialformer import Model, compile
from serialformer.engines.scattered import scattered_circuit
from serialformer.testing import KnownCall, known_calls

PROGRAM = """
import numpy as np
from serialformer import load
from serialformer.testing import known_answers

engine = load({directory!r}).engine("dense")

def generate(call):
    return [engine.generate(np.array([prompt]), call.num_tokens)[0].tolist() for prompt in call.prompts]

@known_answers({directory!r}, families=["one token"])
def test_sound(known_call):
    known_call.check(generate(known_call))

@known_answers(families=["one token"])
def test_named_on_the_command_line(known_call):
    known_call.check(generate(known_call))

@known_answers({directory!r}, families=["one token"])
def test_broken(known_call):
    known_call.check([[1 - token for token in row] for row in generate(known_call)])
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("testing") / "model"
    return compile(scattered_circuit(3, num_inputs=6, num_gates=50)).save(path)


def pytest_of(folder: Path, model: Model, *options: str) -> str:
    (folder / "test_engine.py").write_text(PROGRAM.format(directory=str(model.directory)))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "serialformer.testing"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # which take longer to import than ours
    run = subprocess.run(
        [*command, *options, "test_engine.py"], cwd=folder, capture_output=True, text=True, env=environment
    )
    return run.stdout


def test_the_plugin(model: Model, tmp_path: Path) -> None:
    text = pytest_of(tmp_path, model)
    assert "3 failed, 3 passed, 1 skipped" in text
    assert "one token, row 0: token 0 at position" in text and "which reads positions [" in text
    assert "3 failed, 6 passed" in pytest_of(tmp_path, model, "--known-answers", str(model.directory))


def test_calls(model: Model) -> None:
    assert model.directory is not None
    calls = known_calls(model.directory)
    assert all(isinstance(call, KnownCall) and call.draft is None for call in calls)
    call = next(call for call in calls if len(call.cases) > 1)
    call.check([list(case.expected) for case in call.cases])
    with pytest.raises(AssertionError, match="1 answers to"):
        call.check([[0]])
