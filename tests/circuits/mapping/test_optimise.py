"""Levels of optimising: shorter, the same, proven; and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serialformer.circuits.builder import CircuitBuilder
from serialformer.circuits.circuit import Circuit
from serialformer.circuits.formats.read_write import read
from serialformer.circuits.mapping import abc
from serialformer.circuits.mapping import optimise as module
from serialformer.circuits.mapping.optimise import optimise
from serialformer.circuits.strategies import circuits
from serialformer.errors import CircuitError, ToolError
from tests.circuits.equivalence import assert_same_outputs, assert_same_words
from tests.effort import effort

needs_abc = pytest.mark.skipif(abc.find_spec("pyosys") is None, reason="pyosys (extra hdl) is not installed")


@needs_abc
@effort(0.1)
@given(circuits(), st.integers(0, 3), st.integers(2, 6))
def test_every_level_computes_the_same(circuit: Circuit, level: int, max_fan_in: int) -> None:
    better, report = optimise(circuit, level=level, max_fan_in=max_fan_in, prove=True)
    assert_same_outputs(circuit, better)
    assert_same_words(circuit, better)
    assert better.max_arity <= max_fan_in
    assert (report.gates_before, report.gates_after) == (circuit.num_gates, better.num_gates)
    assert report.proven is True


@needs_abc
@effort(0.1)
@given(circuits(), st.integers(1, 3))
def test_never_longer(circuit: Circuit, level: int) -> None:
    better, report = optimise(circuit, level=level)
    assert better.num_gates <= circuit.num_gates
    assert report.proven is None and not report.out_of_time


def test_level_0_is_the_circuit(adder: Circuit) -> None:
    better, report = optimise(adder, level=0)
    assert better is adder and report.steps == ()
    assert report.to_json()["gates_after"] == adder.num_gates


@pytest.fixture
def adder() -> Circuit:
    """Four bits, ripple carry, its XORs of four NANDs each."""
    build = CircuitBuilder()
    a, b, carry = build.inputs("a", 4), build.inputs("b", 4), build.input("c")

    def nand(x: int, y: int) -> int:
        return build.gate(0b0111, x, y)

    def xor(x: int, y: int) -> tuple[int, int]:
        both = nand(x, y)
        return nand(nand(x, both), nand(y, both)), both

    total = []
    for x, y in zip(a, b, strict=True):
        half, generate = xor(x, y)
        bit, propagate = xor(half, carry)
        carry = nand(generate, propagate)
        total.append(bit)
    build.outputs("s", [*total, carry])
    return build.circuit()


@pytest.mark.parametrize(("max_fan_in", "gates"), [(2, 20), (3, 8)])
@pytest.mark.parametrize("level", [1, pytest.param(2, marks=needs_abc), pytest.param(3, marks=needs_abc)])
def test_ripple_carry(adder: Circuit, level: int, max_fan_in: int, gates: int) -> None:
    better, report = optimise(adder, level=level, max_fan_in=max_fan_in)
    assert (report.gates_before, report.gates_after) == (36, gates)
    for a, b, c in ((0, 0, 0), (15, 15, 1), (9, 7, 0), (5, 10, 1)):
        assert better.evaluate(a=a, b=b, c=c) == {"s": a + b + c}


@needs_abc
@pytest.mark.parametrize(
    ("name", "level", "gates"),
    [
        # What ABC's own mapping of the same script's graph has, and five per cent.
        ("adder", 2, {2: 637, 3: 256, 4: 255, 6: 244}),
        pytest.param("adder", 3, {2: 637, 3: 256, 4: 255, 6: 244}, marks=pytest.mark.slow),
        pytest.param("sin", 3, {2: 4239, 3: 2431, 4: 1879, 6: 1469}, marks=pytest.mark.slow),
        pytest.param("voter", 3, {2: 5734, 3: 2827, 4: 2485, 6: 1885}, marks=pytest.mark.slow),
        pytest.param("mem_ctrl", 2, {2: 38068, 3: 21867, 4: 15689, 6: 10406}, marks=pytest.mark.slow),
    ],
)
def test_epfl(real_circuits: Path, name: str, level: int, gates: dict[int, int]) -> None:
    circuit = read(real_circuits / "epfl" / f"{name}.aig")
    for max_fan_in, expected in gates.items():
        _, report = optimise(circuit, level=level, max_fan_in=max_fan_in, prove=True)
        assert report.gates_after <= 1.05 * expected and report.proven


@needs_abc
@pytest.mark.parametrize("name", ["epfl/ctrl.blif", "iscas85/c880.bench", "bristol/zero_equal.txt", "aiger/true.aag"])
@pytest.mark.parametrize("level", [1, 2, 3])
def test_small_real_files_proven(real_circuits: Path, name: str, level: int) -> None:
    circuit = read(real_circuits / name)
    better, report = optimise(circuit, level=level, prove=True)
    assert report.proven and better.num_gates <= circuit.num_gates


def test_without_abc(adder: Circuit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    abc.find_abc.cache_clear()
    monkeypatch.setattr(abc, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    try:
        for options in ({"level": 2}, {"level": 3}, {"level": 0, "prove": True}):
            with pytest.raises(ToolError) as caught:
                optimise(adder, **options)
            assert str(caught.value) == (
                "ABC is not installed, which -O2, -O3 and --prove need\n"
                "hint: pip install 'serialformer[hdl]'; or -O1, which needs nothing"
            )
        assert optimise(adder, level=1)[1].gates_after == 20
    finally:
        abc.find_abc.cache_clear()


@needs_abc
def test_a_wrong_result_is_found_out(adder: Circuit, monkeypatch: pytest.MonkeyPatch) -> None:
    build = CircuitBuilder()
    a = build.inputs("a", 4)
    build.inputs("b", 4)
    build.input("c")
    build.outputs("s", [*a, a[0]])
    wrong = build.circuit()
    monkeypatch.setattr(module, "simplify", lambda circuit, max_fan_in: wrong)
    with pytest.raises(CircuitError, match="the optimised circuit does not compute the same"):
        optimise(adder, level=1, prove=True)


@needs_abc
def test_out_of_time(adder: Circuit) -> None:
    better, report = optimise(adder, level=3, seconds=0.0)
    assert report.out_of_time and report.steps == ("simplify",) and better.num_gates == 20


@pytest.mark.parametrize(
    ("options", "message"), [({"level": 4}, "a level from 0 to 3"), ({"max_fan_in": 7}, "from 2 to 6")]
)
def test_refused(adder: Circuit, options: dict[str, int], message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        optimise(adder, **options)
