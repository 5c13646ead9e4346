"""Files and directories: whole or not at all, and never in the place of what is not ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from serialformer.errors import CheckpointError
from serialformer.files import new_directory


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_output_is_replaced_once_the_new_one_is_whole(tmp_path: Path) -> None:
    with new_directory(tmp_path / "m") as first:
        (first / "serialformer.json").write_text("old")
    with pytest.raises(ZeroDivisionError), new_directory(tmp_path / "m", overwrite=True) as second:
        (second / "serialformer.json").write_text("half")
        _ = 1 / 0
    assert (tmp_path / "m" / "serialformer.json").read_text() == "old" and names(tmp_path) == ["m"]
    with new_directory(tmp_path / "m", overwrite=True) as third:
        (third / "suite.json").write_text("new")
        assert (tmp_path / "m" / "serialformer.json").read_text() == "old"
    assert names(tmp_path / "m") == ["suite.json"] and names(tmp_path) == ["m"]


def test_what_is_not_ours_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years")
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    for name, message in (
        ("mine", "was not written by serialformer"),
        ("file", "is not a directory"),
        ("link", "is not a directory"),
    ):
        with pytest.raises(CheckpointError, match=message), new_directory(tmp_path / name, overwrite=True):
            pass
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years"
    assert names(tmp_path) == ["file", "link", "mine"]


def test_an_empty_directory_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with new_directory(tmp_path / "empty", overwrite=True) as made:
        (made / "serialformer.json").write_text("new")
    assert names(tmp_path / "empty") == ["serialformer.json"]
