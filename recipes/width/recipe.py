"""The width of compiled circuits against the length of their chains.

    serialformer sweep recipes/width -o DIR/width.csv
    serialformer plot DIR/width.csv -o DIR/width.png

Random circuits of two-input gates are compiled, one row each. ``recipe.py:large`` goes up to ten million gates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

import serialformer
from serialformer.sweeps.experiment import Experiment, Surroundings
from serialformer.sweeps.row import Row

NUM_INPUTS = 8
XOR, NAND = 6, 7
BYTES_PER_GATE = 4000


@dataclass(frozen=True, kw_only=True)
class Width(Experiment):
    """Compiles a random circuit of so many gates."""

    kind: ClassVar[str] = "width"

    num_gates: int

    @property
    def work(self) -> float:
        return float(self.num_gates)

    @property
    def num_bytes(self) -> int:
        return super().num_bytes + BYTES_PER_GATE * self.num_gates

    def carry_out(self, surroundings: Surroundings) -> list[Row]:
        model = serialformer.compile(random_circuit(self.num_gates))
        architecture = model.transformer.architecture
        measures = {
            "chain": model.num_new_tokens,
            "positions": architecture.num_positions,
            "width": architecture.width,
        }
        return [self.row(surroundings, variables={"gates": self.num_gates}, measures=measures)]


def random_circuit(num_gates: int) -> serialformer.Circuit:
    """Gates that read any two of the wires before them; the last ones are the outputs."""
    random = np.random.default_rng(num_gates)
    return serialformer.Circuit(
        num_inputs=NUM_INPUTS,
        fan_in=random.integers(0, NUM_INPUTS + np.arange(num_gates)[:, None], (num_gates, 2)).astype(np.int32),
        arity=np.full(num_gates, 2, dtype=np.uint8),
        table=random.choice(np.array([XOR, NAND], dtype=np.uint64), num_gates),
        outputs=np.arange(NUM_INPUTS + num_gates - 8, NUM_INPUTS + num_gates, dtype=np.int32),
    )


def runs(max_gates: int = 100_000) -> list[Width]:
    """One circuit at each of 1, 2, 5 times a power of ten of gates, from 10."""
    sizes = [step * 10**power for power in range(1, 8) for step in (1, 2, 5)]
    return [Width(num_gates=size) for size in sizes if size <= max_gates]


def large() -> list[Width]:
    """The same up to ten million gates."""
    return runs(10_000_000)
