"""Scanning large texts into tokens and numbers with whole-array operations: a million lines in well under a second."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int64

NOT_A_NUMBER = -1
"""In ``Tokens.numbers``: the token has other characters than digits, or more than ``MAX_DIGITS``."""

MAX_DIGITS = 18
"""As many decimal digits as an int64 surely holds."""

NEWLINE = 10
_ZERO, _NINE = 48, 57
_IS_SPACE = np.zeros(256, dtype=bool)
_IS_SPACE[[9, 10, 11, 12, 13, 32]] = True


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """The runs of bytes between white space, in the order of the text.

    Attributes:
        data: the text.
        start: for each token where it starts in the text.
        end: for each token where it ends.
        line: for each token its line, from 0.
    """

    data: bytes
    start: Int64[np.ndarray, " tokens"]
    end: Int64[np.ndarray, " tokens"]
    line: Int64[np.ndarray, " tokens"]

    @cached_property
    def numbers(self) -> Int64[np.ndarray, " tokens"]:
        """The value of each token that is a decimal number, else ``NOT_A_NUMBER``."""
        text = np.frombuffer(self.data, dtype=np.uint8)
        length = self.end - self.start
        value = np.zeros(len(length), dtype=np.int64)
        wrong = length > MAX_DIGITS
        active = np.flatnonzero(~wrong)
        for place in range(MAX_DIGITS):
            active = active[length[active] > place]
            if not len(active):
                break
            digit = text[self.start[active] + place]
            value[active] = 10 * value[active] + (digit.astype(np.int64) - _ZERO)
            wrong[active] |= (digit < _ZERO) | (digit > _NINE)
        value[wrong] = NOT_A_NUMBER
        return value

    def text(self, token: int) -> str:
        """A token as a message shows it: at most 24 characters, none of them unprintable."""
        start, end = int(self.start[token]), int(self.end[token])
        return show_bytes(self.data[start : min(end, start + 25)])


def scan_tokens(data: bytes) -> Tokens:
    r"""Splits a text at white space, in time and memory linear in its size.

    >>> tokens = scan_tokens(b"2 1 0\n12 AND\n")
    >>> tokens.numbers, tokens.line
    (array([ 2,  1,  0, 12, -1]), array([0, 0, 0, 1, 1]))
    """
    text = np.frombuffer(data, dtype=np.uint8)
    is_token = np.zeros(len(text) + 2, dtype=np.int8)
    is_token[1:-1] = ~_IS_SPACE[text]
    edges = np.diff(is_token)
    start = np.flatnonzero(edges == 1)
    newlines = np.flatnonzero(text == NEWLINE)
    return Tokens(data=data, start=start, end=np.flatnonzero(edges == -1), line=np.searchsorted(newlines, start))


def show_bytes(data: bytes) -> str:
    r"""Bytes of a file as a message shows them: quoted, at most 24 characters, none of them unprintable.

    >>> show_bytes(b"12\xff")
    "'12\\xff'"
    """
    text = data[:25].decode("ascii", "backslashreplace")
    return ascii(text if len(text) <= 24 else text[:21] + "...").replace("\\\\", "\\")
