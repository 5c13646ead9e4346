"""Attention by distance, proven from the weights: rotary positions identify the token a fixed number of positions back.

Queries and keys are the same at every position before they are rotated. So the score of two positions depends on their
distance alone: it is the sum, over the pairs of dimensions, of the real part of query times conjugate key, turned by
distance times the pair's angle. It is worked out for every distance that can occur; a window takes away the others.
"""

from __future__ import annotations

import numpy as np

from serialformer.arrays import Float64
from serialformer.constructions.construction import LookUp
from serialformer.proofs.layer_maps import LayerMaps, map_errors, stored_errors
from serialformer.proofs.rounding import FLOAT64_SLACK, Rounding
from serialformer.proofs.rounding_kernels import gamma
from serialformer.proofs.stream import RealisationError, Stream

PHASE_ERROR = 2.0**-18
"""How far an angle can be off, as a part of itself, in a runtime that computes angles in float32: the power, the
product with the position, and the powers one after the other where they are multiplied up."""

DISTANCES_PER_BLOCK = 1 << 14


def distance_gap(
    stream: Stream,
    look_up: LookUp,
    maps: LayerMaps,
    head: int,
    errors: np.ndarray,
    lengths: tuple[int, int],
    rounding: Rounding,
) -> tuple[float, float]:
    """The least difference of a head's scores between its distance and any other.

    Args:
        stream: what stands before attention.
        look_up: what the head is for.
        maps: of its layer.
        head: its number.
        errors: how far each coordinate after the norm can be from its code.
        lengths: how many positions there are, and how many of them a position sees, itself among them.
        rounding: the runtimes to cover.

    Returns:
        The difference in exact arithmetic, and less what rounding can take; neither is divided by the root of the
        width.

    Raises:
        RealisationError: queries or keys are not the same everywhere, or the distance is out of sight.
    """
    num_positions, num_visible = lengths
    into, constant = maps.into[:, :2, head], maps.constant[:2, head]
    distance = look_up.distance
    if distance is None or not 0 <= distance < num_visible:
        raise RealisationError(f"look-up {look_up.name} reads what a position does not see")
    if into.any() or not maps.turns.any():
        raise RealisationError(f"queries or keys of look-up {look_up.name} differ from position to position")
    half = len(maps.turns)
    parts = constant[:, :half] + 1j * constant[:, half:]
    products = parts[0] * parts[1].conj()
    scores = _scores(products, maps.turns, num_visible)
    exact = float(scores[distance] - np.delete(scores, distance).max(initial=-np.inf))
    norms = np.abs(parts)
    spoilt = np.stack([_rotated_errors(constant[part], norms[part], into[:, part], stream, maps, errors, num_positions,
                                       rounding) for part in range(2)])  # fmt: skip
    inherited = float((spoilt[0] * norms[1] + norms[0] * spoilt[1] + spoilt[0] * spoilt[1]).sum())
    size = float(((norms[0] + spoilt[0]) * (norms[1] + spoilt[1])).sum())
    rate = gamma(2 * half + 3, rounding.accumulation_roundoff) + 4 * rounding.storage_roundoff
    if not size * (1 + rate) < rounding.largest:
        raise RealisationError(f"scores of look-up {look_up.name} reach {size:.3g}, beyond {rounding.storage}")
    lost = 2 * inherited + 2 * rate * size + 1e-9 * size
    return exact, (exact - lost * (1 + FLOAT64_SLACK)) * (1 - 4 * rounding.storage_roundoff)


def allow_mixtures(stream: Stream, look_up: LookUp, rounding: Rounding) -> None:
    """Takes note that positions of the prompt that have nothing at a distance bring some mixture of values.

    Nothing reads what they bring, but their norm sees it. What lies between -1 and 1 has a square of at most 1, and at
    least 0.
    """
    placement = stream.placement
    for bring in look_up.brings:
        signs = np.append(placement.codes[bring.target], placement.nothing[bring.target])
        if stream.takes_mean or placement.codes[bring.target].shape[1] != 1 or not (np.abs(signs) == 1).all():
            raise RealisationError(f"look-up {look_up.name} brings more than signs")
        stream.mixtures = stream.mixtures + np.array([-1.0, 16 * rounding.storage_roundoff])


def _scores(products: np.ndarray, turns: np.ndarray, num_visible: int) -> Float64[np.ndarray, " distances"]:
    """The score at each distance, in float64, which errs by less than 1e-9 of the sum of all magnitudes."""
    found = np.empty(num_visible)
    for start in range(0, num_visible, DISTANCES_PER_BLOCK):
        block = np.arange(start, min(start + DISTANCES_PER_BLOCK, num_visible))
        angles = block[:, None] * turns
        found[block] = np.cos(angles) @ products.real - np.sin(angles) @ products.imag
    return found


def _rotated_errors(
    constant: np.ndarray,
    norms: np.ndarray,
    into: np.ndarray,
    stream: Stream,
    maps: LayerMaps,
    errors: np.ndarray,
    num_positions: int,
    rounding: Rounding,
) -> Float64[np.ndarray, " pairs"]:
    """How far each pair of a rotated query or key can be from what it should be, as the norm of a vector of two.

    With the pair (a, b) of norm r and roundoff u of what is stored: that cosine and sine are stored costs each
    coordinate at most u (|a c| + |b s|) <= u r, and that the two products are as much again; that the sum is costs u
    of it. A wrong angle moves the pair by r times what it is wrong by.
    """
    is_added = stream.head_biases
    bounds = map_errors(into, constant, stream, errors, rounding, is_added=is_added)
    before = np.array(
        [
            stored_errors(np.array([value]), float(value), float(bound), stream.placement, rounding, is_added=is_added)[
                0
            ]
            for value, bound in zip(constant, bounds, strict=True)
        ]
    )
    half = len(norms)
    inherited = np.hypot(before[:half], before[half:])
    reach = norms + inherited
    stored, accumulated = rounding.storage_roundoff, rounding.accumulation_roundoff
    rate = (2 * np.sqrt(2) + 1) * stored * (1 + 4 * stored) + 32 * accumulated
    angle = num_positions * maps.turns * PHASE_ERROR
    return inherited + reach * (angle + rate) * (1 + 4 * stored) + np.where(reach > 0, 8 * rounding.smallest, 0.0)
