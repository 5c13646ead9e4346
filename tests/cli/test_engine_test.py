"""``engine-test``: exit 0, 1 and 2, the keys of ``--json``, and the files that it writes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from serialformer import compile
from serialformer.engines.scattered import scattered_circuit
from tests.cli.conftest import Result

PROGRAM = """
import json, sys
import numpy as np
from serialformer import load
engine = load(sys.argv[1]).engine("dense")
for line in sys.stdin:
    asked = json.loads(line)
    made = engine.generate(np.array([asked["prompt"]]), asked["num_tokens"])[0].tolist()
    print(json.dumps({{"id": asked["id"], "tokens": {answer}}}), flush=True)
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("engine") / "model"
    compile(scattered_circuit(2, num_inputs=7, num_gates=40)).save(path)
    return path


def command(folder: Path, answer: str) -> str:
    (folder / "engine.py").write_text(PROGRAM.format(answer=answer))
    return f"'{sys.executable}' '{folder}/engine.py' {{model}}"


def test_right(cli: Callable[..., Result], directory: Path, tmp_path: Path) -> None:
    result = cli("engine-test", directory, "--command", command(tmp_path, "made"))
    assert result.status == 0 and result.out.splitlines()[-1].startswith("right: ")


def test_wrong(cli: Callable[..., Result], directory: Path, tmp_path: Path) -> None:
    wrong = command(tmp_path, "made[:5] + [1 - token for token in made[5:]]")
    files = {"--html": tmp_path / "report.html", "--junit": tmp_path / "junit.xml", "--reproduce": tmp_path / "again"}
    options = [word for pair in files.items() for word in pair]
    result = cli("engine-test", directory, "--command", wrong, "--json", *options)
    facts = json.loads(result.out)
    assert result.status == 1 and facts["wrong"] > 0 and facts["cases"] > facts["wrong"]
    assert facts["first"]["id"] == "whole-chain-000" and facts["first"]["token"] == 5 and facts["first"]["row"] == 0
    assert facts["first"]["gate"] == "g5" and facts["tokens"] > 100
    assert facts["blames"][0]["ours_right"] is True
    assert files["--html"].exists() and files["--junit"].read_text().startswith("<?xml")


def test_nothing_could_be_run(cli: Callable[..., Result], directory: Path, tmp_path: Path) -> None:
    result = cli("engine-test", directory, "--command", "no/such/engine")
    assert (result.status, result.err) == (
        2,
        "error: no/such/engine: cannot be started: No such file or directory\nhint: check the path\n",
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "expected one of --engine, --url and --command"),
        (("--engine", "none"), "no adapter for 'none'"),
        (("--url", "http://192.0.2.1:80"), "192.0.2.1 is not this machine"),
        (("--command", "x", "--served", "y"), "--served and --allow-remote go with --url"),
        (("--command", "x", "--python", "y"), "--python requires --engine"),
        (("--command", "x", "--sweep", "some"), "expected one of default, each, all, found 'some'"),
        (("--command", "x", "--set", "dtype"), "--set: expected OPTION=VALUE, found 'dtype'"),
        (("--command", "x", "--model", "y"), "no model y"),
    ],
)
def test_bad_input(cli: Callable[..., Result], directory: Path, options: tuple[str, ...], message: str) -> None:
    result = cli("engine-test", directory, *options)
    assert result.status == 2 and message in result.err and result.out == ""
