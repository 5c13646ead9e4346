"""The plain weights behind rotated ones, found with the rotation as a witness, and how far the rotated ones are off."""

from __future__ import annotations

import numpy as np

from serialformer.arrays import Float64
from serialformer.proofs.frame import Frame
from serialformer.proofs.stream import RealisationError
from serialformer.transformer.rotation import turn_weights
from serialformer.transformer.row_table import is_finite
from serialformer.transformer.transformer import Transformer, weights_to_transformer

TOLERANCE = 1e-5
"""Numbers that are nearer to each other than this share of the largest one of their matrix were one number."""

COARSE = 1024.0
"""A number that is near a multiple of 1 / COARSE was that multiple."""

LARGEST_DEFECT = 1e-9
"""How far a witness may be from an orthogonal matrix that fixes the all-ones vector; float64 keeps well below this."""


def undo_rotation(transformer: Transformer, rotation: Float64[np.ndarray, "width width"]) -> tuple[Transformer, Frame]:
    """The plain transformer whose rotation a transformer is, and how far it is from being just that.

    Args:
        transformer: a GPT-2 in float32.
        rotation: the witness; what it is not is found out here.

    Raises:
        RealisationError: it is no rotation that fixes the all-ones vector, or behind it the weights are no few numbers.
    """
    architecture = transformer.architecture
    width = architecture.width
    if not architecture.is_gpt2 or architecture.dtype != "float32":
        raise RealisationError("a rotated model is proven as a GPT-2 in float32 only")
    if rotation.shape != (width, width):
        raise RealisationError(f"the rotation has the shape {list(rotation.shape)}, and the stream {width} dimensions")
    defect = float(np.linalg.norm(rotation @ rotation.T - np.eye(width)))
    defect += float(np.linalg.norm(rotation.sum(axis=0) - 1) + np.linalg.norm(rotation.sum(axis=1) - 1))
    if not defect < LARGEST_DEFECT:
        raise RealisationError("the witness is no orthogonal matrix that fixes the all-ones vector")
    for name, weight in transformer.named_weights():
        if not is_finite(weight):
            raise RealisationError(f"{name} holds infinities or what is not a number")
        if "norm_gain" in name and np.ptp(weight) != 0:
            raise RealisationError(f"{name} is not one number, so that it does not commute with the rotation")
        if "norm_bias" in name and weight.any():
            raise RealisationError(f"{name} is not zero, so that it does not commute with the rotation")
    stored = {name: weight.astype(np.float64) for name, weight in transformer.named_weights()}
    turned = turn_weights(stored, rotation.T)
    plain, worst = {}, 0.0
    for name, weight in turned.items():
        if weight is stored[name]:  # has no part of the stream
            plain[name] = dict(transformer.named_weights())[name]
            continue
        snapped = _snap(weight, name)
        plain[name] = snapped.astype(np.float32)
        axis = 0 if name.endswith("in_weight") else -1
        away = np.linalg.norm(weight - plain[name].astype(np.float64), axis=axis)
        size = np.linalg.norm(plain[name].astype(np.float64), axis=axis)
        is_zero = size == 0
        if np.any(np.linalg.norm(weight, axis=axis)[is_zero]):
            raise RealisationError(f"{name} holds something where the construction has nothing")
        worst = max(worst, float(np.max((away / np.where(is_zero, 1.0, size)), initial=0.0)))
    # An orthogonal matrix that fixes the all-ones vector exactly is as near as twice the defect; and float64 rounds.
    own = 4 * defect + 8 * width * 2.0**-53
    result = weights_to_transformer(architecture, plain)
    return result, Frame(weight_error=worst * (1 + own) + own, width=width)


def _snap(weight: np.ndarray, name: str) -> Float64[np.ndarray, "..."]:
    """The same with numbers that rounding alone tells apart made one.

    Raises:
        RealisationError: the numbers are too many to be told apart.
    """
    values, places = np.unique(weight, return_inverse=True)
    reach = TOLERANCE * max(1e-3, float(np.abs(values).max(initial=0.0)))
    group = np.concatenate([[0], np.cumsum(np.diff(values) > reach)])
    first = np.searchsorted(group, np.arange(group[-1] + 1))
    last = np.append(first[1:], len(values)) - 1
    if (values[last] - values[first] > 4 * reach).any():
        raise RealisationError(f"{name}, with the rotation undone, holds numbers that do not fall into groups")
    middle = (values[first] + values[last]) / 2
    near = np.round(middle * COARSE) / COARSE
    middle = np.where(np.abs(near - middle) <= reach, near, middle)
    return np.asarray(middle[group][places.reshape(weight.shape)])
