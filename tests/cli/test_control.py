"""Ctrl-C and the progress bar, as a real process at a real terminal meets them."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import serialformer
from serialformer import CircuitBuilder

# What the command runs in, so that nothing hangs on how fast the machine is. It stops once it has made so many tokens,
# or when it is about to open a file or to rename one to a name, says so, and waits to be interrupted. Or it waits at
# certain tokens until the bar has shown them.
PROGRAM = """
import os, signal, sys, threading
from serialformer.cli import progress
from serialformer.cli.main import main
from serialformer.decode import dense

progress.SECONDS_BEFORE_SHOWN, progress.SECONDS_BETWEEN_FRAMES = {seconds_before_shown}, 0.001
frames, figures = threading.Semaphore(0), progress._figures

def counted(work, seconds):
    frames.release()
    return figures(work, seconds)

def stop():
    os.write({ready}, b"x")
    signal.pause()

def watch(event, arguments):
    if event in ("open", "os.rename") and {stop_at_file!r}:
        path = arguments[event == "os.rename"]
        if isinstance(path, (str, os.PathLike)) and (event, os.path.basename(path)) == {stop_at_file!r}:
            stop()

def stopping(self, prompts, num_tokens):
    global made
    for tokens in stream(self, prompts, num_tokens):
        yield tokens
        made += 1
        if made == {stop_at_token}:
            stop()
        if made in {shown_at}:
            while frames.acquire(blocking=False):
                pass
            frames.acquire()  # a frame begins that has this token
            frames.acquire()  # and has been drawn, for the next begins

progress._figures, stream, made = counted, dense.DenseEngine.stream, 0
dense.DenseEngine.stream = stopping
dense.DenseEngine.rows_at_once = lambda self, num_tokens: 2
sys.addaudithook(watch)
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
    arguments: list[str],
    folder: Path,
    stderr: int = subprocess.PIPE,
    *,
    stop_at_token: int = 0,
    stop_at_file: tuple[str, str] | None = None,
    shown_at: tuple[int, ...] = (),
    seconds_before_shown: float = 0.0,
) -> tuple[subprocess.Popen[str], int]:
    """The command in a process of its own, and what can be read from as soon as it stops or has ended."""
    ours, theirs = os.pipe()
    program = PROGRAM.format(
        ready=theirs,
        stop_at_token=stop_at_token,
        stop_at_file=stop_at_file,
        shown_at=shown_at,
        seconds_before_shown=seconds_before_shown,
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        cwd=folder,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
        pass_fds=(theirs,),
    )
    os.close(theirs)
    return process, ours


def interrupt(arguments: list[str], folder: Path, **stop: Any) -> tuple[str, str]:
    """What a command prints that is interrupted where it stops."""
    process, ready = start(arguments, folder, **stop)
    try:
        assert os.read(ready, 1) == b"x", "it is to be interrupted while it runs"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    finally:
        os.close(ready)
        process.kill()  # if it has not ended
    assert process.returncode == 130
    return out, err


@pytest.mark.parametrize("command", ["run", "run --trace", "run --json", "verify"])
def test_interrupting(command: str, chain: Path, tmp_path: Path) -> None:
    name, *options = command.split()
    inputs = ["-i", "a=1"] if name == "run" else ["--samples", "2"]
    out, err = interrupt([name, str(chain), *inputs, *options, "--engine", "dense"], tmp_path, stop_at_token=10)
    total, rows = (400, 1) if name == "run" else (800, 2)
    assert err == f"interrupted after {10 * rows} of {total} tokens\n"
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_interrupting_a_batch(chain: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a\n" + "1\n" * 1000)
    (tmp_path / "out.csv").write_text("before")
    arguments = ["run", str(chain), "--batch", "in.csv", "-o", "out.csv", "--engine", "dense"]
    out, err = interrupt(arguments, tmp_path, stop_at_token=900)
    assert err == "interrupted after 4 of 1000 rows\n"
    assert out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]
    assert (tmp_path / "out.csv").read_text() == "before"


@pytest.mark.parametrize("where", [("open", "config.json"), ("os.rename", "model")])
def test_interrupting_a_compilation(where: tuple[str, str], tmp_path: Path) -> None:
    """In the middle of writing, and at the last moment."""
    (tmp_path / "nand.bench").write_text("INPUT(a)\nINPUT(b)\nOUTPUT(y)\ny = NAND(a, b)\n")
    out, err = interrupt(["compile", "nand.bench", "-o", "model"], tmp_path, stop_at_file=where)
    assert (out, err) == ("", "interrupted\n")
    assert [path.name for path in tmp_path.iterdir()] == ["nand.bench"]


def at_a_terminal(arguments: list[str], folder: Path, **options: Any) -> tuple[int, str, str]:
    """Runs with a terminal for stderr; returns the status, stdout, and what the terminal showed."""
    ours, theirs = pty.openpty()
    process, ready = start([*arguments, "--engine", "dense"], folder, stderr=theirs, **options)
    os.close(theirs)
    os.close(ready)
    shown = b""
    while True:
        try:
            block = os.read(ours, 4096)
        except OSError:  # what Linux says when the other side is closed
            break
        if not block:
            break
        shown += block
    os.close(ours)
    out, _ = process.communicate()
    return process.returncode, out, shown.decode()


def test_the_bar_is_shown_when_it_takes_long(chain: Path, tmp_path: Path) -> None:
    status, out, shown = at_a_terminal(["run", str(chain), "-i", "a=1"], tmp_path, shown_at=(100, 200, 300))
    assert status == 0 and re.fullmatch(r"y=[01]\n", out)
    assert "thinking" in shown
    counts = [int(count) for count in re.findall(r"(\d+)/400 tokens, [\d,]+ tokens/s, \d+:\d\d left", shown)]
    assert {100, 200, 300} <= set(counts) and counts == sorted(counts)


def test_no_bar_for_what_is_quick(chain: Path, tmp_path: Path) -> None:
    arguments = ["run", str(chain), "-i", "a=1"]
    status, out, shown = at_a_terminal(arguments, tmp_path, seconds_before_shown=1000.0)
    assert status == 0 and out and shown == ""


def test_the_bar_of_a_batch(chain: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a\n" + "1\n" * 16)
    arguments = ["run", str(chain), "--batch", "in.csv", "-o", "o.csv"]
    status, _, shown = at_a_terminal(arguments, tmp_path, shown_at=(900,))
    assert status == 0 and (tmp_path / "o.csv").read_text().count("\n") == 17
    assert re.search(r"running .*4/16 rows, [\d,]+ rows/s, ", shown)
