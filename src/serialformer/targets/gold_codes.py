"""Gold codes: sign vectors that are all nearly orthogonal, so that one hidden unit can watch for two of them at once.

The word (a, b) over the field of 2^m elements, m odd, has at x the sign of trace(a x + b x^3). Two different words
agree in about as many places as they differ: their product is 0 or 2^((m + 1)/2) or minus that, for they differ by a
quadratic form whose radical has one dimension (R. Gold, "Optimal binary sequences for spread spectrum multiplexing",
1967). That is a quarter of a word's square norm with m = 5, and an eighth with m = 7. The same holds of the sum of a
word's signs, which is its product with the word of ones only.

Why that matters: with e, f two words of norm n and g(e, f) >= -n/4 their product,

    <e + f, e> = <e + f, f> = n + g(e, f) >= 3 n / 4,    <e + f, other> <= n / 2,

so a threshold tells {e, f} from all other words. With codes of small distance, such as those of ``position_codes``, it
would not.
"""

from __future__ import annotations

import numpy as np

from serialformer.arrays import Int8, Int64
from serialformer.errors import CompileError

# x^5 + x^2 + 1 and x^7 + x + 1: irreducible, as bits.
_POLYNOMIALS = {5: 0b100101, 7: 0b10000011}


def gold_degree(num_words: int) -> int:
    """The least m, 5 or 7, that has this many words, the word of ones only not counted.

    Raises:
        CompileError: there are more words than m = 7 has.

    >>> [gold_degree(num_words) for num_words in (2, 1023, 1024)]
    [5, 5, 7]
    """
    for degree in _POLYNOMIALS:
        if num_words < 1 << 2 * degree:
            return degree
    raise CompileError(f"expected fewer than {1 << 2 * max(_POLYNOMIALS):,} words, found {num_words:,}")


def gold_words(num_words: int, degree: int) -> Int8[np.ndarray, "words places"]:
    """The first words of 2^degree signs, the word of ones only left out.

    >>> words = gold_words(1023, 5).astype(int)
    >>> products = words @ words.T - 32 * np.eye(1023, dtype=int)
    >>> words.shape, np.unique(products).tolist()
    ((1023, 32), [-8, 0, 8])
    """
    size = 1 << degree
    x = np.arange(size, dtype=np.int64)
    number = np.arange(1, num_words + 1, dtype=np.int64)
    a, b = number % size, number // size
    cube = _multiply(_multiply(x, x, degree), x, degree)
    value = _multiply(a[:, None], x, degree) ^ _multiply(b[:, None], cube, degree)
    return (1 - 2 * _trace(value, degree)).astype(np.int8)


def _multiply(left: Int64[np.ndarray, "..."], right: Int64[np.ndarray, "..."], degree: int) -> Int64[np.ndarray, "..."]:
    """The product in the field of 2^degree elements."""
    product = np.zeros(np.broadcast_shapes(left.shape, right.shape), dtype=np.int64)
    for bit in range(degree):
        product ^= (left << bit) * (right >> bit & 1)
    for bit in range(2 * degree - 2, degree - 1, -1):
        product ^= (_POLYNOMIALS[degree] << (bit - degree)) * (product >> bit & 1)
    return product


def _trace(value: Int64[np.ndarray, "..."], degree: int) -> Int64[np.ndarray, "..."]:
    """x + x^2 + x^4 + ..., which is 0 or 1."""
    total, power = value, value
    for _ in range(degree - 1):
        power = _multiply(power, power, degree)
        total = total ^ power
    return total
