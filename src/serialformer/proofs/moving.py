"""Units that put one field in the place of another, proven from the weights.

Where the unembedding is the token embedding, the last layer replaces the name of a position by that of the next one. A
unit's gate sees the same at every position, and silu passes it on as it is; what it is multiplied by is the difference
of the two fields in one dimension. So what it adds turns the one code into the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serialformer.arrays import Float64
from serialformer.proofs.activations import silu_errors
from serialformer.proofs.bounds import round_any, round_values, sum_errors
from serialformer.proofs.layer_maps import LayerMaps, map_errors
from serialformer.proofs.rounding import FLOAT64_SLACK, Rounding
from serialformer.proofs.stream import RealisationError, Stream


@dataclass(frozen=True, kw_only=True)
class Moved:
    """What the units that replace a field add to it.

    Attributes:
        dimensions: of that field.
        error: for each of them how far what is added can be from what is to be added.
        size: the largest magnitude that is to be added.
        changes: all numbers that are to be added.
    """

    dimensions: np.ndarray
    error: Float64[np.ndarray, " length"]
    size: Float64[np.ndarray, " length"]
    changes: Float64[np.ndarray, " changes"]

    def after(self, stream: Stream, added: Float64[np.ndarray, " width"], rounding: Rounding) -> np.ndarray:
        """How far each dimension can be from the new code, if what the layer adds errs by ``added``."""
        levels = stream.placement.levels[stream.placement.address]
        given = round_any(self.changes, added[self.dimensions], rounding)
        return round_any(levels, stream.stored[self.dimensions] + given, rounding)


def check_moving(
    stream: Stream, maps: LayerMaps, first: int, errors: Float64[np.ndarray, " width"], rounding: Rounding
) -> Moved:
    """Checks the units that put the placement's ``following`` in the place of its ``address``, one a dimension.

    Args:
        stream: what stands before the layer's units.
        maps: of the layer.
        first: the first of these units.
        errors: how far each coordinate behind the norm can be from its code.
        rounding: the runtimes to cover.

    Raises:
        RealisationError: they do something else, or the two fields have different codes.
    """
    placement = stream.placement
    old, new = (placement.dimensions(name) for name in (placement.address, placement.following))
    count, output = len(old), placement.unit_output
    if maps.unit_up is None or len(new) != count or first + count > maps.unit_in.shape[1]:
        raise RealisationError(f"{placement.following} cannot be put in the place of {placement.address}")
    units, every = slice(first, first + count), np.arange(count)
    up, out = np.zeros((placement.width, count)), np.zeros((count, placement.width))
    up[new, every], up[old, every] = 1, -1
    out[every, old] = 1 / output
    constant = maps.unit_constant[units]
    if maps.unit_in[:, units].any() or (constant != output).any():
        raise RealisationError(f"a unit that replaces {placement.address} is not open everywhere")
    if not (np.array_equal(maps.unit_up[:, units], up) and np.array_equal(maps.unit_out[units], out)):
        raise RealisationError(f"a unit that replaces {placement.address} reads or writes something else")
    ideal = np.full(count, output)
    seen = round_values(ideal, map_errors(maps.unit_in[:, units], constant, stream, errors, rounding), rounding)
    given = silu_errors(output, seen, rounding)
    levels = [placement.levels[name] for name in (placement.following, placement.address)]
    changes = np.unique(levels[0][:, None] - levels[1])
    size = placement.magnitudes[old] + placement.magnitudes[new]
    difference = round_any(changes, sum_errors(up, placement.magnitudes, errors, rounding), rounding)
    spread = given * (size + difference) + output * difference
    spread += rounding.accumulation_roundoff * (output * size + spread)
    product = round_any(output * changes, spread, rounding)
    if not (output * size + product < rounding.largest / 4).all():
        raise RealisationError(f"a unit that replaces {placement.address} can overflow")
    return Moved(dimensions=old, error=product / output * (1 + FLOAT64_SLACK), size=size, changes=changes)
