"""Rotary positions that find the token a fixed number of positions back.

Before they are rotated, query and key are the same at every position. The score of two positions is a sum of cosines of
their distance, less the one that is asked for, times the angles of the pairs: largest where the two are equal, if the
fast pairs are taken, whose angles have no short period in common.

Under a sliding window the farthest position that is seen is found in another way. The peak lies beyond it, close to the
first position that is hidden. So a window that is one too long shows a position that scores more than the right one,
and under a window that is one too short the next one wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from serialformer.arrays import Float64

BASES = (2.0, 4.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""The bases that are tried. The usual 10,000 is not among them: a runtime that takes it, whatever the file says, is
wrong."""

GOOD_SHARE = 0.8
"""Among bases and numbers of pairs that lead by this part of the largest lead, the one with most pairs is taken."""

BEYOND = 0.9
"""How far beyond the farthest position that is seen the peak lies."""

HIDDEN_SHARE = 3.0
"""The hidden position after the window leads over the right one by this part of what that leads over others by."""


@dataclass(frozen=True, kw_only=True)
class _Peak:
    """How one distance is found.

    Attributes:
        distance: at which the score is largest, of those that are seen.
        middle: where the sum of cosines is largest.
        num_pairs: how many of the fastest pairs are used.
        lead: over the other distances that are seen, as a part of ``num_pairs``.
    """

    distance: int
    middle: float
    num_pairs: int
    lead: float


@dataclass(frozen=True, kw_only=True)
class Rotation:
    """The rotary positions of a transformer whose heads go by distances.

    Attributes:
        base: of the wavelengths.
        head_width: the width of a head.
        window: how many positions are seen, the own one among them; all if None.
        peaks: of each distance.
    """

    base: float
    head_width: int
    window: int | None
    peaks: tuple[_Peak, ...]

    def key_and_query(
        self, distance: int, number: int, gap: float
    ) -> tuple[Float64[np.ndarray, " width"], Float64[np.ndarray, " width"]]:
        """The key and the query of a head, before they are rotated.

        Args:
            distance: what it is to find.
            number: of its keys; each lies a quarter of a turn from the one before.
            gap: the score, over the root of the head width, by which it is to lead.
        """
        peak = next(one for one in self.peaks if one.distance == distance)
        turns = _turns(self.base, self.head_width)
        key = np.zeros((2, len(turns)))
        key[number % 2] = 1 if number % 4 < 2 else -1
        size = np.zeros(len(turns))
        size[: peak.num_pairs] = np.ceil(gap * np.sqrt(self.head_width) / (peak.lead * peak.num_pairs))
        angle = -peak.middle * turns + number % 4 * np.pi / 2
        return key.reshape(-1), np.concatenate([size * np.cos(angle), size * np.sin(angle)])


def find_rotation(distances: Sequence[int], num_positions: int, head_width: int, *, has_window: bool) -> Rotation:
    """The first of ``BASES`` whose smallest lead over all distances is nearly the largest possible.

    Args:
        distances: to find.
        num_positions: of the context.
        head_width: the width of a head.
        has_window: whether only the positions up to the largest distance are seen.

    >>> rotation = find_rotation((0, 5), 100, 64, has_window=True)
    >>> rotation.base, rotation.window, [round(peak.lead, 2) for peak in rotation.peaks]
    (2.0, 6, [0.37, 0.61])
    """
    window = max(distances) + 1 if has_window else None
    found = []
    for base in BASES:
        peaks = [_find_peak(base, head_width, one, num_positions, window) for one in dict.fromkeys(distances)]
        found.append(Rotation(base=base, head_width=head_width, window=window, peaks=tuple(peaks)))
    enough = GOOD_SHARE * max(map(_least, found))
    good = [rotation for rotation in found if _least(rotation) >= enough]
    return max(good, key=lambda rotation: min(peak.num_pairs for peak in rotation.peaks))


def _least(rotation: Rotation) -> float:
    return min(peak.lead for peak in rotation.peaks)


def _turns(base: float, head_width: int) -> Float64[np.ndarray, " pairs"]:
    return base ** (-2.0 * np.arange(head_width // 2) / head_width)


def _find_peak(base: float, head_width: int, distance: int, num_positions: int, window: int | None) -> _Peak:
    """The largest number of pairs for which a distance leads by nearly the maximum."""
    turns = _turns(base, head_width)
    is_farthest = window is not None and distance == window - 1
    middle = distance + (BEYOND if is_farthest else 0.0)
    seen = np.arange(num_positions if window is None else min(window, num_positions))
    scores = np.cumsum(np.cos((seen[:, None] - middle) * turns), axis=1) / np.arange(1, len(turns) + 1)
    leads = scores[distance] - np.delete(scores, distance, axis=0).max(axis=0, initial=-1.0)
    if is_farthest:
        hidden = np.cumsum(np.cos((distance + 1 - middle) * turns)) / np.arange(1, len(turns) + 1)
        leads = np.minimum(leads, HIDDEN_SHARE * (hidden - scores[distance]))
    best = int(np.flatnonzero(leads >= min(GOOD_SHARE * leads.max(), leads.max()))[-1])
    return _Peak(distance=distance, middle=middle, num_pairs=best + 1, lead=max(float(leads[best]), 2.0**-10))
