"""Rotated weights as a proof sees them: the plain weights, and the rounding errors that the rotation adds.

A rotation Q of the residual stream that fixes the all-ones vector changes neither the mean nor the variance of any
stream. So a model whose embeddings and outputs are multiplied by Q, and whose inputs by its transpose, computes the
same function. Its weights are dense, and are stored rounded. The proof goes over the plain weights, which
``undo_rotation`` finds. Whatever rounding does in the rotated coordinates is counted as a *ball* around the stream, in
the 2-norm, which no rotation changes.

The columns of a head can be rotated, too: queries and keys alike, and values with the output that undoes it. Errors of
queries, keys and values are then known by their 2-norms alone, over all columns of the head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serialformer.proofs.rounding import FLOAT64_SLACK, Rounding
from serialformer.proofs.rounding_kernels import gamma
from serialformer.transformer.distractors import LayerDistractors


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What rotating costs.

    Attributes:
        weight_error: how far the stored weights that enter one sum, turned back, are from the plain ones, in the 2-norm
            and as a share of that of the plain ones; the most over all sums.
        width: dimensions of the stream.
        hidden_width: hidden units of a layer.
        turns_heads: whether the columns of heads are rotated.
        distractors: what cancels in each layer; the plain weights have none of it.
    """

    weight_error: float
    width: int
    hidden_width: int
    turns_heads: bool
    distractors: tuple[LayerDistractors, ...] = ()

    def share(self, num_terms: int, rounding: Rounding) -> float:
        """How far a sum of products can be off, as a share of the norms of its weights and of what they multiply."""
        rate = gamma(num_terms + 2, rounding.accumulation_roundoff)
        return (self.weight_error + rate * (1 + self.weight_error)) * (1 + FLOAT64_SLACK)

    def norm_ball(self, gain: float, rounding: Rounding) -> float:
        """The 2-norm of the roundings after a layer norm: of its elements, of their products with the gain, stored."""
        rate = 8 * rounding.accumulation_roundoff + 6 * rounding.storage_roundoff
        return 1.01 * gain * float(np.sqrt(self.width)) * rate

    def normed_size(self, gain: float) -> float:
        """The largest 2-norm of the values after a layer norm."""
        return 1.01 * gain * float(np.sqrt(self.width))

    def of_distracting_units(self, layer: int, heard: float, rounding: Rounding) -> tuple[float, float]:
        """What the units of a layer that cancel add to the stream, each for itself, and what rounding leaves of it.

        Args:
            layer: its number.
            heard: the largest 2-norm of what they read.
            rounding: the runtimes to cover.

        Returns:
            The sum over units of what each gives times the norm of what it writes; and the 2-norm of what is left.
        """
        cancel = self.distractors[layer]
        added = cancel.unit_weights * heard + cancel.unit_levels
        # Units that read the same may add it up in different orders. gelu's slope is at most 1.13, and its own
        # roundings are those of ``activation_error``.
        rate = 1.2 * gamma(self.width + 4, rounding.accumulation_roundoff) + 12 * rounding.storage_roundoff
        return added, 1.01 * (rate * added + 4 * rounding.storage_roundoff * cancel.unit_sizes)

    def of_distracting_heads(self, layer: int, heard: float, num_positions: int, rounding: Rounding) -> float:
        """What rounding leaves of what the heads of a layer that cancel add to the stream, in the 2-norm.

        They add mixtures of what stands at several positions, which is no larger than what stands at one. Roundings of
        their attention weights cancel, too; those of sums over dimensions, positions and columns do not.
        """
        cancel, roundoff = self.distractors[layer], rounding.accumulation_roundoff
        rate = 2 * gamma(self.width + 4, roundoff) + 2 * gamma(num_positions + 4, roundoff)
        rate += 12 * rounding.storage_roundoff
        return 1.01 * (cancel.head_rest + rate * cancel.head_weights) * heard
