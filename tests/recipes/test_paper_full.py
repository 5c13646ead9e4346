"""The script for a GPU, at toy size on the CPU: what it trains as stacks, a sweep has as rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from serialformer.python_file import load_python
from serialformer.sweeps.row import DONE
from serialformer.sweeps.store import read_rows

SCRIPT = Path(__file__).parents[2] / "recipes" / "paper-full" / "gpu.py"


def test_cells_at_toy_size_become_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gpu = load_python(SCRIPT).module
    found = gpu.cells(device="cpu", **gpu.TOY)[1:3]
    store = tmp_path / "toy.csv"
    assert gpu.train_cells(found, store, device="cpu", seconds=600) == 6
    rows = read_rows(store)
    assert {row.run for row in rows} == {run.id for cell in found for run in cell}
    assert all(row.status == DONE and row.steps == 10 and row.samples == 32 for row in rows)
    # Called again, there is nothing left to do.
    assert gpu.train_cells(found, store, device="cpu", seconds=600) == 0
    assert "3 of 3 models" in capsys.readouterr().err
