"""``--force``: every command that refuses an existing output can replace it, if it is an output of serialformer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from serialformer.cli.main import COMMANDS, app

ROOT = Path(__file__).parents[2]
ADDER = """
.model adder
.inputs a[0] b[0]
.outputs s[0]
.names a[0] b[0] s[0]
10 1
01 1
.end
"""


@pytest.fixture
def adder(tmp_path: Path) -> Path:
    (tmp_path / "adder.blif").write_text(ADDER)
    return tmp_path / "adder.blif"


def test_which_commands_have_it() -> None:
    group: Any = typer.main.get_command(app)
    having = {name for name in COMMANDS if any("--force" in part.opts for part in group.commands[name].params)}
    assert having == {
        "demo", "compile", "evaluator", "construct", "train", "merge", "interp-suite", "engine-suite",
    }  # fmt: skip


def test_a_checkpoint_is_replaced(cli: Any, adder: Path, tmp_path: Path) -> None:
    model = tmp_path / "m"
    assert cli("compile", adder, "-o", model).status == 0
    again = cli("compile", adder, "-o", model, "--dtype", "bfloat16")
    assert again.status == 2
    assert again.err == f"error: {model}: exists already\nhint: --force replaces it; or choose another name\n"
    forced = cli("compile", adder, "-o", model, "--dtype", "bfloat16", "--force", "--json")
    assert forced.status == 0 and json.loads(forced.out)["dtype"] == "bfloat16"
    assert cli("run", model, "-i", "a=1", "-i", "b=0").out == "s=1\n"
    made = cli("construct", "parity", "--length", 3, "-o", model, "--force", "--json")
    assert made.status == 0 and json.loads(made.out)["kind"] == "task"
    evaluator = cli("evaluator", "--gates", 2, "-o", model, "--force", "--json")
    assert evaluator.status == 0 and json.loads(evaluator.out)["kind"] == "evaluator"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adder.blif", "m"]


def test_a_failure_leaves_the_old_one(cli: Any, adder: Path, tmp_path: Path) -> None:
    assert cli("compile", adder, "-o", tmp_path / "m").status == 0
    adder.write_text("nonsense")
    assert cli("compile", adder, "-o", tmp_path / "m", "--force").status == 2
    assert cli("run", tmp_path / "m", "-i", "a=1", "-i", "b=0").out == "s=1\n"


def test_a_folder_of_something_else_is_kept(cli: Any, adder: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years")
    refused = cli("compile", adder, "-o", tmp_path / "thesis", "--force")
    assert refused.status == 2 and "thesis: was not written by serialformer" in refused.err
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "years"
