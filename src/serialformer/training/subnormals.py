"""Numbers too small for their format: a processor takes a hundred times as long for each, and training needs none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def subnormals_flushed() -> Iterator[None]:
    """Within, this thread takes numbers nearer to 0 than 2^-126 for 0, where the processor can.

    A model without a chain learns to look at few tokens. The gradients of all others are then products of numbers such
    as 10^-40, and a step takes up to six times as long.

    >>> with subnormals_flushed():
    ...     is_flushed()
    True
    """
    before = is_flushed()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def is_flushed() -> bool:
    """Whether this thread takes such numbers for 0."""
    return float(torch.full((1,), 2.0**-120) * 2.0**-10) == 0
