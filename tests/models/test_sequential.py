"""Models with registers: compiled, saved, loaded, simulated; against the circuit and Python."""

from __future__ import annotations

import json
from itertools import islice, repeat
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import serialformer
from serialformer.circuits.formats.aiger.aiger import parse_sequential_aiger
from serialformer.circuits.sequential.sequential import SequentialCircuit
from serialformer.circuits.sequential.simulation import run_many
from serialformer.errors import CheckpointError, InputError
from tests.circuits.sequential.test_sequential import sequential_circuits
from tests.effort import effort

GRAY = b"aag 6 1 2 1 3\n2\n4 3\n6 13\n12\n8 4 6\n10 5 7\n12 9 11\ni0 d\nl0 q[0]\nl1 q[1]\no0 differ\n"
"""q[0] takes the complement of d, q[1] whether the bits of q were equal; the output is whether they differ."""


def gray() -> SequentialCircuit:
    return parse_sequential_aiger(GRAY, name="gray.aag")


def expected(states: int, inputs: list[int]) -> list[tuple[int, int]]:
    made = []
    for d in inputs:
        differ = (states & 1) ^ (states >> 1)
        made.append((differ, states))
        states = (1 - d) | (1 - differ) << 1
    return made


@effort(0.25)
@given(sequential_circuits().filter(lambda circuit: circuit.circuit.num_outputs > 0), st.integers(0, 2**32 - 1))
def test_random_models_do_what_their_circuits_do(circuit: SequentialCircuit, seed: int) -> None:
    model = serialformer.compile(circuit)
    assert model.registers == circuit.registers
    chance = np.random.default_rng(seed)
    runs = [each.simulation(fill="random", generator=np.random.default_rng(seed)) for each in (model, circuit)]
    for _ in range(4):
        bits = chance.integers(0, 2, circuit.circuit.num_inputs - circuit.num_state_bits, dtype=np.uint8)
        thought, evaluated = (run.step_bits(bits) for run in runs)
        assert thought.made.tolist() == evaluated.made.tolist()
        assert thought.next_state == runs[0].state == runs[1].state


@pytest.mark.parametrize("engine", ["auto", "dense", "sliced"])
def test_the_state_is_fed_back(tmp_path: Path, engine: str) -> None:
    serialformer.compile(gray()).save(tmp_path / "model")
    model = serialformer.load(tmp_path / "model")
    assert model.registers == gray().registers
    inputs = [0, 1, 1, 0, 0, 0, 1, 0]
    cycles = list(model.simulate([{"d": d} for d in inputs], engine=engine))
    assert [(cycle.outputs["differ"], cycle.state["q"]) for cycle in cycles] == expected(0, inputs)
    assert [cycle.number for cycle in cycles] == list(range(len(inputs)))
    assert [cycle.inputs["d"] for cycle in cycles] == inputs


def test_a_step_from_any_state() -> None:
    model = serialformer.compile(gray())
    engine = model.engine("indexed")
    for state in range(4):
        for d in range(2):
            cycle = model.step({"q": state}, {"d": d}, engine=engine)
            (differ, _), (_, after) = expected(state, [d, 0])
            assert (cycle.outputs, cycle.next_state) == ({"differ": differ}, {"q": after})
    with pytest.raises(InputError, match="no register 'p'\nhint: the registers are: q"):
        model.step({"p": 0}, {"d": 0})
    with pytest.raises(InputError, match="no register 'p'\nhint: the registers are: q"):
        model.simulation().register("p")


def test_endless_stimulus_is_taken_only_as_needed() -> None:
    cycles = serialformer.compile(gray()).simulate(repeat({"d": 0}))
    assert [cycle.outputs["differ"] for cycle in islice(cycles, 5)] == [made for made, _ in expected(0, [0] * 5)]


def test_many_simulations_share_one_pass_of_the_sliced_engine() -> None:
    model = serialformer.compile(gray())
    engine = model.engine("sliced")
    chance = np.random.default_rng(1)
    state = chance.integers(0, 2, (200, 2), dtype=np.uint8)
    stimulus = [chance.integers(0, 2, (200, 1), dtype=np.uint8) for _ in range(5)]
    made = [
        outputs[:, 2].tolist()
        for _, outputs in run_many(lambda bits: model.run_bits(bits, engine=engine), state, stimulus)
    ]
    for row in range(200):
        inputs = [int(bits[row, 0]) for bits in stimulus]
        start = int(state[row, 0]) + 2 * int(state[row, 1])
        assert [each[row] for each in made] == [differ for differ, _ in expected(start, inputs)]


def test_a_manifest_whose_registers_do_not_fit_is_refused(tmp_path: Path) -> None:
    serialformer.compile(gray()).save(tmp_path / "model")
    path = tmp_path / "model" / "serialformer.json"
    content = json.loads(path.read_text())
    assert content["protocol"]["registers"] == [{"name": "q", "next_name": "next.q", "initial": [0, 0]}]
    for field, value in (("name", "r"), ("initial", [0]), ("initial", [0, 2]), ("next_name", "differ")):
        registers = [{**content["protocol"]["registers"][0], field: value}]
        changed = {**content, "protocol": {**content["protocol"], "registers": registers}}
        path.write_text(json.dumps(changed))
        with pytest.raises(CheckpointError, match=r"serialformer.json: (expected|an initial|register|no output word)"):
            serialformer.load(tmp_path / "model")


def test_the_papers_transformer_has_a_clock_too() -> None:
    model = serialformer.compile(gray(), target="paper")
    cycles = list(model.simulate([{"d": 0}] * 3))
    assert [cycle.outputs["differ"] for cycle in cycles] == [made for made, _ in expected(0, [0] * 3)]
