"""What the functions and tasks may assign that a statement calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from serialformer.circuits.verilog.assignments import names_in
from serialformer.circuits.verilog.ignored import Token
from serialformer.circuits.verilog.statements import STRUCTURE

_QUERIES = {
    *("$signed", "$unsigned", "$clog2", "$bits", "$countones", "$onehot", "$onehot0", "$isunknown", "$size"),
    *("$left", "$right", "$low", "$high", "$increment", "$dimensions"),
}
"""System functions that change nothing."""


class UnknownCallError(Exception):
    """Something is called of which the source does not say what it changes."""


@dataclass(kw_only=True)
class Calls:
    """The functions and tasks of a source.

    Attributes:
        words: of the source.
    """

    words: Sequence[Token]
    _routines: dict[str, list[Token]] | None = None

    def assigned(self, words: Sequence[Token]) -> set[str]:
        """Whatever calls among words may assign: all names in what is called, and what may be given as an output.

        Raises:
            UnknownCallError: what is called is not in this source, or has macros in it.

        >>> from serialformer.circuits.verilog.ignored import tokens_of
        >>> text = "task t(output [3:0] y); n = 1; endtask"
        >>> sorted(Calls(words=[*tokens_of(text)]).assigned([*tokens_of("t(a);")]) & {"a", "n", "b"})
        ['a', 'n']
        """
        found: set[str] = set()
        waiting, seen = [*_called(words)], set[str]()
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            if self._routines is None:
                self._routines = _routines_of(self.words)
            if name not in self._routines:
                raise UnknownCallError
            inside = self._routines[name]
            names = names_in(inside)
            if any(other.startswith("`") for other in names):
                raise UnknownCallError
            found |= names
            if {"output", "inout", "ref"} & names:
                found |= names_in(words)
            waiting += [*_called(inside), *(names & self._routines.keys())]
        return found


def _called(words: Sequence[Token]) -> Iterator[str]:
    """The functions and tasks that words may call.

    Raises:
        UnknownCallError: one of them is a system function that may change something.
    """
    if len(words) == 2 and words[0].kind == "name" and words[0].text not in {*STRUCTURE, "return"}:
        yield words[0].text
    for word, after in pairwise(words):
        if word.text.startswith("$"):
            if word.text not in _QUERIES:
                raise UnknownCallError
        elif word.kind == "name" and after.text == "(" and word.text not in STRUCTURE:
            yield word.text


def _routines_of(words: Sequence[Token]) -> dict[str, list[Token]]:
    """The words of each function and task after its name; of all that share a name."""
    found: dict[str, list[Token]] = {}
    begin = None
    for place, word in enumerate(words):
        if word.text in ("function", "task"):
            begin = place
        elif word.text in ("endfunction", "endtask") and begin is not None:
            inside = words[begin:place]
            head = next((end for end, inner in enumerate(inside) if inner.text in ("(", ";")), 0)
            found.setdefault(inside[max(head - 1, 0)].text, []).extend(inside[head:])
            begin = None
    return found
