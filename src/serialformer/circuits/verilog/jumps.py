"""Loops and jumps that slang does not read, written with those that it does.

``do ... while`` and ``repeat`` become ``for``. So does ``while`` if its condition changes a variable: slang changes it
even after the loop has been left. A ``disable`` of a block around it becomes ``continue`` if the block is the body of a
loop, and ``break`` if a loop is the last thing that the block does. Otherwise the block is put into a loop that runs
once, and ``break`` leaves that. A jump out of several loops sets a flag, and an ``if`` after each loop passes it on.
Where a jump comes before the change of a variable by which its loop ends, ``for`` changes that too (see ``progress``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from serialformer.circuits.verilog.ignored import Token
from serialformer.circuits.verilog.jump_plan import PREFIX, Change, Frame, JumpPlan
from serialformer.circuits.verilog.jump_text import JumpWriter
from serialformer.circuits.verilog.macros import Macros, words_of
from serialformer.circuits.verilog.placed_text import PlacedText
from serialformer.circuits.verilog.progress import ProgressFinder
from serialformer.circuits.verilog.statements import Statement, StatementParser, UnreadableError, has_increment

JUMP_MACROS = {f"{PREFIX}{word}": word for word in ("break", "continue", "var", "type")}
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
        self._finder = ProgressFinder(words=self._words, macro_words=macros.words)
        self._writer = JumpWriter(words=self._words, out=PlacedText(text, path), finder=self._finder)
        self.kept: dict[int, str] = {}

    @property
    def has_do(self) -> bool:
        return self._writer.has_do

    def rewrite(self) -> str:
        place = 0
        targets = _disabled_blocks(self._words, self.kept)
        plan = JumpPlan()
        while place < len(self._words):
            if self._begins_region(place, targets):
                try:
                    region = self._parser.parse(place)
                    plan.plan(region, self._frames_around(region))
                except UnreadableError as error:
                    self._keep(place, targets, f"{error}")
                else:
                    self._writer.write(region, plan.changes)
                    place = region.last
            place += 1
        self._writer.copy(len(self._source))
        return self._writer.out.text

    def _begins_region(self, place: int, targets: Mapping[int, list[int]]) -> bool:
        word = self._words[place].text
        following = self._words[place + 1].text if place + 1 < len(self._words) else ""
        if word == "do":  # which is a name in Verilog-2005
            return following[:1].isalpha() or following[:1] in ("_", "{", "\\", "`", "$")
        if word == "while" and following == "(" and has_increment(_group(self._words, place + 1)):
            return True
        if word in ("for", "while"):
            return self._has_late_change(place)
        return (word == "repeat" and following == "(") or place in targets

    def _has_late_change(self, place: int) -> bool:
        """Whether a loop begins at a word in which a jump comes before what makes it end."""
        try:
            return self._finder.find(self._parser.parse(place)) is not None
        except UnreadableError:
            return False

    def _keep(self, place: int, targets: Mapping[int, list[int]], reason: str) -> None:
        for kept in targets.get(place, [place]):
            self.kept.setdefault(self._words[kept].start, f"there is {reason}")

    def _frames_around(self, region: Statement) -> list[Frame]:
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
        return [Frame(change=Change(), breaks=set(), continues={region.first})]


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
