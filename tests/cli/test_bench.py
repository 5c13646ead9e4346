"""The command ``bench``: lists what there is, hands arguments and exit status through, and says where it works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serialformer.cli import bench
from tests.conftest import ROOT


def test_all_programs_are_listed_with_what_they_measure(cli: Any) -> None:
    result = cli("bench")
    assert (result.status, result.err) == (0, "")
    listed = dict(line.split(maxsplit=1) for line in result.out.splitlines())
    programs = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if "__main__" in path.read_text()}
    assert {name.replace("-", "_") for name in listed} == programs
    assert listed["front-page"].startswith("The table of the README")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bench, "FOLDER", tmp_path)
    program = 'import sys\nif __name__ == "__main__":\n    print(sys.argv[1:])\n    sys.exit(len(sys.argv))\n'
    (tmp_path / "some_thing.py").write_text(f'"""Counts.\n\nMore."""\n{program}')
    (tmp_path / "part.py").write_text("number = 1\n")
    return tmp_path


@pytest.mark.parametrize("name", ["some-thing", "some_thing"])
def test_arguments_and_exit_status_go_through(folder: Path, cli: Any, name: str) -> None:
    assert cli("bench", name) == (1, "[]\n", "")
    assert cli("bench", name, "parallel", "--", "--json", "x") == (4, "['parallel', '--json', 'x']\n", "")
    assert cli("bench").out == "some-thing  Counts.\n"


def test_refusals(folder: Path, cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli("bench", "part") == (2, "", "error: no benchmark 'part'\nhint: one of some-thing\n")
    monkeypatch.setattr(bench, "FOLDER", folder / "nowhere")
    result = cli("bench", "some-thing")
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith(f"error: {folder / 'nowhere'}: benchmarks come with the sources, not with the ")
    assert "hint: in a clone: pip install --editable" in result.err
