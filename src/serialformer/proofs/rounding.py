"""The arithmetic that a certificate covers: which roundings a runtime may do, and how large they are.

A *covered runtime* holds every result (layer norm's output, a projection, a score, a softmax weight, a hidden unit, the
residual stream, a logit) in the storage format, rounded to nearest, or in a wider one. Inside a result it adds and
multiplies in the accumulation format or a wider one, in any order, with or without fused multiply-add. Elementary
functions (exp, tanh, square root, division) are right to within a few units in the last place of the accumulation
format, and exp(0) is 1. Numbers below the smallest normal one may be flushed to zero. See docs/concepts/certificate.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import log2

import ml_dtypes

from serialformer.architecture import DTYPES, DtypeName

FLOAT64_SLACK = 2.0**-40
"""Bounds are computed in float64; this relative share, added to each, is far above what that can lose."""

FLOAT64_ROUNDOFF = 2.0**-50


@dataclass(frozen=True, kw_only=True)
class Rounding:
    """The two number formats of a covered runtime.

    Attributes:
        storage: the format of every result.
        accumulation: the format of sums and products inside a result.
        always_stored: whether every result is held in the storage format; otherwise some may be kept wider.
    """

    storage: DtypeName
    accumulation: DtypeName
    always_stored: bool = False

    @property
    def storage_roundoff(self) -> float:
        """Half the distance from 1 to the next number of the storage format: 2^-24 for float32."""
        return roundoff(self.storage)

    @property
    def accumulation_roundoff(self) -> float:
        return roundoff(self.accumulation)

    @property
    def largest(self) -> float:
        """The largest number of the storage format."""
        return float(ml_dtypes.finfo(DTYPES[self.storage]).max)

    @property
    def smallest(self) -> float:
        """The smallest normal number of the storage format."""
        return float(ml_dtypes.finfo(DTYPES[self.storage]).smallest_normal)

    @property
    def number_formats(self) -> dict[str, str]:
        """The formats of results and of sums, by name."""
        return {"storage": self.storage, "accumulation": self.accumulation}

    def constants(self) -> tuple[float, float, float, float, float]:
        """What the kernels take: both roundoffs, the storage format's splitter, smallest normal and largest number.

        The splitter rounds a float64 x to p bits (Veltkamp): with c = splitter * x it is c - (c - x).
        """
        return _constants(self)


@dataclass(frozen=True, kw_only=True)
class Float64Rounding(Rounding):
    """A runtime that loads float32 weights and computes in float64.

    Its bounds are computed in float64 themselves, so the roundoff is taken eight times as large as it is: a runtime
    loses a part of that, and so does the pass of which these are bounds.
    """

    storage: DtypeName = "float32"
    accumulation: DtypeName = "float32"

    @property
    def storage_roundoff(self) -> float:
        return FLOAT64_ROUNDOFF

    @property
    def accumulation_roundoff(self) -> float:
        return FLOAT64_ROUNDOFF

    @property
    def number_formats(self) -> dict[str, str]:
        return {"storage": "float64", "accumulation": "float64"}


@cache
def _constants(rounding: Rounding) -> tuple[float, float, float, float, float]:
    storage = rounding.storage_roundoff
    bits = round(-log2(storage))  # 24 for float32, 11 for float16, 8 for bfloat16
    return storage, rounding.accumulation_roundoff, 2.0 ** (53 - bits) + 1, rounding.smallest, rounding.largest


@cache
def roundoff(name: DtypeName) -> float:
    """The unit roundoff of a number format: the largest relative error of rounding to nearest.

    >>> roundoff("bfloat16") == 2**-8
    True
    """
    return float(ml_dtypes.finfo(DTYPES[name]).eps) / 2


def covered_rounding(storage: DtypeName) -> Rounding:
    """What the runtimes of a storage format do: results of 16 bits are accumulated in float32."""
    return Rounding(storage=storage, accumulation="float32")
