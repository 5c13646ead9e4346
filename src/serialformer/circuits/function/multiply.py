"""Multiplication in few two-input gates: which way is smallest is counted, not guessed."""

from __future__ import annotations

from functools import lru_cache

from serialformer.circuits.function.arithmetic import Bits, add_columns, extend
from serialformer.circuits.function.logic import FALSE, TRUE, Logic


class Columns:
    """Bits to be added, each with a weight and a sign, modulo 2^width."""

    def __init__(self, width: int) -> None:
        self.columns: list[list[int]] = [[] for _ in range(width)]
        self.constant = 0

    def add(self, bit: int, place: int, *, negative: bool = False) -> None:
        """Adds (or subtracts) 2^place times the bit."""
        if place >= len(self.columns):
            return
        # -x is (1 - x) - 1.
        self.columns[place].append(bit ^ int(negative))
        self.constant -= int(negative) << place

    def total(self, logic: Logic) -> list[int]:
        return add_columns(logic, self.columns, self.constant)


def multiply(logic: Logic, a: Bits, a_signed: bool, b: Bits, b_signed: bool, width: int) -> list[int]:
    """The lowest ``width`` bits of the product; the operands may differ in width and signedness."""
    a, b = list(a)[:width], list(b)[:width]
    for left, left_signed, right, right_signed in ((a, a_signed, b, b_signed), (b, b_signed, a, a_signed)):
        if max(right) < 2:
            return _by_constant(logic, left, left_signed, _value(right, right_signed), width)
    if a == b or not _recoding_is_smaller(len(a), a_signed, len(b), b_signed, width):
        return _by_rows(logic, a, a_signed, b, b_signed, width)
    return _by_recoding(logic, a, a_signed, b, b_signed, width)


@lru_cache(maxsize=4096)
def _recoding_is_smaller(a_width: int, a_signed: bool, b_width: int, b_signed: bool, width: int) -> bool:
    sizes = []
    for method in (_by_rows, _by_recoding):
        logic = Logic()
        a, b = ([logic.input() for _ in range(size)] for size in (a_width, b_width))
        sizes.append(logic.circuit(method(logic, a, a_signed, b, b_signed, width)).num_gates)
    return sizes[1] < sizes[0]


def _by_rows(logic: Logic, a: Bits, a_signed: bool, b: Bits, b_signed: bool, width: int) -> list[int]:
    """As at school: every bit times every bit, then the columns are added up."""
    columns = Columns(width)
    for i, x in enumerate(a):
        for j, y in enumerate(b[: max(0, width - i)]):
            negative = (a_signed and i == len(a) - 1) != (b_signed and j == len(b) - 1)
            columns.add(logic.and_(x, y), i + j, negative=negative)
    return columns.total(logic)


def _by_recoding(logic: Logic, a: Bits, a_signed: bool, b: Bits, b_signed: bool, width: int) -> list[int]:
    """Two bits of b a row, with digits -3, -1, 1 and 3, none of them 0: three gates per bit of half as many rows.

    An odd b is a sum of signed powers of two: b = sum of s_i 2^i with s_i = 1 or -1, where s_i is 1 if bit i + 1 of b
    is 1, and the last sign is 1 (if b is signed: its sign's opposite). Two signs make a digit: its magnitude is 3 where
    they agree and 1 where they do not. A multiple is then a xor (agree and (a xor 3a)), and its negative the
    complement, plus 1. An even b is taken for b + 1, and a subtracted.
    """
    columns = Columns(width)
    signs = [*b[1:-1], b[-1] ^ 1] if b_signed else [*b[1:], TRUE]
    size = len(a) + 2
    once = extend(a, size, a_signed)
    thrice = add_columns(logic, [[x, *once[max(0, i - 1) : i]] for i, x in enumerate(once)])
    differ = [logic.xor(x, y) for x, y in zip(once, thrice, strict=True)]
    for low in range(0, min(len(signs), width), 2):
        negative = signs[min(low + 1, len(signs) - 1)] ^ 1
        agree = logic.xor(signs[low], negative) if low + 1 < len(signs) else FALSE
        for i, (x, y) in enumerate(zip(once, differ, strict=True)):
            if low + i < width:
                multiple = logic.xor(x, logic.and_(agree, y))
                columns.add(logic.xor(multiple, negative), low + i, negative=a_signed and i == size - 1)
        columns.add(negative, low)
        if not a_signed:
            columns.add(negative, low + size, negative=True)
    for i, x in enumerate(a):
        columns.add(logic.and_(x, b[0] ^ 1), i, negative=not (a_signed and i == len(a) - 1))
    return columns.total(logic)


def _by_constant(logic: Logic, a: Bits, signed: bool, constant: int, width: int) -> list[int]:
    """Sums and differences of shifted copies, as few as can be: no two neighbouring digits are both non-zero."""
    constant &= (1 << width) - 1
    columns = Columns(width)
    place = 0
    while constant and place < width:
        if constant & 1:
            minus = constant & 3 == 3
            constant += 1 if minus else -1
            for i, x in enumerate(a):
                columns.add(x, place + i, negative=minus != (signed and i == len(a) - 1))
        constant >>= 1
        place += 1
    return columns.total(logic)


def _value(bits: Bits, signed: bool) -> int:
    value = sum(bit << index for index, bit in enumerate(bits))
    return value - (1 << len(bits)) if signed and bits[-1] else value


def bit_count(logic: Logic, a: Bits) -> list[int]:
    """How many bits are 1, in as many bits as that needs."""
    width = len(a).bit_length()
    return add_columns(logic, [list(a)] + [[]] * (width - 1))
