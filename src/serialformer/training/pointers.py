"""Where a trained model looks, measured against where the construction of its task reads.

Shapes: B rows, H heads, T queries, S keys.
"""

from __future__ import annotations

import numpy as np

from serialformer.arrays import Bool, Float, Int64
from serialformer.transformer.forward import compute_attention
from serialformer.transformer.transformer import Transformer

POINTS = 0.5
"""A head of the construction points at a token if it gives it more than this share of its attention."""


def find_pointers(
    construction: Transformer, tokens: Int64[np.ndarray, "B T"], has_loss: Bool[np.ndarray, "B T"]
) -> list[Int64[np.ndarray, "B T"]]:
    """For each head of a construction, the position that it reads at each labelled position; -1 where it reads none.

    Heads that read what another head reads everywhere, or never read another token than their own, are left out.
    """
    own = np.arange(tokens.shape[1])
    pointers: list[Int64[np.ndarray, "B T"]] = []
    for shares_BHTS in compute_attention(construction, tokens, dtype=np.float32):
        for shares in shares_BHTS.swapaxes(0, 1):
            target = np.where(shares.max(axis=-1) > POINTS, shares.argmax(axis=-1), -1)
            target = np.where(has_loss, target, -1)
            idle = ((target == -1) | (target == own)).all()
            if not idle and not any(np.array_equal(target, other) for other in pointers):
                pointers.append(target)
    return pointers


def pointer_shares(
    attention: list[Float[np.ndarray, "B H T S"]], pointers: list[Int64[np.ndarray, "B T"]]
) -> list[float]:
    """For each pointer the largest mean share of attention that any head of any layer gives the token pointed at."""
    shares = []
    for target in pointers:
        points = target >= 0
        rows, queries = np.nonzero(points)
        keys = target[points]
        shares.append(max(float(layer[rows, :, queries, keys].mean(axis=0).max()) for layer in attention))
    return shares
