"""Loops and jumps that slang does not read, written with those that it does.

``do ... while`` and ``repeat`` become ``for``. So does ``while`` if its condition changes a variable: slang changes it
even after the loop has been left. A ``disable`` of a block around it becomes ``continue`` if the block is the body of a
loop, and ``break`` if a loop is the last thing that the block does. Otherwise the block is put into a loop that runs
once, and ``break`` leaves that. A jump out of several loops sets a flag, and an ``if`` after each loop passes it on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from serialformer.circuits.verilog.ignored import Token
from serialformer.circuits.verilog.macros import Macros, words_of
from serialformer.circuits.verilog.placed_text import PlacedText
from serialformer.circuits.verilog.statements import Statement, StatementParser, UnreadableError, has_increment

PREFIX = "serialformer_"
JUMP_MACROS = {f"{PREFIX}{word}": word for word in ("break", "continue")}
"""Macros for words that Verilog-2005 does not know: what is defined outside of a file may hold them."""

_HEADS = ("for", "while", "repeat", "foreach")


@dataclass(frozen=True, kw_only=True)
class RewrittenJumps:
    """A source without jumps that slang does not read.

    Attributes:
        text: of the source.
        is_systemverilog: whether it had ``do``, which Verilog-2005 does not know.
        kept: why a loop or jump was left as it is, by its place.
    """

    text: str
    is_systemverilog: bool
    kept: Mapping[int, str]


@dataclass(kw_only=True)
class _Frame:
    """A loop that is around a statement; ``breaks`` and ``continues`` are the blocks that these words would leave."""

    change: _Change
    breaks: set[int]
    continues: set[int]
    is_written: bool = True


@dataclass(kw_only=True)
class _Change:
    """The replacement of a statement.

    Attributes:
        breaks: the blocks, by their first word, at whose end one is behind this loop.
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


def rewrite_jumps(text: str, path: str, macros: Macros) -> RewrittenJumps:
    """The source without the loops and jumps that slang does not read, as far as that can be done soundly.

    Args:
        text: the source.
        path: what it is called in messages.
        macros: of the design.

    >>> source = "begin : search for (i = 0; i < 4; i = i + 1) if (a[i]) disable search; end"
    >>> print(rewrite_jumps(source, "m.v", Macros({}, [])).text)
    begin : search for (i = 0; i < 4; i = i + 1) if (a[i]) `serialformer_break;
    `line 1 "m.v" 0
                                                                           end
    """
    rewriter = _Rewriter(text, path, macros)
    return RewrittenJumps(text=rewriter.rewrite(), is_systemverilog=rewriter.has_do, kept=rewriter.kept)


class _Rewriter:
    def __init__(self, text: str, path: str, macros: Macros) -> None:
        self._source = text
        self._words = list(words_of(text))
        self._parser = StatementParser(words=self._words, check_macro=macros.check)
        self._out = PlacedText(text, path)
        self._copied = 0
        self._changes: dict[int, _Change] = {}
        self._number = 0
        self.has_do = False
        self.kept: dict[int, str] = {}

    def rewrite(self) -> str:
        place = 0
        targets = _disabled_blocks(self._words, self.kept)
        while place < len(self._words):
            if self._begins_region(place, targets):
                try:
                    region = self._parser.parse(place)
                    self._plan(region, self._frames_around(region))
                except UnreadableError as error:
                    self._keep(place, targets, f"{error}")
                else:
                    self._write(region)
                    place = region.last
            place += 1
        self._copy(len(self._source))
        return self._out.text

    def _begins_region(self, place: int, targets: Mapping[int, list[int]]) -> bool:
        word = self._words[place].text
        following = self._words[place + 1].text if place + 1 < len(self._words) else ""
        if word == "do":  # which is a name in Verilog-2005
            return following[:1].isalpha() or following[:1] in ("_", "{", "\\", "`", "$")
        if word == "while" and following == "(":
            return has_increment(_group(self._words, place + 1))
        return (word == "repeat" and following == "(") or place in targets

    def _keep(self, place: int, targets: Mapping[int, list[int]], reason: str) -> None:
        for kept in targets.get(place, [place]):
            self.kept.setdefault(self._words[kept].start, f"there is {reason}")

    def _frames_around(self, region: Statement) -> list[_Frame]:
        """A frame for the loop whose body the region is, if it is one's."""
        place = region.first - 1
        if place < 0 or self._words[place].text != ")":
            return []
        depth = 0
        while place >= 0:
            depth += (self._words[place].text == ")") - (self._words[place].text == "(")
            if not depth:
                break
            place -= 1
        if place < 1 or self._words[place - 1].text not in _HEADS:
            return []
        return [_Frame(change=_Change(), breaks=set(), continues={region.first})]

    # What is to be changed

    def _plan(self, region: Statement, frames: list[_Frame]) -> None:
        statements = region.inner()
        self._changes = {statement.first: _Change() for statement in statements}
        bodies = {part.first for loop in statements if loop.kind in ("loop", "do") for part in loop.parts}
        bodies |= {first for frame in frames for first in frame.continues}
        self._target: dict[int, int] = {}
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
        """Chooses how to leave a block at a statement after which nothing else in the block is executed."""
        change = self._changes[statement.first]
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

    def _resolve(self, statement: Statement, frames: list[_Frame]) -> None:
        change = self._changes[statement.first]
        if change.wraps:
            frames = [*frames, _Frame(change=change, breaks=change.wraps, continues=set(), is_written=False)]
        if statement.kind in ("loop", "do"):
            body = statement.parts[0].first
            frames = [*frames, _Frame(change=change, breaks=change.breaks, continues={body})]
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

    def _jump(self, action: str, frames: Sequence[_Frame], reached: int) -> str:
        """What does an action at a frame from within further ones."""
        done = f"`{PREFIX}{action};"
        crossed = frames[reached + 1 :]
        if not crossed:
            return done
        flags = crossed[0].change.flags
        key = (reached, action)
        if key not in flags:
            self._number += 1
            flags[key] = f"{PREFIX}left{self._number}"
            crossed[0].change.behind.append(f" if ({flags[key]}) {done}")
        asked = f" if ({flags[key]}) `{PREFIX}break;"
        for frame in crossed[1:]:
            if asked not in frame.change.behind:
                frame.change.behind.append(asked)
        return f"begin {flags[key]} = 1; `{PREFIX}break; end"

    # Writing

    def _copy(self, stop: int) -> None:
        self._out.copy(self._copied, stop)
        self._copied = stop

    def _write(self, statement: Statement) -> None:
        change = self._changes[statement.first]
        first, last = self._words[statement.first], self._words[statement.last]
        self._copy(first.start)
        is_loop = statement.kind in ("loop", "do")
        is_enclosed = bool(change.behind) or statement.kind == "do"
        if is_enclosed:
            self._out.add("begin ")
        for flag in change.flags.values():
            self._out.add(f"automatic reg {flag}; ")
        for flag in change.flags.values():
            self._out.add(f"{flag} = 0; ")
        if change.wraps:
            self._number += 1
            once = f"{PREFIX}once{self._number}"
            self._out.add(f"for (reg {once} = 1; {once}; {once} = 0) ")
        if change.instead is not None:
            self._out.add(change.instead)
            self._copied = last.end
        elif is_loop:
            self._write_loop(statement)
        else:
            for part in statement.parts:
                self._write(part)
        self._copy(max(self._copied, last.end))
        for text in change.behind:
            self._out.add(text)
        if is_enclosed:
            self._out.add(" end")

    def _write_loop(self, loop: Statement) -> None:
        head = self._words[loop.first]
        opening, closing = (self._words[place] for place in loop.header)
        if loop.kind == "do":
            self.has_do = True
            self._number += 1
            again = f"{PREFIX}again{self._number}"
            self._out.add(f"for (reg {again} = 1; {again}; {again} = ")
            self._out.copy(opening.start, closing.end)
            self._out.add(" ? 1'b1 : 1'b0) ")
            self._copied = head.end
            self._write(loop.parts[0])
            self._copy(self._words[loop.header[0] - 1].start)
            self._copied = self._words[loop.last].end
            return
        if head.text == "repeat":
            self._number += 1
            count, limit = f"{PREFIX}count{self._number}", f"{PREFIX}limit{self._number}"
            self._out.add(f"for (reg signed [63:0] {count} = 0, {limit} = (")
            self._out.copy(opening.start, closing.end)
            self._out.add(" < 1'sd0) ? 0 : $unsigned")  # of the width that it has by itself
            self._out.copy(opening.start, closing.end)
            self._out.add(f"; {count} < {limit} && {count} < 64'sd1 << $bits")  # which bounds a variable number too
            self._out.copy(opening.start, closing.end)
            self._out.add(f"; {count} = {count} + 1)")
            self._copied = closing.end
        if head.text == "while" and has_increment(self._words[slice(*loop.header)]):
            self._number += 1
            again = f"{PREFIX}again{self._number}"
            self._out.add(f"for (reg {again} = ")
            self._out.copy(opening.start, closing.end)
            self._out.add(f" ? 1'b1 : 1'b0; {again}; {again} = ")
            self._out.copy(opening.start, closing.end)
            self._out.add(" ? 1'b1 : 1'b0)")
            self._copied = closing.end
        self._write(loop.parts[0])


def _group(words: Sequence[Token], opening: int) -> Sequence[Token]:
    """The words of the parenthesis that begins at a word."""
    depth = 0
    for place in range(opening, len(words)):
        depth += (words[place].text == "(") - (words[place].text == ")")
        if not depth:
            return words[opening:place]
    return words[opening:]


def _disabled_blocks(words: Sequence[Token], kept: dict[int, str]) -> dict[int, list[int]]:
    """The blocks that are disabled from within, by the place of ``begin``: where that is done."""
    found: dict[int, list[int]] = {}
    blocks: list[tuple[int, str | None]] = []
    recursive = _recursive_places(words)
    for place, word in enumerate(words):
        following = [other.text for other in words[place + 1 : place + 3]]
        if word.text == "begin":
            blocks.append((place, following[1] if following[:1] == [":"] else None))
        elif word.text == "end" and blocks:
            blocks.pop()
        elif word.text == "disable" and len(following) == 2:
            around = [begin for begin, name in blocks if name == following[0]]
            if following[1] == "." or following[0] == "fork":
                kept[word.start] = "only a block that is around it can be disabled, by its name alone"
            elif not around:
                kept[word.start] = f"no block that is around it is called {following[0]!r}"
            elif place in recursive:
                kept[word.start] = "it would end all calls of a function that calls itself"
            else:
                found.setdefault(around[-1], []).append(place)
    return found


def _recursive_places(words: Sequence[Token]) -> set[int]:
    """The words within functions and tasks that call themselves."""
    found: set[int] = set()
    begin = None
    for place, word in enumerate(words):
        if word.text in ("function", "task"):
            begin = place
        elif word.text in ("endfunction", "endtask") and begin is not None:
            texts = [inner.text for inner in words[begin:place]]
            head = next((end for end, text in enumerate(texts) if text in ("(", ";")), 0)
            if any(text == texts[head - 1] and after == "(" for text, after in pairwise(texts[head:])):
                found |= set(range(begin, place))
            begin = None
    return found
