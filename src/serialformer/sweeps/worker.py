"""A process that carries out runs, one after another, for ``local``: a JSON object a line, in and out.

It reads ``{"package": ..., "directory": ...}`` and writes ``{"state": ...}``: ``advanced`` with the step, then ``done``
with the rows, or ``failed``, or ``stopped`` where no run can go on. When its input ends, whoever started it has gone,
and it ends at once, whatever it is doing.
"""

from __future__ import annotations

import errno
import json
import os
import queue
import re
import sys
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

from serialformer.errors import SerialformerError
from serialformer.sweeps.experiment import Report, Surroundings
from serialformer.sweeps.shipping import unpack
from serialformer.sweeps.work import carry_out, explain

SECONDS_BETWEEN_WORDS = 0.5
"""How often it says how far it is."""

STOPPING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG)
"""What the system says when no other run could be written either."""


def main() -> None:
    """Runs the experiments that arrive on standard input. All other output goes to standard error."""
    words = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    commands: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, commands), daemon=True).start()
    options = json.loads(sys.argv[1])
    try:
        while True:
            _answer(json.loads(commands.get()), options, words)
    except KeyboardInterrupt:
        # The state is saved. Nothing is waited for: not the other thread either.
        os._exit(130)


def _listen(source: BinaryIO, commands: queue.SimpleQueue[bytes]) -> None:
    for line in source:
        commands.put(line)
    os._exit(1)


def _answer(command: dict[str, Any], options: dict[str, Any], words: BinaryIO) -> None:
    """One run."""
    last, started = time.perf_counter(), time.perf_counter()

    def say(**content: Any) -> None:
        words.write(json.dumps(content).encode() + b"\n")
        words.flush()

    def advance(report: Report) -> None:
        nonlocal last
        now = time.perf_counter()
        if now - last >= SECONDS_BETWEEN_WORDS:
            last = now
            say(state="advanced", step=report.step, loss=report.loss, accuracy=report.accuracy)

    try:
        surroundings = Surroundings(
            directory=Path(command["directory"]),
            device=options["device"],
            save_seconds=options["save_seconds"],
            progress=advance,
        )
        rows = carry_out(unpack(command["package"]), surroundings)
        say(state="done", rows=[row.to_json() for row in rows])
    except Exception as error:  # whatever it is, it is this run's
        state = "stopped" if _find_errno(error) in STOPPING else "failed"
        say(state=state, reason=explain(error, Path(command["directory"])), seconds=time.perf_counter() - started)


def _find_errno(error: Exception) -> int | None:
    """The number of the system's own error, if that is what it was; safetensors has it in its text alone."""
    cause = error.__context__ if isinstance(error, SerialformerError) else error
    if isinstance(cause, OSError):
        return cause.errno
    number = re.search(r"os error (\d+)", str(cause)) if type(cause).__name__ == "SafetensorError" else None
    return None if number is None else int(number[1])


if __name__ == "__main__":
    main()
