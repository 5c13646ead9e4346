"""Pairs of gated hidden units, proven from the weights: what both give together is flat where they fire.

The gate of the second unit sees ``unit_output`` less than that of the first, and its output is subtracted. Where silu
is linear, both hand on the same error of the fields that they read, and the difference is ``unit_output`` without it.
So what layers err by does not grow from one layer to the next.

What a norm hands on is (1 + e) (x + d) + r in each dimension: its root errs by the same share e in all of them, the
stream by d, and roundings by r. A gate that should see s sees (1 + e) (s + h) + q: h is the same for both units of a
pair, q is not. With the factor (1 + e) (1 + f) they give, together,

    (1 + e)^2 unit_output + (q of the first - q of the second, what silu is off the identity, and f and roundings).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serialformer.arrays import Float64
from serialformer.proofs.activations import silu_errors
from serialformer.proofs.bounds import round_values
from serialformer.proofs.layer_maps import LayerMaps, map_errors, one_of
from serialformer.proofs.rounding import FLOAT64_SLACK, Rounding
from serialformer.proofs.stream import RealisationError, Stream

LARGEST_ERROR = 2.5
"""How far what a unit of a pair sees may be from what it should see where it fires."""

LARGEST_FACTOR_ERROR = 2.0**-6
"""How far the factor of a unit may be from 1, so that products of errors fit what is added for them."""

SILENCE = 14.0
"""What silu gives below minus this is bounded by what it sees."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NormedParts:
    """What a norm hands on to the units of a layer: in each dimension (1 + e) (x + d) + r.

    Attributes:
        common: a bound on e, which is the same in every dimension.
        inherited: bounds on d, times what (1 + e) can be; what units read by the same weights they have in common.
        own: bounds on r.
        factor: how far the factor of a unit can be from 1.
        own_factor: the same but for its share of e.
    """

    common: float
    inherited: Float64[np.ndarray, " width"]
    own: Float64[np.ndarray, " width"]
    factor: float
    own_factor: float


def split_norm(stream: Stream, maps: LayerMaps, epsilon: float, factor: float, rounding: Rounding) -> NormedParts:
    """Tells the errors of what a norm hands on apart.

    Args:
        stream: what stands before the layer's units.
        maps: of the layer, which has gated units.
        epsilon: of the norm.
        factor: how far what units are multiplied by can be from 1, in all.
        rounding: the runtimes to cover.
    """
    placement = stream.placement
    seen = stream.norm_input(epsilon)
    stream.norms.pop()
    relative, _ = seen.errors(rounding)
    least, most = seen.deviations
    ideal = float(placement.deviation)
    common = max(abs(ideal / least - 1), abs(ideal / most - 1)) * (1 + relative) + relative
    stored, accumulated = rounding.storage_roundoff, rounding.accumulation_roundoff
    gain = np.abs(maps.mlp_gain)
    inherited = stream.error * gain / least * (1 + 2 * relative)
    own = placement.magnitudes * np.abs(maps.mlp_gain / ideal - 1) * (1 + common)
    # The normed number and its product with the gain may each be stored.
    own += (8 * accumulated + 3 * stored) * ((1 + common) * placement.magnitudes * np.maximum(1, gain) + inherited)
    one, value = one_of(placement)
    own[one] += inherited[one]
    inherited[one] = 0.0
    own_factor = own[one] / abs(value) + 2 * accumulated + 2 * stored
    return NormedParts(common=common, inherited=inherited, own=own, factor=factor, own_factor=own_factor)


@dataclass(frozen=True, kw_only=True, eq=False)
class PairInput:
    """What the gates of the first units of pairs see.

    Attributes:
        table: whose they are, for messages.
        into: from dimensions of the stream to units.
        constant: of each unit.
        off_ideal: where they fire, how far exact arithmetic is from twice ``unit_output``.
        most_off: the most that they can see where they do not fire, in exact arithmetic; minus infinity where they
            always fire.
        bound: how far sums can be from exact arithmetic before they are stored, by the errors of each dimension alone.
    """

    table: str
    into: Float64[np.ndarray, "width units"]
    constant: Float64[np.ndarray, " units"]
    off_ideal: Float64[np.ndarray, " units"]
    most_off: Float64[np.ndarray, " units"]
    bound: Float64[np.ndarray, " units"]


def pair_errors(
    seen: PairInput, stream: Stream, parts: NormedParts, rounding: Rounding
) -> tuple[Float64[np.ndarray, " units"], Float64[np.ndarray, " units"]]:
    """How far what pairs give can be from ``unit_output`` where they fire, and from 0 where they do not.

    Args:
        seen: what their gates see.
        stream: what stands before the layer's units.
        parts: what the norm before them hands on.
        rounding: the runtimes to cover.

    Raises:
        RealisationError: they see too little, or too much.
    """
    output = stream.placement.unit_output
    if not max(parts.factor, parts.common) <= LARGEST_FACTOR_ERROR:
        raise RealisationError(f"what a unit of table {seen.table} is multiplied by errs by {parts.factor:.2g}")
    stored, accumulated = rounding.storage_roundoff, rounding.accumulation_roundoff
    shared = parts.inherited @ np.abs(seen.into)
    errors = parts.own + parts.inherited
    apart, together = np.zeros(len(shared)), np.zeros(len(shared))
    for ideal in (2 * output, output):
        ideals, constant = np.full(len(shared), ideal), seen.constant - (2 * output - ideal)
        own = map_errors(seen.into, constant, stream, errors, rounding) * (1 + parts.common) - shared
        bound = np.minimum(seen.bound, parts.common * ideal + shared + own)
        error = round_values(ideals, bound + seen.off_ideal, rounding)
        if not (error <= LARGEST_ERROR).all():
            raise RealisationError(f"a unit of table {seen.table} errs by {error.max():.2g} of {ideal:g}")
        given = silu_errors(ideal, error, rounding)
        spread = given * (1 + parts.factor) + ideal * parts.factor
        apart += round_values(ideals, spread + accumulated * (ideal + spread), rounding)
        size = ideal + error + 1  # the 1 is more than all errors beside this one
        tail = (ideal + error) * np.exp(-(ideal - error))
        # The sum, silu of it and the product may each be stored.
        together += own + tail + (9 * accumulated + 3 * stored + parts.own_factor) * size
    together = (together + seen.off_ideal) * (1 + parts.factor) + output * parts.common * (2 + parts.common)
    most_off = _most_off(seen, stream, parts, shared, rounding)
    if not (most_off < -SILENCE).all():
        raise RealisationError(f"a unit of table {seen.table} comes too near to firing where it should not")
    return np.minimum(apart, together * (1 + FLOAT64_SLACK)), _leaks(most_off, parts.factor, rounding)


def _most_off(
    seen: PairInput, stream: Stream, parts: NormedParts, shared: np.ndarray, rounding: Rounding
) -> Float64[np.ndarray, " units"]:
    """The most that the first units can see where they do not fire, roundings included."""
    never = np.isneginf(seen.most_off)
    exact = np.where(never, 0.0, seen.most_off)
    errors = parts.own + parts.inherited
    own = map_errors(seen.into, seen.constant, stream, errors, rounding) * (1 + parts.common) - shared
    spoilt = np.minimum(seen.bound, parts.common * np.abs(exact) + shared + own)
    spoilt = spoilt + rounding.storage_roundoff * (np.abs(exact) + spoilt)
    return np.where(never, -np.inf, exact + spoilt)


def _leaks(most_off: Float64[np.ndarray, " units"], factor_error: float, rounding: Rounding) -> np.ndarray:
    """The most that both units of a pair can give where they do not fire; less, the less they see."""
    never = np.isneginf(most_off)
    size = np.where(never, 0.0, -most_off)
    leak = np.where(never, 0.0, 1.01 * size * np.exp(-size)) * (1 + factor_error)
    return np.where(never, 0.0, 2 * round_values(np.zeros(len(leak)), leak, rounding))
