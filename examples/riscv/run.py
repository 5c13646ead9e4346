"""Compiles an RV32I processor into a GPT-2 and lets it run a program; the memory is this script's.

python examples/riscv/run.py [PROGRAM.hex]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from core import Computer, read_core, read_program

import serialformer

PROGRAM = Path(__file__).with_name("primes.hex")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", nargs="?", type=Path, default=PROGRAM, metavar="PROGRAM.hex")
    parser.add_argument("--fan-in", type=int, default=3, help="the most inputs of a gate")
    parser.add_argument("--engine", default="auto", help="what runs the model")
    options = parser.parse_args()
    program = read_program(options.program)
    started = time.perf_counter()
    core = read_core(options.fan_in)
    mapped = time.perf_counter()
    model = serialformer.compile(core)
    compiled = time.perf_counter()
    shape, words = model.transformer.architecture, model.words
    circuit, seconds = core.circuit, mapped - started
    print(f"core        {circuit.num_gates:,} gates of up to {circuit.max_arity} inputs, in {seconds:.1f} s")
    print(
        f"GPT-2       {shape.num_layers} layer, {shape.num_heads} heads, width {shape.width},"
        f" {model.transformer.num_parameters:,} parameters, proven right in {compiled - mapped:.1f} s"
    )
    print(f"a cycle     {words.num_inputs + 1:,} tokens of prompt, {words.num_chain_tokens:,} of thought")
    computer = Computer(model.simulation(engine=options.engine), program)
    computer.clock()  # compiles the loops of the engine, if they are not yet
    computer = Computer(model.simulation(engine=options.engine), program)
    started, halted, cycles, instructions = time.perf_counter(), False, 0, 0
    while not halted:
        cycle = computer.clock()
        halted = bool(cycle.outputs["halted"])
        cycles += 1
        instructions += not cycle.outputs["load"]
    seconds = time.perf_counter() - started
    tokens = cycles * words.num_chain_tokens
    print(f"ran         {instructions:,} instructions in {cycles:,} cycles, {tokens:,} tokens of thought")
    print(f"            {seconds:.2f} s, {cycles / seconds:,.0f} cycles/s, {tokens / seconds:,.0f} tokens/s")
    state = computer.simulation.state
    print(f"result      a0 = {state['x10']}, a1 = {state['x11']}")


if __name__ == "__main__":
    main()
