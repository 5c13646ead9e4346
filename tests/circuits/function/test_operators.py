"""Every operator, width and sign against Python's own integers."""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serialformer import I8, I16, U1, U8, U16, Array, CircuitFunction, I, SerialformerError, U, circuit
from serialformer.circuits.evaluate import evaluate_outputs
from serialformer.circuits.function.types import WordType
from tests.effort import effort

ARITHMETIC = ("+", "-", "*", "//", "%", "&", "|", "^")
COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def every_operator(a_type: WordType, b_type: WordType) -> CircuitFunction:
    @circuit
    def function(a: a_type, b: b_type):  # type: ignore[no-untyped-def, valid-type]
        quotient, remainder = divmod(a, b)
        arithmetic = (a + b, a - b, a * b, a // b, a % b, a & b, a | b, a ^ b)
        comparisons = (a == b, a != b, a < b, a <= b, a > b, a >= b)
        exact = ((a + b).widen(), (a - b).widen(), (a * b).widen(), (-a).widen(), a.full_mul(b))
        return [quotient, remainder, min(a, b), max(a, b)], arithmetic, comparisons, exact

    return function


def common(a: WordType, b: WordType) -> WordType | None:
    if a.signed == b.signed:
        return WordType(width=max(a.width, b.width), signed=a.signed)
    signed, unsigned = (a, b) if a.signed else (b, a)
    return signed if signed.width > unsigned.width else None


def by_python(symbol: str, a: int, b: int, kind: WordType) -> int:
    if symbol in ("//", "%") and b == 0:
        return kind.wrap(-1) if symbol == "//" else a
    result = eval(f"a {symbol} b", {"a": a, "b": b})
    return kind.wrap(result)


def values(kind: WordType) -> range:
    low = -(1 << kind.width - 1) if kind.signed else 0
    return range(low, low + (1 << kind.width))


SMALL = [family[width] for family in (U, I) for width in (1, 2, 4)]


@pytest.mark.parametrize("a_type", SMALL, ids=repr)
@pytest.mark.parametrize("b_type", SMALL, ids=repr)
def test_every_value_of_small_words(a_type: WordType, b_type: WordType) -> None:
    kind = common(a_type, b_type)
    function = every_operator(a_type, b_type)
    if kind is None:
        with pytest.raises(SerialformerError, match="mix signed and unsigned"):
            _ = function.circuit
        return
    pairs = [(a, b) for a in values(a_type) for b in values(b_type)]
    for (a, b), found in zip(pairs, evaluated(function, pairs), strict=True):
        built_in, arithmetic, comparisons, exact = found
        expected = [by_python(symbol, a, b, kind) for symbol in ARITHMETIC]
        assert list(arithmetic) == expected, (a, b)
        assert built_in == [expected[3], expected[4], min(a, b), max(a, b)]
        assert list(comparisons) == [compare(a, b) for compare in COMPARISONS.values()]
        assert list(exact) == [a + b, a - b, a * b, -a, a * b], (a, b)


def evaluated(function: CircuitFunction, rows: list[tuple[int, ...]]) -> list[Any]:
    """The function of many arguments at once."""
    circuit = function.circuit
    assert circuit.input_words is not None and circuit.output_words is not None
    bits = np.zeros((len(rows), circuit.num_inputs), dtype=np.uint8)
    for row, arguments in enumerate(rows):
        words = function.words(*arguments)
        for word in circuit.input_words:
            for index, place in enumerate(word.bits):
                bits[row, place] = words[word.name] >> index & 1
    results = evaluate_outputs(circuit, bits).astype(object)
    named = [
        {
            word.name: sum(int(row[place]) << index for index, place in enumerate(word.bits))
            for word in circuit.output_words
        }
        for row in results
    ]
    return [function.value(each) for each in named]


# Wide enough for both ways to multiply; 32 bits are examples/multiply_divide.py's.
WIDE = {(a, b): every_operator(a, b) for a, b in [(U[20], U[20]), (I[17], I[17]), (U[9], U[18]), (I[14], U[13])]}


@pytest.mark.parametrize("types", WIDE, ids=str)
@effort(0.25)
@given(data=st.data())
def test_random_values_of_wide_words(types: tuple[WordType, WordType], data: st.DataObject) -> None:
    kind = common(*types)
    assert kind is not None
    a, b = (
        data.draw(
            st.one_of(
                st.integers(values(each)[0], values(each)[-1]),
                st.sampled_from([values(each)[0], values(each)[-1], 0, 1, max(-1, values(each)[0])]),
            )
        )
        for each in types
    )
    built_in, arithmetic, comparisons, exact = WIDE[types](a, b)
    assert list(arithmetic) == [by_python(symbol, a, b, kind) for symbol in ARITHMETIC]
    assert list(comparisons) == [compare(a, b) for compare in COMPARISONS.values()]
    assert list(exact) == [a + b, a - b, a * b, -a, a * b]
    assert built_in[2:] == [min(a, b), max(a, b)]


@circuit
def with_integers(a: U8, b: I8):
    return (
        (a + 255, 3 - a, a * 5, a // 7, a % 16, 200 // a, a & 0x0F, a == 9, a > 9, 3 <= a < 9, a**3),
        (b - 127, b * -3, b // -4, b % 10, b == -7, -b, abs(b), ~b, +b, b >> 2, b << 3),
    )


def test_integers_take_the_width_of_the_word() -> None:
    for value in (0, 1, 3, 9, 17, 127, 128, 200, 255):
        a, b = value, I8.wrap(value)
        unsigned, signed = with_integers(a, b)
        divided = 200 // a if a else 255
        assert unsigned == (
            *((a + 255) % 256, (3 - a) % 256, 5 * a % 256, a // 7, a % 16, divided, a & 15),
            *(a == 9, a > 9, 3 <= a < 9, a**3 % 256),
        )
        wrapped = [b - 127, b * -3, b // -4, b % 10, b == -7, -b, abs(b), ~b, b, b >> 2, b << 3]
        assert signed == tuple(I8.wrap(int(each)) for each in wrapped)


@circuit
def moved(a: U8, b: I8, n: U[4], wide: U16):
    return (
        (a << n, a >> n, b >> n, a << 3, a >> 9, b >> 9, a << wide, a >> wide, b >> wide),
        (a.rotl(n), a.rotr(n), a.rotl(3), a.rotr(11), a.rotl(wide)),
    )


def turn(a: int, by: int) -> int:
    by %= 8
    return (a << by | a >> 8 - by) & 255


@given(st.integers(0, 255), st.integers(-128, 127), st.integers(0, 15), st.integers(0, 65535) | st.integers(0, 9))
def test_shifts_and_rotations(a: int, b: int, n: int, wide: int) -> None:
    shifts, rotations = moved(a, b, n, wide)
    far = min(wide, 100)
    assert shifts == (
        *(a << n & 255, a >> n, b >> n, a << 3 & 255, 0, -1 if b < 0 else 0),
        *(a << far & 255, a >> far, b >> far),
    )
    assert rotations == (turn(a, n), turn(a, -n), turn(a, 3), turn(a, -11), turn(a, wide))


@circuit
def bits_of(a: U8, b: I16, i: U8):
    word = a
    word[0] = b[15]
    word[4:6] = 3
    other = a
    other[i] = True
    return (
        (a[0], a[-1], a[2:5], a[:4], a[4:], a[::-1], a[i], b[3:7], a.parity(), a.bit_count(), word, other, a),
        (U16(b), U8(b), I16(a), a.signed(), b.unsigned(), a.widen(12), I8(a), U8([bit for bit in a]), I[20](b)),
        len(b) + a.width + U8(0),
    )


@given(st.integers(0, 255), st.integers(-32768, 32767), st.integers(0, 255) | st.integers(0, 9))
def test_bits_and_conversions(a: int, b: int, i: int) -> None:
    bits, converted, widths = bits_of(a, b, i)
    backwards = int(f"{a:08b}"[::-1], 2)
    assert bits == (
        *(a & 1, a >> 7, a >> 2 & 7, a & 15, a >> 4, backwards, a >> i & 1 if i < 8 else 0, b >> 3 & 15),
        *(a.bit_count() & 1, a.bit_count(), a & 0b11001110 | (b < 0) | 0b110000, a | (1 << i if i < 8 else 0), a),
    )
    assert converted == (b % 65536, b % 256, a, I8.wrap(a), b % 65536, a, I8.wrap(a), a, b)
    assert widths == 24


@circuit
def gathered(a: Array[U8, 5], b: Array[I16, 3], x: U1):
    return (
        (sum(a), sum(a, 7), sum([*b, a[0], -4]), min(a), max(a), min(*b), max(b)),
        (any(a), all(a), any(byte == 9 for byte in a), all(byte < 200 for byte in a), bool(a[0]), not a[0]),
        (a[0] and a[1], a[0] or a[1], x and x, a[2] in (1, 2, 250), a[2] not in a[3:], a == a[::-1], a != a[::-1]),
    )


@given(
    st.lists(st.integers(0, 255) | st.sampled_from([0, 9, 250]), min_size=5, max_size=5),
    st.lists(st.integers(-32768, 32767), min_size=3, max_size=3),
    st.integers(0, 1),
)
def test_functions_of_python(a: list[int], b: list[int], x: int) -> None:
    sums, quantified, chosen = gathered(a, b, x)
    assert sums == (
        *(sum(a) % 256, (sum(a) + 7) % 256, I16.wrap(sum(b) + a[0] - 4)),
        *(min(a), max(a), min(b), max(b)),
    )
    assert quantified == (any(a), all(a), 9 in a, max(a) < 200, bool(a[0]), not a[0])
    assert chosen == (
        *(a[0] and a[1], a[0] or a[1], x, a[2] in (1, 2, 250), a[2] not in a[3:], a == a[::-1], a != a[::-1]),
    )
