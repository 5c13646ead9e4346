"""The reference is what its generator writes, and the site has every page."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
PAGES = ("python", "modules", "command-line")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the reference as it is to be, written by a process without the tests' run-time type checks."""
    folder = tmp_path_factory.mktemp("reference")
    subprocess.run([sys.executable, str(REFERENCE / "generate.py"), str(folder)], check=True)
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_the_reference_is_up_to_date(page: str, written: Path) -> None:
    committed, fresh = ((folder / f"{page}.md").read_text().splitlines() for folder in (REFERENCE, written))
    different = [line for line in fresh if line not in set(committed)] + [x for x in committed if x not in set(fresh)]
    assert committed == fresh, f"run python docs/reference/generate.py; new or gone: {different[:10]}"


def test_the_reference_has_every_public_name_and_command() -> None:
    import serialformer
    from serialformer.cli.main import COMMANDS

    headings = re.findall(r"^## (\S+)$", (REFERENCE / "python.md").read_text(), re.M)
    assert set(headings) == set(serialformer.__all__)
    headings = re.findall(r"^## (\S+)$", (REFERENCE / "command-line.md").read_text(), re.M)
    assert set(headings) == {"serialformer"} | set(COMMANDS)


def test_no_fence_is_left_open() -> None:
    for page in PAGES:
        fences = re.findall(r"^```\w*$", (REFERENCE / f"{page}.md").read_text(), re.M)
        assert fences[1::2] == ["```"] * (len(fences) // 2)
        assert all(fence != "```" for fence in fences[::2])


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    named = set(re.findall(r"(\S+\.md)$", navigation, re.M))
    named = {name for name in named if not name.startswith("recipes/")}  # made of the recipes' READMEs: see test_site
    assert named == {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}


def build_site(site: Path, **environment: str) -> None:
    """Fails where mkdocs, or what it calls of ours, says anything."""
    run = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(site)],
        cwd=ROOT,
        env={"PATH": "", "NO_MKDOCS_2_WARNING": "1", "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stderr) == (0, "")


def test_the_site_is_built_without_a_warning_and_fetches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model that a live page shows in training takes ten steps here."""
    pytest.importorskip("material", reason="the extra docs is not installed")
    monkeypatch.syspath_prepend(ROOT / "docs")
    from site_live import LIVE, write_live_pages

    write_live_pages(tmp_path / "live", steps=10)
    build_site(tmp_path / "site", SERIALFORMER_LIVE=str(tmp_path / "live"))
    assert (tmp_path / "site" / "start" / "index.html").exists()
    assert not list((tmp_path / "site").rglob("*.py"))
    assert {path.stem for path in (tmp_path / "site" / "live").iterdir()} == set(LIVE)


@pytest.mark.slow  # trains the model of a live page until it is right
def test_the_site_makes_its_live_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("material", reason="the extra docs is not installed")
    monkeypatch.syspath_prepend(ROOT / "docs")
    from site_live import LIVE

    build_site(tmp_path / "site")
    assert {path.stem for path in (tmp_path / "site" / "live").iterdir()} == set(LIVE)


def test_no_example_stands_outside_a_fence() -> None:
    """Where it would be shown as a quotation."""
    for path in (ROOT / "docs").rglob("*.md"):
        prose = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.M | re.S)
        assert not re.findall(r"^>>>.*$", prose, re.M), path.name
