"""Every notebook in ``examples/notebooks`` runs from its first cell to its last, as on a hosted service."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "examples" / "notebooks").glob("*.ipynb"))


def sources(notebook: Path) -> list[str]:
    """The code cells."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def run_cell(source: str, names: dict[str, Any], file: str) -> Any:
    """Runs a cell; the value is that of its last line if that is an expression, which a notebook shows."""
    body = ast.parse(source, file).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body=body, type_ignores=[]), file, "exec"), names)
    if not isinstance(last, ast.Expr):
        return None
    return eval(compile(ast.Expression(body=last.value), file, "eval"), names)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("torch", "transformers", "matplotlib"):
        pytest.importorskip(package, reason="a notebook installs the extras that it names")
    monkeypatch.chdir(tmp_path)
    install, *cells = sources(notebook)
    assert install.startswith("%pip install") and "\n" not in install, "one line installs everything"
    assert not any(line.startswith(("%", "!")) for cell in cells for line in cell.splitlines())
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(cells):
        shown = run_cell(cell, names, f"{notebook.name}, cell {number}")
        if cell.rstrip().endswith(".explore()"):
            assert "<iframe" in shown._repr_html_()
    assert "assert " in "\n".join(cells), "a notebook checks what it shows"


def test_notebooks_hold_no_output() -> None:
    for notebook in NOTEBOOKS:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        assert all(not cell["outputs"] for cell in cells if cell["cell_type"] == "code")
    assert len(NOTEBOOKS) >= 3
