"""Whether two circuits compute the same: on all inputs of small ones, on random inputs of large ones."""

from __future__ import annotations

import numpy as np

from serialformer.circuits.circuit import Circuit
from serialformer.circuits.evaluate import evaluate_outputs


def input_rows(num_inputs: int, *, rows: int = 256, seed: int = 0) -> np.ndarray:
    """All rows of up to 8 inputs; else random ones, with all zeros and all ones."""
    if num_inputs <= 8:
        return (np.arange(1 << num_inputs)[:, None] >> np.arange(num_inputs) & 1).astype(np.uint8)
    random = np.random.default_rng(seed).integers(0, 2, (rows, num_inputs), dtype=np.uint8)
    random[0], random[1] = 0, 1
    return random


def assert_same_outputs(first: Circuit, second: Circuit) -> None:
    """Fails unless the circuits have the same outputs, bit for bit in the order of the arrays."""
    assert (first.num_inputs, first.num_outputs) == (second.num_inputs, second.num_outputs)
    rows = input_rows(first.num_inputs)
    np.testing.assert_array_equal(evaluate_outputs(first, rows), evaluate_outputs(second, rows))


def assert_same_words(first: Circuit, second: Circuit) -> None:
    """Fails unless inputs and outputs have the same names, widths and places."""
    assert first.input_words == second.input_words
    assert first.output_words == second.output_words
