"""Constructions run without weights: token for token what circuits and tasks say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from serialformer.circuits.evaluate import evaluate_wires
from serialformer.constructions.circuit_chain import program_to_construction
from serialformer.constructions.construction import ConstructionLayer, exact_table
from serialformer.constructions.evaluator import evaluator_construction
from serialformer.constructions.interpret import interpret
from serialformer.constructions.program import EQUALS, schedule_to_program
from serialformer.constructions.schedule import schedule_chain
from serialformer.constructions.tasks import task_construction
from serialformer.errors import CompileError
from serialformer.tasks.registry import make_task
from tests.cases import every_input, small_circuits
from tests.construction_cases import TASK_CASES, circuit_construction, task_case_name

CIRCUITS = small_circuits()


@pytest.mark.parametrize("name", CIRCUITS)
def test_circuits(name: str) -> None:
    circuit = CIRCUITS[name]
    schedule = schedule_chain(circuit)
    construction = program_to_construction(schedule_to_program(circuit, schedule))
    bits = every_input(circuit.num_inputs)[:64]
    equals = np.full((len(bits), 1), EQUALS)
    made = interpret(construction, np.concatenate([bits, equals], axis=1).astype(np.int64), len(schedule.wire) + 1)
    assert np.array_equal(made[:, :-1], evaluate_wires(circuit, bits)[:, schedule.wire])
    assert (made[:, -1] == EQUALS).all()


@pytest.mark.parametrize(
    ("name", "parameters", "length"), TASK_CASES, ids=[task_case_name(*case) for case in TASK_CASES]
)
def test_tasks(name: str, parameters: dict[str, int | str], length: int) -> None:
    task = make_task(name, parameters)
    examples = task.sample(np.random.default_rng(0), length, 12)
    construction = task_construction(task, length)
    for rows in examples.blocks(512):
        block = examples.select(rows)
        made = interpret(construction, block.prompts, block.chains.shape[1] + 1)
        assert np.array_equal(made[:, :-1], block.chains)
        assert (made[:, -1] == examples.end_token).all()


@pytest.mark.parametrize("length", range(2, 8))
def test_the_evaluator_writes_the_chain_of_the_circuit_value_problem(length: int) -> None:
    task, construction = make_task("circuit-value"), evaluator_construction(7)
    examples = task.sample(np.random.default_rng(length), length, 20)
    ids = np.array([construction.vocabulary.index(text) for text in task.vocabulary(length)])
    made = interpret(construction, ids[examples.prompts], examples.chains.shape[1] + 1)
    assert np.array_equal(made[:, :-1], ids[examples.chains])
    assert (made[:, -1] == construction.end_token).all()


def test_what_a_construction_does_not_say_is_an_error() -> None:
    construction = circuit_construction("two-input table 0110")
    (layer,) = construction.layers
    prompts = np.array([[1, 0, EQUALS]])
    doubled = replace(construction, layers=(replace(layer, tables=(*layer.tables, *layer.tables)),))
    with pytest.raises(CompileError, match="two units write into token, one of table bits"):
        interpret(doubled, prompts, 1)
    silent = replace(construction, layers=(ConstructionLayer(look_ups=layer.look_ups),))
    with pytest.raises(CompileError, match="position 2 of circuit writes no token"):
        interpret(silent, prompts, 1)
    lost = replace(layer.look_ups[0], clauses=(replace(layer.look_ups[0].clauses[0], asked=None, constant=99),))
    with pytest.raises(CompileError, match="look-up input 0 of position 2 finds no one position, in row 0"):
        interpret(replace(construction, layers=(replace(layer, look_ups=(lost, *layer.look_ups[1:])),)), prompts, 1)
    with pytest.raises(CompileError, match="two units of table twice fire for the same values"):
        exact_table("twice", ["token"], [[0], [0]], ["token"], [[0], [1]]).index  # noqa: B018
