"""Fields that a layer clears, proven from the weights: its last hidden units subtract the content of these fields.

Such a unit is linear for all that its field can hold. So what it takes away is what stands there as the layer norm
hands it on, the errors of earlier layers included, and these are gone afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serialformer.arrays import Float64
from serialformer.proofs.activations import activation_errors
from serialformer.proofs.bounds import NormInput, round_values, sum_errors
from serialformer.proofs.layer_maps import LayerMaps, turning_errors
from serialformer.proofs.rounding import FLOAT64_SLACK, Rounding
from serialformer.proofs.stream import RealisationError, Stream
from serialformer.transformer.transformer import Transformer


@dataclass(frozen=True, kw_only=True, eq=False)
class Cleared:
    """What remains of a field, dimension by dimension.

    Attributes:
        from_stream: how far the sum of what stood there and what is taken away can be from nothing, whatever the
            errors of what stood there.
        from_codes: how far what is taken away can be from the difference of code and nothing.
        size: the largest sum of magnitudes that is added up.
        norms: the largest sum of what each unit gives times the norm of what it writes.
    """

    from_stream: Float64[np.ndarray, " length"]
    from_codes: Float64[np.ndarray, " length"]
    size: Float64[np.ndarray, " length"]
    norms: float


def check_clearing(
    transformer: Transformer,
    stream: Stream,
    maps: LayerMaps,
    names: tuple[str, ...],
    first: int,
    errors: Float64[np.ndarray, " width"],
    rounding: Rounding,
) -> tuple[dict[str, Cleared], int]:
    """Checks the units that clear fields.

    Args:
        transformer: the weights.
        stream: what stands before the layer's units.
        maps: of the layer.
        names: the fields that are cleared.
        first: the first hidden unit after those of the unit tables.
        errors: how far each coordinate after the layer norm can be from its code.
        rounding: the runtimes to cover.

    Returns:
        What is left of each field, and how many units have an effect, those of the tables included.

    Raises:
        RealisationError: something is left, or something else is changed.
    """
    if names and stream.placement.one:
        raise RealisationError("a layer without biases clears nothing")
    into, bias, out = maps.unit_in, maps.unit_constant, maps.unit_out
    effective = first + np.flatnonzero(out[first:].any(axis=1))
    last = int(effective.max(initial=first - 1)) + 1
    seen = stream.norm_input(transformer.architecture.norm_epsilon)
    stream.norms.pop()
    free, cleared = set(effective.tolist()), {}
    for name in names:
        span = stream.placement.spans[name]
        units = effective[(into[span][:, effective] != 0).any(axis=0)]
        outside = np.ones(stream.placement.width, dtype=bool)
        outside[span] = False
        if not free.issuperset(units.tolist()) or into[outside][:, units].any() or out[units][:, outside].any():
            raise RealisationError(f"a unit that clears {name} reads or writes something else")
        free -= set(units.tolist())
        part = {"into": into[span][:, units], "bias": bias[units], "out": out[units][:, span]}
        cleared[name] = _clear(transformer, stream, maps, name, part, seen, errors, rounding)
    if free:
        raise RealisationError("a hidden unit beyond those of the construction writes something")
    return cleared, last


def _clear(
    transformer: Transformer,
    stream: Stream,
    maps: LayerMaps,
    name: str,
    part: dict[str, np.ndarray],
    seen: NormInput,
    errors: np.ndarray,
    rounding: Rounding,
) -> Cleared:
    """The same for one field; ``part`` holds what its units read, their bias, and what they write."""
    placement = stream.placement
    dimensions = placement.dimensions(name)
    into, bias, out = part["into"], part["bias"], part["out"]
    table, nothing = stream.table(name), placement.nothing[name].astype(np.float64)
    inputs = table @ into + bias
    if not (inputs >= placement.unit_output).all():
        raise RealisationError(f"a unit that clears {name} is not linear for all that can stand there")
    if not np.array_equal(table + inputs @ out + maps.unit_out_constant[dimensions], np.tile(nothing, (len(table), 1))):
        raise RealisationError(f"something is left of {name}, which is to be cleared")
    bound = sum_errors(into, placement.magnitudes[dimensions], errors[dimensions], rounding)
    bound = bound + turning_errors(into, stream, rounding)
    magnitude, roundoff = np.abs(out), rounding.storage_roundoff + rounding.accumulation_roundoff
    largest = np.abs(inputs).max(axis=0)
    # By how much a unit's input differs from what it should be for the number that stands there.
    shifts = _norm_shifts(stream, dimensions, table, seen, maps.mlp_gain[dimensions], rounding)
    if maps.mlp_gain_bias[dimensions].any():
        raise RealisationError(f"a layer norm adds something to {name}")
    inherited = errors[dimensions] @ np.abs(into) + stream.heard * np.linalg.norm(into, axis=0)
    of_sums = bound - inherited + 2 * roundoff * (largest + np.abs(bias) + bound)
    if stream.frame is not None:
        ball = stream.frame.norm_ball(float(np.abs(maps.mlp_gain).max()), rounding)
        of_sums = of_sums + ball * np.linalg.norm(into, axis=0)
    moved = shifts @ np.abs(into) + of_sums
    # By how much what a unit gives differs from what it gives for a code without error.
    given = np.zeros(len(bias))
    for row in inputs:
        before = round_values(row - bias, bound, rounding)
        error = round_values(row, before, rounding)
        if not (error <= 1).all():
            raise RealisationError(f"a unit that clears {name} errs by {error.max():.2g}")
        for unit, ideal in enumerate(row):
            is_relu = transformer.architecture.activation == "relu"
            worst = activation_errors(float(ideal), error[unit : unit + 1], is_relu, rounding)
            given[unit] = max(given[unit], float(worst[0]))
    own = np.abs(table).max(axis=0) + stream.error[dimensions] + stream.ball
    return Cleared(
        # A layer norm may read the sum before it is stored.
        from_stream=(moved @ magnitude + rounding.storage_roundoff * own) * (1 + FLOAT64_SLACK),
        from_codes=given @ magnitude * (1 + FLOAT64_SLACK),
        size=(largest + 1) @ magnitude,
        norms=float((largest + 1) @ np.linalg.norm(magnitude, axis=1)),
    )


def _norm_shifts(
    stream: Stream, dimensions: np.ndarray, table: np.ndarray, seen: NormInput, gain: np.ndarray, rounding: Rounding
) -> Float64[np.ndarray, " length"]:
    """How far a layer norm can move coordinates from the content of the stream, whatever the errors of that."""
    relative, absolute = seen.errors(rounding)
    least, most = seen.deviations
    reach = np.abs(table).max(axis=0) + stream.error[dimensions] + stream.ball
    scaled = np.maximum(np.abs(gain / least - 1), np.abs(gain / most - 1)) * reach
    centred = np.abs(gain) * (seen.mean / least + relative * (reach + seen.mean) / least + absolute)
    roundings = 4 * (rounding.storage_roundoff + rounding.accumulation_roundoff)
    return scaled + centred + roundings * (reach + scaled + centred)
