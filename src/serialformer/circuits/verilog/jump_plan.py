"""How the statements around jumps are rewritten: which word leaves which loop, and by which flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from serialformer.circuits.verilog.statements import Statement

PREFIX = "serialformer_"
"""Of all names that a rewritten source has in addition."""


@dataclass(kw_only=True)
class Frame:
    """A loop that is around a statement; ``breaks`` and ``continues`` are the blocks that these words would leave."""

    change: Change
    breaks: set[int]
    continues: set[int]
    is_written: bool = True


@dataclass(kw_only=True)
class Change:
    """How a statement is rewritten.

    Attributes:
        breaks: the blocks, by their first word, whose end leaves this loop.
        wraps: the blocks that are left by leaving a loop of one pass around this statement.
        flags: what is declared before it.
        behind: what follows it.
        instead: what stands in its place.
    """

    breaks: set[int] = field(default_factory=set)
    wraps: set[int] = field(default_factory=set)
    flags: dict[tuple[int, str], str] = field(default_factory=dict)
    behind: list[str] = field(default_factory=list)
    instead: str | None = None


@dataclass(kw_only=True)
class JumpPlan:
    """Plans for one region of a source after another.

    Attributes:
        changes: what becomes of each statement of the last region, by its first word.
    """

    changes: dict[int, Change] = field(default_factory=dict)
    _target: dict[int, int] = field(default_factory=dict)
    _num_flags: int = 0

    def plan(self, region: Statement, frames: list[Frame]) -> None:
        """Chooses how the statements of a region are rewritten, which stands in the body of the given loops."""
        statements = region.inner()
        self.changes = {statement.first: Change() for statement in statements}
        bodies = {part.first for loop in statements if loop.kind in ("loop", "do") for part in loop.parts}
        bodies |= {first for frame in frames for first in frame.continues}
        self._target = {}
        self._find_targets(region, [])
        for block in statements:
            if block.kind == "block" and block.first not in bodies and block.first in self._target.values():
                self._place_exit(block, block.first)
        self._resolve(region, frames)

    def _find_targets(self, statement: Statement, blocks: list[Statement]) -> None:
        if statement.kind == "disable":
            named = [block for block in blocks if block.name == statement.name]
            if named:
                self._target[statement.first] = named[-1].first
        inner = [*blocks, statement] if statement.kind == "block" else blocks
        for part in statement.parts:
            self._find_targets(part, inner)

    def _leaves(self, statement: Statement, block: int) -> bool:
        """Whether a block is disabled somewhere within a statement."""
        return any(self._target.get(inner.first) == block for inner in statement.inner())

    def _place_exit(self, statement: Statement, block: int) -> None:
        """Chooses which blocks are left to reach the end of a block whose last statement this is."""
        change = self.changes[statement.first]
        leaving = [part for part in statement.parts if self._leaves(part, block)]
        if statement.kind == "disable" and self._target.get(statement.first) == block:
            change.instead = ";"
        elif statement.kind in ("loop", "do") and leaving:
            change.breaks.add(block)
        elif statement.kind in ("if", "case") or (statement.kind == "block" and leaving == statement.parts[-1:]):
            for part in leaving:
                self._place_exit(part, block)
        elif leaving:
            change.wraps.add(block)

    def _resolve(self, statement: Statement, frames: list[Frame]) -> None:
        change = self.changes[statement.first]
        if change.wraps:
            frames = [*frames, Frame(change=change, breaks=change.wraps, continues=set(), is_written=False)]
        if statement.kind in ("loop", "do"):
            body = statement.parts[0].first
            frames = [*frames, Frame(change=change, breaks=change.breaks, continues={body})]
        if statement.kind == "disable" and change.instead is None and statement.first in self._target:
            block = self._target[statement.first]
            reached = max(
                place for place, frame in enumerate(frames) if block in frame.breaks or block in frame.continues
            )
            action = "continue" if block in frames[reached].continues else "break"
            change.instead = self._jump(action, frames, reached)
        if statement.kind in ("break", "continue"):
            written = [place for place, frame in enumerate(frames) if frame.is_written]
            reached = max(written, default=-1)
            if reached < len(frames) - 1:
                change.instead = self._jump(statement.kind, frames, reached)
        for part in statement.parts:
            self._resolve(part, frames)

    def _jump(self, action: str, frames: Sequence[Frame], reached: int) -> str:
        """What does an action at a frame from within further ones."""
        done = f"`{PREFIX}{action};"
        crossed = frames[reached + 1 :]
        if not crossed:
            return done
        flags = crossed[0].change.flags
        key = (reached, action)
        if key not in flags:
            self._num_flags += 1
            flags[key] = f"{PREFIX}left{self._num_flags}"
            crossed[0].change.behind.append(f" if ({flags[key]}) {done}")
        asked = f" if ({flags[key]}) `{PREFIX}break;"
        for frame in crossed[1:]:
            if asked not in frame.change.behind:
                frame.change.behind.append(asked)
        return f"begin {flags[key]} = 1; `{PREFIX}break; end"
