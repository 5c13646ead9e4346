"""Circuits of unbounded fan-in against plain Python, and what they say of themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serialformer.bounds.unbounded import UnboundedCircuit, evaluate_unbounded, wire_to_literal
from serialformer.errors import CircuitError
from tests.cases import every_input


def random_unbounded(
    seed: int, *, num_inputs: int = 6, num_gates: int = 25, num_outputs: int = 5, thresholds: bool = True
) -> UnboundedCircuit:
    """Gates of 1 to 9 literals, with repeats; outputs are gates, inputs and constants, and negations of them."""
    random = np.random.default_rng(seed)
    threshold, start, fan_in = [], [0], []
    for gate in range(num_gates):
        size = int(random.integers(1, 10))
        fan_in += random.integers(2, wire_to_literal(num_inputs + gate), size).tolist()
        threshold.append(int(random.integers(1, size + 1) if thresholds else random.choice([1, size])))
        start.append(len(fan_in))
    return UnboundedCircuit(
        num_inputs=num_inputs,
        threshold=np.array(threshold, dtype=np.int32),
        start=np.array(start, dtype=np.int64),
        fan_in=np.array(fan_in, dtype=np.int32),
        outputs=random.integers(0, wire_to_literal(num_inputs + num_gates), num_outputs).astype(np.int32),
    )


def slow_outputs(circuit: UnboundedCircuit, bits: list[int]) -> list[int]:
    values = [0, *bits]

    def literal(number: int) -> int:
        return values[number // 2] ^ (number % 2)

    for gate in range(circuit.num_gates):
        reads = circuit.fan_in[circuit.start[gate] : circuit.start[gate + 1]].tolist()
        values.append(int(sum(literal(number) for number in reads) >= circuit.threshold[gate]))
    return [literal(number) for number in circuit.outputs.tolist()]


@given(seed=st.integers(0, 10**6))
def test_evaluation(seed: int) -> None:
    circuit = random_unbounded(seed)
    rows = every_input(6)
    assert evaluate_unbounded(circuit, rows).tolist() == [slow_outputs(circuit, row) for row in rows.tolist()]


def test_many_rows_and_wide_thresholds() -> None:
    random = np.random.default_rng(0)
    size = 1000
    circuit = UnboundedCircuit(
        num_inputs=size,
        threshold=np.array([1, size, 500, 2], dtype=np.int32),
        start=np.arange(5) * size,
        fan_in=np.tile(2 * (np.arange(size, dtype=np.int32) + 1), 4),
        outputs=np.array([wire_to_literal(size + gate) for gate in range(4)], dtype=np.int32),
    )
    rows = (random.random((3000, size)) < random.choice([0.0, 0.001, 0.5, 1.0], (3000, 1))).astype(np.uint8)
    counts = rows.sum(axis=1)
    expected = np.stack([counts >= 1, counts == size, counts >= 500, counts >= 2], axis=1)
    np.testing.assert_array_equal(evaluate_unbounded(circuit, rows), expected)
    assert 0 < expected[:, 2].sum() < 3000


def test_counts_and_depth() -> None:
    circuit = UnboundedCircuit(
        num_inputs=3,
        threshold=np.array([3, 1, 2, 1], dtype=np.int32),
        start=np.array([0, 3, 5, 8, 9]),
        # and(x0, not x1, x2); or(gate 0, not x1); two of (gate 1, x0, x0); a copy of it
        fan_in=np.array([2, 5, 6, 8, 5, 10, 2, 2, 13], dtype=np.int32),
        outputs=np.array([14, 1, 8], dtype=np.int32),
    )
    assert circuit.gates_by_kind == {"and": 1, "or": 2, "not": 2, "threshold": 1}
    assert circuit.wires_by_kind == {"and": 3, "or": 3, "not": 2, "threshold": 3}
    assert (circuit.num_literals, circuit.max_fan_in) == (9, 3)
    assert circuit.levels.tolist() == [0, 0, 0, 1, 2, 3, 4]
    assert (circuit.depth, circuit.depth_without_copies) == (4, 3)
    assert repr(circuit) == "UnboundedCircuit(3 inputs, 4 gates, 9 wires, depth 4, 3 outputs)"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": np.array([0, 2])}, "expected 2 starts from 0 to 3, found 2 starts for 1 gates"),
        ({"fan_in": np.array([2, 1, 4], dtype=np.int32)}, r"gate 0 needs 2 of the literals \[2, 1, 4\]"),
        ({"fan_in": np.array([2, 8, 4], dtype=np.int32)}, "it must read literals from 2 to 7"),
        ({"threshold": np.array([4], dtype=np.int32)}, "and need 1 to 3 of them"),
        ({"threshold": np.array([0], dtype=np.int32)}, "and need 1 to 3 of them"),
        ({"outputs": np.array([10], dtype=np.int32)}, "an output is not a literal from 0 to 9"),
        ({"threshold": np.array([1, 1], dtype=np.int32), "start": np.array([0, 3, 3])}, "read at least one literal"),
    ],
)
def test_arrays_that_do_not_fit(changes: dict[str, np.ndarray], message: str) -> None:
    arrays = {
        "threshold": np.array([2], dtype=np.int32),
        "start": np.array([0, 3]),
        "fan_in": np.array([2, 5, 6], dtype=np.int32),
        "outputs": np.array([8], dtype=np.int32),
    }
    UnboundedCircuit(num_inputs=3, **arrays)
    with pytest.raises(CircuitError, match=message):
        UnboundedCircuit(num_inputs=3, **{**arrays, **changes})
