"""The list of expensive tests names tests that there are."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT
from tests.integration import FIXTURES, PATHS


@pytest.mark.parametrize("path", [path for group in PATHS.values() for path in group])
def test_it_is_there(path: str) -> None:
    file, _, function = path.partition("::")
    assert (ROOT / file).exists()
    assert not function or re.search(rf"^def {function}\(", (ROOT / file).read_text(), re.MULTILINE)


def test_pages_are_opened_with_a_fixture() -> None:
    fixtures = (ROOT / "tests/explorer/conftest.py").read_text()
    assert all(re.search(rf"^def {name}\(", fixtures, re.MULTILINE) for name in FIXTURES)


def test_pytest_and_make_agree() -> None:
    """What `pytest` leaves out, `make test` runs, and so does CI."""
    assert "-m 'not slow and not integration'" in (ROOT / "pyproject.toml").read_text()
    assert "test: .venv/all" in (makefile := (ROOT / "Makefile").read_text())
    assert makefile.partition("test: .venv/all")[2].splitlines()[1].endswith('-m pytest -m "not slow"')
    assert "\nmake test\n" in (ROOT / ".ci/run").read_text()
