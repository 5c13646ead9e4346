"""A source that is written anew in parts, so that a reader still sees each word at its own line and column."""

from __future__ import annotations

import re


class PlacedText:
    r"""Collects pieces of a source and of further text; ``line`` directives and spaces keep the places right.

    >>> text = PlacedText("while (a)\n  b;", "m.v")
    >>> text.copy(10, 14)
    >>> text.add(" while")
    >>> text.copy(6, 9)
    >>> text.text.split("\n")
    ['', '`line 2 "m.v" 0', '  b; while', '`line 1 "m.v" 0', '      (a)']
    """

    def __init__(self, source: str, path: str) -> None:
        """Begins at the source's beginning.

        Args:
            source: from which parts are copied.
            path: what it is called in messages.
        """
        self._source, self._path = source, path
        self._pieces: list[str] = []
        self._line, self._column = 0, 0

    @property
    def text(self) -> str:
        """What was collected."""
        return "".join(self._pieces)

    def add(self, text: str) -> None:
        """Adds text of one line that the source does not have."""
        self._pieces.append(text)
        self._column += len(text)

    def copy(self, start: int, stop: int) -> None:
        """Adds a part of the source."""
        if start == stop:
            return
        line = self._source.count("\n", 0, start)
        begin = self._source.rfind("\n", 0, start) + 1
        column = start - begin
        if self._line != line or self._column > column:
            self._pieces.append(f'\n`line {line + 1} "{self._path}" 0\n')
            self._column = 0
        self._pieces.append(re.sub(r"[^\t]", " ", self._source[begin + self._column : start]))
        part = self._source[start:stop]
        self._pieces.append(part)
        self._line = line + part.count("\n")
        self._column = len(part) - part.rfind("\n") - 1 if "\n" in part else column + len(part)
