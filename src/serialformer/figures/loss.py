"""Loss and accuracy during training, from the rows of a run's log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from serialformer.arrays import Float64
from serialformer.figures.style import Axes, Style, draw_share_axis

LogRow = Mapping[str, Any]
"""One line of ``log.jsonl``: a step has ``step`` and ``loss``, an evaluation ``step`` and ``chain_accuracy``."""

NUM_WINDOWS = 40
"""A smoothed curve averages over the log's length divided by this."""


def draw_loss(axes: Axes, log: Sequence[LogRow], style: Style, *, label: str = "") -> Any:
    """The loss of each logged step, faint, and its running mean; returns its legend handle."""
    steps, losses = _read(log, "loss")
    axes.plot(steps, losses, color=style.colour, linewidth=0.5, alpha=0.3, zorder=2)
    (drawn,) = axes.plot(steps, smooth(losses), color=style.colour, linestyle=style.dashes, label=label, zorder=3)
    axes.set_yscale("log")
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, place: f"{value:g}".replace("e-0", "e-"))
    return drawn


def draw_accuracy(axes: Axes, log: Sequence[LogRow], style: Style, *, measure: str = "chain_accuracy") -> Any:
    """An accuracy at each evaluation; returns its legend handle."""
    steps, shares = _read([row for row in log if not row.get("final")], measure)
    draw_share_axis(axes)
    (drawn,) = axes.plot(steps, shares, color=style.colour, linestyle=style.dashes, marker=style.marker, clip_on=False)
    return drawn


def smooth(values: Float64[np.ndarray, " _"]) -> Float64[np.ndarray, " _"]:
    """The running mean of values over about a fortieth of them, narrower at both ends.

    >>> smooth(np.array([1.0, 3.0])).tolist()
    [1.0, 3.0]
    """
    reach = len(values) // NUM_WINDOWS // 2
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    reaches = np.minimum(reach, np.minimum(places, len(values) - 1 - places))
    means: Float64[np.ndarray, " _"] = (sums[places + reaches + 1] - sums[places - reaches]) / (2 * reaches + 1)
    return means


def _read(log: Sequence[LogRow], name: str) -> tuple[Float64[np.ndarray, " _"], Float64[np.ndarray, " _"]]:
    """Steps and values of the rows that have one."""
    found = [(float(row["step"]), float(row[name])) for row in log if row.get(name) is not None]
    steps, values = zip(*found, strict=True) if found else ((), ())
    return np.array(steps, dtype=np.float64), np.array(values, dtype=np.float64)
