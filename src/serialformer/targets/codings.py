"""Codings: the vectors that stand for the values of a field in the residual stream.

All codings of GPT-2 are neutral to layer norm in their own way: the codes of a field add up to 0 and have one square
norm, or every coordinate of them is +1 or -1. A norm that takes no mean asks for the square norm only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import isqrt

import numpy as np

from serialformer.arrays import Int8, Int64
from serialformer.targets.gold_codes import gold_degree, gold_words
from serialformer.targets.position_codes import MIN_CODE_GAP, code_length, position_codes


@dataclass(frozen=True, kw_only=True, eq=False)
class Coding:
    """A code for each value of a field.

    A code is written on *carriers*, some of its dimensions, which determine the others: dimension i holds
    ``signs[i]`` times the carrier number ``carrier[i]``.

    Attributes:
        codes: a row for each value.
        nothing: the code of a field that holds nothing.
        carriers: the dimensions that heads read.
        carrier: for each dimension which carrier it follows.
        signs: for each dimension 1 or -1.
        watched: the dimensions that hidden units read.
        probes: for each value how much a unit or a query looks for each carrier; 0 where it need not look.
        answers: for each value what a unit adds so that the value outweighs any other.
        labels: for each dimension its label, with ``{field}`` for the field's name.
        gap: the least difference between a probe's product with its own value's carriers and with another's.
    """

    codes: Int8[np.ndarray, "values length"]
    nothing: Int8[np.ndarray, " length"]
    carriers: Int64[np.ndarray, " carriers"]
    carrier: Int64[np.ndarray, " length"]
    signs: Int8[np.ndarray, " length"]
    watched: Int64[np.ndarray, " watched"]
    probes: Int8[np.ndarray, "values carriers"]
    answers: Int8[np.ndarray, "values length"]
    labels: tuple[str, ...]
    gap: int

    @property
    def num_values(self) -> int:
        return len(self.codes)

    @property
    def length(self) -> int:
        return int(self.codes.shape[1])

    @property
    def square_norm(self) -> int:
        """The square norm of every code."""
        return int(np.square(self.codes[:1].astype(np.int64)).sum())

    def rows(self, values: np.ndarray) -> Int8[np.ndarray, "rows length"]:
        """The codes of some values; that of nothing for negative ones."""
        rows = self.codes[values]
        if values.dtype.kind == "i" and (missing := values < 0).any():
            rows[missing] = self.nothing
        return rows


def _plain(codes: np.ndarray, labels: tuple[str, ...], nothing: np.ndarray | None = None) -> Coding:
    """A coding in which every dimension is a carrier."""
    every = np.arange(codes.shape[1])
    return Coding(
        codes=codes,
        nothing=np.zeros(len(every), dtype=np.int8) if nothing is None else nothing,
        carriers=every,
        carrier=every,
        signs=np.ones(len(every), dtype=np.int8),
        watched=every,
        probes=codes,
        answers=codes,
        labels=labels,
        gap=MIN_CODE_GAP,
    )


def _numbered(length: int) -> tuple[str, ...]:
    return tuple(f"{{field}}.{index}" for index in range(length))


@lru_cache(maxsize=8)  # fields with as many values share their codes
def position_coding(num_values: int, *, signed_labels: bool = False, nothing: int = 0) -> Coding:
    """Values as position codes: the shortest neutral codes.

    Args:
        num_values: how many values there are.
        signed_labels: whether two dimensions are called + and -, not 0 and 1.
        nothing: what every dimension holds where there is no value.

    >>> position_coding(120).length
    6
    """
    length = code_length(num_values)
    codes = position_codes(np.arange(num_values, dtype=np.int32), length)
    labels = ("{field}+", "{field}-") if signed_labels else _numbered(length)
    return _plain(codes, labels, np.full(length, nothing, dtype=np.int8))


def bit_coding() -> Coding:
    """0, 1 and a mark that is neither: a pair of dimensions for the bit and a pair for the mark."""
    codes = np.array([[-1, 1, 0, 0], [1, -1, 0, 0], [0, 0, 1, -1]], dtype=np.int8)
    return replace(_plain(codes, ("{field}+", "{field}-", "equals+", "equals-")), gap=2)


def sign_coding(signs: tuple[int, ...], *, nothing: int = 0) -> Coding:
    """A sign for each value, in one dimension; values may share one.

    >>> sign_coding((-1, 1)).codes.tolist()
    [[-1], [1]]
    """
    codes = np.array(signs, dtype=np.int8)[:, None]
    return replace(_plain(codes, ("{field}",), np.array([nothing], dtype=np.int8)), gap=2)


def binary_coding(num_values: int) -> Coding:
    """Values as the signs of their bits, least significant first, each in one dimension.

    >>> binary_coding(3).codes.tolist()
    [[-1, -1], [1, -1], [-1, 1]]
    """
    num_bits = max(1, (num_values - 1).bit_length())
    bits = np.arange(num_values)[:, None] >> np.arange(num_bits) & 1
    return replace(_plain((2 * bits - 1).astype(np.int8), tuple(f"{{field}}[{bit}]" for bit in range(num_bits))), gap=2)


def number_rows_coding(codes: np.ndarray) -> Coding:
    """Rows of whole numbers as they are, which no look-up compares and no unit watches for."""
    return replace(_plain(codes.astype(np.int8), _numbered(codes.shape[1])), gap=0)


def spread_coding(num_values: int) -> Coding:
    """Values as nearly orthogonal signs (``gold_codes``): a unit can watch for two of them at once.

    Two further dimensions even out the sum, which is 0 or 2 h or -2 h: they hold (h, -h), (-h, -h) or (h, h), which
    have one square norm. Nothing is 0.

    >>> coding = spread_coding(1000)
    >>> coding.length, len(coding.watched), np.unique(coding.codes.sum(axis=1)).tolist()
    (34, 32, [0])
    """
    words = gold_words(num_values, gold_degree(num_values))
    sums = words.sum(axis=1, dtype=np.int8)
    half = 1 << (gold_degree(num_values) - 1) // 2
    first = np.where(sums == 0, half, -sums // 2)
    second = np.where(sums == 0, -half, -sums // 2)
    codes = np.concatenate([words, first[:, None], second[:, None]], axis=1, dtype=np.int8)
    plain = _plain(codes, _numbered(codes.shape[1]))
    return replace(plain, watched=np.arange(words.shape[1]))


def weight_coding(square_norm: int) -> Coding:
    """Of a field that makes up for the square norm of another: 0 where that holds something, 1 where it does not."""
    half = isqrt(square_norm // 4)
    assert 4 * half**2 == square_norm
    codes = np.array([[0, 0, 0, 0], [half, -half, half, -half]], dtype=np.int8)
    return _plain(codes, _numbered(4))


def _pairs(signs: np.ndarray, labels: tuple[str, ...], probes: np.ndarray, answers: np.ndarray) -> Coding:
    """Signs, each as a pair of dimensions (v, -v); nothing is +1 in all of them."""
    num_signs = signs.shape[1]
    of_dimension = np.tile(np.array([1, -1], dtype=np.int8), num_signs)
    return Coding(
        codes=np.repeat(signs, 2, axis=1) * of_dimension,
        nothing=of_dimension,
        carriers=2 * np.arange(num_signs),
        carrier=np.repeat(np.arange(num_signs), 2),
        signs=of_dimension,
        watched=2 * np.arange(num_signs),
        probes=probes,
        answers=np.repeat(answers, 2, axis=1) * of_dimension,
        labels=tuple(f"{{field}}{label}{sign}" for label in labels for sign in "+-"),
        gap=2,
    )


def number_coding(num_values: int, label: str = "[{}]") -> Coding:
    """Values as the signs of their bits, least significant first.

    Args:
        num_values: how many values there are; at least 2.
        label: of a bit, with a place for its number.

    >>> number_coding(3).codes.tolist()
    [[-1, 1, -1, 1], [1, -1, -1, 1], [-1, 1, 1, -1]]
    """
    num_bits = (num_values - 1).bit_length()
    bits = np.arange(num_values)[:, None] >> np.arange(num_bits) & 1
    signs = (2 * bits - 1).astype(np.int8)
    labels = tuple(label.format(bit) for bit in range(num_bits)) if num_values > 2 else ("",)
    return _pairs(signs, labels, signs, signs)


def choice_coding(names: tuple[str, ...]) -> Coding:
    """One sign a value, +1 where the field has it; a last value has none of them.

    >>> choice_coding(("a", "b")).codes[:, ::2].tolist()
    [[1, -1], [-1, 1], [-1, -1]]
    """
    one_hot = np.eye(len(names) + 1, len(names), dtype=np.int8)
    return _pairs(2 * one_hot - 1, tuple(f"[{name}]" for name in names), one_hot, one_hot)
