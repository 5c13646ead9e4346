"""A region of a source as its plan wants it, with every word of the source at its own line and column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from serialformer.circuits.verilog.ignored import Token
from serialformer.circuits.verilog.jump_plan import PREFIX, Change
from serialformer.circuits.verilog.placed_text import PlacedText
from serialformer.circuits.verilog.progress import Progress, ProgressFinder
from serialformer.circuits.verilog.statements import Statement, has_increment


@dataclass(kw_only=True)
class JumpWriter:
    """Writes a source, region by region.

    Attributes:
        words: of the source.
        out: what is written.
        finder: of what makes loops end.
        has_do: whether there was ``do``.
    """

    words: Sequence[Token]
    out: PlacedText
    finder: ProgressFinder
    has_do: bool = False
    _changes: dict[int, Change] = field(default_factory=dict)
    _copied: int = 0
    _number: int = 0

    def copy(self, stop: int) -> None:
        """Adds the text before a place of the source and is not written yet."""
        self.out.copy(self._copied, stop)
        self._copied = stop

    def write(self, region: Statement, changes: dict[int, Change]) -> None:
        """Adds a region.

        Args:
            region: which begins after what was written so far.
            changes: what becomes of its statements, by their first words.
        """
        self._changes = changes
        self._write(region)

    def _write(self, statement: Statement) -> None:
        change = self._changes[statement.first]
        progress = self.finder.find(statement) if self._ends_by_condition(statement) else None
        ahead = {} if progress is None else {name: self._new("next") for name in progress.names}
        before = [name for name in ahead if progress is not None and name not in progress.declared]
        self.copy(self.words[statement.first].start)
        is_enclosed = bool(change.behind or before) or statement.kind == "do"
        if is_enclosed:
            self.out.add("begin ")
        for flag in change.flags.values():
            self.out.add(f"automatic reg {flag}; ")
        for name in before:
            self.out.add(f"`{PREFIX}var automatic {_type(name)} {ahead[name]}; ")
        for flag in change.flags.values():
            self.out.add(f"{flag} = 0; ")
        if change.wraps:
            once = self._new("once")
            self.out.add(f"for (reg {once} = 1; {once}; {once} = 0) ")
        if change.instead is not None:
            self.out.add(change.instead)
            self._copied = self.words[statement.last].end
        elif statement.kind in ("loop", "do"):
            self._write_loop(statement, progress, ahead)
        else:
            for part in statement.parts:
                self._write(part)
        self.copy(max(self._copied, self.words[statement.last].end))
        for text in change.behind:
            self.out.add(text)
        if is_enclosed:
            self.out.add(" end")

    def _ends_by_condition(self, statement: Statement) -> bool:
        return statement.kind == "do" or self.words[statement.first].text in ("for", "while")

    def _new(self, name: str) -> str:
        self._number += 1
        return f"{PREFIX}{name}{self._number}"

    def _write_loop(self, loop: Statement, progress: Progress | None, ahead: dict[str, str]) -> None:
        head = self.words[loop.first]
        condition = (self.words[loop.header[0]].start, self.words[loop.header[1]].end)
        steps = ", ".join(f"{name} = {ahead[name]}" for name in ahead)
        if loop.kind == "do":
            self.has_do = True
            self._write_again(None, steps, condition)
            self._copied = head.end
        elif head.text == "repeat":
            self._write_repeat(condition)
        elif head.text == "while" and has_increment(self.words[slice(*loop.header)]):
            self._write_again(condition, steps, condition)
        elif head.text == "while" and ahead:
            self.out.add("for (; ")
            self.out.copy(*condition)
            self.out.add(f"; {steps})")
            self._copied = condition[1]
        elif ahead:
            self._write_for(loop, steps, ahead, progress)
        if progress is not None:
            self._write_ahead(progress, ahead)
        self._write(loop.parts[0])
        if progress is not None:
            self.out.add(" end")
        if loop.kind == "do":
            self.copy(self.words[loop.header[0] - 1].start)
            self._copied = self.words[loop.last].end

    def _write_again(self, first: tuple[int, int] | None, steps: str, condition: tuple[int, int]) -> None:
        """The head of a loop that asks its condition once a round, and before the first if it is given for that."""
        again = self._new("again")
        self.out.add(f"for (reg {again} = ")
        if first is None:
            self.out.add("1")
        else:
            self.out.copy(*first)
            self.out.add(" ? 1'b1 : 1'b0")
        self.out.add(f"; {again}; {steps}{', ' if steps else ''}{again} = ")
        self.out.copy(*condition)
        self.out.add(" ? 1'b1 : 1'b0) ")
        self._copied = condition[1]

    def _write_repeat(self, times: tuple[int, int]) -> None:
        count, limit = self._new("count"), self._new("limit")
        self.out.add(f"for (reg signed [63:0] {count} = 0, {limit} = (")
        self.out.copy(*times)
        self.out.add(" < 1'sd0) ? 0 : $unsigned")  # of the width that it has by itself
        self.out.copy(*times)
        self.out.add(f"; {count} < {limit} && {count} < 64'sd1 << $bits")  # which bounds a variable number too
        self.out.copy(*times)
        self.out.add(f"; {count} = {count} + 1)")
        self._copied = times[1]

    def _write_for(self, loop: Statement, steps: str, ahead: dict[str, str], progress: Progress | None) -> None:
        """The head of a for, with what the variables become before its own step."""
        inside = self.words[loop.header[0] : loop.header[1]]
        first, second = (word for word in inside if word.text == ";")
        self.copy(first.start)
        for name in progress.declared if progress is not None else ():
            self.out.add(f", `{PREFIX}var {_type(name)} {ahead[name]} = {name} ")
        self.copy(second.end)
        has_step = inside[-1] is not second
        self.out.add(f" {steps}{', ' if has_step else ''}")
        self.copy(self.words[loop.header[1]].end)

    def _write_ahead(self, progress: Progress, ahead: dict[str, str]) -> None:
        """What the variables are after a round, and the beginning of the block that the round becomes."""
        self.out.add(" begin ")
        for name, following in ahead.items():
            self.out.add(f"{following} = {name} ; ")
        for change in progress.changes:
            for word in self.words[change.first : change.last + 1]:
                if word.text in ahead:
                    self.out.add(f" {ahead[word.text]}")
                else:
                    self.out.copy(word.start, word.end)
        self.out.add(" ")


def _type(name: str) -> str:
    return f"`{PREFIX}type({name} )"
