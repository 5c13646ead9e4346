"""The environments of ``benchmarks/engines``: one for each adapter, with every version fixed."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.engines.run import ENVIRONMENTS, HERE, WITHOUT, make_environment

from serialformer.engines.adapters.registry import ADAPTERS


def test_every_adapter_has_an_environment() -> None:
    assert set(ENVIRONMENTS) == set(ADAPTERS)
    files = {path.stem for path in (HERE / "environments").iterdir()}
    assert files == set(ENVIRONMENTS.values())


@pytest.mark.parametrize("name", sorted(set(ENVIRONMENTS.values())))
def test_versions_are_fixed(name: str) -> None:
    lines = (HERE / "environments" / f"{name}.txt").read_text().splitlines()
    wanted = [line for line in lines if not line.startswith("#")]
    assert wanted and all(line.count("==") == 1 for line in wanted)
    assert lines[0].startswith("# ") and not lines[0].startswith(WITHOUT)


def test_an_environment_is_made_once(tmp_path: Path) -> None:
    """One that was made of the same list is used as it is."""
    folder = tmp_path / "llamacpp"
    folder.mkdir()
    (folder / "made-of.txt").write_text((HERE / "environments" / "llamacpp.txt").read_text())
    assert make_environment("llamacpp", tmp_path) == folder / "bin" / "python"
    assert not (folder / "bin").exists()
