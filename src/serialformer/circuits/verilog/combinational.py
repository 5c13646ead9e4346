"""Blocks that slang would read as ``always @*`` in exponential time, and the same as ``always_comb``.

For ``always @*`` slang looks for values that leave an output unassigned. It keeps the values that are left as a set of
patterns that overlap, and each label of a ``case`` multiplies their number by the width of the word. It does not look
for them in ``always_comb``, and both compute the same; but no other block may assign what ``always_comb`` assigns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from serialformer.circuits.verilog.ignored import Token
from serialformer.circuits.verilog.macros import words_of

COMBINATIONAL = "sf_comb"
"""The macro that stands for ``always_comb``, which Verilog-2005 does not know; as short as ``always@*``."""

_MIN_LABELS = 5
_MAX_HARMLESS_WIDTH = 12
_SIZED = re.compile(r"(\d[\d_]*)\s*'.*", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class SlowBlocks:
    """Blocks whose reading may take exponential time.

    Attributes:
        text: the source with these blocks as ``always_comb`` where they are no latches, every word in its place.
        line: of the first of them.
    """

    text: str
    line: int


def find_slow_blocks(text: str, original: str) -> SlowBlocks | None:
    """The blocks of a source with a ``case`` of many labels that may be wide; None where there are none.

    Args:
        text: as it is to be read.
        original: the same with the user's lines.

    >>> labels = " ".join(f"32'd{value}: y = {value};" for value in range(5))
    >>> source = f"always @* case (a) {labels} endcase"
    >>> find_slow_blocks(source, source).text[:18]
    '`sf_comb  case (a)'
    """
    words, lines = list(words_of(text)), list(words_of(original))
    starts = [place for place, word in enumerate(words) if word.text in ("always", "always_latch")]
    first = [word.start for word in lines if word.text in ("always", "always_latch")]
    assert len(starts) == len(first), "rewriting neither adds nor removes a block"
    in_function = any(_has_slow_case(part) for part in _functions(words))
    pieces, kept, line = [], 0, 0
    for place, start in zip(starts, first, strict=True):
        end = next((end for end in range(place + 1, len(words)) if words[end].text in _ENDS), len(words))
        head = _level_head(words, place)
        if head is None or not (in_function or _has_slow_case(words[place:end])):
            continue
        if head > place and COMBINATIONAL not in text:
            pieces += [text[kept : words[place].start], _padded(text[words[place].start : words[head].end])]
            kept = words[head].end
        line = line or original.count("\n", 0, start) + 1
    return SlowBlocks(text="".join(pieces) + text[kept:], line=line) if line else None


_ENDS = ("always", "always_comb", "always_ff", "always_latch", "initial", "endmodule", "function", "task")


def _level_head(words: Sequence[Token], place: int) -> int | None:
    """The last word of ``always @*``, ``always @(a or b)`` or ``always_latch``; None where edges are waited for."""
    if words[place].text == "always_latch":
        return place
    texts = [word.text for word in words[place + 1 : place + 3]]
    if texts == ["@", "*"]:
        return place + 2
    if texts != ["@", "("]:
        return None
    depth = 0
    for end in range(place + 2, len(words)):
        if words[end].text in ("posedge", "negedge", "edge", ";"):
            return None
        depth += (words[end].text == "(") - (words[end].text == ")")
        if not depth:
            return end
    return None


def _padded(head: str) -> str:
    """The macro in the place of a head, which may stand on several lines."""
    macro = f"`{COMBINATIONAL}"
    return macro + "\n" * head[: len(macro)].count("\n") + re.sub(r"[^\n]", " ", head[len(macro) :])


def _functions(words: Sequence[Token]) -> Iterator[Sequence[Token]]:
    begin = None
    for place, word in enumerate(words):
        if word.text in ("function", "task"):
            begin = place
        elif word.text in ("endfunction", "endtask") and begin is not None:
            yield words[begin:place]


def _has_slow_case(words: Sequence[Token]) -> bool:
    """Whether a ``case`` has many labels that are not known to be narrow."""
    counts: list[int] = []
    for place, word in enumerate(words):
        if word.text in ("case", "casez", "casex"):
            counts.append(0)
        elif word.text == "endcase" and counts and counts.pop() >= _MIN_LABELS:
            return True
        elif counts and _is_before_colon(words, place) and word.text not in ("default", "begin", "end"):
            sized = _SIZED.fullmatch(word.text)
            counts[-1] += sized is None or int(sized[1].replace("_", "")) > _MAX_HARMLESS_WIDTH
    return False


def _is_before_colon(words: Sequence[Token], place: int) -> bool:
    """Whether a word may be the end of a label."""
    return place + 1 < len(words) and words[place + 1].text in (":", ",")
