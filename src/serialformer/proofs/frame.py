"""Rotated weights as a proof sees them: the plain weights, and the rounding errors that the rotation adds.

A rotation Q of the residual stream that fixes the all-ones vector changes neither the mean nor the variance of any
stream. So a model whose embeddings and outputs are multiplied by Q, and whose inputs by its transpose, computes the
same function. Its weights are dense, and are stored rounded. The proof goes over the plain weights, which
``undo_rotation`` finds. Whatever rounding does in the rotated coordinates is counted as a *ball* around the stream, in
the 2-norm, which no rotation changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serialformer.proofs.rounding import FLOAT64_SLACK, Rounding
from serialformer.proofs.rounding_kernels import gamma


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What rotating costs.

    Attributes:
        weight_error: how far the stored weights that enter one sum, turned back, are from the plain ones, in the 2-norm
            and as a share of that of the plain ones; the most over all sums.
        width: dimensions of the stream.
    """

    weight_error: float
    width: int

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
