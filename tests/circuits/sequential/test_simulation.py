"""Simulation cycle by cycle: against a slow model of our circuits, an interpreter of AIGER's text, and py-aiger."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serialformer.circuits.evaluate import evaluate_outputs
from serialformer.circuits.formats.aiger.aiger import format_aiger, parse_sequential_aiger
from serialformer.circuits.formats.read_write import read_sequential
from serialformer.circuits.sequential.sequential import SequentialCircuit
from serialformer.circuits.sequential.simulation import run_many
from serialformer.errors import InputError
from tests.abc_tool import run_abc
from tests.circuits.sequential.test_sequential import sequential_circuits


def slow_cycle(circuit: SequentialCircuit, given_bits: list[int]) -> list[int]:
    """One cycle, gate by gate, with the tables read as the text of numbers."""
    cycle, wires = circuit.circuit, list(given_bits)
    for fan_in, arity, table in zip(cycle.fan_in, cycle.arity, cycle.table, strict=True):
        index = int("0" + "".join(str(wires[wire]) for wire in reversed(fan_in[:arity].tolist())), 2)
        wires.append(int(table) // 2**index % 2)
    return [wires[wire] for wire in cycle.outputs.tolist()]


@given(sequential_circuits(), st.randoms(use_true_random=False))
def test_random_circuits_against_a_slow_model(circuit: SequentialCircuit, chance: random.Random) -> None:
    num_state = circuit.num_state_bits
    simulation = circuit.simulation(fill="random", generator=np.random.default_rng(chance.getrandbits(32)))
    state = simulation.state_bits.tolist()
    for bit, initial in zip(state, circuit.initial_of_bits, strict=True):
        assert initial in (None, bit)
    for _ in range(6):
        inputs = [chance.getrandbits(1) for _ in range(circuit.circuit.num_inputs - num_state)]
        cycle = simulation.step_bits(np.array(inputs, dtype=np.uint8))
        made = slow_cycle(circuit, state + inputs)
        assert cycle.given.tolist() == state + inputs
        assert cycle.made.tolist() == made
        state = made[:num_state]


def interpret_aiger(data: bytes, stimulus: list[list[int]]) -> list[list[int]]:
    """What an AIGER file says of outputs, bad states and constraints; latches without a reset begin with 0."""
    lines, position = [], data.index(b"\n") + 1
    kind, *numbers = data[:position].split()
    _, num_inputs, num_latches, num_outputs, num_ands, *more = map(int, numbers)
    bad, constraints, justice, fairness = [*more, 0, 0, 0, 0][:4]

    def take(count: int) -> list[list[int]]:
        nonlocal position
        rows = []
        for _ in range(count):
            end = data.index(b"\n", position)
            rows.append([int(token) for token in data[position:end].split()])
            position = end + 1
        return rows

    binary = kind == b"aig"
    inputs = [2 * (place + 1) for place in range(num_inputs)] if binary else [row[0] for row in take(num_inputs)]
    latches = take(num_latches)
    if binary:
        latches = [[2 * (num_inputs + 1 + place), *row] for place, row in enumerate(latches)]
    lines = take(num_outputs + bad + constraints)
    take(sum(row[0] for row in take(justice)) + fairness)
    ands = {}
    if binary:
        for gate in range(num_ands):
            own = 2 * (num_inputs + num_latches + 1 + gate)
            deltas = []
            for _ in range(2):
                value = shift = 0
                while True:
                    byte = data[position]
                    position += 1
                    value, shift = value | (byte & 127) << shift, shift + 7
                    if byte < 128:
                        break
                deltas.append(value)
            ands[own] = own - deltas[0], own - deltas[0] - deltas[1]
    else:
        ands = {row[0]: (row[1], row[2]) for row in take(num_ands)}
    state = {row[0]: row[2] if len(row) > 2 and row[2] < 2 else 0 for row in latches}
    made = []
    for bits in stimulus:
        values = {0: 0, **state, **dict(zip(inputs, bits, strict=True))}

        def value(literal: int, values: dict[int, int] = values) -> int:
            variable = literal - literal % 2
            if variable not in values:
                values[variable] = value(ands[variable][0]) & value(ands[variable][1])
            return values[variable] ^ literal % 2

        made.append([value(row[0]) for row in lines])
        state = {row[0]: value(row[1]) for row in latches}
    return made


AIGER_FILES = ["cnt1", "cnt1e", "notcnt1", "notcnt1e", "toggle", "toggle-re"]


@pytest.mark.parametrize(
    "name", [*(f"{name}.aag" for name in AIGER_FILES), "mult2.aig", "s2cfair.aig", "s2cunfair.aig"]
)
def test_real_aiger_files_against_an_interpreter(real_circuits: Path, name: str) -> None:
    path = real_circuits / "aiger" / name
    circuit = read_sequential(path)
    random.seed(name)
    num_inputs = circuit.circuit.num_inputs - circuit.num_state_bits
    stimulus = [[random.getrandbits(1) for _ in range(num_inputs)] for _ in range(50)]
    simulation = circuit.simulation(fill="zero")
    num_state = circuit.num_state_bits
    made = [simulation.step_bits(np.array(bits, dtype=np.uint8)).made[num_state:].tolist() for bits in stimulus]
    assert made == interpret_aiger(path.read_bytes(), stimulus)
    for binary in (False, True):
        properties = format_aiger(circuit, binary=binary)
        assert interpret_aiger(properties, stimulus) == made


@pytest.mark.parametrize("name", ["s27", "s298", "s344", "s641", "s1196", "s5378"])
def test_iscas89_against_py_aiger(real_circuits: Path, tmp_path: Path, name: str) -> None:
    """ABC reads the BENCH file, Yosys makes AIGER of what ABC writes, py-aiger simulates it: none of it is ours."""
    aiger = pytest.importorskip("aiger", reason="py-aiger (extra dev) is not installed")
    source = real_circuits / "iscas89" / f"{name}.bench"
    (tmp_path / "real.bench").write_bytes(source.read_bytes())
    run_abc("read_bench real.bench; strash; zero; write_blif abc.blif", cwd=tmp_path)
    script = "read_blif abc.blif; techmap; aigmap; opt_clean; write_aiger -ascii -symbols real.aag"
    program = "import sys; from pyosys import libyosys; [libyosys.run_pass(line) for line in sys.argv[1].split('; ')]"
    subprocess.run([sys.executable, "-c", program, script], cwd=tmp_path, check=True, capture_output=True)
    theirs = aiger.load(str(tmp_path / "real.aag"))
    simulator = theirs.simulator()
    next(simulator)
    circuit = read_sequential(source)
    assert theirs.inputs == {word.name for word in circuit.input_words}
    assert theirs.outputs == {word.name for word in circuit.output_words}
    assert len(theirs.latches) == circuit.num_state_bits == sum(not value for value in theirs.latch2init.values())
    random.seed(name)
    simulation = circuit.simulation()
    for _ in range(12 if name == "s5378" else 40):
        inputs = {word.name: random.getrandbits(1) for word in circuit.input_words}
        cycle = simulation.step(inputs)
        outputs, state = simulator.send({name: bool(value) for name, value in inputs.items()})
        assert cycle.outputs == {name: int(value) for name, value in outputs.items()}
        assert sum(state.values()) == int(simulation.state_bits.sum())


def test_many_simulations_side_by_side() -> None:
    counter = parse_sequential_aiger(b"aag 3 1 1 1 1\n2\n4 6\n4\n6 2 5\nl0 q\n", name="f.aag")

    def evaluate(bits: np.ndarray) -> np.ndarray:
        return evaluate_outputs(counter.circuit, bits)

    rows, cycles = 100, 8
    chance = np.random.default_rng(0)
    stimulus = [chance.integers(0, 2, (rows, 1), dtype=np.uint8) for _ in range(cycles)]
    state = chance.integers(0, 2, (rows, 1), dtype=np.uint8)
    made = [outputs for _, outputs in run_many(evaluate, state, stimulus)]
    for row in range(rows):
        simulation = counter.simulation({"q": int(state[row, 0])})
        for cycle in range(cycles):
            assert (simulation.step_bits(stimulus[cycle][row]).made == made[cycle][row]).all()


def test_what_registers_begin_with() -> None:
    text = b"aag 3 0 3 0 0\n2 2\n4 4 4\n6 6 1\nl0 a\nl1 b\nl2 c\n"
    circuit = parse_sequential_aiger(text, name="f.aag")
    assert circuit.simulation({"b": 1}).state == {"a": 0, "b": 1, "c": 1}
    assert circuit.simulation({"c": 0}, fill="zero").state == {"a": 0, "b": 0, "c": 0}
    drawn = {circuit.simulation(fill="random", generator=np.random.default_rng(seed)).state["b"] for seed in range(20)}
    assert drawn == {0, 1}
    for initial, options, message in (
        ({}, {}, r"1 register has no initial value: b\nhint: give a value \(-i b=0\), or begin all of them with zero"),
        ({"d": 1, "b": 0}, {}, "no register 'd'\nhint: the registers are: a, b, c"),
        ({"b": 2}, {}, "b=2 does not fit its 1 bits"),
        ({}, {"fill": "random"}, "random initial values need a random generator"),
    ):
        with pytest.raises(InputError, match=message):
            circuit.simulation(initial, **options)
    with pytest.raises(InputError, match="no value for 'in'"):
        parse_sequential_aiger(b"aag 2 1 1 0 0\n2\n4 2\n", name="f.aag").simulation().step()
