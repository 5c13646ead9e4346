"""Types of words: ``U8``, ``I16``, ``Bits[128]``, ``Array[U8, 16]``, ``tuple[U8, U32]``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import GenericAlias
from typing import Any, SupportsIndex, get_args, get_origin

from serialformer.errors import InputError, TraceError

MAX_WIDTH = 1 << 16


@dataclass(frozen=True, kw_only=True)
class WordType:
    """A word with a fixed number of bits, unsigned or in two's complement. Calling the type converts a value.

    >>> U8(300), I8(255), U[12]
    (44, -1, U[12])
    """

    width: int
    signed: bool

    def __call__(self, value: int) -> int:
        """The integer wrapped to this type. In a traced function a word is cut or extended by its own sign rule."""
        if not isinstance(value, int):
            raise TraceError(f"{self!r}(...) takes an integer here, not {type(value).__name__}")
        return self.wrap(value)

    def wrap(self, value: int) -> int:
        value &= (1 << self.width) - 1
        return value - (1 << self.width) if self.signed and value >> (self.width - 1) else value

    def holds(self, value: int) -> bool:
        return self.wrap(value) == value

    def __repr__(self) -> str:
        letter = "I" if self.signed else "U"
        return f"{letter}{self.width}" if self.width in (1, 8, 16, 32, 64) else f"{letter}[{self.width}]"


@dataclass(frozen=True, kw_only=True)
class WordFamily:
    """The unsigned or the signed words: ``U[12]`` is the unsigned word of twelve bits."""

    signed: bool

    def __getitem__(self, width: int) -> WordType:
        if not isinstance(width, int) or not 1 <= width <= MAX_WIDTH:
            raise TraceError(f"expected a width from 1 to {MAX_WIDTH}, found {width!r}")
        return WordType(width=width, signed=self.signed)


U = WordFamily(signed=False)
"""Unsigned words of any width: ``U[12]``."""

I = WordFamily(signed=True)  # noqa: E741  # as U is the unsigned family, I is the signed one
"""Signed words of any width, in two's complement: ``I[12]``."""

Bits = U
"""Another name of ``U``, for what is rather a row of bits than a number."""

U1, U8, U16, U32, U64 = (U[width] for width in (1, 8, 16, 32, 64))
I8, I16, I32, I64 = (I[width] for width in (8, 16, 32, 64))


@dataclass(frozen=True, kw_only=True)
class ArrayType:
    """A fixed number of elements of one type."""

    element: Any
    length: int

    def __repr__(self) -> str:
        return f"Array[{self.element!r}, {self.length}]"


@dataclass(frozen=True, kw_only=True)
class TupleType:
    """One element of each type."""

    elements: tuple[Any, ...]

    def __repr__(self) -> str:
        return f"tuple[{', '.join(map(repr, self.elements))}]"


class Array:
    """Arrays: ``Array[U8, 16]`` is sixteen bytes, ``Array[Array[U8, 4], 4]`` four rows of four."""

    def __class_getitem__(cls, item: object) -> ArrayType:
        if not isinstance(item, tuple) or len(item) != 2 or not isinstance(item[1], int) or item[1] < 1:
            raise TraceError("an array's type has an element and a length", hint="as in Array[U8, 16]")
        return ArrayType(element=parse_type(item[0]), length=item[1])


DataType = WordType | ArrayType | TupleType


def parse_type(annotation: object) -> DataType:
    """The type that an annotation means.

    Raises:
        TraceError: it means none.
    """
    if isinstance(annotation, (WordType, ArrayType, TupleType)):
        return annotation
    if annotation is bool:
        return U1
    if (
        isinstance(annotation, GenericAlias)
        and get_origin(annotation) is tuple
        and Ellipsis not in get_args(annotation)
    ):
        return TupleType(elements=tuple(parse_type(part) for part in get_args(annotation)))
    shown = getattr(annotation, "__name__", None) or repr(annotation)
    raise TraceError(
        f"{shown} is not the type of a word", hint="use U8, I16, U[12], Bits[128], Array[U8, 16] or tuple[U8, U8]"
    )


def parts_of(kind: DataType) -> list[DataType] | None:
    """The types of the elements; None of a word."""
    if isinstance(kind, WordType):
        return None
    return [kind.element] * kind.length if isinstance(kind, ArrayType) else list(kind.elements)


def number_of_bits(kind: DataType) -> int:
    """How many bits a value has.

    >>> number_of_bits(Array[tuple[U8, I16], 100])
    2400
    """
    if isinstance(kind, WordType):
        return kind.width
    if isinstance(kind, ArrayType):
        return kind.length * number_of_bits(kind.element)
    return sum(number_of_bits(part) for part in kind.elements)


def named_words(name: str, kind: DataType) -> Iterator[tuple[str, WordType]]:
    """The words of a value and their names: elements are numbered, ``a0``, ``a1``, and those of elements ``a0_1``.

    >>> list(named_words("a", Array[U8, 2]))
    [('a0', U8), ('a1', U8)]
    """
    parts = parts_of(kind)
    if parts is None:
        assert isinstance(kind, WordType)
        yield name, kind
        return
    for index, part in enumerate(parts):
        for below, word in named_words("", part):
            yield f"{name}{index}" + (f"_{below}" if below else ""), word


def flatten(value: object, kind: DataType, where: str) -> Iterator[int]:
    """The integers of a value, one for each of its words, unsigned.

    Raises:
        InputError: the value is not of this type.
    """
    parts = parts_of(kind)
    if parts is None:
        assert isinstance(kind, WordType)
        if not isinstance(value, SupportsIndex):
            raise InputError(f"expected an integer for {kind!r}, found {type(value).__name__}", where=where)
        number = value.__index__()
        if not kind.holds(number):
            low = -(1 << (kind.width - 1)) if kind.signed else 0
            raise InputError(f"{number} is no {kind!r}: expected {low} to {low + (1 << kind.width) - 1}", where=where)
        yield number & ((1 << kind.width) - 1)
        return
    if not hasattr(value, "__len__") or not hasattr(value, "__iter__"):
        raise InputError(f"expected {len(parts)} elements for {kind!r}, found {type(value).__name__}", where=where)
    if len(value) != len(parts):
        raise InputError(f"expected {len(parts)} elements for {kind!r}, found {len(value)}", where=where)
    for index, (item, part) in enumerate(zip(value, parts, strict=True)):
        yield from flatten(item, part, f"{where}[{index}]")


def unflatten(numbers: Iterator[int], kind: DataType) -> Any:
    """The value whose words, unsigned, are the next numbers: integers, lists for arrays, tuples."""
    parts = parts_of(kind)
    if parts is None:
        assert isinstance(kind, WordType)
        return kind.wrap(next(numbers))
    values = [unflatten(numbers, part) for part in parts]
    return values if isinstance(kind, ArrayType) else tuple(values)
