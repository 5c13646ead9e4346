"""Berkeley's ABC, which ships with pyosys: an independent reader, simulator and prover."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest


def run_abc(commands: str, *, cwd: Path, seconds: float = 60) -> str:
    """What ABC prints for the commands; skips the test where pyosys is not installed."""
    pyosys = pytest.importorskip("pyosys", reason="pyosys (extra hdl) is not installed")
    binary = Path(pyosys.__file__).parent / "yosys-abc"
    run = subprocess.run(
        [binary, "-q", commands], cwd=cwd, capture_output=True, text=True, timeout=seconds, check=False
    )
    return run.stdout + run.stderr


def prove_equivalent(first: Path, second: Path) -> None:
    """Fails unless ABC proves that two combinational files (by its readers) compute the same, ports in order."""
    assert first.parent == second.parent
    printed = run_abc(f"cec -n {first.name} {second.name}", cwd=first.parent)
    assert "Networks are equivalent" in printed, printed
