"""The look-up head: attention that fetches the one token whose position bears a given name.

The query of a position is the name that it wants to read, times a scale s; the key of a position is its own name. By
``names`` the score of the wanted position exceeds that of every other by at least 4 s / sqrt(head width). Softmax then
leaves the others together at most T exp(-gap) of the weight: nothing, in any number format, for the gaps used here.
The value is the token's bit, +1 or -1, with ``=`` read as 0; the head adds it to its own ``fetched`` pair.
"""

from __future__ import annotations

from math import ceil, log2, sqrt

import numpy as np
from jaxtyping import Float

from serialformer.compile.names import MIN_NAME_GAP
from serialformer.compile.residual import Residual


def query_scale(head_width: int, attention_gap: float) -> float:
    """The least power of two, exact in every format, that gives at least this attention gap.

    >>> query_scale(30, 40.0)
    64.0
    """
    return 2.0 ** ceil(log2(attention_gap * sqrt(head_width) / MIN_NAME_GAP))


def look_up_heads(
    residual: Residual, scale: float
) -> tuple[Float[np.ndarray, "width qkv"], Float[np.ndarray, "width width"]]:
    """The input and output matrices of one head for each fetched bit."""
    width, length = residual.width, residual.name_length
    head_width = width // residual.num_heads
    into = np.zeros((width, 3, residual.num_heads, head_width))
    out = np.zeros((residual.num_heads, head_width, width))
    place = np.arange(length)
    for head in range(residual.num_heads):
        into[residual.read_name(head) + place, 0, head, place] = scale
        into[residual.name + place, 1, head, place] = 1
        into[residual.token : residual.token + 2, 2, head, 0] = 0.5, -0.5
        into[residual.equals : residual.equals + 2, 2, head, 0] = -0.5, 0.5
        pair = residual.fetched_bit(head)
        out[head, 0, pair : pair + 2] = 1, -1
    return into.reshape(width, 3 * width), out.reshape(width, width)
