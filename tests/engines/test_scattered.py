from __future__ import annotations

import numpy as np
import pytest

from serialformer.circuits.circuit import NO_WIRE
from serialformer.engines.scattered import scattered_circuit
from serialformer.errors import CircuitError
from tests.cases import slow_wires


@pytest.mark.parametrize("fan_in", [2, 3, 4])
def test_every_wire_is_read_but_for_a_few_late_ones(fan_in: int) -> None:
    circuit = scattered_circuit(3, num_inputs=9, num_gates=400, fan_in=fan_in)
    unread = np.flatnonzero(circuit.fan_out == 0)
    assert len(unread) < 80
    assert not (unread < circuit.num_inputs).any()
    assert (circuit.arity == fan_in).all() and (circuit.fan_in != NO_WIRE).all()


def test_reads_go_near_and_far() -> None:
    circuit = scattered_circuit(1, num_inputs=9, num_gates=400)
    distance = np.arange(9, 409)[:, None] - circuit.fan_in
    assert distance.min() == 1 and distance.max() > 300
    assert (distance < 5).mean() > 0.1 and (distance > 50).mean() > 0.2


def test_bits_are_balanced_and_each_input_matters() -> None:
    circuit = scattered_circuit(2, num_inputs=10, num_gates=200)
    bits = np.random.default_rng(0).integers(0, 2, (16, 10)).tolist()
    wires = np.array([slow_wires(circuit, row) for row in bits])
    assert 0.45 < wires[:, 10:].mean() < 0.55
    for place in range(10):
        flipped = [[bit ^ (index == place) for index, bit in enumerate(row)] for row in bits]
        changed = np.array([slow_wires(circuit, row) for row in flipped]) != wires
        assert changed.any(axis=1).all() and changed[:, 10:].mean() > 0.1


def test_the_seed_decides() -> None:
    sizes = {"num_inputs": 8, "num_gates": 30}
    assert scattered_circuit(5, **sizes) == scattered_circuit(5, **sizes) != scattered_circuit(6, **sizes)


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(CircuitError, match="no scattered circuit of 2 inputs and 10 gates of 3 wires"):
        scattered_circuit(0, num_inputs=2, num_gates=10, fan_in=3)
