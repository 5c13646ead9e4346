"""Statements: a traced function against the same function run by Python, on its own integers."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serialformer import I8, U1, U8, U16, U32, Array, CircuitFunction, I, U, circuit, concat

TABLE = [7 * index % 61 - 20 for index in range(37)]
SQUARES = bytes(index * index % 256 for index in range(256))
ROWS = [[row * column for column in range(3)] for row in range(4)]
LIMIT = 100


@circuit
def early_returns(a: U8, b: U8) -> U8:
    if a == 0:
        return b
    elif a > LIMIT:
        if b < 9:
            return 1
        b = b // 2
        if b == a:
            return a
    else:
        b = 3
    return (a ^ b) & 0xFF


@circuit
def conditional_assignments(a: U8, b: U8) -> U16:
    total: U16 = 0
    for bit in range(8):
        if a >> bit & 1 == 1:
            total += b
            if b > 200:
                total ^= 5
            else:
                pass
        elif b == bit:
            total = total + 1
    return total


@circuit
def breaking(a: Array[U8, 6], x: U8) -> tuple[U8, U8, U[4]]:
    count: U8 = 0
    last: U8 = 0
    where: U[4] = 15
    for index, item in enumerate(a):
        if item == 0:
            continue
        count += 1
        if item == x:
            where = index
            break
        if item > 250:
            last = 1
            continue
        last = item
    return count, last, where


@circuit
def searching(a: Array[U8, 5], x: U8) -> U[3]:
    for index in range(5):
        for other in range(index):
            if a[index] == a[other]:
                return 6
        if a[index] == x:
            return index
    return 5


@circuit
def sorting(a: Array[U8, 5]) -> Array[U8, 5]:
    a = list(a)
    for end in range(4, 0, -1):
        for i in range(end):
            if a[i] > a[i + 1]:
                a[i], a[i + 1] = a[i + 1], a[i]
    return a


@circuit
def writing(a: Array[U8, 6], i: U[3], x: U8) -> Array[U8, 6]:
    a = list(a)
    alias = a
    if x > 99:
        alias[1] = x
        a[2] += a[3] if x < 200 else 0
        a[2] &= 255
    if i < 6:
        a[i] = x
        a[i] ^= 15
        a[5 - (i % 6)] |= 128
    return alias


@circuit
def looking_up(i: U8, j: U8) -> tuple[I[16], U8, U[4], U8]:
    square = SQUARES[i]
    entry = TABLE[i % 37] if i != 3 else 0
    cell = ROWS[j % 4][i % 3]
    chosen = (i, j, i ^ j)[i % 3]
    return entry, square, cell, chosen


@circuit
def expressions(a: U8, b: U8) -> tuple[U8, U8, U1, U8, U1]:
    larger = a if a > b else b
    small = min(x for x in (a, b, a ^ b) if True)
    chained = 3 < a <= b != 77
    total = sum([x // 2 for x in (a, b)])
    odd = not ((a < b and b < 99) or (total := a) == 9)
    return larger, small, chained, total, odd


@circuit
def unpacking(a: Array[U8, 5]) -> tuple[U8, U8, U8, U8]:
    first, *middle, last = a
    (x, y), *none = (middle[1:],)
    return first ^ last, x, y, U8(len(none)) + middle[0]


@circuit
def constant_while(a: U8) -> U8:
    left = 4
    while left > 0:
        a = a // 2 + left
        left -= 1
    while True:
        if left == 3:
            break
        left += 1
    return a + left


@circuit
def while_that_breaks(a: U8) -> U8:
    steps: U8 = 0
    while steps is not None and True:
        if a < 2:
            break
        a = a // 2
        steps += 1
        if steps == 9:
            break
        assert len(SQUARES) == 256
        if a > 255:
            break
        if 1 == 1:
            break
    return steps * 10 + a


def helper(x: Any, y: Any, shift: int = 1) -> Any:
    if x < y:
        return x << shift & 0xFF
    return y


@circuit
def inner(x: U16, y: Array[U8, 2]) -> U16:
    y = [y[1], y[0]]
    return x // 3 + y[0]


@circuit
def calling(a: U8, b: U8) -> tuple[U16, U16, U8, U8]:
    doubled = helper(y=b, x=a)
    return inner(a, (a, b)), inner(7, [b, 3]), doubled, helper(*(a, b), shift=2)


CASES: dict[CircuitFunction, list[int | list[int]]] = {
    # For each argument the largest value, or that of each element.
    early_returns: [255, 255],
    conditional_assignments: [255, 255],
    breaking: [[255] * 6, 255],
    searching: [[255] * 5, 255],
    sorting: [[255] * 5],
    writing: [[255] * 6, 7, 255],
    looking_up: [255, 255],
    expressions: [255, 255],
    unpacking: [[255] * 5],
    constant_while: [255],
    while_that_breaks: [255],
    calling: [255, 255],
}


def plain(value: Any) -> Any:
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else int(value)


@pytest.mark.parametrize("function", CASES, ids=lambda function: function.__name__)
@given(data=st.data())
def test_as_python_runs_it(function: CircuitFunction, data: st.DataObject) -> None:
    def draw(high: int | list[int]) -> Any:
        if isinstance(high, list):
            return [draw(each) for each in high]
        near = st.integers(0, min(high, 9))
        return data.draw(near | st.integers(0, high) | st.sampled_from([high]))

    arguments = [draw(high) for high in CASES[function]]
    python = dict(zip(function.parameters, arguments, strict=True))
    expected = called_by_python(function, python)
    assert plain(function(*arguments)) == expected
    assert plain(function(**python)) == expected


def called_by_python(function: CircuitFunction, arguments: dict[str, Any]) -> Any:
    """The undecorated function; those that it calls are undecorated too."""
    plain_globals = {**globals(), "inner": inner.function}
    code = function.function.__code__
    python = type(function.function)(code, plain_globals, argdefs=function.function.__defaults__)
    return plain(python(**arguments))


def test_gcd_with_a_break_on_every_input() -> None:
    @circuit
    def gcd(a: U[4], b: U[4]) -> U[4]:
        for _ in range(6):
            if b == 0:
                break
            a, b = b, a % b
        return a

    for a in range(16):
        for b in range(16):
            assert gcd(a, b) == math.gcd(a, b)


@circuit
def many_rounds(a: Array[U1, 120]) -> U8:
    count: U8 = 0
    for bit in a:
        if bit:
            break
        count += 1
    return count


def test_long_loops_that_break() -> None:
    for zeros in (0, 1, 90, 120):
        assert many_rounds([0] * zeros + [1] * (120 - zeros)) == zeros


@circuit
def joined(a: U8, b: I8):
    return concat(a, b[4:], a[:2]), concat(b)


def test_concat_puts_the_first_on_top() -> None:
    assert joined(0xA5, -0x70) == (0xA5 << 6 | 9 << 2 | 1, 0x90)
    assert joined.circuit.num_gates == 0


@circuit
def out_of_range(a: Array[U8, 3], i: U[4]) -> tuple[U8, Array[U8, 3]]:
    changed = list(a)
    changed[i] = 77
    return a[i], changed


def test_an_index_beyond_the_array_reads_zero_and_writes_nothing() -> None:
    for i in range(16):
        read, changed = out_of_range([1, 2, 3], i)
        assert read == ([1, 2, 3, 0][i] if i < 3 else 0)
        assert changed == [77 if place == i else place + 1 for place in range(3)]


@circuit
def named_results(a: U8, b: U8):
    total, flags = a + b, [a > b, a == b]
    return total, flags


@circuit
def nested(grid: Array[Array[U8, 2], 2], pair: tuple[U8, U1]) -> U8:
    return grid[0][1] + pair[0]


def test_the_names_of_words() -> None:
    def names(words: Any) -> list[tuple[str, int]]:
        return [(word.name, word.width) for word in words]

    assert names(named_results.circuit.output_words) == [("total", 8), ("flags0", 1), ("flags1", 1)]
    assert names(early_returns.circuit.output_words) == [("out", 8)]
    assert names(calling.circuit.output_words) == [("out0", 16), ("out1", 16), ("out2", 8), ("out3", 8)]
    grid = [("grid0_0", 8), ("grid0_1", 8), ("grid1_0", 8), ("grid1_1", 8), ("pair0", 8), ("pair1", 1)]
    assert names(nested.circuit.input_words) == grid
    assert nested.words([[1, 2], [3, 4]], (5, 1)) == dict(
        zip([name for name, _ in grid], [1, 2, 3, 4, 5, 1], strict=True)
    )
    assert nested([[1, 2], [3, 4]], (5, 1)) == 7


@circuit
def free(a: U32, b: U32) -> U32:
    if a & 1 and (a ^ b) & 1:
        b = (a * b) & 0 | b
        a = b
    else:
        a = b
    return a


def test_what_does_not_matter_makes_no_gates() -> None:
    assert free.circuit.num_gates == 0
    assert named_results.circuit is named_results.circuit


def test_a_function_keeps_its_name_and_text() -> None:
    assert early_returns.__name__ == "early_returns"
    assert repr(early_returns) == f"<circuit {__name__}.early_returns>"
    assert repr(searching.parameters) == "{'a': Array[U8, 5], 'x': U8}"
    assert repr(breaking.returns) == "tuple[U8, U8, U[4]]"
