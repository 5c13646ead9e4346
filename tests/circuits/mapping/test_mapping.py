"""Mapping by ourselves: the same function, never more gates, names where gates survive; ABC as judge on real files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serialformer.circuits.builder import CircuitBuilder
from serialformer.circuits.circuit import Circuit
from serialformer.circuits.evaluate import evaluate_outputs
from serialformer.circuits.formats.read_write import read, write
from serialformer.circuits.mapping.mapping import copy_names, drop_dead_gates, map_gates, simplify
from serialformer.circuits.strategies import circuits
from serialformer.errors import CircuitError
from serialformer.loops import Loop
from tests.abc_tool import prove_equivalent
from tests.circuits.equivalence import assert_same_outputs, assert_same_words
from tests.steps import count_steps

REAL = ["epfl/adder.aig", "epfl/sin.aig", "epfl/priority.blif", "iscas85/c432.bench", "iscas85/c6288.bench"]


@given(circuits(), st.integers(2, 6))
def test_mapping_computes_the_same(circuit: Circuit, max_fan_in: int) -> None:
    mapped = map_gates(circuit, max_fan_in=max_fan_in)
    assert mapped.max_arity <= max_fan_in
    assert_same_outputs(circuit, mapped)
    assert_same_words(circuit, mapped)
    assert drop_dead_gates(mapped) is mapped


@given(circuits())
def test_simplify_never_has_more_gates(circuit: Circuit) -> None:
    simple = simplify(circuit)
    assert simple.num_gates <= circuit.num_gates
    assert simple.max_arity <= max(2, circuit.max_arity)
    assert_same_outputs(circuit, simple)
    assert_same_words(circuit, simple)
    assert simplify(simple).num_gates == simple.num_gates


def values_of_gates(circuit: Circuit, rows: np.ndarray) -> dict[str, bytes]:
    from serialformer.circuits.evaluate import evaluate_wires

    values = evaluate_wires(circuit, rows)[:, circuit.num_inputs :]
    return {name: values[:, gate].tobytes() for gate, name in enumerate(circuit.gate_names) if name}


@given(circuits(named_gates=False), st.integers(2, 4))
def test_a_name_keeps_its_value(circuit: Circuit, max_fan_in: int) -> None:
    named = Circuit(
        num_inputs=circuit.num_inputs,
        fan_in=circuit.fan_in,
        arity=circuit.arity,
        table=circuit.table,
        outputs=circuit.outputs,
        gate_names=[f"g{gate}" for gate in range(circuit.num_gates)],
    )
    rows = np.random.default_rng(0).integers(0, 2, (64, circuit.num_inputs), dtype=np.uint8)
    old = values_of_gates(named, rows)
    plain = map_gates(circuit, max_fan_in=max_fan_in)
    for mapped in (map_gates(named, max_fan_in=max_fan_in), copy_names(named, plain)):
        new = values_of_gates(mapped, rows)
        assert new.items() <= old.items()
        assert len(new) == sum(map(bool, mapped.gate_names)), "a name stands once"


def test_a_circuit_that_is_as_good_as_it_gets_keeps_its_gates(adder: Circuit) -> None:
    assert simplify(adder) == adder
    assert list(map_gates(adder).gate_names) == ["sum", "carry"]


@pytest.fixture
def adder() -> Circuit:
    build = CircuitBuilder()
    a, b = build.input("a"), build.input("b")
    total, carry = build.gate(0b0110, a, b, name="sum"), build.gate(0b1000, a, b, name="carry")
    build.output("s[0]", total)
    build.output("s[1]", carry)
    return build.circuit()


def gates_of(make: object, inputs: int, max_fan_in: int | None = None) -> int:
    build = CircuitBuilder()
    assert callable(make)
    make(build, *build.inputs("x", inputs))
    return simplify(build.circuit(), max_fan_in=max_fan_in).num_gates


def test_known_circuits() -> None:
    def xor_of_nands(build: CircuitBuilder, a: int, b: int) -> None:
        c = build.gate(0b0111, a, b)
        build.output("y", build.gate(0b0111, build.gate(0b0111, a, c), build.gate(0b0111, b, c)))

    def constant(build: CircuitBuilder, a: int) -> None:
        build.output("y", build.and_(a, build.not_(a)))

    def copies(build: CircuitBuilder, a: int, b: int) -> None:
        build.output("y", build.and_(a, b))
        build.output("z", build.not_(build.or_(build.not_(b), build.not_(a))))
        build.output("w", build.gate(0b0111, b, a))

    def dead(build: CircuitBuilder, a: int, b: int) -> None:
        build.xor(a, b)
        build.output("y", a)

    def full_adder(build: CircuitBuilder, a: int, b: int, c: int) -> None:
        half = build.xor(a, b)
        build.output("s", build.xor(half, c))
        build.output("c", build.or_(build.and_(a, b), build.and_(half, c)))

    assert gates_of(xor_of_nands, 2) == 1
    assert gates_of(constant, 1) == 1
    assert gates_of(copies, 2) == 2, "an AND, and a NOT for the output that is its complement"
    assert gates_of(dead, 2) == 0
    assert gates_of(full_adder, 3) == 5
    assert gates_of(full_adder, 3, 3) == 2


@pytest.mark.parametrize("max_fan_in", [1, 7])
def test_refused_fan_in(adder: Circuit, max_fan_in: int) -> None:
    with pytest.raises(CircuitError, match=f"expected max_fan_in from 2 to 6, found {max_fan_in}"):
        map_gates(adder, max_fan_in=max_fan_in)


@pytest.mark.parametrize("max_fan_in", [2, 3, pytest.param(6, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", REAL)
def test_real_files_proven(real_circuits: Path, tmp_path: Path, name: str, max_fan_in: int) -> None:
    circuit = read(real_circuits / name)
    simple = simplify(circuit, max_fan_in=max_fan_in)
    assert simple.num_gates < circuit.num_gates
    write(circuit, tmp_path / "before.aig")
    write(simple, tmp_path / "after.aig")
    prove_equivalent(tmp_path / "before.aig", tmp_path / "after.aig")


def long_chain(gates: int) -> Circuit:
    """Gates that read those shortly before them."""
    rng, inputs = np.random.default_rng(0), 64
    offsets = rng.integers(1, 40, (gates, 2))
    fan_in = np.maximum(np.arange(gates)[:, None] + inputs - offsets, rng.integers(0, inputs, (gates, 2)))
    return Circuit(
        num_inputs=inputs,
        fan_in=fan_in.astype(np.int32),
        arity=np.full(gates, 2, dtype=np.uint8),
        table=rng.choice(np.array([1, 2, 4, 6, 7, 8, 9, 11, 13, 14], dtype=np.uint64), gates),
        outputs=np.arange(inputs + gates - 64, inputs + gates, dtype=np.int32),
    )


def test_a_long_chain() -> None:
    circuit = long_chain(100_000)
    mapped = map_gates(circuit, max_fan_in=4)
    rows = np.random.default_rng(1).integers(0, 2, (100, circuit.num_inputs), dtype=np.uint8)
    assert np.array_equal(evaluate_outputs(mapped, rows), evaluate_outputs(circuit, rows))


def test_mapping_takes_linear_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in lines of the loops, as they stand uncompiled."""
    monkeypatch.setattr(Loop, "__call__", Loop.run_plain)
    steps = [count_steps(lambda size=size: map_gates(long_chain(size), max_fan_in=3)) for size in (150, 300, 450)]
    assert steps[2] - steps[1] < 1.2 * (steps[1] - steps[0])
