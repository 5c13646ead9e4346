"""Values as a user types them."""

from __future__ import annotations

from collections.abc import Iterable

from serialformer.circuits.value_text import parse_value
from serialformer.errors import InputError


def parse_assignments(assignments: Iterable[str]) -> dict[str, int]:
    """The values of ``name=value`` arguments.

    >>> parse_assignments(["a=3", "b = 0x10"])
    {'a': 3, 'b': 16}
    """
    values: dict[str, int] = {}
    for assignment in assignments:
        name, equals, text = (part.strip() for part in assignment.rpartition("="))
        if not equals or not name:
            raise InputError(f"expected NAME=VALUE, found {assignment!r}", where="-i")
        if name in values:
            raise InputError(f"{name!r} is given twice", where="-i")
        values[name] = parse_value(text, f"-i {name}")
    return values
