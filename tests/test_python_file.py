"""Files that users name: how they are named, imported once, and refused with the line that is wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from serialformer.errors import SerialformerError, TaskError
from serialformer.python_file import file_of, load_python, split_reference


def test_references() -> None:
    assert split_reference("a/b.py:C") == ("a/b.py", "C")
    assert split_reference("C:\\b.py") == ("C:\\b.py", "")
    for name in ("parity", "S_5", "a:b", "a.py/b:c"):
        assert split_reference(name) is None


def test_a_file_is_imported_once_and_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    (tmp_path / "helper_of_mine.py").write_text("VALUE = 3\n")
    path.write_text("import helper_of_mine\nclass A: value = helper_of_mine.VALUE\n")
    before = list(sys.path)
    first = load_python(path)
    assert load_python(path) is first and sys.path == before
    assert first.module.A.value == 3 and file_of(first.module.A) is first and file_of(Path) is None
    assert [other.name for other in first.companions] == ["helper_of_mine.py"]
    path.write_text("class A: value = 4\n")
    again = load_python(path)
    assert again.module.A.value == 4 and again.digest != first.digest and first.module.A.value == 3
    assert {other.name for other in tmp_path.iterdir()} <= {"mine.py", "helper_of_mine.py"}
    sys.modules.pop("helper_of_mine")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a = (\n", ":1: SyntaxError: '(' was never closed"),
        (b"\n\nraise ValueError('so')\n", ":3: ValueError: so"),
        (b"import sys\nsys.exit(3)\n", ":2: SystemExit: 3"),
        (b"\xff", ": is not a Python file: it is not UTF-8 text"),
        (None, ": no such file\nhint: check the path; the form is FILE.py:NAME"),
    ],
)
def test_refusals(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "mine.py"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TaskError) as caught:
        load_python(path, TaskError)
    assert str(caught.value) == f"{path}{message}"
    assert isinstance(caught.value, SerialformerError)
