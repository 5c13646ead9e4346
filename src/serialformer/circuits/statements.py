"""Text formats at the edge: a file as lines of tokens, equal tokens with one number. Linear time, small memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
from jaxtyping import Int32, Int64, UInt8

from serialformer.circuits.kernels import scan_tokens
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
    first: Int64[np.ndarray, " lines_and_one"]
    offset: Int64[np.ndarray, " lines"]
    text_start: Int64[np.ndarray, " distinct"]
    text_length: Int64[np.ndarray, " distinct"]

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

    def texts(self) -> list[str]:
        """All distinct tokens as text."""
        data = self.data
        bounds = zip(self.text_start.tolist(), self.text_length.tolist(), strict=True)
        return [data[start : start + length].decode(errors="backslashreplace") for start, length in bounds]

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
    nothing = np.zeros(0, dtype=np.int64)
    num_tokens, num_lines, _, _ = scan_tokens(array, kind, nothing.astype(np.int32), nothing, nothing, False)
    tokens = np.empty(num_tokens, dtype=np.int32)
    first = np.empty(num_lines + 1, dtype=np.int64)
    first[num_lines] = num_tokens
    offset = np.empty(num_lines, dtype=np.int64)
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
