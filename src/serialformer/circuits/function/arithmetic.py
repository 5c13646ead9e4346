"""Arithmetic on words of literals, least significant bit first, in few two-input gates; depth costs a chain nothing.

A full adder is five gates: x xor y, its xor with z, and three for the carry. Where many words are added, two full
adders share their way: the carries of a column go to the next as a *pair* (a, a xor b), which is what a full adder
wants to know of its operands, and two full adders on pairs are eight gates (Demenkov, Kojevnikov, Kulikov and
Yaroslavtsev, 2010).
"""

from __future__ import annotations

from collections.abc import Sequence

from serialformer.circuits.function.logic import FALSE, TRUE, Logic

Bits = Sequence[int]


def constant_bits(value: int, width: int) -> list[int]:
    """The literals of a constant, wrapped to its width.

    >>> constant_bits(6, 4)
    [0, 1, 1, 0]
    """
    return [value >> index & 1 for index in range(width)]


def extend(bits: Bits, width: int, signed: bool) -> list[int]:
    """The word in this width: cut off, or filled with zeros or copies of the sign."""
    fill = bits[-1] if signed else FALSE
    return [*bits[:width], *[fill] * (width - len(bits))]


def full_adder(logic: Logic, x: int, y: int, z: int) -> tuple[int, int]:
    """Sum and carry of three bits: five gates, two if one is constant; six in two parts where adders are whole."""
    if x < 2:
        x, z = z, x
    elif y < 2:
        y, z = z, y
    if z < 2:
        return logic.xor(x, y) ^ z, (logic.or_ if z else logic.and_)(x, y)
    differ = logic.xor(x, y)
    if logic.whole_adders:
        return logic.xor(differ, z), logic.or_(logic.and_(x, y), logic.and_(z, logic.or_(x, y)))
    return logic.xor(differ, z), logic.xor(x, logic.and_(differ, logic.xor(x, z)))


def add(logic: Logic, a: Bits, b: Bits, carry: int = FALSE) -> list[int]:
    """a + b + carry of equally wide words, wrapped."""
    result = []
    for x, y in zip(a, b, strict=True):
        total, carry = full_adder(logic, x, y, carry)
        result.append(total)
    return result


def subtract(logic: Logic, a: Bits, b: Bits) -> list[int]:
    """a - b of equally wide words, wrapped."""
    return add(logic, a, [bit ^ 1 for bit in b], TRUE)


def negate_if(logic: Logic, condition: int, a: Bits) -> list[int]:
    """-a where the condition holds, else a; wrapped."""
    return add(logic, [logic.xor(bit, condition) for bit in a], [FALSE] * len(a), condition)


def add_columns(logic: Logic, columns: Sequence[Bits], constant: int = 0) -> list[int]:
    """The sum of bits: those of column k count 2^k each. Wrapped to as many bits as there are columns.

    Args:
        logic: where the gates go.
        columns: any number of literals in each.
        constant: is added; may be negative.
    """
    width = len(columns)
    plain = [list(column) for column in columns] + [[]]
    pairs: list[list[tuple[int, int]]] = [[] for _ in range(width + 1)]
    constant &= (1 << width) - 1
    result = []
    for index in range(width):
        bits, above, above_pairs = plain[index], plain[index + 1], pairs[index + 1]
        column_pairs = []
        for x, differ in pairs[index]:
            if x < 2 or differ < 2:
                bits += [x, x ^ differ if differ < 2 else differ ^ x]
            else:
                column_pairs.append((x, differ))
        bits, ones = _cancel(bits, above)
        constant += ones
        if constant & 1:
            # With a constant 1 an adder is one or two gates, with a single bit none.
            if column_pairs:
                x, differ = column_pairs.pop()
                bits.append(differ ^ 1)
                above.append(logic.or_(x, differ))
            elif len(bits) > 1:
                x, y = bits.pop(), bits.pop()
                bits.append(logic.xor(x, y) ^ 1)
                above.append(logic.or_(x, y))
            elif bits:
                above.append(bits[0])
                bits = [bits[0] ^ 1]
            else:
                bits = [TRUE]
        constant >>= 1
        result.append(_add_column(logic, bits, column_pairs, above, above_pairs))
    return result


def _cancel(bits: list[int], above: list[int]) -> tuple[list[int], int]:
    """Takes constants, equal bits (x + x is x in the column above) and opposite ones (their sum is 1) out of a column.

    Returns:
        What is left, each node once, and the constant that was taken out.
    """
    ones = 0
    seen: dict[int, int] = {}
    for bit in bits:
        if bit < 2:
            ones += bit
        elif bit >> 1 not in seen:
            seen[bit >> 1] = bit
        elif seen.pop(bit >> 1) == bit:
            above.append(bit)
        else:
            ones += 1
    return list(seen.values()), ones


def _add_column(
    logic: Logic, bits: list[int], pairs: list[tuple[int, int]], above: list[int], above_pairs: list[tuple[int, int]]
) -> int:
    """The sum bit of a column; its carries are put into the column above."""
    if logic.whole_adders and bits:
        return _add_column_whole(logic, bits, above)
    if bits:
        total = bits.pop()
    elif pairs:
        x, total = pairs.pop()
        above.append(logic.and_(x, total ^ 1))
    else:
        return FALSE
    while len(bits) > 1:
        x, y = bits.pop(), bits.pop()
        pairs.append((x, logic.xor(x, y)))
    while len(pairs) > 1:
        total, carries = _double_adder(logic, total, pairs.pop(), pairs.pop())
        above_pairs.append(carries)
    for x, differ in pairs:
        above.append(logic.xor(x, logic.and_(differ, logic.xor(x, total))))
        total = logic.xor(differ, total)
    for x in bits:
        above.append(logic.and_(x, total))
        total = logic.xor(x, total)
    return total


def _add_column_whole(logic: Logic, bits: list[int], above: list[int]) -> int:
    """The sum bit of a column by full adders of their own, the bits that come first added first."""
    start = 0
    while len(bits) - start > 2:
        total, carry = full_adder(logic, *bits[start : start + 3])
        start += 3
        bits.append(total)
        above.append(carry)
    if len(bits) - start == 2:
        x, y = bits[start:]
        above.append(logic.and_(x, y))
        return logic.xor(x, y)
    return bits[-1]


def _double_adder(logic: Logic, z: int, first: tuple[int, int], second: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    """Two full adders on pairs: the sum of five bits, and its two carries as a pair, in eight gates.

    With p = x xor y, the carry of x + y + z is (p or (z xor x)) xor (z xor p). In the exclusive or of both carries
    the sum bits cancel.
    """
    (x1, p1), (x2, p2) = first, second
    middle = logic.xor(z, p1)
    either = logic.or_(p1, logic.xor(z, x1))
    carry = logic.xor(either, middle)
    differ = logic.xor(either, logic.and_(p2 ^ 1, logic.xor(middle, x2)))
    return logic.xor(middle, p2), (carry, differ)


def equal(logic: Logic, a: Bits, b: Bits) -> int:
    """Whether equally wide words are equal: two gates per bit."""
    return logic.all_of([logic.xor(x, y) ^ 1 for x, y in zip(a, b, strict=True)])


def less_than(logic: Logic, a: Bits, b: Bits, signed: bool) -> int:
    """Whether a < b of equally wide words: four gates per bit, one if either is constant."""
    borrow = FALSE
    top = len(a) - 1
    for index, (x, y) in enumerate(zip(a, b, strict=True)):
        if signed and index == top:
            x, y = y, x
        # Where the bits differ, the second decides; where they do not, what comes from below.
        borrow = logic.mux(logic.xor(x, y), y, borrow)
    return borrow


def divide(logic: Logic, a: Bits, b: Bits) -> tuple[list[int], list[int]]:
    """Quotient (as wide as a) and remainder (as wide as b) of unsigned words: six gates per bit of each row.

    The schoolbook's way: row by row the divisor is subtracted from what is left, if it fits. Of a divisor of zero,
    everything fits: the quotient is all ones, and the remainder is a (its low bits, if b is narrower).
    """
    above = [FALSE]  # above[k]: does b have a bit at place len(b) - k or higher?
    for bit in reversed(b):
        above.append(logic.or_(above[-1], bit))
    rest: list[int] = []
    quotient = []
    for bit in reversed(a):
        rest = [bit, *rest]
        borrow = FALSE
        subtracted = []
        for x, y in zip(rest, extend(b, len(rest), False), strict=True):
            differ = logic.xor(y, borrow)
            subtracted.append(differ)
            borrow = logic.xor(borrow, logic.and_(differ, logic.xor(x, borrow) ^ 1))
        fits = logic.and_(borrow ^ 1, above[max(0, len(b) - len(rest))] ^ 1)
        quotient.append(fits)
        rest = [logic.xor(x, logic.and_(fits, differ)) for x, differ in zip(rest, subtracted, strict=True)][: len(b)]
    return quotient[::-1], extend(rest, len(b), False)


def divide_floor(logic: Logic, a: Bits, b: Bits) -> tuple[list[int], list[int]]:
    """Quotient and remainder of equally wide signed words, rounded as Python's // and % do.

    With a negative divisor both are negated, so let b > 0. Then floor(a / b) is a // b for a >= 0, and
    not((not a) // b) for a < 0, where not a = -a - 1. Of a divisor of zero the quotient is -1 and the remainder a.
    """
    width = len(a)
    flip = b[-1]
    dividend = negate_if(logic, flip, extend(a, width + 1, True))
    divisor = negate_if(logic, flip, b)
    negative = dividend[-1]
    quotient, rest = divide(logic, [logic.xor(bit, negative) for bit in dividend[:-1]], divisor)
    by_zero = logic.any_of(b) ^ 1
    floor = [logic.or_(logic.xor(bit, negative), by_zero) for bit in quotient]
    # b - 1 - rest is b + not rest; where the dividend is not negative, rest is added to 0 instead.
    base = [logic.and_(bit, negative) for bit in divisor]
    remainder = add(logic, base, [logic.xor(bit, negative) for bit in rest])
    return floor, negate_if(logic, flip, remainder)


def shift(logic: Logic, a: Bits, amount: Bits, *, left: bool, fill: int) -> list[int]:
    """The word shifted by a variable amount; the bits shifted in are ``fill``, also if the amount exceeds the width."""
    bits, beyond = list(a), FALSE
    for stage, select in enumerate(amount):
        if stage >= len(a).bit_length():
            beyond = logic.or_(beyond, select)
            continue
        step = min(1 << stage, len(a))
        moved = [fill] * step + bits[: len(a) - step] if left else bits[step:] + [fill] * step
        bits = [logic.mux(select, new, old) for new, old in zip(moved, bits, strict=True)]
    return [logic.mux(beyond, fill, bit) for bit in bits]


def rotate_left(logic: Logic, a: Bits, amount: Bits) -> list[int]:
    """The word rotated by a variable amount, modulo its width."""
    bits = list(a)
    for stage, select in enumerate(amount):
        step = pow(2, stage, len(a))
        moved = bits[len(a) - step :] + bits[: len(a) - step]
        bits = [logic.mux(select, new, old) for new, old in zip(moved, bits, strict=True)]
    return bits
