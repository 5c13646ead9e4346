"""Values as a user types them."""

from __future__ import annotations

from collections.abc import Iterable

from serialformer.errors import InputError


def parse_value(text: str, where: str) -> int:
    """A non-negative integer in decimal, hexadecimal (0x) or binary (0b); underscores may group digits.

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


def parse_assignments(assignments: Iterable[str]) -> dict[str, int]:
    """The values of ``name=value`` arguments.

    >>> parse_assignments(["a=3", "b=0x10"])
    {'a': 3, 'b': 16}
    """
    values: dict[str, int] = {}
    for assignment in assignments:
        name, equals, text = assignment.rpartition("=")
        if not equals or not name:
            raise InputError(f"expected NAME=VALUE, found {assignment!r}", where="-i")
        if name in values:
            raise InputError(f"{name!r} is given twice", where="-i")
        values[name] = parse_value(text, f"-i {name}")
    return values
