"""Recurrences compute what they are called after, by programs that know nothing of circuits."""

from __future__ import annotations

import binascii

import numpy as np
import pytest

from serialformer.circuits.evaluate import evaluate_outputs, evaluate_wires
from serialformer.engines.recurrences import automaton_circuit, check_sum_circuit, shift_register_circuit
from serialformer.errors import CircuitError


@pytest.mark.parametrize("length", [2, 3, 9])
def test_the_check_sum(length: int) -> None:
    messages = np.random.default_rng(length).integers(0, 256, (50, length), dtype=np.uint8)
    answers = evaluate_outputs(check_sum_circuit(8 * length), np.unpackbits(messages, axis=1))
    expected = [binascii.crc_hqx(bytes(message), 0) for message in messages]
    assert (np.packbits(answers, axis=1).view(">u2")[:, 0] == expected).all()


@pytest.mark.parametrize("rule", [30, 90, 110])
def test_the_automaton(rule: int) -> None:
    width, cells = 9, np.random.default_rng(rule).integers(0, 2, 9).tolist()
    wires = evaluate_wires(automaton_circuit(rule, num_inputs=width, num_gates=50), np.array([cells], dtype=np.uint8))
    sequence = [*cells, 0]
    for _ in range(50):
        left, middle, right = sequence[-width - 1 : len(sequence) - width + 2]
        sequence.append(rule >> (4 * left + 2 * middle + right) & 1)
    assert wires[0].tolist() == sequence[:width] + sequence[width + 1 :]


def test_the_shift_register_reads_at_its_distances() -> None:
    """A changed bit changes some of the bits that are at one of the distances behind it, and no other bit at once."""
    circuit = shift_register_circuit(3, num_inputs=12, num_gates=60, distances=(11, 4, 0))
    reads = circuit.fan_in[:, :3]
    position = np.append(np.arange(12), np.arange(13, 73))
    for gate in range(60):
        back = {12 + gate - int(position[wire]) for wire in reads[gate, : circuit.arity[gate]]}
        assert back == {11, 4, 0} - ({gate} if gate in (11, 4, 0) else set())


def test_what_stands_before_the_first_bit_is_not_read() -> None:
    with pytest.raises(CircuitError, match="no position is 13 before the first of 12 inputs"):
        shift_register_circuit(0, num_inputs=12, num_gates=20, distances=(13, 1))
    with pytest.raises(CircuitError, match="a message of at least 16 bits, found 8"):
        check_sum_circuit(8)
