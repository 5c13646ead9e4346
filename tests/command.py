"""The command line run in this process: for what needs no terminal, no pipe and no signal of its own."""

from __future__ import annotations

import io
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

from serialformer.cli.main import main


class Result(NamedTuple):
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str


def run_command(*arguments: object, folder: Path | str = ".") -> Result:
    """Runs ``serialformer`` with some arguments in a folder.

    Starting an interpreter and importing torch takes two seconds of a processor; most commands take a tenth of that.
    """
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["serialformer", *map(str, arguments)]
    try:
        with chdir(folder), redirect_stdout(out), redirect_stderr(err):
            try:
                main()
                status = 0
            except SystemExit as exit_:
                status = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    finally:
        sys.argv = before
    return Result(status, out.getvalue(), err.getvalue())
