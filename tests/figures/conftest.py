"""Axes to draw on, with the figures' own settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from serialformer.figures.sheet import styled


@pytest.fixture
def axes() -> Iterator[Any]:
    """Empty axes of a figure of their own."""
    from matplotlib.figure import Figure

    with styled():
        yield Figure().add_subplot()
