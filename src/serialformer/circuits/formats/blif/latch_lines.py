"""The latches of BLIF models: their lines, and the one clock that they must share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from serialformer.arrays import Int
from serialformer.circuits.formats.statements import Statements
from serialformer.errors import FormatError

NO_CONTROL = -1
"""In ``LatchLines.controls``: the latch names no clock."""

FREE = 2
"""In ``LatchLines.initial``: BLIF's 2 (don't care) and 3 (unknown), which it also means where it says nothing."""

EDGES = ("re", "fe")
"""Types of latches that are flip-flops; ``ah``, ``al`` and ``as`` are transparent or have no clock."""

_GRAMMAR = "expected .latch READ DRIVEN [re|fe CLOCK] [0-3]"


@dataclass(frozen=True, kw_only=True)
class LatchLines:
    """The latches of one model; nets are first the file's tokens, later the model's nets.

    Attributes:
        read: what each reads.
        driven: what each drives.
        controls: its clock, or ``NO_CONTROL``.
        falling: whether its clock counts where it falls.
        initial: 0, 1 or ``FREE``.
        lines: the line of each.
    """

    read: Int[np.ndarray, " latches"]
    driven: Int[np.ndarray, " latches"]
    controls: Int[np.ndarray, " latches"]
    falling: Int[np.ndarray, " latches"]
    initial: Int[np.ndarray, " latches"]
    lines: Int[np.ndarray, " latches"]

    def tokens(self) -> Int[np.ndarray, " tokens"]:
        """All that stands for nets, in one array."""
        return np.concatenate([self.read, self.driven, self.controls[self.controls != NO_CONTROL]])

    def with_nets(self, nets: Int[np.ndarray, " tokens"]) -> LatchLines:
        """The latches with these in place of ``tokens()``."""
        count = len(self.lines)
        controls = np.full(count, NO_CONTROL, dtype=np.int64)
        controls[self.controls != NO_CONTROL] = nets[2 * count :]
        return LatchLines(
            read=nets[:count],
            driven=nets[count : 2 * count],
            controls=controls,
            falling=self.falling,
            initial=self.initial,
            lines=self.lines,
        )


def read_latches(statements: Statements, texts: Sequence[str], lines: Int[np.ndarray, " lines"]) -> LatchLines:
    """The ``.latch`` lines of a model.

    Raises:
        FormatError: a line has too few or too many parts, a type that is no flip-flop's, or another initial value.
    """
    rows = []
    for line in lines.tolist():
        tokens = statements.line_tokens(line).tolist()[1:]
        if not 2 <= len(tokens) <= 5:
            raise statements.error(
                line, f"{_GRAMMAR}, found {statements.line_text(line)}", hint="two to five words after .latch"
            )
        initial, control, falling = FREE, NO_CONTROL, 0
        if len(tokens) in (3, 5):
            text = texts[tokens.pop()]
            if text not in ("0", "1", "2", "3"):
                raise statements.error(
                    line,
                    f"{_GRAMMAR}, found {text!r} for the initial value",
                    hint="0, 1, 2 (don't care) or 3 (unknown)",
                )
            initial = min(int(text), FREE)
        if len(tokens) == 4:
            kind = texts[tokens[2]]
            if kind not in EDGES:
                raise statements.error(
                    line,
                    f"{_GRAMMAR}, found the type {kind!r}",
                    hint="re and fe are flip-flops; transparent latches (ah, al) and as have no clock cycle",
                )
            falling = EDGES.index(kind)
            if texts[tokens[3]] != "NIL":
                control = tokens[3]
        rows.append((tokens[0], tokens[1], control, falling, initial))
    columns = np.array(rows, dtype=np.int64).reshape(-1, 5).T
    return LatchLines(
        read=columns[0],
        driven=columns[1],
        controls=columns[2],
        falling=columns[3],
        initial=columns[4],
        lines=lines,
    )


def find_clock(
    latches: LatchLines, driven_by_gates: Int[np.ndarray, " gates"], statements: Statements, names: Sequence[str]
) -> int:
    """The one clock of all latches, or ``NO_CONTROL`` where none names one.

    Args:
        latches: all latches, over the nets of the flat design.
        driven_by_gates: the nets that gates drive.
        statements: the file, for messages.
        names: the latches' names.

    Raises:
        FormatError: there are two clocks, two edges, or a clock that the circuit makes itself.
    """
    named = np.flatnonzero(latches.controls != NO_CONTROL)
    if not len(named):
        return NO_CONTROL
    clock, edge = int(latches.controls[named[0]]), int(latches.falling[named[0]])
    differs = named[(latches.controls[named] != clock) | (latches.falling[named] != edge)]
    if len(differs):
        latch = int(differs[0])
        other = "clock" if int(latches.controls[latch]) != clock else "edge"
        raise _clock_error(
            statements,
            latches,
            latch,
            f"latch {names[latch]!r} has another {other} than {names[int(named[0])]!r}",
            hint="a cycle is one edge of one clock; Yosys's clk2fflogic makes one clock of several",
        )
    if (driven_by_gates == clock).any() or (latches.driven == clock).any():
        latch = int(named[0])
        raise _clock_error(
            statements,
            latches,
            latch,
            f"the clock of latch {names[latch]!r} is made inside the circuit",
            hint="a clock is an input; write a gated clock as an enable of the flip-flops",
        )
    return clock


def _clock_error(statements: Statements, latches: LatchLines, latch: int, message: str, *, hint: str) -> FormatError:
    return statements.error(int(latches.lines[latch]), message, hint=hint)
