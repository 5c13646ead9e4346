"""Output whose reader has gone, as in ``serialformer tasks | head -1``."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "arguments", [("tasks",), ("--help",), ("tasks", "--help"), ("tasks", "--json"), ("--version",)]
)
def test_a_closed_pipe_is_no_answer(arguments: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", "from serialformer.cli.main import main; main()", *arguments]
    ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, "")
