"""The front door: help, completion in a shell, and errors with colours for people only."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from serialformer.cli.main import COMMANDS, LazyCommands, wants_colour

COMMAND = Path(sys.executable).with_name("serialformer")


def test_no_command_is_answered_with_help_and_examples(cli: Any) -> None:
    result = cli()
    assert (result.status, result.out) == (2, "")  # nothing was asked, so nothing is answered on stdout
    assert result.err.startswith("Usage: serialformer [OPTIONS] COMMAND [ARGS]...\n")
    assert "Examples:\n    serialformer demo " in result.err
    assert max(map(len, result.err.splitlines())) <= 80
    asked = cli("--help")
    assert (asked.status, asked.out, asked.err) == (0, result.err, "")


def test_every_command_has_a_short_help_that_is_not_cut(cli: Any) -> None:
    names = set(COMMANDS)
    assert all(command.name == name and command.help for name, command in LazyCommands().items())
    commands = cli("--help").out.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert {line.split()[0] for line in commands} == names
    assert not [line for line in commands if line.endswith("...")]


def test_a_word_that_is_no_command(cli: Any) -> None:
    result = cli("complie")
    assert (result.status, result.out) == (2, "")
    assert "No such command 'complie'" in result.err


def on_a_terminal(*words: str, **environment: str) -> str:
    """What the command prints on a terminal, both streams together."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "serialformer", *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "NO_COLOR": "", **environment},
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while block := os.read(ours, 4096):
                shown += block
        except OSError:  # the other end is closed
            pass
        finally:
            os.close(ours)
        assert process.wait() == 2
    return shown.decode().replace("\r\n", "\n")


def test_errors_are_coloured_on_a_terminal_only(cli: Any) -> None:
    plain = "error: missing.aig: no such file\nhint: check the path\n"
    words = ("info", "missing.aig")
    coloured = on_a_terminal(*words)
    assert coloured == plain.replace("error:", "\033[1;31merror:\033[0m").replace("hint:", "\033[36mhint:\033[0m")
    piped = cli(*words)
    assert (piped.status, piped.err) == (2, plain)


@pytest.mark.parametrize(
    ("is_terminal", "no_colour", "terminal", "wanted"),
    [
        (True, None, "xterm", True),
        (True, "", "xterm", True),
        (True, "1", "xterm", False),
        (True, None, "dumb", False),
        (False, None, "xterm", False),
    ],
)
def test_who_wants_colours(
    monkeypatch: pytest.MonkeyPatch, is_terminal: bool, no_colour: str | None, terminal: str, wanted: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_colour is not None:
        monkeypatch.setenv("NO_COLOR", no_colour)
    monkeypatch.setenv("TERM", terminal)
    assert wants_colour(is_terminal=is_terminal) is wanted


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
@pytest.mark.skipif(not COMMAND.exists(), reason="serialformer is not installed as a command here")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("serialformer de", "demo decompile"),
        ("serialformer compile x.blif --dtype b", "bfloat16"),
    ],
)
def test_completion_in_bash(line: str, expected: str) -> None:
    words = line.split()
    script = f"""
eval "$({COMMAND} --show-completion)"
COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}
complete -p serialformer | grep -q 'F _serialformer_completion' || exit 3
_serialformer_completion {COMMAND}
echo "${{COMPREPLY[@]}}"
"""
    run = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == expected.split()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("train", "--length", "4"),
            "Error: Missing argument 'TASK', option '--setting', option '-o / --output'.\n",
        ),
        (("compile",), "Error: Missing argument 'CIRCUIT', option '-o / --output'.\n"),
        (("run",), "Error: Missing argument 'DIR'.\n"),
        (("run", "m", "a=3", "b=0x1"), "hint: input words go with -i: -i a=3 -i b=0x1\n"),
        (("run", "m", "x"), "Error: Got unexpected extra argument(s) (x)\n"),
        (("info", "m", "a=3"), "Error: Got unexpected extra argument(s) (a=3)\n"),
    ],
)
def test_what_is_missing_or_too_much(arguments: tuple[str, ...], message: str, cli: Any) -> None:
    result = cli(*arguments)
    assert result.status == 2 and not result.out and result.err.endswith(message)
