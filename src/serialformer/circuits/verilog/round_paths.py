"""The ways through one round of a loop, and which of given statements each of them passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from serialformer.circuits.verilog.ignored import Token
from serialformer.circuits.verilog.statements import Statement

_MAX_PATHS = 64

_Blocks = tuple[tuple[str | None, int], ...]
"""The blocks around a statement: name and first word."""


class TooManyPathsError(Exception):
    """There are more ways than are worth following."""


@dataclass(frozen=True)
class Path:
    """A way through a statement.

    Attributes:
        passed: the marks of the statements that it passes, in order.
        leaves: None where it gets to the statement's end; else the word that leaves the statement, or the block that is
            left, by its first word.
    """

    passed: tuple[int, ...]
    leaves: str | int | None

    @property
    def ends_round(self) -> bool:
        """Whether, in the body of a loop, it gets to the next round."""
        return self.leaves in (None, "continue")


_TO_THE_END = Path((), None)


def is_jump(statement: Statement, words: Sequence[Token]) -> bool:
    """Whether a statement is ``break``, ``continue``, ``disable`` or ``return``."""
    return statement.kind in ("break", "continue", "disable") or words[statement.first].text == "return"


def paths_of(
    statement: Statement, words: Sequence[Token], marks: Mapping[int, int], blocks: _Blocks = ()
) -> frozenset[Path]:
    """The ways through a statement.

    Args:
        statement: perhaps the body of a loop.
        words: of its source.
        marks: of the statements that are to be reported, by their first word; none is within an inner loop.
        blocks: around it, outer ones first.

    Raises:
        TooManyPathsError: there are too many.
    """
    if statement.first in marks and statement.kind != "block":
        return frozenset({Path((marks[statement.first],), None)})
    if statement.kind == "block":
        return _paths_of_block(statement, words, marks, (*blocks, (statement.name, statement.first)))
    inner = frozenset[Path]().union(*(paths_of(part, words, marks, blocks) for part in statement.parts))
    if statement.kind in ("if", "case"):
        return inner if statement.kind == "if" and len(statement.parts) == 2 else inner | {_TO_THE_END}
    if statement.kind in ("loop", "do"):
        own = ("break", "continue")
        return frozenset({_TO_THE_END, *(path for path in inner if path.leaves not in own)})
    if statement.kind == "disable":
        around = (first for name, first in reversed(blocks) if name == statement.name)
        return frozenset({Path((), next(around, "disable"))})
    return frozenset({Path((), words[statement.first].text) if is_jump(statement, words) else _TO_THE_END})


def _paths_of_block(
    block: Statement, words: Sequence[Token], marks: Mapping[int, int], blocks: _Blocks
) -> frozenset[Path]:
    paths = frozenset({_TO_THE_END})
    for part in block.parts:
        following = paths_of(part, words, marks, blocks)
        going = [path for path in paths if path.leaves is None]
        joined = {Path(path.passed + further.passed, further.leaves) for path in going for further in following}
        paths = (paths - set(going)) | joined
        if len(paths) > _MAX_PATHS:
            raise TooManyPathsError
    return frozenset(Path(path.passed, None if path.leaves == block.first else path.leaves) for path in paths)
