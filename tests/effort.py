"""How much is tried: examples of a property as a multiple of the profile's, pairs of two parameters, few cases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, settings


def effort(factor: float, **options: list[HealthCheck]) -> settings:
    """A decorator: so many times the examples of the profile. Cheap tests take more, expensive ones fewer.

    >>> effort(0.25).max_examples * 4 == settings.default.max_examples
    True
    """
    return settings(max_examples=max(1, round(factor * settings.default.max_examples)), **options)


def pairs(rows: Iterable[Any], columns: Iterable[Any], *, each: int = 1) -> list[Any]:
    """All pairs for ``parametrize``; those that are not slow have every row ``each`` times, with the columns in turn.

    For parameters that do not depend on each other: a mistake in one row or one column is found all the same.

    >>> found = pairs(["and", "or", "xor"], ["float32", "bfloat16"])
    >>> [pair.values for pair in found if not pair.marks]
    [('and', 'float32'), ('or', 'bfloat16'), ('xor', 'float32')]
    >>> len(found)
    6
    """
    columns, found = list(columns), []
    for index, row in enumerate(rows):
        now = {(index * each + offset) % len(columns) for offset in range(each)}
        for place, column in enumerate(columns):
            found.append(pytest.param(row, column, marks=() if place in now else pytest.mark.slow))
    return found


def first_and_last(names: Sequence[str]) -> set[str]:
    """Of each test the first case and the last, by their names as pytest writes them.

    >>> sorted(first_and_last(["a.py::test[1]", "a.py::test[2]", "a.py::test[3]", "a.py::test_one"]))
    ['a.py::test[1]', 'a.py::test[3]', 'a.py::test_one']
    """
    backwards = {name.partition("[")[0]: name for name in reversed(names)}
    forwards = {name.partition("[")[0]: name for name in names}
    return {*backwards.values(), *forwards.values()}


def later(rows: Sequence[Any], chosen: Iterable[Any]) -> list[Any]:
    """All rows for ``parametrize``, those slow that are not among the chosen ones.

    >>> [bool(row.marks) for row in later(["and", "or"], ["or"])]
    [True, False]
    """
    chosen = list(chosen)
    assert all(row in rows for row in chosen), "every chosen row is one of all"
    return [pytest.param(row, marks=() if row in chosen else pytest.mark.slow) for row in rows]
