"""Values of words as text."""

from __future__ import annotations

from serialformer.errors import InputError


def parse_value(text: str, where: str) -> int:
    """A non-negative integer in decimal, hexadecimal (0x) or binary (0b); underscores may group digits.

    Args:
        text: what somebody typed, or a field of a table.
        where: what an error says of its place.

    Raises:
        InputError: it is no such number.

    >>> parse_value("0x1f", "a"), parse_value("0b11", "a"), parse_value("1_000", "a")
    (31, 3, 1000)
    """
    bare = text.strip().lower()
    base = {"0x": 16, "0b": 2}.get(bare[:2], 10)
    try:
        value = int(bare, base)
    except ValueError:
        raise InputError(f"{text!r} is not a number", where=where, hint="decimal, 0x... or 0b...") from None
    if value < 0:
        raise InputError(f"{text!r} is negative", where=where, hint="words are unsigned; write two's complement bits")
    return value
