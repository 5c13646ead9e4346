"""Small circuits that every level is checked on: the edge cases, and gates of every fan-in."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
from jaxtyping import UInt8

from serialformer import Circuit, CircuitBuilder, Model
from serialformer.circuits.circuit import NO_WIRE


def every_input(num_inputs: int) -> UInt8[np.ndarray, "rows inputs"]:
    """All rows of bits, in the order of the integers that they form."""
    return (np.arange(1 << num_inputs)[:, None] >> np.arange(num_inputs) & 1).astype(np.uint8)


def some_inputs(num_inputs: int, most: int) -> UInt8[np.ndarray, "rows inputs"]:
    """Every row of bits where there are few, or about so many of them, in which every bit takes both values.

    >>> len(some_inputs(3, 64)), len(some_inputs(10, 64)), some_inputs(10, 64).mean(axis=0).round(1).tolist()
    (8, 61, [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5])
    """
    stride = max(1, -(-(1 << num_inputs) // most))
    return every_input(num_inputs)[:: stride | 1]


def slow_wires(circuit: Circuit, bits: list[int]) -> list[int]:
    """The value of every wire, by plain Python: the oracle of ``evaluate``."""
    values = list(bits)
    for reads, table in zip(circuit.fan_in.tolist(), circuit.table.tolist(), strict=True):
        index = sum(values[wire] << place for place, wire in enumerate(reads) if wire != NO_WIRE)
        values.append(table >> index & 1)
    return values


def _random(seed: int, num_inputs: int, num_gates: int, arity: int, num_outputs: int) -> Circuit:
    random = np.random.default_rng(seed)
    build = CircuitBuilder()
    wires = build.inputs("x", num_inputs)
    for _ in range(num_gates):
        reads = [int(wire) for wire in random.choice(wires, arity)]
        wires.append(build.gate(int(random.integers(0, 1 << (1 << arity), dtype=np.uint64, endpoint=False)), *reads))
    build.outputs("y", [int(wire) for wire in random.choice(wires, num_outputs)])
    return build.circuit()


def _six_inputs(seed: int) -> Circuit:
    random = np.random.default_rng(seed)
    build = CircuitBuilder()
    wires = build.inputs("x", 7)
    for _ in range(9):
        table = int(random.integers(0, 2**64, dtype=np.uint64, endpoint=False))
        wires.append(build.gate(table, *(int(wire) for wire in random.choice(wires, 6))))
    build.outputs("y", wires[-3:])
    return build.circuit()


def one_gate_circuits() -> dict[str, Circuit]:
    """The sixteen circuits of one gate with two inputs, for what differs where a gate stands alone."""
    cases = {}
    for table in range(16):
        build = CircuitBuilder()
        build.output("y", build.gate(table, *build.inputs("a", 2)))
        cases[f"two-input table {table:04b}"] = build.circuit()
    return cases


def small_circuits() -> dict[str, Circuit]:
    """The cases by name; none has more than ten inputs."""
    return dict(_small_circuits())


@cache
def _small_circuits() -> dict[str, Circuit]:
    cases = {}

    build = CircuitBuilder()
    cases["nothing at all"] = build.circuit()

    build = CircuitBuilder()
    build.output("out", build.input("in"))
    cases["one input, which is the output"] = build.circuit()

    build = CircuitBuilder()
    build.output("zero", build.constant(False))
    build.output("one", build.constant(True))
    cases["no inputs, constant outputs"] = build.circuit()

    build = CircuitBuilder()
    build.inputs("unused", 3)
    build.output("one", build.constant(True))
    cases["unused inputs"] = build.circuit()

    build = CircuitBuilder()
    a, b = build.inputs("a", 2)
    both = build.and_(a, b)
    build.outputs("twice", [both, both, a])
    build.output("neither", build.gate(0b0001, both, both))
    cases["one wire output twice, a gate with one wire twice"] = build.circuit()

    build = CircuitBuilder()
    a = build.input("a")
    build.output("y", build.not_(build.not_(a)))
    cases["inverters only"] = build.circuit()

    build = CircuitBuilder()
    a, b, c = build.inputs("a", 3)
    low = build.xor(a, b)
    build.outputs("chained", [low, build.xor(low, c)])
    cases["an output that a later output reads"] = build.circuit()

    build = CircuitBuilder()
    a, b = build.inputs("a", 2)
    inner = build.or_(a, b)
    build.outputs("backward", [build.xor(inner, a), inner])
    cases["an output that an earlier output reads"] = build.circuit()

    build = CircuitBuilder()
    a, b, c = build.inputs("a", 3)
    build.output("majority", build.gate(0b11101000, a, b, c))
    build.output("not a", build.not_(a))
    build.output("and", build.and_(b, c))
    cases["gates of one, two and three inputs"] = build.circuit()

    build = CircuitBuilder()
    bits = build.inputs("a", 10)
    parity = bits[0]
    for bit in bits[1:]:
        parity = build.xor(parity, bit)
    build.output("parity", parity)
    cases["parity of ten"] = build.circuit()

    build = CircuitBuilder()
    a, b = build.inputs("a", 2)
    build.outputs("y", [build.gate(table, a, b) for table in range(16)])
    cases["every two-input table"] = build.circuit()

    singles = one_gate_circuits()
    for table in ("0000", "0010", "0110", "0111", "1000", "1101"):
        cases[f"two-input table {table}"] = singles[f"two-input table {table}"]

    for arity in (2, 3, 4):
        cases[f"random, {arity} inputs a gate"] = _random(arity, 6, 25, arity, 5)
    cases["random, 6 inputs a gate"] = _six_inputs(6)
    return cases


def with_circuit(model: Model, circuit: Circuit) -> Model:
    """The same weights, said to be compiled from another circuit."""
    return replace(model, protocol=replace(model.words, circuit=circuit))
