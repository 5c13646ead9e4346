from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serialformer.circuits.builder import CircuitBuilder
from serialformer.circuits.circuit import Circuit
from serialformer.circuits.passes import split_gates
from serialformer.circuits.strategies import circuits
from serialformer.circuits.synthesis import network_of_table
from serialformer.errors import CircuitError
from tests.circuits.equivalence import assert_same_outputs, assert_same_words


def network_values(network: tuple[tuple[int, tuple[int, ...]], ...], arity: int) -> int:
    """The truth table of a network, by plain evaluation."""
    table = 0
    for entry in range(1 << arity):
        values = [entry >> place & 1 for place in range(arity)]
        for gate, reads in network:
            values.append(gate >> sum(values[node] << place for place, node in enumerate(reads)) & 1)
        table |= values[-1] << entry
    return table


def assert_network_is(table: int, arity: int, max_fan_in: int, xor_cost: int = 1) -> int:
    network = network_of_table(table, arity, max_fan_in, xor_cost)
    assert all(len(reads) <= max_fan_in for _, reads in network)
    assert network_values(network, arity) == table
    read = set(itertools.chain.from_iterable(reads for _, reads in network))
    assert set(range(arity, arity + len(network) - 1)) <= read, "a gate that nothing reads"
    return len(network)


@pytest.mark.parametrize("xor_cost", [1, 3])
def test_every_table_of_three_inputs(xor_cost: int) -> None:
    sizes = [assert_network_is(table, 3, 2, xor_cost) for table in range(256)]
    assert max(sizes) <= (4 if xor_cost == 1 else 6)


@pytest.mark.parametrize("max_fan_in", [2, 3])
def test_tables_of_four_inputs(max_fan_in: int) -> None:
    for table in range(0, 1 << 16, 397):
        assert_network_is(table, 4, max_fan_in)


@given(st.integers(5, 6), st.integers(2, 5), st.sampled_from([1, 3]), st.data())
def test_tables_of_five_and_six_inputs(arity: int, max_fan_in: int, xor_cost: int, data: st.DataObject) -> None:
    table = data.draw(st.integers(0, (1 << (1 << arity)) - 1))
    assert_network_is(table, arity, min(max_fan_in, arity - 1), xor_cost)


def table_of(function: object, arity: int) -> int:
    assert callable(function)
    return sum(int(function(*(entry >> place & 1 for place in range(arity)))) << entry for entry in range(1 << arity))


@pytest.mark.parametrize(
    ("function", "arity", "max_fan_in", "gates"),
    [
        (lambda *x: all(x), 6, 2, 5),
        (lambda *x: any(x), 6, 2, 5),
        (lambda *x: not any(x), 6, 2, 5),
        (lambda *x: sum(x) % 2, 6, 2, 5),
        (lambda *x: sum(x) % 2 == 0, 5, 2, 4),
        (lambda *x: sum(x) % 2, 6, 4, 2),
        (lambda a, b, c: b if a else c, 3, 2, 3),
        (lambda a, b, c: a + b + c >= 2, 3, 2, 4),
        (lambda a, b, c, d: (a and b) or (c and d), 4, 2, 3),
        (lambda a, b, c, d: (a and b) != (c or not d), 4, 2, 3),
        (lambda a, b, c, d, e, f: (c, d, e, f)[a + 2 * b], 6, 3, 3),
        (lambda *x: x[1], 6, 2, 1),
        (lambda *x: not x[1], 6, 2, 1),
        (lambda *x: 1, 6, 2, 1),
        (lambda *x: 0, 6, 2, 1),
    ],
)
def test_known_functions_take_few_gates(function: object, arity: int, max_fan_in: int, gates: int) -> None:
    assert assert_network_is(table_of(function, arity), arity, max_fan_in) == gates


def test_and_of_six_is_balanced() -> None:
    build = CircuitBuilder()
    build.output("all", build.gate(1 << 63, *build.inputs("x", 6)))
    assert split_gates(build.circuit()).depth == 3


@given(circuits(), st.integers(2, 6))
def test_split_gates_computes_the_same(circuit: Circuit, max_fan_in: int) -> None:
    narrow = split_gates(circuit, max_fan_in=max_fan_in)
    assert narrow.max_arity <= max_fan_in
    assert_same_outputs(circuit, narrow)
    assert_same_words(circuit, narrow)
    assert [name for name in narrow.gate_names if name] == [name for name in circuit.gate_names if name]
    assert split_gates(narrow, max_fan_in=max_fan_in) is narrow


def test_split_gates_names_the_last_gate_of_a_network() -> None:
    build = CircuitBuilder()
    x = build.inputs("x", 3)
    first = build.gate(0b10000000, *x, name="first")
    build.output("y", build.gate(0b01, first, name="second"))
    narrow = split_gates(build.circuit())
    assert narrow.gate_names == ("", "first", "second")
    assert narrow.table.tolist() == [0b1000, 0b1000, 0b01]
    assert narrow.fan_in.tolist() == [[0, 1], [2, 3], [4, -1]]


@pytest.mark.parametrize("max_fan_in", [-1, 1, 7])
def test_split_gates_refuses_a_fan_in_out_of_range(max_fan_in: int) -> None:
    build = CircuitBuilder()
    with pytest.raises(CircuitError, match=f"expected max_fan_in from 2 to 6, found {max_fan_in}"):
        split_gates(build.circuit(), max_fan_in=max_fan_in)


def test_split_gates_of_many_gates() -> None:
    rng = np.random.default_rng(0)
    gates, inputs = 5_000, 64
    circuit = Circuit(
        num_inputs=inputs,
        fan_in=rng.integers(0, inputs, (gates, 6)).astype(np.int32),
        arity=np.full(gates, 6, dtype=np.uint8),
        table=rng.choice(rng.integers(0, 1 << 63, 20).astype(np.uint64), gates),
        outputs=np.arange(inputs + gates - 100, inputs + gates, dtype=np.int32),
    )
    assert_same_outputs(circuit, split_gates(circuit))
