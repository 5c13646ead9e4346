"""The statements of a procedural block of Verilog, found from its words, without a preprocessor.

Only what ``jumps`` and ``combinational`` have to know is parsed: where statements begin and end and how they nest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from serialformer.circuits.verilog.ignored import Token

_OPENING, _CLOSING = {"(": ")", "[": "]", "{": "}"}, (")", "]", "}")
_CASES = ("case", "casez", "casex")
_LOOPS = ("for", "while", "repeat", "foreach")
_QUALIFIERS = ("unique", "unique0", "priority")
_NO_STATEMENTS = {
    *("end", "else", "endcase", "endfunction", "endtask", "endmodule", "join", "join_any", "join_none", "fork"),
    *("module", "function", "task", "always", "always_comb", "always_ff", "always_latch", "initial", "final"),
    *("assign", "generate", "endgenerate"),
}
STRUCTURE = frozenset(_NO_STATEMENTS) | {"begin", "if", "disable", "forever", "break", "continue", *_CASES, *_LOOPS}
"""Words that no expression has; ``do`` is a name in Verilog-2005."""


class UnreadableError(Exception):
    """A statement that is not understood; the text says what was met."""


def has_increment(words: Sequence[Token]) -> bool:
    """Whether there is ``++`` or ``--``."""
    return any(
        word.text in ("+", "-") and after.text == word.text and after.start == word.end
        for word, after in pairwise(words)
    )


@dataclass(kw_only=True)
class Statement:
    """A statement and those within it.

    Attributes:
        kind: ``block``, ``if``, ``case``, ``loop``, ``do``, ``disable``, ``break``, ``continue`` or ``simple``.
        first: its first word, as an index into the words.
        last: its last word.
        name: of a block; of the block that is disabled.
        parts: the statements directly within, in order.
        header: the parenthesis of a loop or of ``do``'s condition: the indices of ``(`` and ``)``.
    """

    kind: str
    first: int
    last: int = -1
    name: str | None = None
    parts: list[Statement] = field(default_factory=list)
    header: tuple[int, int] = (-1, -1)

    def inner(self) -> list[Statement]:
        """The statement and all within it, outer ones first."""
        return [self, *(deeper for part in self.parts for deeper in part.inner())]


@dataclass(kw_only=True)
class StatementParser:
    """Parses statements from words.

    Attributes:
        words: of a source.
        check_macro: raises ``UnreadableError`` where a macro is not known to stand for an expression.
    """

    words: Sequence[Token]
    check_macro: Callable[[str], None]

    def parse(self, place: int) -> Statement:
        """The statement that begins at a word.

        Raises:
            UnreadableError: it is none, or has something that is not understood.
        """
        text = self._text(place)
        if text in _QUALIFIERS:
            statement = self.parse(place + 1)
            statement.first = place
            return statement
        if text == "begin":
            return self._block(place)
        if text == "if":
            return self._if(place)
        if text in _CASES:
            return self._case(place)
        if text in _LOOPS:
            return self._loop(place)
        if text == "do":
            return self._do(place)
        if text in ("break", "continue"):
            return Statement(kind=text, first=place, last=self._expect(place + 1, ";"))
        if text == "disable":
            name = self._text(place + 1)
            return Statement(kind="disable", first=place, last=self._expect(place + 2, ";"), name=name)
        return Statement(kind="simple", first=place, last=self._semicolon(place))

    def _text(self, place: int) -> str:
        """A word; a macro must stand for an expression."""
        if place >= len(self.words):
            raise UnreadableError("the end of the file")
        token = self.words[place]
        if token.text.startswith("`"):
            self.check_macro(token.text)
        return token.text

    def _expect(self, place: int, text: str) -> int:
        if self._text(place) != text:
            raise UnreadableError(f"{self._text(place)!r} in the place of {text!r}")
        return place

    def _group(self, place: int) -> int:
        """The word that closes the parenthesis, bracket or brace at a word."""
        closing = _OPENING[self._text(place)]
        place += 1
        while (text := self._text(place)) != closing:
            if text in STRUCTURE or text == ";" or text in _CLOSING:
                raise UnreadableError(f"{text!r} within parentheses")
            place = self._group(place) + 1 if text in _OPENING else place + 1
        return place

    def _semicolon(self, place: int) -> int:
        """The semicolon that ends a simple statement."""
        if self._text(place) in ("@", "#", "wait", "-"):
            raise UnreadableError(f"{self._text(place)!r} at the beginning of a statement")
        while (text := self._text(place)) != ";":
            if text in STRUCTURE or text in _CLOSING:
                raise UnreadableError(f"{text!r} within a statement")
            if text == ":" and self._text(place + 1) in STRUCTURE:
                raise UnreadableError("a label before a statement")
            place = self._group(place) + 1 if text in _OPENING else place + 1
        return place

    def _block(self, place: int) -> Statement:
        block = Statement(kind="block", first=place)
        place += 1
        if self._text(place) == ":":
            block.name = self._text(place + 1)
            place += 2
        while self._text(place) != "end":
            block.parts.append(self.parse(place))
            place = block.parts[-1].last + 1
        if place + 2 < len(self.words) and self.words[place + 1].text == ":":
            place += 2
        block.last = place
        return block

    def _if(self, place: int) -> Statement:
        chosen = self.parse(self._group(self._parenthesis(place + 1)) + 1)
        parts = [chosen]
        if chosen.last + 1 < len(self.words) and self.words[chosen.last + 1].text == "else":
            parts.append(self.parse(chosen.last + 2))
        return Statement(kind="if", first=place, last=parts[-1].last, parts=parts)

    def _parenthesis(self, place: int) -> int:
        return self._expect(place, "(")

    def _case(self, place: int) -> Statement:
        case = Statement(kind="case", first=place)
        place = self._group(self._parenthesis(place + 1)) + 1
        if self._text(place) == "inside":
            place += 1
        while self._text(place) != "endcase":
            place = self._label(place)
            case.parts.append(self.parse(place))
            place = case.parts[-1].last + 1
        case.last = place
        return case

    def _label(self, place: int) -> int:
        """The first word of the statement after a label."""
        if self._text(place) == "default":
            return place + 2 if self._text(place + 1) == ":" else place + 1
        questions = 0
        while (text := self._text(place)) != ":" or questions:
            if text in STRUCTURE or text in (";", *_CLOSING):
                raise UnreadableError(f"{text!r} within a label of a case")
            questions += (text == "?") - (text == ":")
            place = self._group(place) + 1 if text in _OPENING else place + 1
        return place + 1

    def _loop(self, place: int) -> Statement:
        opening = self._parenthesis(place + 1)
        closing = opening
        depth = 0
        while True:  # between the semicolons of a for stand expressions
            text = self._text(closing)
            depth += (text in _OPENING) - (text in _CLOSING)
            if text in STRUCTURE:
                raise UnreadableError(f"{text!r} within parentheses")
            if not depth:
                break
            closing += 1
        body = self.parse(closing + 1)
        return Statement(kind="loop", first=place, last=body.last, parts=[body], header=(opening, closing))

    def _do(self, place: int) -> Statement:
        body = self.parse(place + 1)
        opening = self._parenthesis(self._expect(body.last + 1, "while") + 1)
        closing = self._group(opening)
        last = self._expect(closing + 1, ";")
        return Statement(kind="do", first=place, last=last, parts=[body], header=(opening, closing))
