"""What the words of a statement assign."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from serialformer.circuits.verilog.ignored import Token
from serialformer.circuits.verilog.statements import has_increment

_STEPS = ("++", "--")
_OPERATORS = {"", *"+-*/%&|^", "<", ">"}  # of <<= and >>= the rest is one word


def names_in(words: Sequence[Token]) -> set[str]:
    """All names among words; keywords are some.

    >>> from serialformer.circuits.verilog.ignored import tokens_of
    >>> sorted(names_in([*tokens_of("a[i] = 4'd3 + b;")]))
    ['a', 'b', 'i']
    """
    return {word.text for word in words if word.kind == "name"}


def assigned_names(words: Sequence[Token]) -> set[str]:
    """The names that a statement, or the head of one, assigns or declares, and perhaps more.

    >>> from serialformer.circuits.verilog.ignored import tokens_of
    >>> [sorted(assigned_names([*tokens_of(text)])) for text in ("{c, s[i]} = a == b;", "if (a <= b)", "integer j;")]
    [['c', 's'], [], ['integer', 'j']]
    """
    found = names_in(words) if has_increment(words) or _is_declaration(words) else set()
    for place in _assignments(words):
        found |= _target(words, place)
    return found


def assigned_alone(words: Sequence[Token]) -> str | None:
    """The variable that a statement assigns as a whole and at once, if it does nothing else.

    >>> from serialformer.circuits.verilog.ignored import tokens_of
    >>> texts = ("i = i + 1;", "i += 2;", "i <<= 1;", "i++;", "i <= 1;", "i[0] = 1;", "i = j++;", "i = a === b;")
    >>> [assigned_alone([*tokens_of(text)]) for text in texts]
    ['i', 'i', 'i', 'i', None, None, None, 'i']
    """
    texts = [word.text for word in words]
    if texts[-1:] != [";"]:
        return None
    if len(texts) == 4 and has_increment(words):
        name = words[2] if texts[0] in "+-" else words[0]
        is_step = any("".join(pair) in _STEPS for pair in (texts[:2], texts[1:3]))
        return name.text if is_step and name.kind == "name" else None
    assignments = [*_assignments(words)]
    if len(assignments) != 1 or has_increment(words) or words[0].kind != "name" or _has_comma(words):
        return None
    operator = "".join(texts[1 : assignments[0]])
    if operator not in _OPERATORS or (texts[assignments[0]] == "=") == (operator in ("<", ">")):
        return None
    return texts[0]


def declared_names(words: Sequence[Token]) -> set[str]:
    """The variables that the head of a loop declares.

    >>> from serialformer.circuits.verilog.ignored import tokens_of
    >>> declared_names([*tokens_of("(int i = 0; i < n; i++)")]), declared_names([*tokens_of("(i = 0; i < n; i++)")])
    ({'i'}, set())
    """
    end = next((place for place, word in enumerate(words) if word.text == ";"), 0)
    first = words[1:end]
    if not _is_declaration(first):
        return set()
    return {name.text for name, after in pairwise(first) if name.kind == "name" and after.text == "="}


def _assignments(words: Sequence[Token]) -> Iterator[int]:
    """The places of what assigns: each =, and <= unless it stands in parentheses or after another."""
    depth = 0
    is_behind = False
    for place, word in enumerate(words):
        depth += (word.text in ("(", "[", "{")) - (word.text in (")", "]", "}"))
        before = words[place - 1] if place else None
        touching = before.text if before is not None and before.end == word.start else ""
        is_level = not is_behind and not depth
        if (
            (word.text == "=" and touching not in ("==", "!="))
            or (word.text == "<=" and is_level)
            or (word.text == ">=" and touching == ">" and is_level)
        ):
            yield place
            is_behind = True


def _target(words: Sequence[Token], place: int) -> set[str]:
    """The names before an assignment, but for those in indices."""
    found: set[str] = set()
    indices = 0
    for word in reversed(words[:place]):
        indices += (word.text == "]") - (word.text == "[")
        if word.text in ("(", ";", ":", "?"):
            break
        if word.kind == "name" and not indices:
            found.add(word.text)
    return found


def _is_declaration(words: Sequence[Token]) -> bool:
    """Whether a name follows another, or a range."""
    depth = 0
    if not words or words[0].text in ("return", "do", "begin", "disable"):
        return False
    for word, after in pairwise(words):
        depth += (word.text in ("(", "[", "{")) - (word.text in (")", "]", "}"))
        if not depth and after.kind == "name" and (word.kind == "name" or word.text == "]"):
            return True
    return False


def _has_comma(words: Sequence[Token]) -> bool:
    depth = 0
    for word in words:
        depth += (word.text in ("(", "[", "{")) - (word.text in (")", "]", "}"))
        if not depth and word.text == ",":
            return True
    return False
