"""Error messages for a statement of Verilog that slang does not read: its own message names none."""

from __future__ import annotations

import re

UNREAD = "unsupported language feature"
"""slang's message about any of them."""

_STATEMENTS = {
    "do": (
        "this do ... while is not read",
        "a flag makes a while loop run once at least: first = 1; while (first || CONDITION) begin first = 0; ... end",
    ),
    "repeat": ("this repeat is not read", "write for"),
    "disable": (
        "this disable is not read",
        "set a flag there, and let what follows depend on it: if (!found) ...; in a .sv file break, continue and"
        " return are read too",
    ),
    "force": (
        "expected an assignment, found force, which is not read",
        "force is for testbenches: assign the signal in one place",
    ),
    "release": (
        "expected an assignment, found release, which is not read",
        "release is for testbenches: remove it with its force",
    ),
    "forever": (
        "expected a for, while or repeat loop, found forever, which is not read",
        "write while and the condition under which the loop runs on",
    ),
    "assign": (
        "expected an assignment with = or <=, found assign within a block, which is not read",
        "leave out the word, or assign a wire outside of the block",
    ),
}

REWRITTEN = ("do", "repeat", "disable")
"""Statements that are written in another way before slang sees them, where that can be done."""


def explain_unread(line: str, column: int | None, reason: str | None = None) -> tuple[str, str] | None:
    """The message and the hint about the statement that begins at a column, which counts from 1.

    Args:
        line: of the source.
        column: where slang puts its caret; None if it draws none.
        reason: why a statement of the line could not be written in a way that slang reads, if that was tried.

    Returns:
        None where the statement is none of those known here.

    >>> explain_unread("  if (a[i]) disable search;", 13)[0]
    'this disable is not read'
    """
    if column is None:
        return None
    word = re.match(r"\w+", line[column - 1 :])
    if word is None or word[0] not in _STATEMENTS:
        return None
    message, hint = _STATEMENTS[word[0]]
    return f"{message}: {reason}" if reason and word[0] in REWRITTEN else message, hint
