"""``module.py:function`` wherever a circuit file is taken."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import serialformer
from serialformer import SerialformerError

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture
def module(tmp_path: Path) -> Path:
    (tmp_path / "beside.py").write_text("from serialformer import U\n\nNarrow = U[3]\n")
    file = tmp_path / "adder.py"
    file.write_text(
        "from beside import Narrow\nfrom serialformer import circuit\n\n\n"
        "@circuit\ndef add(a: Narrow, b: Narrow):\n    return (a + b).widen()\n\n\n"
        "@circuit\ndef bad(a: Narrow):\n    return a + 9\n\n\n"
        "def plain(a):\n    return a\n"
    )
    return file


def test_read(module: Path) -> None:
    for reference in (f"{module}:add", Path(f"{module}:add")):
        circuit = serialformer.read(reference)
        assert circuit.evaluate(a=7, b=6) == {"out": 13}
    assert str(module.parent) not in sys.path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("addd", "no function 'addd' (did you mean 'add'?)\nhint: {file} has add, bad"),
        ("plain", "plain is not decorated with @circuit\nhint: {file} has add, bad"),
        ("", "expected the name of a function after a colon\nhint: write {file}:function; {file} has add, bad"),
    ],
)
def test_names_that_are_missing(module: Path, name: str, message: str) -> None:
    with pytest.raises(SerialformerError) as error:
        serialformer.read(f"{module}:{name}")
    assert str(error.value) == f"{module}: " + message.format(file=module)
    with pytest.raises(SerialformerError, match="expected the name of a function"):
        serialformer.read(module)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("x = 1\n\nimport missing_module\n", 3, "cannot be imported: ModuleNotFoundError: No module named"),
        ("x = 1\ny = (\n", 2, "cannot be imported: SyntaxError: '(' was never closed"),
        ("x = 1\nraise SystemExit(3)\n", 2, "cannot be imported: SystemExit: 3"),
    ],
)
def test_files_that_cannot_be_imported(tmp_path: Path, text: str, line: int, message: str) -> None:
    file = tmp_path / "broken.py"
    file.write_text(text)
    with pytest.raises(SerialformerError) as error:
        serialformer.read(f"{file}:f")
    assert str(error.value).startswith(f"{file}:{line}: {message}")


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(
        SerialformerError, match=r"missing.py: no such file\nhint: check the path; the form is module.py"
    ):
        serialformer.read(tmp_path / "missing.py:f")
    with pytest.raises(SerialformerError, match="no circuit format '.py:f'"):
        serialformer.write(serialformer.read(EXAMPLES / "gcd.py:gcd"), tmp_path / "x.py:f")
