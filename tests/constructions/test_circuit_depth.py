"""A circuit without a chain, as a construction: interpreted, it says what the circuit says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from jaxtyping import Int64, UInt8

from serialformer import Circuit, CircuitBuilder
from serialformer.circuits.strategies import circuits
from serialformer.constructions import circuit_depth
from serialformer.constructions.circuit_depth import FILLER, circuit_depth_construction, circuit_levels
from serialformer.constructions.construction import Construction
from serialformer.constructions.interpret import interpret
from serialformer.constructions.program import EQUALS
from serialformer.errors import CompileError
from tests.cases import every_input, slow_wires, small_circuits
from tests.effort import effort

CASES = small_circuits()


def depth_prompts(circuit: Circuit, bits: UInt8[np.ndarray, "rows inputs"]) -> Int64[np.ndarray, "rows prompt"]:
    """The prompts: the bits, a filler for each gate, and ``=``."""
    prompts = np.full((len(bits), circuit.num_inputs + circuit.num_gates + 1), FILLER, dtype=np.int64)
    prompts[:, : circuit.num_inputs], prompts[:, -1] = bits, EQUALS
    return prompts


def slow_outputs(circuit: Circuit, bits: UInt8[np.ndarray, "rows inputs"]) -> Int64[np.ndarray, "rows outputs"]:
    """The outputs, by plain Python."""
    wires = np.array([slow_wires(circuit, row.tolist()) for row in bits], dtype=np.int64)
    return wires.reshape(len(bits), circuit.num_wires)[:, circuit.outputs]


def check_interpreted(circuit: Circuit, construction: Construction, rows: int = 64) -> None:
    bits = every_input(circuit.num_inputs)[:rows]
    made = interpret(construction, depth_prompts(circuit, bits), len(circuit.outputs) + 1)
    assert np.array_equal(made[:, :-1], slow_outputs(circuit, bits))
    assert (made[:, -1] == EQUALS).all()


def chain_of_inverters(length: int) -> Circuit:
    build = CircuitBuilder()
    wire = build.input("a")
    for _ in range(length):
        wire = build.not_(wire)
        build.output(f"y{_}", wire)
    return build.circuit()


@pytest.mark.parametrize("name", CASES)
def test_small_circuits(name: str) -> None:
    check_interpreted(CASES[name], circuit_depth_construction(CASES[name]))


@effort(0.25)
@given(circuits(max_inputs=6, max_gates=16))
def test_random_circuits(circuit: Circuit) -> None:
    check_interpreted(circuit, circuit_depth_construction(circuit))


def test_more_layers_change_nothing() -> None:
    circuit = CASES["random, 3 inputs a gate"]
    check_interpreted(circuit, circuit_depth_construction(circuit, circuit.depth + 5))


def test_levels_are_the_lengths_of_the_longest_paths() -> None:
    circuit = CASES["random, 2 inputs a gate"]
    reads = [[wire for wire in row if wire >= 0] for row in circuit.fan_in.tolist()]

    def longest(wire: int) -> int:
        return 0 if wire < circuit.num_inputs else 1 + max(map(longest, reads[wire - circuit.num_inputs]), default=0)

    levels = circuit_levels(circuit)
    assert levels.of_wire.tolist() == [longest(wire) for wire in range(circuit.num_wires)]
    assert levels.depth == max(longest(wire) for wire in circuit.outputs.tolist())


def test_a_dead_gate_takes_no_layer() -> None:
    build = CircuitBuilder()
    a, b = build.inputs("a", 2)
    build.not_(build.not_(build.not_(a)))
    build.output("y", build.and_(a, b))
    assert len(circuit_depth_construction(build.circuit()).layers) == 2


def test_all_layers_but_the_last_are_the_same() -> None:
    layers = circuit_depth_construction(chain_of_inverters(6)).layers
    assert len(layers) == 7
    assert all(layer is layers[0] for layer in layers[:-1])
    assert layers[-1] is not layers[0]


@pytest.mark.parametrize("num_layers", [1, 2, 4, 6])
def test_with_few_layers_shallow_outputs_are_right(num_layers: int) -> None:
    """Of inverters in a row, one layer less leaves one more output that still says what stood there before."""
    circuit = chain_of_inverters(6)
    construction = circuit_depth_construction(circuit, num_layers)
    (claim,) = construction.claims()
    assert claim.proven.tolist() == [level < num_layers for level in range(1, 7)]
    made = interpret(construction, depth_prompts(circuit, every_input(1)), 6)
    right = made == slow_outputs(circuit, every_input(1))
    assert right[:, : num_layers - 1].all()
    # What has not settled does not depend on the input, so it is right on one input of two.
    assert (right[:, num_layers - 1 :].sum(axis=0) == 1).all()


def test_the_prompts_name_the_outputs_that_are_right() -> None:
    circuit = chain_of_inverters(3)
    assert circuit_depth_construction(circuit).prompts == "all 2^1"
    assert circuit_depth_construction(circuit, 3).prompts == "all 2^1 prompts, for 2 of 3 output bits (y0, y1)"
    assert circuit_depth_construction(circuit, 1).prompts == "all 2^1 prompts, for 0 of 3 output bits"


@pytest.mark.parametrize("limit", ["MAX_WEIGHTS", "MAX_SCORES"])
def test_too_large_is_refused_with_the_numbers(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circuit_depth, limit, 1000)
    with pytest.raises(
        CompileError, match=r"7 layers of width 30 over 14 positions.* 6 gates and depth 6.* over 1,000"
    ):
        circuit_depth_construction(chain_of_inverters(6))


def test_no_layers_are_refused() -> None:
    with pytest.raises(CompileError, match="expected at least 1 layer, found 0"):
        circuit_depth_construction(chain_of_inverters(2), 0)
