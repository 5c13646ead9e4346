"""Python functions on the command line: ``module.py:function`` where a circuit is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MODULE = """from serialformer import U, circuit


@circuit
def add(a: U[3], b: U[3]):
    return (a + b).widen()


@circuit
def bad(a: U[3]):
    return a + 9
"""


def test_the_command_line(tmp_path: Path, cli: Any) -> None:
    module = tmp_path / "adder.py"
    module.write_text(MODULE)
    compiled = cli("compile", f"{module}:add", "-o", tmp_path / "m", "--json")
    assert compiled.status == 0, compiled.err
    assert json.loads(compiled.out)["source"] == "adder.py:add"
    assert json.loads(cli("info", f"{module}:add", "--json").out)["gates"] >= json.loads(compiled.out)["gates"]
    verified = cli("verify", tmp_path / "m", "--against", f"{module}:add", "--exhaustive")
    assert (verified.status, verified.out.partition(",")[0]) == (0, "verified: every input")
    refused = cli("compile", f"{module}:bad", "-o", tmp_path / "n")
    assert (refused.status, refused.out) == (2, "")
    assert refused.err == f"error: {module}:11: 9 does not fit U[3]\nhint: U[3](9) wraps it\n"
    assert not (tmp_path / "n").exists()
