"""What computes nothing in a design: output for whoever watches a simulation, claims about the design, delays."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

_TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)|(?P<string>"(?:\\.|[^"\\\n])*")|(?P<name>\\\S+|[`$]?[A-Za-z_][\w$]*)"""
    r"""|(?P<number>(?:\d[\d_]*\s*)?'[sS]?(?:[bB]\s*[01xXzZ?_]+|[oO]\s*[0-7xXzZ?_]+|[dD]\s*[\dxXzZ?_]+"""
    r"""|[hH]\s*[\da-fA-FxXzZ?_]+)|\d[\w.]*)"""
    r"""|(?P<operator><=|==|>=|!=|===|!==|\#\#|[^\s\w])""",
    re.DOTALL | re.VERBOSE,
)
_TASKS = re.compile(
    r"\$(?:f?display[bho]?|f?write[bho]?|f?strobe[bho]?|f?monitor[bho]?|monitoro(?:n|ff)|finish|stop|exit"
    r"|dump(?:file|vars|on|off|all|limit|flush|ports\w*)|fclose|fflush|timeformat|printtimescale)"
)
_CLAIMS = ("assert", "assume", "cover", "restrict")
_BEFORE_DELAYS = {
    *("=", "<=", "assign", "wire", "tri", "and", "nand", "or", "nor", "xor", "xnor", "buf", "not"),
    *("bufif0", "bufif1", "notif0", "notif1"),
}
"""After one of these, a delay only says when a value arrives, which a clock cycle does not distinguish."""


class Token(NamedTuple):
    """A word of Verilog, which no comment is: its kind, text and place."""

    kind: str
    text: str
    start: int
    end: int


def tokens_of(text: str) -> Iterator[Token]:
    """The words of a source, in order; comments are none."""
    for found in _TOKEN.finditer(text):
        if found.lastgroup != "comment":
            yield Token(kind=found.lastgroup or "", text=found[0], start=found.start(), end=found.end())


def blank_ignored(text: str) -> tuple[str, Counter[str]]:
    """The source without what computes nothing, every other character in its place; and how often what was met.

    System tasks that print or end a simulation lose their calls, assignments, gates and nets their delays, and
    everything its attributes: those that have an effect tell synthesis to do what no simulation does. Claims
    (``assert`` and its kin) are counted and stay; the readers are told to pass them over.

    >>> text, counts = blank_ignored('always @(posedge clk) begin q <= #1 d; $display("q", (q)); end')
    >>> text
    'always @(posedge clk) begin q <=    d;                   ; end'
    >>> counts
    Counter({'delay': 1, '$display': 1})
    """
    tokens = list(tokens_of(text))
    counts: Counter[str] = Counter()
    pieces, kept = [], 0
    for place, token in enumerate(tokens):
        if token.start < kept:
            continue
        stop = token.start
        if _TASKS.fullmatch(token.text):
            stop = _end_of_group(tokens, place + 1, token.end)
            counts[token.text] += 1
        elif token.text == "#" and place and tokens[place - 1].text in _BEFORE_DELAYS and place + 1 < len(tokens):
            following = tokens[place + 1]
            stop = _end_of_group(tokens, place + 1, following.end)
            counts["delay"] += 1
        elif token.text == "(" and _begins_attribute(tokens, place):
            stop = next(
                (after.end for before, after in pairwise(tokens[place:]) if before.text + after.text == "*)"), stop
            )
        elif token.text in _CLAIMS and _is_claim(tokens, place):
            counts[token.text] += 1
        if stop > token.start:
            pieces += [text[kept : token.start], re.sub(r"[^\n]", " ", text[token.start : stop])]
            kept = stop
    return "".join(pieces) + text[kept:], counts


def rename_modules(text: str, renamed: Mapping[str, str]) -> str:
    """The source with other names for modules whose names need a backslash, of which slang cannot make a top.

    >>> rename_modules("module \\\\a-b (input x); endmodule", {"\\\\a-b": "a_b"})
    'module a_b (input x); endmodule'
    """
    pieces, kept = [], 0
    for token in tokens_of(text):
        if token.text in renamed:
            pieces += [text[kept : token.start], renamed[token.text]]
            kept = token.end
    return "".join(pieces) + text[kept:]


def escaped_modules(text: str) -> list[str]:
    """The names of modules in a source that need their backslash."""
    words = (token.text for token in tokens_of(text))
    return [name for word, name in pairwise(words) if word == "module" and re.fullmatch(r"\\.*[^\w$].*", name)]


def case_in_initial(text: str) -> int | None:
    """The place of the first ``case`` in an ``initial`` block, if there is one.

    >>> case_in_initial("initial begin x = 0; case (x) 0: y = 1; endcase end")
    21
    """
    tokens = list(tokens_of(text))
    for place, token in enumerate(tokens):
        if token.text != "initial":
            continue
        depth = parentheses = 0
        for inner in tokens[place + 1 :]:
            if inner.text in ("case", "casez", "casex"):
                return inner.start
            depth += (inner.text in ("begin", "fork")) - (inner.text in ("end", "join"))
            parentheses += (inner.text == "(") - (inner.text == ")")
            if not depth and not parentheses and inner.text in (";", "end", "join"):
                break
    return None


def increment_behind_choice(text: str) -> int | None:
    """The place of the first ``++`` or ``--`` that is not always done: after ``&&``, ``||`` or ``?``.

    >>> increment_behind_choice("if (a && b) i++; if (a && i++ < 4) y = 1;")
    27
    """
    depth, chosen_at = 0, [False]
    before = Token(kind="", text="", start=-1, end=-1)
    for token in tokens_of(text):
        pair = before.text + token.text if before.end == token.start else ""
        if token.text in ("(", "[", "{"):
            chosen_at.append(chosen_at[depth])
            depth += 1
        elif token.text in (")", "]", "}") and depth:
            chosen_at.pop()
            depth -= 1
        elif token.text in (";", "begin", "end"):
            chosen_at[depth] = depth > 0 and chosen_at[depth - 1]
        elif pair in ("&&", "||", "->") or token.text == "?":
            chosen_at[depth] = True
        elif pair in ("++", "--") and chosen_at[depth]:
            return before.start
        before = token
    return None


def _end_of_group(tokens: list[Token], place: int, otherwise: int) -> int:
    """The end of the group in parentheses that begins at a token, if one does."""
    depth = 0
    for token in tokens[place:]:
        if token.text == "(":
            depth += 1
        elif not depth:
            return otherwise
        elif token.text == ")":
            depth -= 1
            if not depth:
                return token.end
    return otherwise


def _begins_attribute(tokens: list[Token], place: int) -> bool:
    """Whether an attribute begins at a token; one that says that a module is only an outside has a meaning."""
    words = [token.text for token in tokens[place : place + 3]]
    return words[:2] == ["(", "*"] and words[2:] not in ([")"], ["blackbox"], ["whitebox"])


def _is_claim(tokens: list[Token], place: int) -> bool:
    """Whether a keyword begins a claim, rather than being a name in old Verilog."""
    return place + 1 < len(tokens) and tokens[place + 1].text in ("(", "property", "#", "final", "sequence")
