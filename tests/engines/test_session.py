"""Engines in processes of their own: answers, refusals, errors, signals, silence."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from serialformer import Model, compile
from serialformer.engines.adapters.adapter import Refusal
from serialformer.engines.adapters.registry import ADAPTERS
from serialformer.engines.command import CommandSession
from serialformer.engines.known import KnownAnswers
from serialformer.engines.report import check_engine
from serialformer.engines.scattered import scattered_circuit
from serialformer.engines.session import AdapterSession, Breakdown, Child
from serialformer.engines.suite import read_suite
from serialformer.errors import EngineError, InputError

ECHO = "import sys\nfor line in sys.stdin: print(line.strip() * 2, flush=True)"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("session") / "model"
    return compile(scattered_circuit(2, num_inputs=7, num_gates=60)).save(path)


def child(program: str, timeout: float = 60.0) -> Child:
    return Child([sys.executable, "-c", program], timeout=timeout)


def test_lines_out_and_in() -> None:
    process = child(ECHO)
    process.send("ab")
    assert process.receive() == "abab\n"
    process.close()


@pytest.mark.parametrize(
    ("program", "kind", "message"),
    [
        ("import os, sys; print('bye', file=sys.stderr); os.kill(os.getpid(), 8)", "signal", "ended by SIGFPE"),
        ("import sys; print('bye', file=sys.stderr); sys.exit(3)", "exit", "ended with status 3"),
    ],
)
def test_an_end_is_a_breakdown(program: str, kind: str, message: str) -> None:
    process = child(program)
    with pytest.raises(Breakdown, match=message) as caught:
        process.receive()
    assert (caught.value.kind, caught.value.detail) == (kind, "bye\n")
    process.close()


def test_silence_is_a_breakdown() -> None:
    process = child("import sys; sys.stdin.read()", timeout=0.05)
    with pytest.raises(Breakdown, match=r"no answer in 0.05 seconds") as caught:
        process.receive()
    assert caught.value.kind == "timeout"
    process.close()


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(EngineError, match="no/such/program: cannot be started"):
        Child(["no/such/program"], timeout=1.0)


def test_an_unknown_adapter() -> None:
    with pytest.raises(EngineError, match="no adapter for 'none'\nhint: one of transformers, "):
        AdapterSession("none")


def test_an_environment_without_the_engine(tmp_path: Path) -> None:
    """An interpreter that sees no packages."""
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(
        EngineError, match=r"engine transformers is not installed in .*python: No module named"
    ) as caught:
        AdapterSession("transformers", python=str(bare))
    assert "hint: pip install transformers torch; --python PATH" in str(caught.value)


@pytest.mark.parametrize("name", ["transformers", "ctranslate2", "onnxruntime"])
def test_adapters(name: str, model: Model) -> None:
    pytest.importorskip(name)
    session = AdapterSession(name)
    assert name in session.versions
    assert model.directory is not None
    (asked,) = read_suite(model.directory)
    report = check_engine(session, [asked], sweep="default", brief=True)
    assert report.status == 0 and report.cases >= 50
    options = {option: values[0] for option, values in session.options.items()}
    with pytest.raises(Breakdown, match="Error") as caught:
        session.open(Path("/no/such/directory"), options)
    assert caught.value.detail.startswith("  File")
    # It goes on after an error.
    assert session.open(model.directory, options)["dtype"] == "float32"
    known = KnownAnswers(model)
    prompt = known.prompt([1, 0, 1, 1, 0, 0, 1])
    made = session.generate([prompt], 20, None)
    assert tuple(made[0][:20]) == known.continue_prompt(prompt, 20)
    if name != "transformers":
        with pytest.raises(Refusal, match="has no draft models"):
            session.generate([prompt], 20, model.directory)
    if name == "onnxruntime":
        with pytest.raises(Refusal, match="has no reproduction"):
            session.script(options)
    else:
        exec(session.script(options), {})
    session.close()


def test_every_adapter_has_its_name_and_a_default() -> None:
    from importlib import import_module

    for name, module in ADAPTERS.items():
        adapter = import_module(f"serialformer.engines.adapters.{module}").ADAPTER
        assert adapter.name == name and adapter.requires
        assert all(len(values) >= 1 for values in adapter.options.values())


ENGINE = """
import json, sys
import numpy as np
from serialformer import load
engine = load(sys.argv[1]).engine()
for line in sys.stdin:
    asked = json.loads(line)
    made = engine.generate(np.array([asked["prompt"]]), asked["num_tokens"])[0].tolist()
    print(json.dumps({"id": asked["id"], "tokens": made}), flush=True)
"""


def test_a_command(model: Model, tmp_path: Path) -> None:
    (tmp_path / "engine.py").write_text(ENGINE)
    session = CommandSession(f"'{sys.executable}' '{tmp_path}/engine.py' {{model}}")
    assert model.directory is not None
    report = check_engine(session, read_suite(model.directory), sweep="each")
    session.close()
    assert report.status == 0 and report.cases == len(read_suite(model.directory)[0].cases)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("no json", 'expected {"id", "tokens"}, found no json'),
        ('{"id": "0"}', 'expected {"id", "tokens"}'),
        ('{"id": "0", "tokens": ["a"]}', "expected a list of token ids"),
        ('{"id": "7", "tokens": []}', "answered '7', which was not asked"),
    ],
)
def test_answers_that_are_none(answer: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "engine.py").write_text(f"import sys\nfor line in sys.stdin: print({answer!r}, flush=True)\n")
    session = CommandSession(f"'{sys.executable}' '{tmp_path}/engine.py'")
    session.open(tmp_path, {})
    with pytest.raises(Breakdown, match=message):
        session.generate([[0, 2]], 3, None)
    session.close()


@pytest.mark.parametrize("command", ["", "'unclosed"])
def test_commands_that_are_none(command: str) -> None:
    with pytest.raises(InputError, match="--command"):
        CommandSession(command)


def test_answers_in_any_order(tmp_path: Path) -> None:
    program = (
        "import json, sys\nlines = [json.loads(sys.stdin.readline()) for _ in range(3)]\n"
        "for asked in reversed(lines): print(json.dumps({'id': asked['id'], 'tokens': asked['prompt']}), flush=True)\n"
    )
    (tmp_path / "engine.py").write_text(program)
    session = CommandSession(f"'{sys.executable}' '{tmp_path}/engine.py'")
    session.open(tmp_path, {})
    prompts = np.arange(6).reshape(3, 2).tolist()
    assert session.generate(prompts, 1, None) == prompts
    session.close()
