"""How an error about a design is worded: with the line of the source that Yosys notes for a cell or a wire."""

from __future__ import annotations

import re

from serialformer.circuits.verilog.rtlil import signal_names
from serialformer.circuits.verilog.yosys import excerpt
from serialformer.errors import FormatError


def error_at(message: str, place: str, source: str, *, hint: str | None = None) -> FormatError:
    """The error at a place that Yosys gives as file:line.column-line.column, or else at the file ``source``."""
    found = re.fullmatch(r"(.*):(\d+)(?:\.(\d+))?(?:-.*)?", place)
    if found is None:
        return FormatError(message, where=source, hint=hint)
    shown = excerpt(found[1], int(found[2]), int(found[3]) if found[3] else None)
    return FormatError(f"{message}{shown}", where=f"{found[1]}:{found[2]}", hint=hint)


def show_signal(signal: str) -> str:
    """A signal as the source would call it."""
    names = signal_names(signal)
    return repr(names[0]) if len(names) == 1 else repr(signal.replace("\\", ""))
