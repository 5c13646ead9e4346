"""The compiled circuits that are damaged, and what each of them has to write."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

import serialformer
from serialformer import Circuit, CircuitBuilder, Model
from serialformer.architecture import DtypeName
from serialformer.circuits.evaluate import evaluate_wires
from serialformer.constructions.circuit_chain import program_to_construction
from serialformer.constructions.program import EQUALS, schedule_to_program
from serialformer.targets.layout import Layout, lay_out

EXAMPLES = Path(__file__).parents[2] / "examples"

SMALL = ("parity8", "random", "multiplier4")
"""Circuits of eight inputs: all 256 prompts are run."""

LARGE = "multiplier16"
NUM_LARGE_PROMPTS = 4

NUM_RANDOM_CIRCUITS = 8
NUM_RANDOM_GATES = 40


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """A compiled circuit and the tokens of its chains.

    Attributes:
        model: as compiled, undamaged.
        layout: where its fields lie.
        tokens: for each prompt that is run the prompt, ``=`` and the right chain.
        expected: for each of them the tokens from the first of the chain to the end mark after it.
    """

    model: Model
    layout: Layout
    tokens: np.ndarray
    expected: np.ndarray


def parity(num_inputs: int) -> Circuit:
    """A tree of XOR gates."""
    build = CircuitBuilder()
    wires = build.inputs("a", num_inputs)
    while len(wires) > 1:
        wires = [build.xor(*wires[place : place + 2]) for place in range(0, len(wires), 2)]
    build.output("parity", wires[0])
    return build.circuit()


def random_circuit(seed: int) -> Circuit:
    """Gates of two and three of eight inputs and earlier gates, every table equally likely."""
    random = np.random.default_rng(seed)
    build = CircuitBuilder()
    wires = build.inputs("x", 8)
    for _ in range(NUM_RANDOM_GATES):
        fan_in = int(random.integers(2, 4))
        reads = random.choice(len(wires), fan_in, replace=False)
        wires.append(build.gate(int(random.integers(0, 1 << (1 << fan_in))), *(wires[read] for read in reads)))
    build.outputs("y", wires[-4:])
    return build.circuit()


def multiplier(width: int) -> Circuit:
    """The array multiplier of ``examples``."""
    spec = importlib.util.spec_from_file_location("make_multiplier", EXAMPLES / "make_multiplier.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.multiplier(width)


@cache
def compiled_case(name: str, number: int, dtype: DtypeName) -> Case:
    """The case of this name; of the random circuits the one of this number."""
    circuit = {
        "parity8": lambda: parity(8),
        "random": lambda: random_circuit(number),
        "multiplier4": lambda: multiplier(4),
        "multiplier16": lambda: serialformer.read(EXAMPLES / "multiplier16.blif"),
    }[name]()
    model = serialformer.compile(circuit, dtype=dtype)
    num_inputs = circuit.num_inputs
    if num_inputs == 8:
        bits = (np.arange(256)[:, None] >> np.arange(8) & 1).astype(np.uint8)
    else:
        bits = np.random.default_rng(0).integers(0, 2, (NUM_LARGE_PROMPTS, num_inputs), dtype=np.uint8)
    chain = evaluate_wires(circuit, bits)[:, model.schedule.wire]
    mark = np.full((len(bits), 1), EQUALS)
    return Case(
        model=model,
        layout=lay_out(program_to_construction(schedule_to_program(model.circuit, model.schedule))),
        tokens=np.concatenate([bits, mark, chain], axis=1).astype(np.int64),
        expected=np.concatenate([chain, mark], axis=1).astype(np.int64),
    )


def find_case(name: str, number: int, dtype: DtypeName) -> Case:
    """The case on which checkpoint ``number`` of a row is built: random circuits take turns."""
    return compiled_case(name, number % NUM_RANDOM_CIRCUITS if name == "random" else 0, dtype)
