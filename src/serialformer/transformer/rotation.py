"""Rotations that leave the function of a transformer as it is: of its residual stream, and of the columns of heads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from serialformer.architecture import DTYPES, Architecture
from serialformer.arrays import Float64
from serialformer.errors import SerialformerError
from serialformer.transformer.transformer import Transformer, weights_to_transformer


@dataclass(frozen=True, kw_only=True, eq=False)
class Rotation:
    """By what a transformer is rotated.

    Attributes:
        stream: the residual stream is multiplied by it; it is orthogonal and fixes the all-ones vector.
        heads: for each layer and head two orthogonal matrices: queries and keys are multiplied by the first, so that
            their products stay what they were, and values by the second, which the output of the head undoes. None
            where the columns of heads are left alone.
    """

    stream: Float64[np.ndarray, "width width"]
    heads: Float64[np.ndarray, "layers heads 2 columns columns"] | None = None

    @property
    def inverse(self) -> Rotation:
        """The rotation that undoes this one."""
        return Rotation(stream=self.stream.T, heads=None if self.heads is None else self.heads.swapaxes(-1, -2))


def draw_rotation(architecture: Architecture, seed: int, *, turns_heads: bool = True) -> Rotation:
    """A random rotation for a transformer of some shape.

    Args:
        architecture: its shape.
        seed: of the draw; the stream's rotation is the same with and without those of heads.
        turns_heads: whether the columns of heads are rotated, too.
    """
    stream = random_rotation(architecture.width, seed)
    if not turns_heads:
        return Rotation(stream=stream)
    random = np.random.default_rng([seed, 1])
    size = architecture.head_width
    drawn = random.standard_normal((architecture.num_layers, architecture.num_heads, 2, size, size))
    inner, upper = np.linalg.qr(drawn)
    signs = np.sign(np.diagonal(upper, axis1=-2, axis2=-1))
    return Rotation(stream=stream, heads=inner * signs[..., None, :])


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
    weights: Mapping[str, Float64[np.ndarray, "..."]], rotation: Rotation
) -> dict[str, Float64[np.ndarray, "..."]]:
    """The weights of a transformer that is rotated; weights that no rotation touches stay what they are.

    Args:
        weights: of a GPT-2, by the names of ``Transformer.named_weights``.
        rotation: by what; ``Rotation.inverse`` undoes it.
    """
    turn, turned = rotation.stream, {}
    for name, weight in weights.items():
        if name.endswith("embedding") or name.endswith(("out_weight", "out_bias")):
            turned[name] = weight @ turn
        elif name.endswith("in_weight"):
            turned[name] = turn.T @ weight
        else:
            turned[name] = weight
    if rotation.heads is not None:
        for index, of_heads in enumerate(rotation.heads):
            first = f"layers.{index}.attention_"
            for part in ("in_weight", "in_bias"):
                turned[first + part] = _turn_columns(turned[first + part], of_heads)
            heads, _, size, _ = of_heads.shape
            out = turned[f"{first}out_weight"].reshape(heads, size, -1)
            turned[f"{first}out_weight"] = (of_heads[:, 1].swapaxes(-1, -2) @ out).reshape(heads * size, -1)
    return turned


def _turn_columns(
    weight: Float64[np.ndarray, "*rows qkv"], of_heads: Float64[np.ndarray, "heads 2 columns columns"]
) -> Float64[np.ndarray, "*rows qkv"]:
    """Queries, keys and values with the columns of each head rotated."""
    heads, _, size, _ = of_heads.shape
    by_head = weight.reshape(-1, 3, heads, 1, size)
    turned = by_head @ of_heads[:, [0, 0, 1]].swapaxes(0, 1)
    return np.asarray(turned.reshape(weight.shape))


def rotate_transformer(transformer: Transformer, rotation: Rotation) -> Transformer:
    """The transformer that is another one, rotated. It computes the same function.

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
