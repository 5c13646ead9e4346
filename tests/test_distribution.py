"""What is distributed: the source distribution holds what its tests need, and makes the wheel that the sources make."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]

pytest.importorskip("hatchling", reason="hatchling (extra dev) is not installed")


def build(sources: Path, target: Path, kind: str) -> Path:
    """The distribution that hatchling makes of some sources."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(target)]
    done = subprocess.run(command, cwd=sources, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (made,) = target.glob("*.tar.gz" if kind == "sdist" else "*.whl")
    return made


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build(ROOT, folder / "made", "sdist")) as archive:
        archive.extractall(folder, filter="data")
    (root,) = folder.glob("serialformer-*")
    return root


def contents(wheel: Path) -> dict[str, str]:
    """The hash of each file of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}


def test_it_holds_what_its_tests_and_make_need(unpacked: Path) -> None:
    folders = ("src", "tests", "docs", "examples", "benchmarks", "recipes", "explore")
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*")):
        parts = path.relative_to(ROOT).parts
        if path.is_file() and not {"__pycache__", "node_modules"} & set(parts) and not path.name.startswith("."):
            assert unpacked.joinpath(*parts).read_bytes() == path.read_bytes()
    for name in ("Makefile", "constraints.txt", "constraints-lowest.txt", "README.md", "LICENSE", ".ci/run"):
        assert (unpacked / name).is_file(), name
    assert not list(unpacked.rglob("__pycache__")) and not list(unpacked.rglob("*.nb[ci]"))


def test_it_makes_the_wheel_that_the_sources_make(unpacked: Path, tmp_path: Path) -> None:
    ours, theirs = (build(sources, tmp_path / name, "wheel") for name, sources in (("1", ROOT), ("2", unpacked)))
    assert ours.name == theirs.name and contents(ours) == contents(theirs)
    names = set(contents(ours))
    assert {"serialformer/__init__.py", "serialformer/py.typed", "serialformer/explorer/page.js"} <= names
    assert all(name.startswith(("serialformer/", "serialformer-")) for name in names)


START = """from importlib.metadata import entry_points
(command,) = entry_points(group="console_scripts", name="serialformer")
command.load()()"""


def declared(wheel: Path) -> set[str]:
    """The distributions that a wheel needs without extras, and those that they need."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(name).decode().splitlines()
    waiting = [line.partition(": ")[2] for line in lines if line.startswith("Requires-Dist: ")]
    found: set[str] = set()
    while waiting:
        requirement = Requirement(waiting.pop())
        if requirement.name not in found and (not requirement.marker or requirement.marker.evaluate({"extra": ""})):
            found.add(requirement.name)
            waiting += metadata.requires(requirement.name) or []
    return found


def demo(command: list[str | Path], folder: Path, **environment: str) -> None:
    """Fails unless the tour is right and leaves its page."""
    shown = subprocess.run(
        [*command, "demo", "-o", folder / "demo"],
        cwd=folder,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", **environment},
    )
    assert shown.returncode == 0, shown.stderr
    assert "(correct)" in shown.stdout and (folder / "demo" / "page.html").is_file()


def test_the_wheel_beside_what_it_declares_gives_its_demo(unpacked: Path, tmp_path: Path) -> None:
    """The packages are those that are installed here, and no other can be imported."""
    packages = tmp_path / "packages"
    wheel = build(unpacked, tmp_path / "wheel", "wheel")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    needed = declared(wheel)
    assert {"numpy", "numba", "llvmlite", "typer"} <= needed and not {"torch", "transformers", "pytest"} & needed
    for name in needed:
        distribution = metadata.distribution(name)
        tops = {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}
        for top in tops:
            (packages / top).symlink_to(str(distribution.locate_file(top)))
    demo([sys.executable, "-S", "-P", "-c", START], tmp_path, PYTHONPATH=str(packages))


@pytest.mark.slow  # fetches and installs what the wheel needs
def test_the_wheel_in_an_empty_environment_gives_its_demo(unpacked: Path, tmp_path: Path) -> None:
    wheel = build(unpacked, tmp_path / "wheel", "wheel")
    venv.create(tmp_path / "empty")  # with the pip of this environment: to install one takes longer than the rest
    python = tmp_path / "empty" / "bin" / "python"
    command: list[str | Path] = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    command += ["install", "--quiet", "--no-compile"]
    installed = subprocess.run(
        [*command, "--constraint", ROOT / "constraints.txt", wheel], capture_output=True, text=True
    )
    if installed.returncode:
        pytest.skip(f"the packages that it needs cannot be fetched: {installed.stderr.strip().splitlines()[-1]}")
    demo([tmp_path / "empty" / "bin" / "serialformer"], tmp_path)
