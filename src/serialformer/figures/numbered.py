"""Answers by the number of squarings that a prompt asks for, where a store has them beside the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from serialformer.figures.measures import Measure
from serialformer.sweeps.row import Row

SQUARINGS = "squarings"
"""The variable of a row that counts prompts for one number of squarings only."""


def number_asked(row: Row) -> int | None:
    """The number of squarings that all prompts of a row ask for; None if a row counts prompts of any kind."""
    number = row.variable.get(SQUARINGS)
    return None if number is None else int(number)


def split_by_number(final: Sequence[Row], rows: Sequence[Row], measure: Measure) -> list[Row]:
    """Final evaluations, with those of some models replaced by a row for each of a few numbers of squarings.

    A model is trained on prompts for one to ``length`` squarings, and its final evaluation mixes easy prompts with hard
    ones. Where a store has the answers by number, the figure has a line for ``length``, half of it, and so on down to
    2.

    Args:
        final: evaluations that ended a training.
        rows: all finished evaluations.
        measure: which share; only answers are counted by number.

    Returns:
        Rows whose length is the number asked for, and the final evaluations of all other models.
    """
    parts: dict[str, dict[int, Row]] = {}
    for row in rows:
        number = number_asked(row)
        if number is not None and measure.is_of_answers(row.setting) and measure.count(row)[1]:
            parts.setdefault(row.run, {})[number] = row
    found = []
    for row in final:
        own = parts.get(row.run, {})
        numbers = [number for number in _halves(row.length) if number in own]
        found += [_with_counts(row, own[number], number) for number in numbers] or [row]
    return found


def _with_counts(row: Row, part: Row, number: int) -> Row:
    """The final row with the counts of one number; others than of answers are not drawn."""
    return replace(
        row,
        length=number,
        evaluated_length=number,
        variables=part.variables,
        samples=part.samples,
        answers=part.answers,
    )


def _halves(length: int) -> list[int]:
    """A length, half of it, and so on down to 2.

    >>> _halves(8)
    [8, 4, 2]
    """
    found = [length]
    while found[-1] % 2 == 0 and found[-1] > 2:
        found.append(found[-1] // 2)
    return found
