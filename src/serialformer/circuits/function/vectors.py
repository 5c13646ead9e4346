"""Bit vectors: the words of a function while it is traced, and the operators on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from serialformer.circuits.function import arithmetic, multiply
from serialformer.circuits.function.arithmetic import constant_bits, extend
from serialformer.circuits.function.logic import FALSE, Logic
from serialformer.circuits.function.types import WordType
from serialformer.errors import TraceError

_SIGNS_HINT = "say which is meant: x.signed() or x.unsigned() read the same bits anew, I16(x) also changes the width"


@dataclass(frozen=True, kw_only=True, eq=False)
class BitVector:
    """A word whose bits are literals, least significant first."""

    bits: tuple[int, ...]
    signed: bool = False

    @property
    def type(self) -> WordType:
        return WordType(width=len(self.bits), signed=self.signed)

    @property
    def constant(self) -> int | None:
        """Its value, if tracing has found that it does not depend on any input."""
        if max(self.bits) > 1:
            return None
        return self.type.wrap(sum(bit << index for index, bit in enumerate(self.bits)))


def constant_vector(value: int, kind: WordType) -> BitVector:
    return BitVector(bits=tuple(constant_bits(value, kind.width)), signed=kind.signed)


def flag(literal: int) -> BitVector:
    """A word of one bit."""
    return BitVector(bits=(literal,))


def convert(value: BitVector | int, kind: WordType) -> BitVector:
    """Cut off, or extended by the word's own sign rule; whatever it is, it fits."""
    if isinstance(value, int):
        return constant_vector(value, kind)
    return BitVector(bits=tuple(extend(value.bits, kind.width, value.signed)), signed=kind.signed)


def fit(value: BitVector | int, kind: WordType) -> BitVector:
    """The same number as a word of this type.

    Raises:
        TraceError: not every value of the word's type is one of this type.
    """
    if isinstance(value, int):
        if not kind.holds(value):
            raise TraceError(f"{int(value)} does not fit {kind!r}", hint=f"{kind!r}({int(value)}) wraps it")
        return constant_vector(value, kind)
    if common_type(value.type, kind) != kind:
        raise TraceError(f"{value.type!r} does not fit {kind!r}", hint=f"{kind!r}(x) cuts it off or reads it anew")
    return convert(value, kind)


def common_type(a: WordType, b: WordType) -> WordType:
    """The wider type; an unsigned word goes with a wider signed one.

    Raises:
        TraceError: one is signed, and not wider than the other, which is not.
    """
    if a.signed == b.signed:
        return a if a.width >= b.width else b
    signed, unsigned = (a, b) if a.signed else (b, a)
    if signed.width <= unsigned.width:
        raise TraceError(f"{a!r} and {b!r} mix signed and unsigned", hint=_SIGNS_HINT)
    return signed


def unify(a: BitVector | int, b: BitVector | int) -> tuple[BitVector, BitVector]:
    """Both operands in their common type; an integer takes that of the other, if it fits."""
    if isinstance(a, BitVector) and isinstance(b, BitVector):
        kind = common_type(a.type, b.type)
        return convert(a, kind), convert(b, kind)
    if isinstance(a, BitVector):
        return a, fit(b, a.type)
    assert isinstance(b, BitVector)
    return fit(a, b.type), b


def truth(logic: Logic, value: BitVector) -> int:
    """Whether a word is not zero."""
    return logic.any_of(value.bits)


def negate(logic: Logic, a: BitVector) -> BitVector:
    return BitVector(bits=tuple(arithmetic.subtract(logic, [FALSE] * len(a.bits), a.bits)), signed=a.signed)


def complement(a: BitVector) -> BitVector:
    return BitVector(bits=tuple(bit ^ 1 for bit in a.bits), signed=a.signed)


def absolute(logic: Logic, a: BitVector) -> BitVector:
    """The magnitude, in the same type: that of the least value wraps to itself."""
    if not a.signed:
        return a
    return BitVector(bits=tuple(arithmetic.negate_if(logic, a.bits[-1], a.bits)), signed=True)


def binary(logic: Logic, symbol: str, a: BitVector | int, b: BitVector | int) -> BitVector:
    """``a symbol b``, where at least one is a word.

    Raises:
        TraceError: their types do not go together, or there is no such operation.
    """
    if symbol in ("<<", ">>"):
        return shift(logic, symbol, a, b)
    if symbol == "**":
        return power(logic, a, b)
    if symbol not in _OPERATIONS:
        raise TraceError(f"words have no operator {symbol}", hint="they have + - * // % << >> & | ^ ~ and comparisons")
    if symbol == "*" and isinstance(a, BitVector) and isinstance(b, BitVector):
        # Not extended first: a narrow factor makes fewer gates.
        kind = common_type(a.type, b.type)
        product = multiply.multiply(logic, a.bits, a.signed, b.bits, b.signed, kind.width)
        return BitVector(bits=tuple(product), signed=kind.signed)
    x, y = unify(a, b)
    if symbol in ("//", "%") and y.constant == 0:
        raise TraceError("division by the constant 0")
    return BitVector(bits=tuple(_OPERATIONS[symbol](logic, x, y)), signed=x.signed)


def divide(logic: Logic, a: BitVector | int, b: BitVector | int) -> tuple[BitVector, BitVector]:
    """``divmod(a, b)``."""
    return binary(logic, "//", a, b), binary(logic, "%", a, b)


def full_multiply(logic: Logic, a: BitVector, b: BitVector) -> BitVector:
    """The product with all its bits; signed if either operand is."""
    width = len(a.bits) + len(b.bits)
    product = multiply.multiply(logic, a.bits, a.signed, b.bits, b.signed, width)
    return BitVector(bits=tuple(product), signed=a.signed or b.signed)


def shift(logic: Logic, symbol: str, a: BitVector | int, b: BitVector | int) -> BitVector:
    """As wide as a; by the width and more it leaves 0, or, to the right and signed, the sign."""
    if isinstance(a, int):
        raise TraceError("an integer shifted by a word has no width", hint=f"write U32({int(a)}) {symbol} ...")
    fill = a.bits[-1] if a.signed and symbol == ">>" else FALSE
    amount = shift_amount(b)
    width = len(a.bits)
    if isinstance(amount, int):
        step = min(amount, width)
        bits = [FALSE] * step + [*a.bits[: width - step]] if symbol == "<<" else [*a.bits[step:]] + [fill] * step
    else:
        bits = arithmetic.shift(logic, a.bits, amount.bits, left=symbol == "<<", fill=fill)
    return BitVector(bits=tuple(bits), signed=a.signed)


def rotate_left(logic: Logic, a: BitVector, by: BitVector | int, sign: int = 1) -> BitVector:
    """The word rotated by a number of bits modulo the width, to the right for sign -1."""
    amount, width = shift_amount(by), len(a.bits)
    if isinstance(amount, int):
        step = width - sign * amount % width
        return BitVector(bits=a.bits[step:] + a.bits[:step], signed=a.signed)
    bits = a.bits if sign == 1 else a.bits[::-1]
    bits = tuple(arithmetic.rotate_left(logic, bits, amount.bits))
    return BitVector(bits=bits if sign == 1 else bits[::-1], signed=a.signed)


def shift_amount(by: BitVector | int) -> BitVector | int:
    """How far to shift or where to look: a constant where it is one, and never negative."""
    if isinstance(by, BitVector):
        if by.constant is None:
            if by.signed:
                raise TraceError(f"expected an unsigned word, found {by.type!r}", hint="x.unsigned() reads it so")
            return by
        by = by.constant
    if by < 0:
        raise TraceError(f"expected no negative amount, found {by}")
    return by


def power(logic: Logic, a: BitVector | int, b: BitVector | int) -> BitVector:
    """A word to a constant power, wrapped."""
    exponent = b.constant if isinstance(b, BitVector) else b
    if exponent is None or exponent < 0 or isinstance(a, int):
        raise TraceError("only a word to a constant power, not negative, can be traced")
    result = constant_vector(1, a.type)
    for digit in f"{exponent:b}":
        result = binary(logic, "*", result, result)
        if digit == "1":
            result = binary(logic, "*", result, a)
    return result


def compare(logic: Logic, symbol: str, a: BitVector | int, b: BitVector | int) -> BitVector:
    """``a symbol b`` as a word of one bit."""
    x, y = unify(a, b)
    if symbol in ("==", "!="):
        return flag(arithmetic.equal(logic, x.bits, y.bits) ^ int(symbol == "!="))
    if symbol in (">", "<="):
        x, y = y, x
    return flag(arithmetic.less_than(logic, x.bits, y.bits, x.signed) ^ int(symbol in ("<=", ">=")))


def _add(logic: Logic, a: BitVector, b: BitVector) -> list[int]:
    return arithmetic.add(logic, a.bits, b.bits)


def _subtract(logic: Logic, a: BitVector, b: BitVector) -> list[int]:
    return arithmetic.subtract(logic, a.bits, b.bits)


def _multiply(logic: Logic, a: BitVector, b: BitVector) -> list[int]:
    return multiply.multiply(logic, a.bits, a.signed, b.bits, b.signed, len(a.bits))


def _quotient(logic: Logic, a: BitVector, b: BitVector) -> list[int]:
    return (arithmetic.divide_floor if a.signed else arithmetic.divide)(logic, a.bits, b.bits)[0]


def _remainder(logic: Logic, a: BitVector, b: BitVector) -> list[int]:
    return (arithmetic.divide_floor if a.signed else arithmetic.divide)(logic, a.bits, b.bits)[1]


def _and(logic: Logic, a: BitVector, b: BitVector) -> list[int]:
    return [logic.and_(x, y) for x, y in zip(a.bits, b.bits, strict=True)]


def _or(logic: Logic, a: BitVector, b: BitVector) -> list[int]:
    return [logic.or_(x, y) for x, y in zip(a.bits, b.bits, strict=True)]


def _xor(logic: Logic, a: BitVector, b: BitVector) -> list[int]:
    return [logic.xor(x, y) for x, y in zip(a.bits, b.bits, strict=True)]


_OPERATIONS: dict[str, Callable[[Logic, BitVector, BitVector], list[int]]] = {
    "+": _add,
    "-": _subtract,
    "*": _multiply,
    "//": _quotient,
    "%": _remainder,
    "&": _and,
    "|": _or,
    "^": _xor,
}
