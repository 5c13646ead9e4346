"""The plain weights of a rotated model, recovered with the rotation as a witness, and the rotated ones' error."""

from __future__ import annotations

import numpy as np

from serialformer.architecture import Architecture
from serialformer.arrays import Float64
from serialformer.proofs.frame import Frame
from serialformer.proofs.stream import RealisationError
from serialformer.transformer.distractors import LayerDistractors, remove_distractors
from serialformer.transformer.rotation import Rotation, turn_weights
from serialformer.transformer.row_table import is_finite
from serialformer.transformer.transformer import Transformer, weights_to_transformer

TOLERANCE = 1e-5
"""Numbers that are nearer to each other than this share of the largest one of their matrix were one number."""

COARSE = 1024.0
"""A number that is near a multiple of 1 / COARSE was that multiple."""

LARGEST_DEFECT = 1e-9
"""How far a witness may be from an orthogonal matrix that fixes the all-ones vector; float64 keeps well below this."""


def undo_rotation(transformer: Transformer, rotation: Rotation) -> tuple[Transformer, Frame]:
    """The plain transformer whose rotation a transformer is, and how far it is from being just that.

    Args:
        transformer: a GPT-2 in float32.
        rotation: the witness; what it is not is found out here.

    Raises:
        RealisationError: it is no rotation of that kind, or the weights it recovers take too many values.
    """
    architecture = transformer.architecture
    width = architecture.width
    if not architecture.is_gpt2 or architecture.dtype != "float32":
        raise RealisationError("a rotated model is proven as a GPT-2 in float32 only")
    defect = _defect(rotation, architecture)
    for name, weight in transformer.named_weights():
        if not is_finite(weight):
            raise RealisationError(f"{name} holds infinities or what is not a number")
        if "norm_gain" in name and np.ptp(weight) != 0:
            raise RealisationError(f"{name} is not one number, so that it does not commute with the rotation")
        if "norm_bias" in name and weight.any():
            raise RealisationError(f"{name} is not zero, so that it does not commute with the rotation")
    distractors: tuple[LayerDistractors, ...] = ()
    if rotation.heads is not None:
        transformer, distractors = remove_distractors(transformer)
    named = dict(transformer.named_weights())
    stored = {name: weight.astype(np.float64) for name, weight in named.items()}
    plain, worst = {}, 0.0
    for name, weight in turn_weights(stored, rotation.inverse).items():
        if weight is stored[name]:  # no rotation touches it
            plain[name] = named[name]
            continue
        plain[name] = _snap(weight, name).astype(np.float32)
        worst = max(worst, _away(name, weight, plain[name].astype(np.float64), rotation, architecture))
    # An orthogonal matrix that fixes the all-ones vector exactly is as near as twice the defect; and float64 rounds.
    own = 8 * defect + 16 * width * 2.0**-53
    frame = Frame(
        weight_error=worst * (1 + own) + own,
        width=width,
        hidden_width=architecture.hidden_width,
        turns_heads=rotation.heads is not None,
        distractors=distractors or (LayerDistractors(),) * architecture.num_layers,
    )
    return weights_to_transformer(architecture, plain), frame


def _defect(rotation: Rotation, architecture: Architecture) -> float:
    """How far a witness is from what it should be.

    Raises:
        RealisationError: too far.
    """
    width, stream, heads = architecture.width, rotation.stream, rotation.heads
    if stream.shape != (width, width):
        raise RealisationError(f"the rotation has the shape {list(stream.shape)}, and the stream {width} dimensions")
    defect = float(np.linalg.norm(stream @ stream.T - np.eye(width)))
    defect += float(np.linalg.norm(stream.sum(axis=0) - 1) + np.linalg.norm(stream.sum(axis=1) - 1))
    if not defect < LARGEST_DEFECT:
        raise RealisationError("the witness is no orthogonal matrix that fixes the all-ones vector")
    if heads is None:
        return defect
    size = architecture.head_width
    if heads.shape != (architecture.num_layers, architecture.num_heads, 2, size, size):
        raise RealisationError(f"the rotations of heads have the shape {list(heads.shape)}")
    of_heads = float(np.linalg.norm(heads @ heads.swapaxes(-1, -2) - np.eye(size), axis=(-2, -1)).max())
    if not of_heads < LARGEST_DEFECT:
        raise RealisationError("the witness has a matrix for a head that is not orthogonal")
    return defect + of_heads


def _away(
    name: str,
    weight: Float64[np.ndarray, "..."],
    plain: Float64[np.ndarray, "..."],
    rotation: Rotation,
    architecture: Architecture,
) -> float:
    """How far weights that enter one sum are from the plain ones, as a share of their norm; the most of all sums.

    What the columns of a head are rotated with each other is one sum.

    Raises:
        RealisationError: there is something where the plain weights are zero.
    """
    axes: tuple[int, ...] = (0,) if name.endswith("in_weight") else (-1,)
    if rotation.heads is not None and ".attention_in" in name:
        weight, plain = (one.reshape(-1, 3, architecture.num_heads, architecture.head_width) for one in (weight, plain))
        axes = (0, 3)
    elif rotation.heads is not None and name.endswith("attention_out_weight"):
        weight, plain = (one.reshape(architecture.num_heads, -1) for one in (weight, plain))
        axes = (1,)
    away, size = (np.sqrt(np.square(one).sum(axis=axes)) for one in (weight - plain, plain))
    is_zero = size == 0
    if np.any(away[is_zero]):
        raise RealisationError(f"{name} holds something where the construction has nothing")
    return float(np.max(away / np.where(is_zero, 1.0, size), initial=0.0))


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
