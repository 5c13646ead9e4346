"""Sign codes: ids of positions as vectors of signs, and attention that looks one up at constant precision.

The code of an id of k bits is a vector in {-1, 1}^k. Attention compares two of them in F_s, whatever k, by a query and
a key that interleave codes with constants (the lemma used for Theorem 3.3 of arXiv 2402.12875):

    query = (c_1, 1, c_2, 1, ...),   key = B_s (d_1, -1, d_2, -1, ...),   B_s = 2^s - 2^-s the largest number.

The sum goes left to right and saturates. From 0, a pair with equal signs adds B_s and then -B_s: back to 0. A pair with
unequal signs adds -B_s twice: to -B_s and no further. From -B_s, a pair with equal signs goes to 0 and back to -B_s. So
the score is 0 for equal codes and -B_s for all others. exp 0 = 1, and exp(-B_s) < 2^-(s+1) rounds to 0, so the sum of
the exponentials is 1 and the softmax is one-hot, exactly.

The order carries all of it: with -1 before the sign in each pair, or with all signs before all -1s, it fails for
k >= 2.
"""

from __future__ import annotations

import numpy as np

from serialformer.arrays import Float, Int8, Integer


def code_length(num_ids: int) -> int:
    """k = ceil(log2(ids)), at least 1.

    >>> [code_length(num_ids) for num_ids in (1, 2, 3, 4, 5, 1024, 1025)]
    [1, 1, 2, 2, 3, 10, 11]
    """
    return max(1, (num_ids - 1).bit_length())


def sign_codes(ids: Integer[np.ndarray, " ids"], length: int) -> Int8[np.ndarray, "ids length"]:
    """The signs of the bits of each id, least significant first: bit 0 is -1, bit 1 is 1.

    >>> sign_codes(np.array([0, 1, 2]), 2)
    array([[-1, -1],
           [ 1, -1],
           [-1,  1]], dtype=int8)
    """
    bits = ids[:, None] >> np.arange(length, dtype=ids.dtype) & 1
    return (2 * bits.astype(np.int8) - 1).astype(np.int8)


def interleave(first: Float[np.ndarray, "*rows k"], second: Float[np.ndarray, "*rows k"]) -> np.ndarray:
    """(first_1, second_1, first_2, second_2, ...) along the last axis.

    >>> interleave(np.array([1.0, 2.0]), np.array([-1.0, -2.0]))
    array([ 1., -1.,  2., -2.])
    """
    return np.stack(np.broadcast_arrays(first, second), axis=-1).reshape(*first.shape[:-1], -1)
