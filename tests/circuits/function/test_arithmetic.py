"""Arithmetic gates against Python's integers: every input at small widths, and how many gates there are."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serialformer.circuits.circuit import Circuit
from serialformer.circuits.evaluate import evaluate_outputs
from serialformer.circuits.function import arithmetic, multiply
from serialformer.circuits.function.logic import Logic
from serialformer.circuits.mapping.mapping import simplify
from tests.effort import effort


def make(widths: list[int], function: Callable[..., list[int]], *, whole_adders: bool = False) -> Circuit:
    logic = Logic(whole_adders=whole_adders)
    words = [[logic.input() for _ in range(width)] for width in widths]
    return logic.circuit(function(logic, *words))


def every_input(widths: list[int]) -> list[list[int]]:
    """Each word's values, over every combination of them."""
    index = np.arange(1 << sum(widths))
    starts = np.cumsum([0, *widths[:-1]])
    return [(index >> start & (1 << width) - 1).tolist() for start, width in zip(starts, widths, strict=True)]


def outputs(circuit: Circuit) -> list[int]:
    index = np.arange(1 << circuit.num_inputs)
    bits = evaluate_outputs(circuit, (index[:, None] >> np.arange(circuit.num_inputs) & 1).astype(np.uint8))
    return (bits.astype(np.int64) << np.arange(bits.shape[1])).sum(axis=1).tolist()


def signed(value: int, width: int) -> int:
    return value - (1 << width) if value >> (width - 1) else value


@pytest.mark.parametrize("a_width", [1, 3, 4])
@pytest.mark.parametrize("b_width", [1, 2, 4])
@pytest.mark.parametrize("signs", [(False, False), (True, True), (True, False), (False, True)])
@pytest.mark.parametrize("method", ["rows", "recoding"])
def test_both_ways_to_multiply(method: str, signs: tuple[bool, bool], a_width: int, b_width: int) -> None:
    way = {"rows": multiply._by_rows, "recoding": multiply._by_recoding}[method]
    a, b = every_input([a_width, b_width])
    for width in {1, 3, a_width + b_width, a_width + b_width + 2}:
        circuit = make([a_width, b_width], lambda logic, x, y, width=width: way(logic, x, signs[0], y, signs[1], width))
        products = [
            (signed(x, a_width) if signs[0] else x) * (signed(y, b_width) if signs[1] else y)
            for x, y in zip(a, b, strict=True)
        ]
        assert outputs(circuit) == [product % (1 << width) for product in products]


@pytest.mark.parametrize("is_signed", [False, True])
def test_multiplying_by_constants(is_signed: bool) -> None:
    (a,) = every_input([4])
    for constant in range(-9, 40):
        bits = arithmetic.constant_bits(constant, 7)
        circuit = make([4], lambda logic, x, bits=bits: multiply.multiply(logic, x, is_signed, bits, True, 9))
        factor = signed(constant % 128, 7)
        values = [signed(x, 4) if is_signed else x for x in a]
        assert outputs(circuit) == [value * factor % 512 for value in values]


@pytest.mark.parametrize("widths", [[1, 1], [3, 2], [2, 4], [4, 4], [6, 3]])
def test_division(widths: list[int]) -> None:
    a, b = every_input(widths)
    circuit = make(widths, lambda logic, x, y: list(chain(*arithmetic.divide(logic, x, y))))
    low, by_zero = (1 << widths[1]) - 1, (1 << widths[0]) - 1
    expected = [(x // y, x % y) if y else (by_zero, x & low) for x, y in zip(a, b, strict=True)]
    assert outputs(circuit) == [quotient | rest << widths[0] for quotient, rest in expected]


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5])
def test_floor_division(width: int) -> None:
    a, b = every_input([width, width])
    circuit = make([width, width], lambda logic, x, y: list(chain(*arithmetic.divide_floor(logic, x, y))))
    mask = (1 << width) - 1
    expected = []
    for x, y in zip(a, b, strict=True):
        quotient, rest = divmod(signed(x, width), signed(y, width)) if y else (-1, signed(x, width))
        expected.append(quotient & mask | (rest & mask) << width)
    assert outputs(circuit) == expected


@pytest.mark.parametrize("whole_adders", [False, True])
@effort(0.5)
@given(
    columns=st.lists(st.lists(st.integers(0, 13), max_size=6), min_size=1, max_size=5), constant=st.integers(-40, 40)
)
def test_columns(whole_adders: bool, columns: list[list[int]], constant: int) -> None:
    """Any bits, repeated, complemented and constant ones too."""
    logic = Logic(whole_adders=whole_adders)
    inputs = [logic.input() for _ in range(6)]
    literals = [0, 1, *inputs, *[bit ^ 1 for bit in inputs]]
    circuit = logic.circuit(
        arithmetic.add_columns(logic, [[literals[index] for index in column] for column in columns], constant)
    )
    for value, found in enumerate(outputs(circuit)):
        bits = [0, 1, *(value >> place & 1 for place in range(6)), *(1 - (value >> place & 1) for place in range(6))]
        total = constant + sum(bits[index] << place for place, column in enumerate(columns) for index in column)
        assert found == total % (1 << len(columns))


@pytest.mark.parametrize("width", [1, 3, 4])
def test_shifts_and_rotations(width: int) -> None:
    a, by = every_input([width, 4])
    mask = (1 << width) - 1
    left = make([width, 4], lambda logic, x, n: arithmetic.shift(logic, x, n, left=True, fill=0))
    right = make([width, 4], lambda logic, x, n: arithmetic.shift(logic, x, n, left=False, fill=x[-1]))
    turned = make([width, 4], arithmetic.rotate_left)
    pairs = list(zip(a, by, strict=True))
    assert outputs(left) == [x << n & mask for x, n in pairs]
    assert outputs(right) == [signed(x, width) >> n & mask for x, n in pairs]
    assert outputs(turned) == [(x << n % width | x >> width - n % width) & mask for x, n in pairs]


@pytest.mark.parametrize(
    ("width", "add", "product", "quotient"), [(8, 34, 299, 189), (16, 74, 1185, 765), (32, 154, 4321, 3069)]
)
def test_sizes(width: int, add: int, product: int, quotient: int) -> None:
    """Five gates a full adder, and fewer where many words are added; a regression here is a longer chain for all."""
    both = [width, width]
    assert make(both, arithmetic.add).num_gates == 5 * width - 6 == add
    multiplier = make(both, lambda logic, a, b: multiply.multiply(logic, a, False, b, False, 2 * width))
    assert multiplier.num_gates == product
    assert make(both, lambda logic, a, b: arithmetic.divide(logic, a, b)[0]).num_gates == quotient
    assert make(both, lambda logic, a, b: [arithmetic.equal(logic, a, b)]).num_gates == 2 * width - 1
    assert make(both, lambda logic, a, b: [arithmetic.less_than(logic, a, b, False)]).num_gates <= 4 * width - 3
    tripled = make([width], lambda logic, a: multiply.multiply(logic, a, False, [1, 1], False, width))
    assert tripled.num_gates <= 5 * width


@pytest.mark.parametrize(("widths", "carries"), [([3, 3], (0, 1)), ([4, 4], (0,))])
def test_whole_adders_add(widths: list[int], carries: tuple[int, ...]) -> None:
    a, b = every_input(widths)
    mask = (1 << widths[0]) - 1
    for carry in carries:
        added = make(widths, lambda logic, x, y: arithmetic.add(logic, x, y, carry), whole_adders=True)  # noqa: B023
        assert outputs(added) == [x + y + carry & mask for x, y in zip(a, b, strict=True)]
    product = make(
        widths, lambda logic, x, y: multiply.multiply(logic, x, False, y, False, sum(widths)), whole_adders=True
    )
    assert outputs(product) == [x * y for x, y in zip(a, b, strict=True)]


@pytest.mark.parametrize("max_fan_in", [3, 4])
def test_whole_adders_map_better(max_fan_in: int) -> None:
    sizes = []
    for whole_adders in (False, True):
        both = make(
            [16, 16], lambda logic, a, b: multiply.multiply(logic, a, False, b, False, 32), whole_adders=whole_adders
        )
        sizes.append(simplify(both, max_fan_in=max_fan_in).num_gates)
    assert sizes[1] < sizes[0]


def test_a_square_is_smaller_than_a_product() -> None:
    square = make([16], lambda logic, a: multiply.multiply(logic, a, False, a, False, 32))
    assert square.num_gates < 900
