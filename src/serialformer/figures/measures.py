"""What a figure shows of a row: which of its counts, over which."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from serialformer.sweeps.row import CHAIN_SETTINGS, Row


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A share of a row, as two counts.

    Attributes:
        count: how many were right, and of how many; (0, 0) where nothing was measured.
        name: what was right, by setting, in a word or two.
        is_of_answers: whether whole answers are counted, by setting: what chance is known of.
        note: what there is to add about it.
        independent: whether what is counted is independent, so that an interval can be given.
    """

    count: Callable[[Row], tuple[int, int]]
    name: Callable[[str], str]
    is_of_answers: Callable[[str], bool]
    note: str = ""
    independent: bool = True


def count_paper(row: Row) -> tuple[int, int]:
    """The paper's measure; see ``Row.paper_counts``."""
    return row.paper_counts


def count_generated(row: Row) -> tuple[int, int]:
    """Whole answers of what the model generated, by whatever chain.

    Whole chains are not shown: tokens being the likeliest, a chain is right as generated exactly if it is right
    teacher-forced.
    """
    return row.generated_answers, row.generated_samples


def count_tokens(row: Row) -> tuple[int, int]:
    """Tokens of answers, teacher-forced: of a permutation, its symbols one by one."""
    return row.answer_tokens_right, row.answer_tokens


def _paper_name(setting: str) -> str:
    return "whole chains" if setting in CHAIN_SETTINGS else "answers"


MEASURES = {
    "paper": Measure(count=count_paper, name=_paper_name, is_of_answers=lambda setting: setting not in CHAIN_SETTINGS),
    "generated": Measure(
        count=count_generated,
        name=lambda setting: "generated",
        is_of_answers=lambda setting: True,
        note="Generated: whole answers, each token predicted after the model's own.",
    ),
    "tokens": Measure(
        count=count_tokens,
        name=lambda setting: "tokens",
        is_of_answers=lambda setting: False,
        note="Tokens: those of the answer one by one, teacher-forced.",
        independent=False,
    ),
}
"""By name, as on the command line."""
