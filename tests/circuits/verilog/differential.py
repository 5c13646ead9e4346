"""One design, read by us and run by a simulator on the same rows of random inputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from serialformer.circuits.evaluate import evaluate_outputs
from serialformer.circuits.verilog.simulators import Source, simulate_source
from serialformer.circuits.verilog.stimulus import random_stimulus
from serialformer.circuits.verilog.verilog import VerilogReading, elaborate_verilog
from serialformer.errors import SerialformerError

Verdict = Literal["agrees", "differs", "we refuse", "simulator refuses"]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How a design fared.

    Attributes:
        verdict: what came out.
        detail: the message of whoever refuses, or the first bit that differs.
        known: the share of the output bits that the simulator gave a value.
    """

    verdict: Verdict
    detail: str = ""
    known: float = 1.0


def compare(
    paths: list[Path],
    top: str | None,
    simulator: str,
    *,
    rows: int,
    seed: int,
    simulated: list[Path] | None = None,
    max_seconds: float = 2.0,
) -> Comparison:
    """Reads a design and simulates its source, or another where the test wants them to differ."""
    try:
        reading = elaborate_verilog(paths, top=top)
    except SerialformerError as error:
        return Comparison(verdict="we refuse", detail=str(error))
    circuit = reading.circuit
    stimulus = random_stimulus(circuit.input_words, rows, np.random.default_rng(seed))
    source = Source(
        paths=tuple(map(str, simulated or paths)),
        top=reading.top,
        is_verilog_2005=reading.is_verilog_2005,
        parameters={},
        macros={},
        clock=reading.clock,
        registers=tuple(register.name for register in circuit.registers if None in register.initial),
    )
    try:
        answers = simulate_source(
            source, circuit.input_words, circuit.output_words, stimulus, simulator, max_seconds=max_seconds
        )
    except SerialformerError as error:
        return Comparison(verdict="simulator refuses", detail=str(error))
    ours = evaluate_rows(reading, stimulus)
    wrong = (ours != answers.values) & answers.is_known
    known = float(answers.is_known.mean()) if answers.is_known.size else 1.0
    if not wrong.any():
        return Comparison(verdict="agrees", known=known)
    row, column = np.argwhere(wrong)[0]
    word = next(word for word in circuit.output_words if column + circuit.num_state_bits in word.bits)
    bit = word.bits.index(int(column) + circuit.num_state_bits)
    return Comparison(
        verdict="differs",
        detail=f"row {row}: {word.name}[{bit}] is {ours[row, column]} here, {answers.values[row, column]} there;"
        f" {int(wrong.sum())} bits differ",
        known=known,
    )


def evaluate_rows(reading: VerilogReading, stimulus: np.ndarray) -> np.ndarray:
    """The outputs of the circuit: row by row, or, with registers, cycle by cycle from zeros."""
    circuit = reading.circuit
    if not circuit.registers:
        return evaluate_outputs(circuit.circuit, stimulus)
    simulation = circuit.simulation(fill="zero")
    return np.array([simulation.step_bits(row).made[circuit.num_state_bits :] for row in stimulus], dtype=np.uint8)
