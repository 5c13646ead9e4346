"""The front end that is committed is what its sources build to, and comes with its licences."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.conftest import PACKAGE, ROOT

FRONT_END = ROOT / "explore"


def test_the_committed_files_are_what_the_sources_build_to() -> None:
    npm = shutil.which("npm")
    if npm is None or not (FRONT_END / "node_modules" / "esbuild").is_dir():
        # Users and most contributors need no Node; .ci/run fetches what is needed where there is npm.
        pytest.skip("needs npm, and `npm ci` run in explore/")
    result = subprocess.run(
        [npm, "run", "--silent", "check"], cwd=FRONT_END, capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_what_is_bundled_is_listed_with_its_licence() -> None:
    listed = (PACKAGE / "explorer" / "THIRD_PARTY.txt").read_text()
    for name in ("preact", "@preact/signals", "@preact/signals-core"):
        assert f"\n{name} " in listed
    assert listed.count("Permission is hereby granted, free of charge") == 3


@pytest.mark.parametrize("path", sorted((FRONT_END / "src").glob("*.ts*")), ids=lambda path: path.name)
def test_no_source_writes_markup(path: Path) -> None:
    text = path.read_text()
    for name in ("innerHTML", "outerHTML", "insertAdjacentHTML", "dangerouslySetInnerHTML", "document.write", "eval("):
        assert name not in text
    assert len(text.splitlines()) <= 600
