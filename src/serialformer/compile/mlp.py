"""The truth-table layer: two hidden units for each combination of fetched bits.

The unit (c, v) sees SHARPNESS (sum of the K fetched bits, each with the sign it has in c, + v table[c] - K). Where the
fetched bits are c and the table says v, that is SHARPNESS (K + 1 - K) = SHARPNESS; where another entry or another
combination stands, it is at most -SHARPNESS: relu and gelu both give 0 there (gelu to within 1e-14 at 8). So exactly
one unit fires, and it writes its v with ANSWER times the weight of a token's own bit, which outvotes the bit that the
current token put there. Where every entry of the table is 0 (prompt positions and the end of the chain) no unit fires.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from serialformer.compile.residual import Residual

SHARPNESS = 8.0
ANSWER = 8.0
EQUALS_BIAS = 4.0
"""The standing offer of ``=``: below every computed bit (ANSWER - 1), above a token's own bit (1)."""


def truth_table_units(
    residual: Residual, hidden_width: int
) -> tuple[
    Float[np.ndarray, "width hidden"],
    Float[np.ndarray, " hidden"],
    Float[np.ndarray, "hidden width"],
    Float[np.ndarray, " width"],
]:
    """The matrices and biases of the feed-forward layer; hidden units beyond the 2^(K+1) used are zero."""
    into = np.zeros((residual.width, hidden_width))
    out = np.zeros((hidden_width, residual.width))
    bias_in, bias_out = np.zeros(hidden_width), np.zeros(residual.width)
    pair = np.array([0.5, -0.5]) * SHARPNESS
    for combination in range(residual.table_size):
        for value in (0, 1):
            unit, sign = 2 * combination + value, 2 * value - 1
            for head in range(residual.num_heads):
                wanted = 2 * (combination >> head & 1) - 1
                bit = residual.fetched_bit(head)
                into[bit : bit + 2, unit] = wanted * pair
            entry = residual.table + 2 * combination
            into[entry : entry + 2, unit] = sign * pair
            bias_in[unit] = -SHARPNESS * residual.num_heads
            out[unit, residual.token : residual.token + 2] = sign * ANSWER / SHARPNESS * np.array([1, -1])
    bias_out[residual.equals : residual.equals + 2] = EQUALS_BIAS, -EQUALS_BIAS
    return into, bias_in, out, bias_out
