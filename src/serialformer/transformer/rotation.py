"""Rotations of the residual stream that layer norm does not notice."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from serialformer.architecture import DTYPES
from serialformer.arrays import Float64
from serialformer.errors import SerialformerError
from serialformer.transformer.transformer import Transformer, weights_to_transformer


def random_rotation(width: int, seed: int) -> Float64[np.ndarray, "width width"]:
    """An orthogonal matrix that fixes the all-ones vector, drawn evenly from all of them.

    Layer norm takes the mean off, which is the part along the all-ones vector, and divides by the length of the rest.
    Such a matrix changes neither, so it commutes with layer norm.

    Args:
        width: dimensions.
        seed: of the draw.

    >>> rotation = random_rotation(6, 0)
    >>> bool(np.allclose(rotation @ rotation.T, np.eye(6))), bool(np.allclose(np.ones(6) @ rotation, 1))
    (True, True)
    """
    basis = mean_free_basis(width)
    inner, upper = np.linalg.qr(np.random.default_rng(seed).standard_normal((width - 1, width - 1)))
    inner = inner * np.sign(np.diagonal(upper))
    return np.asarray(basis @ inner @ basis.T + np.full((width, width), 1 / width))


def mean_free_basis(width: int) -> Float64[np.ndarray, "width rest"]:
    """An orthonormal basis of all vectors with mean 0, by columns: each takes one more dimension (Helmert)."""
    basis = np.zeros((width, width - 1))
    for column in range(width - 1):
        basis[: column + 1, column] = 1
        basis[column + 1, column] = -(column + 1)
    return np.asarray(basis / np.linalg.norm(basis, axis=0))


def turn_weights(
    weights: Mapping[str, Float64[np.ndarray, "..."]], turn: Float64[np.ndarray, "width turned"]
) -> dict[str, Float64[np.ndarray, "..."]]:
    """Weights of a stream that is multiplied by a rotation; weights that do not touch the stream stay what they are.

    Args:
        weights: by the names of ``Transformer.named_weights``.
        turn: the rotation; its transpose undoes it.
    """
    turned = {}
    for name, weight in weights.items():
        if name.endswith("embedding") or name.endswith(("out_weight", "out_bias")):
            turned[name] = weight @ turn
        elif name.endswith("in_weight"):
            turned[name] = turn.T @ weight
        else:
            turned[name] = weight
    return turned


def rotate_transformer(transformer: Transformer, rotation: Float64[np.ndarray, "width width"]) -> Transformer:
    """The transformer whose residual stream is that of another one, rotated. It computes the same function.

    Gains and biases of norms are folded into the maps that follow, where they are not the same in every dimension.

    Raises:
        SerialformerError: it is no GPT-2, or the final norm, which is followed by the tied unembedding, has a bias or
            different gains.
    """
    architecture = transformer.architecture
    if not architecture.is_gpt2:
        raise SerialformerError(
            f"expected a GPT-2, found {architecture.family}", hint="rotations are made for layer norm and biases"
        )
    weights = {name: weight.astype(np.float64) for name, weight in transformer.named_weights()}
    if np.ptp(weights["final_norm_gain"]) != 0 or weights["final_norm_bias"].any():
        raise SerialformerError(
            "the final norm has a bias or different gains, which cannot be folded into a tied unembedding"
        )
    for index in range(architecture.num_layers):
        for norm, part in (("attention_norm", "attention_in"), ("mlp_norm", "mlp_in")):
            _fold(weights, f"layers.{index}.{norm}", f"layers.{index}.{part}")
    number = DTYPES[architecture.dtype]
    turned = turn_weights(weights, rotation)
    return weights_to_transformer(architecture, {name: weight.astype(number) for name, weight in turned.items()})


def _fold(weights: dict[str, np.ndarray], norm: str, part: str) -> None:
    """Moves a norm's gain and bias into the map after it, unless they commute with every rotation."""
    gain, bias = weights[f"{norm}_gain"], weights[f"{norm}_bias"]
    if np.ptp(gain) == 0 and not bias.any():
        return
    matrix = weights[f"{part}_weight"]
    weights[f"{part}_bias"] = weights[f"{part}_bias"] + bias @ matrix
    weights[f"{part}_weight"] = gain[:, None] * matrix
    weights[f"{norm}_gain"], weights[f"{norm}_bias"] = np.ones_like(gain), np.zeros_like(bias)
