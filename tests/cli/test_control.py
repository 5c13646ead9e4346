"""Ctrl-C and the progress bar, as a real process at a real terminal meets them."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import serialformer
from serialformer import CircuitBuilder

# The engine is slowed down, so that how long a run takes does not hang on the machine, and says when it has begun.
SLOW = """
import os, pathlib, sys, time
from serialformer.cli.main import main
from serialformer.decode import dense
stream = dense.DenseEngine.stream
made = 0
def slow(self, prompts, num_tokens):
    global made
    for tokens in stream(self, prompts, num_tokens):
        time.sleep({pause})
        yield tokens
        made += 1
        if made == {tokens_until_ready}:
            pathlib.Path(os.environ["READY"]).touch()
dense.DenseEngine.stream = slow
dense.DenseEngine.rows_at_once = lambda self, num_tokens: 2
main()
"""


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a chain of 400 tokens."""
    build = CircuitBuilder()
    a, b = build.inputs("a", 2)
    for _ in range(200):
        a, b = b, build.not_(build.xor(a, b))
    build.output("y", b)
    directory = serialformer.compile(build.circuit()).save(tmp_path_factory.mktemp("control") / "chain").directory
    assert directory is not None
    return directory


def start(
    arguments: list[str], pause: float, folder: Path, stderr: int = subprocess.PIPE, tokens_until_ready: int = 10
) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SLOW.format(pause=pause, tokens_until_ready=tokens_until_ready), *arguments]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        cwd=folder,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120", "READY": str(ready(folder))},
    )


def ready(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.ready")


def interrupt(process: subprocess.Popen[str], folder: Path) -> tuple[str, str]:
    deadline = time.monotonic() + 60
    while not ready(folder).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.poll() is None, "it is to be interrupted while it runs"
    process.send_signal(signal.SIGINT)
    try:
        return process.communicate(timeout=20)
    finally:
        process.kill()  # if it has not ended


@pytest.mark.parametrize("command", ["run", "run --trace", "run --json", "verify"])
def test_interrupting(command: str, chain: Path, tmp_path: Path) -> None:
    name, *options = command.split()
    inputs = ["-i", "a=1"] if name == "run" else ["--samples", "2"]
    process = start([name, str(chain), *inputs, *options, "--engine", "dense"], 0.1, tmp_path)
    out, err = interrupt(process, tmp_path)
    assert process.returncode == 130
    total = 400 if name == "run" else 800
    match = re.fullmatch(rf"interrupted after (\d+) of {total} tokens\n", err)
    assert match and 0 < int(match[1]) < total, err
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_interrupting_a_batch(chain: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a\n" + "1\n" * 1000)
    (tmp_path / "out.csv").write_text("before")
    arguments = ["run", str(chain), "--batch", "in.csv", "-o", "out.csv", "--engine", "dense"]
    process = start(arguments, 0.001, tmp_path, tokens_until_ready=900)
    out, err = interrupt(process, tmp_path)
    assert process.returncode == 130
    match = re.fullmatch(r"interrupted after (\d+) of 1000 rows\n", err)
    assert match and 0 < int(match[1]) < 1000, err
    assert out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]
    assert (tmp_path / "out.csv").read_text() == "before"


def test_interrupting_a_compilation(tmp_path: Path) -> None:
    build = CircuitBuilder()
    a, b = build.inputs("a", 2)
    for _ in range(30_000):
        a, b = b, build.xor(a, b)
    build.output("y", b)
    serialformer.write(build.circuit(), tmp_path / "long.bench")
    process = start(["compile", "long.bench", "-o", "model"], 0, tmp_path)
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline and len(list(tmp_path.iterdir())) == 1:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)  # in the middle of writing, if it is still there
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) in [(130, "interrupted\n"), (0, "")]
    assert {path.name for path in tmp_path.iterdir()} <= {"long.bench", "model"}
    if process.returncode == 130:
        assert not (tmp_path / "model").exists()


def at_a_terminal(arguments: list[str], pause: float, folder: Path) -> tuple[int, str, str]:
    """Runs with a terminal for stderr; returns the status, stdout, and what the terminal showed."""
    ours, theirs = pty.openpty()
    process = start([*arguments, "--engine", "dense"], pause, folder, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        if select.select([ours], [], [], 60)[0]:
            try:
                block = os.read(ours, 4096)
            except OSError:  # what Linux says when the other side is closed
                block = b""
            shown += block
            if block:
                continue
        break
    os.close(ours)
    out, _ = process.communicate(timeout=20)
    return process.returncode, out, shown.decode()


def test_the_bar_is_shown_when_it_takes_long(chain: Path, tmp_path: Path) -> None:
    status, out, shown = at_a_terminal(["run", str(chain), "-i", "a=1"], 0.01, tmp_path)
    assert status == 0 and re.fullmatch(r"y=[01]\n", out)
    assert "thinking" in shown
    counts = [int(count) for count in re.findall(r"(\d+)/400 tokens, \d+ tokens/s, \d+:\d\d left", shown)]
    assert len(set(counts)) >= 3 and counts == sorted(counts) and counts[0] > 0


def test_no_bar_for_what_is_quick(chain: Path, tmp_path: Path) -> None:
    status, out, shown = at_a_terminal(["run", str(chain), "-i", "a=1"], 0, tmp_path)
    assert status == 0 and out and shown == ""


def test_the_bar_of_a_batch(chain: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a\n" + "1\n" * 16)
    status, _, shown = at_a_terminal(["run", str(chain), "--batch", "in.csv", "-o", "o.csv"], 0.001, tmp_path)
    assert status == 0 and (tmp_path / "o.csv").read_text().count("\n") == 17
    assert re.search(r"running .*\d+/16 rows, \d+ rows/s, ", shown)
