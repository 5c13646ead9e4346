"""Arithmetic that rounds after every operation: the paper's F_s and F_{e,s}, and floats of 8 to 32 bits.

The definition (arXiv 2402.12875): F_s holds the multiples of 2^-s up to B_s = 2^s - 2^-s in absolute value.
F_{e,s}, e > 0, holds S 2^(E-s) with |S| < 2^(2s) and -2^(e-1) <= E < 2^(e-1). [x] is the number of the format nearest
to x, the one of smaller absolute value if two are; what is larger than the largest number becomes that number. Sums
go left to right with a rounding after every addition; inner and matrix products round each product and then sum so;
exp is rounded; softmax is [ [exp x] / sum of [exp x] ], and no maximum is subtracted. Read literally at e = 0 the
definition of F_{e,s} gives half the step of F_s; e = 0 means F_s here.

All these formats are one: numbers of at most p binary digits that are multiples of one step, up to a largest number.
F_s has p = 2s digits and the step 2^-s, and as all its numbers are below 2^p steps they are equally spaced.

*Why float64 loses nothing.* Numbers of p <= 26 digits are exact in float64. Their product has 2p <= 52 digits, so it is
exact as well. A sum is exact as float64 plus an error that is found exactly. The points where rounding changes have
p + 1 digits, so they are float64 too, and rounding to nearest is monotone: a float64 result on one side of such a
point proves the exact result to lie on that side or on the point; on the point itself, the sign of the error decides.
exp is computed in integers, with bounds from both sides that round alike (``exponential``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ldexp, prod
from typing import TYPE_CHECKING, Any, Literal

import ml_dtypes
import numpy as np

from serialformer.architecture import Arithmetic
from serialformer.arrays import Bool, Float
from serialformer.errors import ArithmeticRangeError, SerialformerError
from serialformer.transformer.exponential import round_exponential

if TYPE_CHECKING:
    from serialformer.transformer.precision_kernels import Rule

MAX_PRECISION = 13
"""F_s with more than 26 digits would not multiply exactly in float64."""

MAX_EXPONENT_BITS = 9
"""Products of F_{e,s} stay within float64's exponents."""

Numbers = Float[np.ndarray, "..."]


@dataclass(frozen=True, kw_only=True)
class NumberFormat:
    """A finite set of numbers and arithmetic that rounds to it after every operation.

    Arrays are float64 and hold numbers of the format; ``round`` makes them. Operations work element by element and
    broadcast; sums, products and softmax are along the last axis.

    Attributes:
        name: what it is called, such as ``F_1`` or ``bfloat16``.
        digits: binary digits of a significand, at most 26.
        step_exponent: the smallest positive number is 2 to this power.
        largest: the largest number.
        ties: where a tie goes: to the smaller absolute value, or to the even significand.
        overflow: what becomes of results beyond the largest number.

    >>> F_1 = fixed_point(1)
    >>> F_1.add(np.array([1.0, 0.5]), np.array([1.0, 0.5]))
    array([1.5, 1. ])
    >>> F_1.softmax(np.array([-1.5, 0.0, -1.5]))
    array([0., 1., 0.])
    """

    name: str
    digits: int
    step_exponent: int
    largest: float
    ties: Literal["zero", "even"] = "zero"
    overflow: Literal["saturate", "infinite", "nan"] = "saturate"

    @property
    def step(self) -> float:
        """The smallest positive number."""
        return ldexp(1.0, self.step_exponent)

    @property
    def evenly_spaced(self) -> bool:
        """Whether all numbers are multiples of ``step`` without any further condition, as in F_s."""
        return self.largest < ldexp(1.0, self.step_exponent + self.digits)

    @property
    def rule(self) -> Rule:
        """The format as compiled loops take it."""
        return _rule(self)

    def numbers(self) -> Float[np.ndarray, " numbers"]:
        """Every (finite) number of the format, in order.

        Raises:
            SerialformerError: there are more than 2^20 of them.
        """
        significands = np.arange(1 << min(self.digits, 20))
        binades = int(np.ceil(np.log2(self.largest))) - self.digits - self.step_exponent + 1
        if self.digits + max(0, binades).bit_length() > 20:
            raise SerialformerError(f"{self.name} has more than 2^20 numbers")
        scaled = [ldexp(1.0, self.step_exponent + shift) * significands for shift in range(max(1, binades))]
        positive = np.unique(np.concatenate(scaled))
        positive = positive[positive <= self.largest]
        return np.concatenate([-positive[:0:-1], positive])

    def holds(self, x: Numbers) -> Bool[np.ndarray, "..."]:
        """For each number whether it is one of the format."""
        return np.asarray(self.round(x) == x)

    def round(self, x: Numbers) -> Numbers:
        """[x]: the nearest number of the format."""
        from serialformer.transformer.precision_kernels import round_all

        return self._each(round_all, x)

    def add(self, a: Numbers, b: Numbers) -> Numbers:
        """[a + b]."""
        from serialformer.transformer.precision_kernels import add_all

        return self._each(add_all, a, b)

    def multiply(self, a: Numbers, b: Numbers) -> Numbers:
        """[a b]."""
        from serialformer.transformer.precision_kernels import multiply_all

        return self._each(multiply_all, a, b)

    def divide(self, a: Numbers, b: Numbers) -> Numbers:
        """[a / b].

        Raises:
            ArithmeticRangeError: a divisor is 0; says where.
        """
        from serialformer.transformer.precision_kernels import divide_all

        self._refuse_zeros(b)
        return self._each(divide_all, a, b)

    def exp(self, x: Numbers) -> Numbers:
        """[exp x], proven for each number that occurs; see ``exponential``."""
        return _exponentials(self)(np.asarray(x, dtype=np.float64))

    def sum(self, x: Float[np.ndarray, "*rows n"]) -> Float[np.ndarray, "*rows"]:
        """The sum along the last axis, left to right, rounded after every addition; 0 if there is nothing to sum."""
        from serialformer.transformer.precision_kernels import sum_rows

        rows = np.ascontiguousarray(x, dtype=np.float64).reshape(prod(x.shape[:-1]), x.shape[-1])
        return sum_rows(rows, self.rule).reshape(x.shape[:-1])

    def inner(self, a: Numbers, b: Numbers) -> Numbers:
        """The inner product along the last axis: each product rounded, then ``sum``."""
        return self.sum(self.multiply(a, b))

    def matmul(self, a: Float[np.ndarray, "*rows m"], b: Float[np.ndarray, "m n"]) -> Float[np.ndarray, "*rows n"]:
        """The matrix product: the ``inner`` product of each row of a and each column of b."""
        from serialformer.transformer.precision_kernels import multiply_matrices

        rows = np.ascontiguousarray(a, dtype=np.float64).reshape(prod(a.shape[:-1]), a.shape[-1])
        result = multiply_matrices(rows, np.ascontiguousarray(b, dtype=np.float64), self.rule)
        return result.reshape(*a.shape[:-1], b.shape[1])

    def softmax(self, x: Float[np.ndarray, "*rows n"]) -> Float[np.ndarray, "*rows n"]:
        """[ [exp x] / sum of [exp x] ] along the last axis; no maximum is subtracted.

        Raises:
            ArithmeticRangeError: a sum is 0, since every exponential of a row rounds to 0; says which row.
        """
        exponentials = self.exp(x)
        return self.divide(exponentials, self.sum(exponentials)[..., None])

    def _each(self, loop: Any, *arrays: Numbers) -> Numbers:
        wide = np.broadcast_arrays(*(np.asarray(array, dtype=np.float64) for array in arrays))
        # Copies: numpy warns whoever asks whether an array of broadcast_arrays may be written to, as numba does.
        result = loop(*(array.flatten() for array in wide), self.rule)
        return result.reshape(wide[0].shape)

    def _refuse_zeros(self, divisors: Numbers) -> None:
        zeros = np.argwhere(np.asarray(divisors) == 0)
        if len(zeros):
            raise ArithmeticRangeError(
                f"division by zero in {self.name}, at {zeros[0].tolist()}",
                hint="in a softmax: every exponential rounded to 0",
            )


def fixed_point(precision: int) -> NumberFormat:
    """F_s, the paper's arithmetic with s = ``precision``.

    Raises:
        ArithmeticRangeError: the precision is not between 1 and MAX_PRECISION.

    >>> fixed_point(1).numbers()
    array([-1.5, -1. , -0.5,  0. ,  0.5,  1. ,  1.5])
    """
    return paper_format(precision=precision, exponent_bits=0)


def paper_format(*, precision: int, exponent_bits: int = 0) -> NumberFormat:
    """F_{e,s} with s = ``precision`` and e = ``exponent_bits``; F_s at e = 0.

    Raises:
        ArithmeticRangeError: s is not between 1 and MAX_PRECISION, or e not between 0 and MAX_EXPONENT_BITS.
    """
    for what, value, least, most in (
        ("precision", precision, 1, MAX_PRECISION),
        ("exponent bits", exponent_bits, 0, MAX_EXPONENT_BITS),
    ):
        if not least <= value <= most:
            raise ArithmeticRangeError(f"expected {what} from {least} to {most}, found {value}")
    least_exponent, largest_exponent = 0, 0
    if exponent_bits > 0:
        least_exponent, largest_exponent = -(1 << (exponent_bits - 1)), (1 << (exponent_bits - 1)) - 1
    return NumberFormat(
        name=f"F_{{{exponent_bits},{precision}}}" if exponent_bits else f"F_{precision}",
        digits=2 * precision,
        step_exponent=least_exponent - precision,
        largest=ldexp(4.0**precision - 1, largest_exponent - precision),
    )


def float_format(name: str) -> NumberFormat:
    """An IEEE-like float, ties to even: float32, float16, bfloat16, float8_e4m3fn (overflow is nan) or float8_e5m2.

    Raises:
        ArithmeticRangeError: no such float.

    >>> float_format("bfloat16").add(np.array([256.0]), np.array([1.0]))
    array([256.])
    """
    known = ("float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")
    if name not in known:
        raise ArithmeticRangeError(f"no float {name!r}", hint=f"one of {', '.join(known)}")
    facts = ml_dtypes.finfo(name)
    return NumberFormat(
        name=name,
        digits=int(facts.nmant) + 1,
        step_exponent=int(facts.minexp) - int(facts.nmant),
        largest=float(facts.max),
        ties="even",
        overflow="nan" if name == "float8_e4m3fn" else "infinite",
    )


def arithmetic_to_format(arithmetic: Arithmetic) -> NumberFormat:
    """The number format that an architecture asks for."""
    return paper_format(precision=arithmetic.precision, exponent_bits=arithmetic.exponent_bits)


@lru_cache(maxsize=64)
def _rule(number_format: NumberFormat) -> Rule:
    from serialformer.transformer.precision_kernels import INFINITE, NOT_A_NUMBER, SATURATE, Rule

    return Rule(
        digits=number_format.digits,
        step=number_format.step,
        wide=ldexp(1.0, number_format.step_exponent + number_format.digits),
        largest=number_format.largest,
        ties_to_even=number_format.ties == "even",
        overflow={"saturate": SATURATE, "infinite": INFINITE, "nan": NOT_A_NUMBER}[number_format.overflow],
    )


class _Exponentials:
    """The rounded exponentials of one format: a table of the arguments that have occurred, in order."""

    def __init__(self, number_format: NumberFormat) -> None:
        self._format = number_format
        # 0.7 > ln 2: beyond these, exp is over twice the largest number, or under a quarter of the smallest.
        largest_exponent = int(np.ceil(np.log2(number_format.largest)))
        self._highest = 0.7 * (largest_exponent + 1)
        self._lowest = -0.7 * (2 - number_format.step_exponent)
        self._arguments = np.array([self._lowest, 0.0, self._highest])
        beyond = {"saturate": number_format.largest, "infinite": np.inf, "nan": np.nan}[number_format.overflow]
        self._values = np.array([0.0, 1.0, beyond])

    def __call__(self, x: Numbers) -> Numbers:
        clipped = np.clip(x, self._lowest, self._highest)
        known = np.isnan(clipped)
        place = np.searchsorted(self._arguments, np.where(known, 0.0, clipped))
        missing = ~known & (self._arguments[place] != clipped)
        if missing.any():
            new = np.unique(clipped[missing])
            values = [self._round(float(argument)) for argument in new]
            arguments = np.concatenate([self._arguments, new])
            order = np.argsort(arguments)
            self._values = np.concatenate([self._values, values])[order]
            self._arguments = arguments[order]
            place = np.searchsorted(self._arguments, np.where(known, 0.0, clipped))
        return np.where(known, np.nan, self._values[place])

    def _round(self, argument: float) -> float:
        chosen = self._format
        value = round_exponential(
            argument, digits=chosen.digits, step_exponent=chosen.step_exponent, ties_to_even=chosen.ties == "even"
        )
        if value > chosen.largest:
            return {"saturate": chosen.largest, "infinite": float("inf"), "nan": float("nan")}[chosen.overflow]
        return value


@lru_cache(maxsize=64)
def _exponentials(number_format: NumberFormat) -> _Exponentials:
    return _Exponentials(number_format)
