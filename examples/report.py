"""What every example prints: how large a function's model is, and what it answers by chain of thought."""

from __future__ import annotations

import time
from typing import Any

import serialformer


def report(function: serialformer.CircuitFunction, *arguments: Any, max_fan_in: int = 2) -> Any:
    """Compiles a function, has the model think about these arguments, and returns its answer."""
    started = time.perf_counter()
    circuit = function.circuit_for(max_fan_in)
    traced = time.perf_counter()
    if max_fan_in > 2:
        circuit, made = serialformer.optimise(circuit, max_fan_in=max_fan_in)
        sizes = f"{made.gates_before:,} gates to {made.gates_after:,} of {max_fan_in} inputs"
        print(f"optimised   {sizes} in {made.seconds:.2f} s")
        traced += made.seconds
    model = serialformer.compile(circuit)
    compiled = time.perf_counter()
    transcript = model.run(function.words(*arguments))
    print(f"circuit     {circuit.num_gates:,} gates, depth {circuit.depth:,}, in {traced - started:.2f} s")
    print(
        f"model       stock GPT-2, width {model.transformer.architecture.width},"
        f" {model.transformer.num_parameters:,} parameters, compiled in {compiled - traced:.2f} s"
    )
    print(f"thought     {len(transcript.chain):,} tokens in {transcript.seconds:.2f} s")
    return function.value(transcript)
