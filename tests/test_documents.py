"""What the front page and the guides say is so: their files are written, their commands run, their output compared."""

from __future__ import annotations

import io
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.core import TyperGroup
from typer.main import get_command

import serialformer
from serialformer.cli.main import app, main
from serialformer.models.card import CITATION

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted(path for path in (ROOT / "docs").rglob("*.md") if "reference" not in path.parts)]

NEEDS = {
    "train": "torch",
    "from transformers": "transformers",
    "--engine transformers": "transformers",
    "matplotlib": "matplotlib",
    ".v ": "pyosys",
}
"""What a page with such a line needs besides the light core."""


class Block(NamedTuple):
    """A fenced block of a page."""

    line: int
    language: str
    title: str
    body: str


class Command(NamedTuple):
    """A line of a console, and what it prints."""

    line: int
    text: str
    expected: str


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    found = re.finditer(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', text, re.M | re.S)
    return [Block(text.count("\n", 0, match.start()) + 1, match[1], match[2] or "", match[3]) for match in found]


def commands(block: Block) -> Iterator[Command]:
    """The commands of a console block; a backslash at a line's end goes on in the next."""
    parts = re.split(r"^\$ ((?:.*\\\n)*.*)\n", block.body, flags=re.M)
    assert parts[0] == "", f"line {block.line}: a console begins with a command"
    line = block.line + 1
    for text, expected in zip(parts[1::2], parts[2::2], strict=True):
        yield Command(line, text.replace("\\\n", " "), expected)
        line += text.count("\n") + 1 + expected.count("\n")


def pattern(expected: str) -> str:
    """A regular expression: a line ``...`` stands for any lines, ``...`` within a line for anything in it.

    >>> bool(re.fullmatch(pattern("a 1\\n...\\nb: ... s\\n"), "a 1\\nx\\ny\\nb: 0.3 s\\n"))
    True
    """
    return "".join(
        "(?:.*\n)*?" if line == "...\n" else re.escape(line).replace(r"\.\.\.", ".*")
        for line in expected.splitlines(keepends=True)
    )


def run(words: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What a command prints, run in this process: both streams of ours, the first of a program's.

    Libraries write their progress to a program's second one.
    """
    if words[0] == "cat":
        return Path(words[1]).read_text()
    printed = io.StringIO()
    monkeypatch.setattr(sys, "argv", words)
    with redirect_stdout(printed), redirect_stderr(io.StringIO() if words[0] == "python" else printed):
        try:
            if words[0] == "python":
                monkeypatch.setattr(sys, "argv", words[1:])
                runpy.run_path(words[1], run_name="__main__")
            else:
                main()
        except SystemExit:
            pass
    return printed.getvalue()


def pages_with_consoles() -> list[Path]:
    return [page for page in PAGES if any(block.language == "console" for block in blocks(page))]


@pytest.mark.parametrize("page", pages_with_consoles(), ids=lambda page: str(page.relative_to(ROOT)))
def test_consoles(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = page.read_text()
    for line, package in NEEDS.items():
        if line in text:
            pytest.importorskip(package)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for block in blocks(page):
        if block.title:
            Path(block.title).write_text(block.body)
        if block.language != "console":
            continue
        for command in commands(block):
            words = shlex.split(command.text, comments=True)
            assert words[0] in ("serialformer", "python", "cat"), f"line {command.line}: {command.text}"
            printed = run(words, monkeypatch)
            assert re.fullmatch(pattern(command.expected), printed), (
                f"{page.name}:{command.line}: {command.text}\nexpected\n{command.expected}\nprinted\n{printed}"
            )


def test_the_pages_that_have_consoles() -> None:
    named = {str(page.relative_to(ROOT)) for page in pages_with_consoles()}
    assert {"README.md", "docs/start.md", "docs/guides/netlists.md", "docs/guides/engine-right.md"} <= named


def mentioned() -> list[tuple[Path, str]]:
    """The lines of all pages that are commands of ours, run by a test or not."""
    lines = (
        (page, line.strip().removeprefix("$ "))
        for page in PAGES
        for line in page.read_text().replace("\\\n", " ").splitlines()
        if re.match(r"(    |\$ )(\$ )?serialformer [a-z]", line)
    )
    return [(page, line) for page, line in lines if not re.search(r"\.\.\.|\[|^serialformer \w+ +[A-Z]|error:", line)]


def test_commands_exist_and_take_these_options() -> None:
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    lines = mentioned()
    for page, line in lines:
        name, *words = shlex.split(line, comments=True)[1:]
        where = f"{page.relative_to(ROOT)}: {line}"
        assert name in group.commands, where
        options = {option for parameter in group.commands[name].params for option in parameter.opts}
        for word in words:
            if re.match(r"-[-A-Za-z]", word):
                assert word.partition("=")[0] in options or word[:2] in options, f"{where}: {word}"
    assert len(lines) > 50


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", prose)):
        if not target.startswith(("https://", "#")):
            assert (page.parent / target.partition("#")[0]).exists(), f"{page.name} links to {target}"


def test_the_front_page_is_short() -> None:
    assert len(README.read_text().splitlines()) < 140


def test_the_example_is_what_its_program_makes() -> None:
    made = subprocess.run(
        [
            sys.executable,
            "-c",
            "from make_multiplier import multiplier; import sys;"
            "from serialformer.circuits.formats.blif.blif import format_blif;"
            "sys.stdout.buffer.write(format_blif(multiplier(16)))",
        ],
        cwd=ROOT / "examples",
        capture_output=True,
        check=True,
    )
    assert made.stdout == (ROOT / "examples" / "multiplier16.blif").read_bytes()


def test_how_to_cite() -> None:
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"version: {serialformer.__version__}\n" in citation
    assert "arXiv:2402.12875" in citation
    # The version is the same wherever it stands, and the changelog has a dated section for it.
    assert f'\nversion = "{serialformer.__version__}"\n' in (ROOT / "pyproject.toml").read_text()
    releasing = (ROOT / "docs" / "releasing.md").read_text()
    assert f"version = {{{serialformer.__version__}}}" in releasing and CITATION in releasing
    released = re.search(r"^date-released: (.*)$", citation, re.M)
    assert released is not None
    assert f"\n## {serialformer.__version__} ({released[1]})\n" in (ROOT / "CHANGELOG.md").read_text()
