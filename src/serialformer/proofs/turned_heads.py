"""Heads whose columns are rotated: bounds by 2-norms, which no rotation of the columns changes."""

from __future__ import annotations

import numpy as np

from serialformer.arrays import Float64
from serialformer.proofs.layer_maps import LayerMaps
from serialformer.proofs.rounding import Rounding
from serialformer.proofs.stream import RealisationError, Stream


def turns_heads(stream: Stream) -> bool:
    """Whether the columns of heads are rotated."""
    return stream.frame is not None and stream.frame.turns_heads


def projection_ball(
    stream: Stream,
    weight: Float64[np.ndarray, "width columns"],
    constant: Float64[np.ndarray, " columns"],
    size: float,
    rounding: Rounding,
) -> float:
    """How far queries, keys or values of a head can be off, in the 2-norm, besides what their dimensions err.

    Args:
        stream: what stands before attention, with what its norm has handed on.
        weight: from dimensions to columns, as it is without a rotation.
        constant: the bias.
        size: the largest 2-norm of the ideal.
        rounding: the runtimes to cover.
    """
    frame = stream.frame
    assert frame is not None
    largest = frame.normed_size(float(stream.placement.deviation))
    ball = stream.heard * float(np.linalg.norm(weight, 2)) + frame.weight_error * float(np.linalg.norm(constant))
    ball += frame.share(frame.width, rounding) * largest * float(np.linalg.norm(weight))
    return 1.01 * (ball + 4 * (rounding.storage_roundoff + rounding.accumulation_roundoff) * (size + ball))


def turned_scores(
    stream: Stream,
    reach: Float64[np.ndarray, "2 columns"],
    maps: LayerMaps,
    head: int,
    errors: Float64[np.ndarray, " width"],
    rounding: Rounding,
) -> tuple[float, float]:
    """The largest product of the norms of a query and a key, and how far their errors can move a score.

    Args:
        stream: what stands before attention.
        reach: the largest magnitude of each column of queries, and of keys.
        maps: of the layer.
        head: its number.
        errors: how far each coordinate after the layer norm can be from its code.
        rounding: the runtimes to cover.
    """
    sizes, balls = np.linalg.norm(reach, axis=1), []
    for part, size in enumerate(sizes.tolist()):
        weight = maps.into[:, part, head]
        inherited = float(np.linalg.norm(errors @ np.abs(weight)))
        balls.append(inherited + projection_ball(stream, weight, maps.constant[part, head], size, rounding))
    return float(sizes.prod()), float(sizes[0] * balls[1] + balls[0] * sizes[1] + balls[0] * balls[1])


def value_ball(stream: Stream, weight: Float64[np.ndarray, "width columns"], leak: float, rounding: Rounding) -> float:
    """How far the mixed values of a head can be from the ideal, in the 2-norm, besides what their dimensions err.

    Args:
        stream: what stands before attention.
        weight: of values, from dimensions to columns, as it is without a rotation.
        leak: how much attention weight other positions may have together.
        rounding: the runtimes to cover.
    """
    num_columns = weight.shape[1]
    size = float(np.linalg.norm(stream.placement.magnitudes @ np.abs(weight)))
    ball = projection_ball(stream, weight, np.zeros(num_columns), size, rounding)
    return ball + 16 * 1.1 * leak * float(np.sqrt(num_columns)) * (size + ball)


def check_distracting_heads(stream: Stream, index: int, num_positions: int, rounding: Rounding) -> None:
    """Takes in what rounding leaves of the heads of a layer whose values cancel.

    Raises:
        RealisationError: their scores can overflow.
    """
    frame = stream.frame
    if frame is None or not frame.turns_heads:
        return
    heard = frame.normed_size(float(stream.placement.deviation)) + stream.heard
    if not frame.distractors[index].largest * heard**2 * 4 < rounding.largest:
        raise RealisationError("a head without effect can overflow")
    stream.ball += frame.of_distracting_heads(index, heard, num_positions, rounding)
