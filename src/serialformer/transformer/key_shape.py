"""Key shapes: whether the keys of a head lie near the points of a grid, and which coordinates tell them apart.

What is found here is a guess from a sample. Whoever uses it checks every key against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from serialformer.arrays import Float64, Int64

_LARGEST_STEPS = 100


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Points whose coordinates are ``offset`` plus a whole number of ``step``."""

    offset: float
    step: float


@dataclass(frozen=True, kw_only=True, eq=False)
class KeyShape:
    """What the keys of a head look like.

    Attributes:
        order: its coordinates, those that tell keys apart first.
        coded: how many these are; the others are nearly zero.
        grid: where these lie.
        largest_norm: the norm of the longest key seen, rounded to the grid.
    """

    order: Int64[np.ndarray, " coordinates"]
    coded: int
    grid: Grid
    largest_norm: float


def find_grid(coordinates: Float64[np.ndarray, " sample"]) -> Grid | None:
    """The grid on which these numbers lie, roughly; None if there is none to be seen.

    >>> find_grid(np.array([-3.0, -1.0, 1.01, 3.0, 0.99, -1.0]))
    Grid(offset=-3.0, step=2.0)
    >>> find_grid(np.sqrt(np.arange(50))) is None
    True
    """
    ordered = np.sort(coordinates)
    if len(ordered) == 0 or not np.isfinite(ordered).all():
        return None
    differences = np.diff(ordered)
    spread = ordered[-1] - ordered[0]
    if spread <= 1e-9 * max(1.0, abs(ordered[-1])):
        return None
    cuts = np.flatnonzero(differences > differences.max() / 4)
    levels = np.array([part.mean() for part in np.split(ordered, cuts + 1)])
    widths = np.array([part[-1] - part[0] for part in np.split(ordered, cuts + 1)])
    step = float(np.diff(levels).min())
    steps = (levels - levels[0]) / step
    if widths.max() > step / 2 or steps[-1] > _LARGEST_STEPS or np.abs(steps - np.rint(steps)).max() > 0.25:
        return None
    step = float((levels[-1] - levels[0]) / np.rint(steps[-1]))
    return Grid(offset=_tidy(float(levels[0])), step=_tidy(step))


def find_key_shape(keys: Float64[np.ndarray, "sample coordinates"]) -> KeyShape | None:
    """What these keys look like; None if they lie on no grid."""
    if keys.size == 0 or not np.isfinite(keys).all():
        return None
    size = np.abs(keys).max(axis=0)
    is_coded = size > size.max() / 8
    coordinates = keys[:, is_coded]
    grid = find_grid(coordinates.ravel())
    if grid is None:
        return None
    points = grid.offset + grid.step * np.rint((coordinates - grid.offset) / grid.step)
    return KeyShape(
        order=np.argsort(~is_coded, kind="stable"),
        coded=int(is_coded.sum()),
        grid=grid,
        largest_norm=sqrt(float((points**2).sum(axis=1).max())),
    )


def _tidy(value: float) -> float:
    """A number near a whole one is taken for it: the rest is the rounding of layer norm."""
    return float(round(value)) if abs(value - round(value)) < 0.01 and round(value) else value
