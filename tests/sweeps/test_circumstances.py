"""What a row says of the source that ran."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from serialformer.sweeps import circumstances


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git checkout with a package in it, from which the module seems to come."""
    if shutil.which("git") is None:
        # It is no Python package, so the extra `dev` cannot bring it; what is said without it is tested all the same.
        pytest.skip("needs git")
    package = tmp_path / "src" / "serialformer"
    (package / "sweeps").mkdir(parents=True)
    (package / "__init__.py").write_text("one = 1\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", "one")
    monkeypatch.setattr(circumstances, "__file__", str(package / "sweeps" / "circumstances.py"))
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


def test_the_commit_and_whether_it_was_changed(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD").strip()
    assert circumstances.find_commit.__wrapped__() == head
    (repository / "src" / "serialformer" / "__init__.py").write_text("one = 2\n")
    assert circumstances.find_commit.__wrapped__() == head + "+"
    git(repository, "rm", "--cached", "--quiet", "src/serialformer/__init__.py")
    assert circumstances.find_commit.__wrapped__() == "", "a package that the repository does not have"


def test_without_git_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert circumstances.find_commit.__wrapped__() == ""


def test_asking_writes_nothing_into_the_repository(repository: Path) -> None:
    """``git status`` likes to bring its index up to date, behind a lock that a killed process leaves there."""
    os.utime(repository / "src" / "serialformer" / "__init__.py", (1, 1))
    index = repository / ".git" / "index"
    before = index.stat()
    assert not circumstances.find_commit.__wrapped__().endswith("+")
    assert (index.stat().st_ino, index.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
