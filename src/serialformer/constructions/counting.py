"""A sum at once: one layer adds up what all items hold, and hidden units tell from the sum what to answer.

Each item stands for a number. In the one layer ``=`` adds up the numbers of all positions, and a table has the answer
to each sum. A target makes the sum by uniform attention, which is a mean, and the table by thresholds on it. So the
answer may be any function of the sum: majority, a sum modulo p, parity.
"""

from __future__ import annotations

import numpy as np

from serialformer.arrays import Int64
from serialformer.constructions.claim import CountClaim
from serialformer.constructions.construction import (
    NOTHING,
    Construction,
    ConstructionLayer,
    Field,
    Tally,
    check_sizes,
    exact_table,
)

SUFFIX = " by counting"
"""Ends the name of each such construction."""


def counting_construction(
    name: str,
    vocabulary: tuple[str, ...],
    end_token: int,
    number: Int64[np.ndarray, " items"],
    answer: Int64[np.ndarray, " sums"],
    length: int,
    items_name: str = "items",
) -> Construction:
    """The construction of a function of the sum of ``length`` items.

    Args:
        name: of the task.
        vocabulary: the text of each token.
        end_token: the id of ``=``.
        number: what the tokens 0, 1, ... that may stand in the prompt add to the sum; the token k adds k, or less.
        answer: for each sum the token that is written, one of those that add as much as they are.
        length: how many items.
        items_name: what the items are called, for messages.

    Raises:
        CompileError: it would take too many units or positions.

    >>> parity = counting_construction("parity", ("0", "1", "="), 2, np.arange(2), np.arange(4) % 2, 3)
    >>> parity.layers[0].tallies
    (Tally(source='digit', target='sum'),)
    """
    num_sums = length * int(number.max()) + 1
    assert len(answer) == num_sums and number.min() == 0
    check_sizes(name, 2 * num_sums, length + 1)
    tokens = np.arange(len(vocabulary))
    digit = np.full(len(vocabulary), NOTHING, dtype=np.int64)
    digit[: len(number)] = number
    num_digits = max(2, int(number.max()) + 1)
    claim = CountClaim(num_items=length, items=np.arange(len(number)), number=number, answer=answer)
    return Construction(
        name=f"{name}{SUFFIX}",
        vocabulary=vocabulary,
        end_token=end_token,
        num_positions=length + 1,
        fields=(
            Field(name="equals", num_values=2, origin="token", values=(tokens == end_token).astype(np.int64)),
            Field(name="digit", num_values=num_digits, origin="token", values=digit),
            Field(name="sum", num_values=num_sums, origin="layers"),
        ),
        layers=(
            ConstructionLayer(
                look_ups=(),
                tallies=(Tally(source="digit", target="sum"),),
                tables=(
                    exact_table(
                        "answer",
                        ["sum"],
                        np.arange(num_sums)[:, None],
                        ["digit", "equals"],
                        np.stack([digit[answer], np.zeros(num_sums, dtype=np.int64)], axis=1),
                    ),
                ),
            ),
        ),
        prompts=f"all words of {length} {items_name}",
        num_chain_tokens=1,
        claims=lambda: iter([claim]),
    )
