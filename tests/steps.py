"""How many steps Python takes: what can be said of speed without a clock."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def count_steps(call: Callable[[], object]) -> int:
    """How many lines are executed in a call; what runs compiled counts nothing.

    >>> def total(numbers):
    ...     result = 0
    ...     for number in numbers:
    ...         result += number
    >>> count_steps(lambda: total(range(200))) - count_steps(lambda: total(range(100)))
    200
    """
    steps = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal steps
        steps += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return steps
