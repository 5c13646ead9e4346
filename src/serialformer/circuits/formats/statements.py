"""Text formats at the edge: a file as lines of tokens, equal tokens with one number. Linear time, small memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from operator import index
from typing import SupportsIndex, overload

import numpy as np

from serialformer.arrays import Int, Int32, UInt8
from serialformer.circuits.kernels import scan_tokens
from serialformer.circuits.name_table import NameTable
from serialformer.errors import FormatError

_NAME, _SPACE, _NEWLINE, _COMMENT, _ALONE, _JOIN = range(6)


@dataclass(frozen=True, kw_only=True)
class Statements:
    """The lines of a file that hold anything, as numbered tokens.

    Attributes:
        name: the file's name, for messages.
        data: the file.
        tokens: the number of each token; equal tokens have equal numbers, counted by first occurrence.
        first: for each line its first token; one more entry at the end.
        offset: for each line the byte at which it starts.
        text_start: for each distinct token where it first stands in ``data``.
        text_length: for each distinct token how long it is.
    """

    name: str
    data: bytes
    tokens: Int32[np.ndarray, " tokens"]
    first: Int[np.ndarray, " lines_and_one"]
    offset: Int[np.ndarray, " lines"]
    text_start: Int[np.ndarray, " distinct"]
    text_length: Int[np.ndarray, " distinct"]

    @property
    def num_lines(self) -> int:
        return len(self.offset)

    @property
    def num_distinct(self) -> int:
        return len(self.text_start)

    @property
    def bytes_of_file(self) -> UInt8[np.ndarray, " bytes"]:
        return np.frombuffer(self.data, dtype=np.uint8)

    def line_tokens(self, line: int) -> Int32[np.ndarray, " tokens_of_line"]:
        """The numbers of a line's tokens."""
        return self.tokens[self.first[line] : self.first[line + 1]]

    def text(self, token: int) -> str:
        """A distinct token as text; bytes that are no UTF-8 become ``\\xhh``."""
        start = int(self.text_start[token])
        return self.data[start : start + int(self.text_length[token])].decode(errors="backslashreplace")

    def texts(self) -> TokenTexts:
        """All distinct tokens as text."""
        return TokenTexts(self)

    def names(self, tokens: Int[np.ndarray, " chosen"]) -> NameTable:
        """Distinct tokens as names; numbers beyond theirs stand for what has no name."""
        named = tokens < self.num_distinct
        chosen = np.where(named, tokens, 0)
        if not self.num_distinct:
            return NameTable.from_strings([""] * len(tokens))
        return NameTable.from_spans(self.bytes_of_file, self.text_start[chosen], self.text_length[chosen] * named)

    def tokens_of(self, words: Iterable[str]) -> dict[str, int]:
        """The numbers of those of the words (ASCII, in these letters) that stand in the file."""
        found = {}
        data = self.bytes_of_file
        for word in words:
            chosen = np.flatnonzero(self.text_length == len(word))
            for place, byte in enumerate(word.encode()):
                chosen = chosen[data[self.text_start[chosen] + place] == byte]
            if len(chosen):
                found[word] = int(chosen[0])
        return found

    def line_text(self, line: int) -> str:
        """A line's tokens with one space between them, quoted and cut, for messages."""
        tokens = self.line_tokens(line)
        return shorten(" ".join(self.text(token) for token in tokens[:20].tolist()))

    def where(self, line: int) -> str:
        """``file:line`` of a line."""
        if line < 0 or line >= self.num_lines:
            return self.name
        return f"{self.name}:{1 + self.data.count(10, 0, int(self.offset[line]))}"

    def error(self, line: int, message: str, *, hint: str | None = None) -> FormatError:
        """The error to raise about a line."""
        return FormatError(message, where=self.where(line), hint=hint)


class TokenTexts(Sequence[str]):
    """The distinct tokens as text, made when asked for, and any texts that are added after them."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements
        self._added: list[str] = []

    def append(self, text: str) -> None:
        self._added.append(text)

    def __len__(self) -> int:
        return self._statements.num_distinct + len(self._added)

    @overload
    def __getitem__(self, token: SupportsIndex) -> str: ...

    @overload
    def __getitem__(self, token: slice) -> list[str]: ...

    def __getitem__(self, token: SupportsIndex | slice) -> str | list[str]:
        if isinstance(token, slice):
            return [self[number] for number in range(*token.indices(len(self)))]
        number = index(token)
        if not -len(self) <= number < len(self):
            raise IndexError(f"expected a token from 0 to {len(self) - 1}, found {number}")
        number %= len(self)
        beyond = number - self._statements.num_distinct
        return self._added[beyond] if beyond >= 0 else self._statements.text(number)


def split_statements(data: bytes, *, name: str, alone: bytes = b"", join: bytes = b"") -> Statements:
    """Splits a file at white space; ``#`` opens a comment.

    Args:
        data: the file.
        name: its name, for messages.
        alone: bytes that are tokens of their own.
        join: a byte that, last on a line, joins the next line to it.

    >>> statements = split_statements(b"y = AND(a, b) # both", name="t", alone=b"=(),")
    >>> statements.line_text(0)
    "'y = AND ( a , b )'"
    """
    kind = np.full(256, _NAME, dtype=np.uint8)
    kind[[9, 11, 12, 13, 32]] = _SPACE
    kind[10] = _NEWLINE
    kind[ord("#")] = _COMMENT
    kind[list(alone)] = _ALONE
    kind[list(join)] = _JOIN
    if data.startswith(b"\xef\xbb\xbf"):
        data = b"   " + data[3:]  # the byte order mark that some editors write
    array = np.frombuffer(data, dtype=np.uint8)
    place = np.int32 if len(data) < 2**31 else np.int64
    nothing = np.zeros(0, dtype=place)
    num_tokens, num_lines, _, _ = scan_tokens(array, kind, nothing.astype(np.int32), nothing, nothing, False)
    tokens = np.empty(num_tokens, dtype=np.int32)
    first = np.empty(num_lines + 1, dtype=place)
    first[num_lines] = num_tokens
    offset = np.empty(num_lines, dtype=place)
    _, _, text_start, text_length = scan_tokens(array, kind, tokens, first, offset, True)
    return Statements(
        name=name,
        data=data,
        tokens=tokens,
        first=first,
        offset=offset,
        text_start=text_start,
        text_length=text_length,
    )


def shorten(text: str, limit: int = 60) -> str:
    """A piece of a file for a message, quoted and of bounded length.

    >>> shorten("a" * 100, limit=12)
    "'aaaaaaaaa...'"
    """
    return repr(text if len(text) <= limit else text[: limit - 3] + "...")


def near_hint(word: str, known: Iterable[str], *, otherwise: str) -> str:
    """A hint that names a known word near the one that came, or else what to do."""
    near = get_close_matches(word[:40], list(known)[:1000], n=1)
    return f"did you mean {near[0]!r}?" if near else otherwise
