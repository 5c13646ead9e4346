"""Every kind of compiled model, byte for byte: digests of the weights that were recorded once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from serialformer.architecture import Activation, Addressing, DtypeName, Shape
from serialformer.circuits.circuit import Circuit
from serialformer.circuits.formats.read_write import read
from serialformer.circuits.passes import split_gates
from serialformer.constructions.circuit_chain import program_to_construction
from serialformer.constructions.circuit_depth import circuit_depth_construction
from serialformer.constructions.construction import Construction
from serialformer.constructions.evaluator import evaluator_construction
from serialformer.constructions.program import schedule_to_program
from serialformer.constructions.schedule import schedule_chain
from serialformer.constructions.tasks import task_construction
from serialformer.engines.recurrences import shift_register_circuit
from serialformer.models.lower import lower_circuit, lower_task_to_llama
from serialformer.targets.gpt2 import construction_to_gpt2
from serialformer.targets.paper import construction_to_paper
from serialformer.targets.paper_depth import construction_to_paper_depth
from serialformer.tasks.registry import make_task
from tests.cases import one_gate_circuits, small_circuits
from tests.construction_cases import TASK_CASES, constructions_without_a_chain, task_case_name

ROOT = Path(__file__).parents[2]
GOLDEN: dict[str, str] = json.loads((ROOT / "tests" / "golden" / "transformers.json").read_text())
WITHOUT_A_CHAIN = constructions_without_a_chain()
DTYPES: tuple[DtypeName, ...] = ("float32", "float16", "bfloat16")


def recorded_circuits() -> dict[str, Circuit]:
    """The small circuits, with each gate of two inputs by itself instead of all in one."""
    cases = small_circuits() | one_gate_circuits()
    del cases["every two-input table"]
    return cases


def circuits() -> dict[str, Circuit]:
    return {**recorded_circuits(), "multiplier16": read(ROOT / "examples" / "multiplier16.blif")}


def chain(circuit: Circuit) -> Construction:
    return program_to_construction(schedule_to_program(circuit, schedule_chain(circuit)))


def digest(
    construction: Construction,
    dtype: DtypeName = "float32",
    activation: Activation = "gelu_new",
    attention_gap: float | None = None,
) -> str:
    return construction_to_gpt2(construction, dtype=dtype, activation=activation, attention_gap=attention_gap)[
        0
    ].digest()


@pytest.mark.parametrize("name", circuits())
def test_circuits(name: str) -> None:
    circuit = circuits()[name]
    for dtype in DTYPES:
        assert digest(chain(circuit), dtype) == GOLDEN[f"circuit/{name}/{dtype}"]
    for precision in (1, 3):
        transformer, _ = construction_to_paper(chain(split_gates(circuit)), precision=precision)
        assert transformer.digest() == GOLDEN[f"paper/{name}/{precision}"]


@pytest.mark.parametrize("case", TASK_CASES, ids=[task_case_name(*case) for case in TASK_CASES])
def test_tasks(case: tuple[str, dict[str, int | str], int]) -> None:
    name, parameters, length = case
    construction = task_construction(make_task(name, parameters), length)
    for dtype in DTYPES:
        assert digest(construction, dtype) == GOLDEN[f"task/{task_case_name(*case)}/{dtype}"]


@pytest.mark.parametrize("num_gates", [1, 2, 5, 64, 300])
def test_evaluators(num_gates: int) -> None:
    for dtype in DTYPES:
        assert digest(evaluator_construction(num_gates), dtype) == GOLDEN[f"evaluator/{num_gates}/{dtype}"]


@pytest.mark.parametrize("name", WITHOUT_A_CHAIN)
def test_models_without_a_chain(name: str) -> None:
    for dtype in DTYPES:
        assert digest(WITHOUT_A_CHAIN[name](), dtype) == GOLDEN[f"{name}/{dtype}"]


@pytest.mark.parametrize("name", recorded_circuits())
def test_the_paper_s_transformers_without_a_chain(name: str) -> None:
    construction = circuit_depth_construction(split_gates(recorded_circuits()[name]))
    for precision in (1, 3):
        transformer, _ = construction_to_paper_depth(construction, precision=precision)
        assert transformer.digest() == GOLDEN[f"paper/depth/{name}/{precision}"]


def llamas() -> dict[str, tuple[Circuit, Shape]]:
    cases = small_circuits()
    shapes = {"": Shape(), "/tied": Shape(tied=True), "/tied, narrow": Shape(tied=True, hidden=128, head_width=32)}
    names = ("random, 2 inputs a gate", "random, 6 inputs a gate", "no inputs, constant outputs")
    found = {f"llama/{name}{title}": (cases[name], shape) for name in names for title, shape in shapes.items()}
    register = shift_register_circuit(1, num_inputs=20, num_gates=50, distances=(19, 7, 0))
    addressings: tuple[tuple[Addressing, bool], ...] = (("distances", False), ("window", False), ("distances", True))
    for addressing, biases in addressings:
        for tied in (False, True):
            shape = Shape(addressing=addressing, head_biases=biases, tied=tied)
            found[f"llama/{addressing}{', biases' * biases}{', tied' * tied}"] = register, shape
    return found


@pytest.mark.parametrize("name", llamas())
def test_llamas(name: str) -> None:
    circuit, shape = llamas()[name]
    for dtype in DTYPES:
        transformer = lower_circuit(circuit, target="llama", dtype=dtype, shape=shape).transformer
        assert transformer.digest() == GOLDEN[f"{name}/{dtype}"]


LLAMA_TASKS: tuple[tuple[str, dict[str, int | str], int], ...] = (
    ("parity", {}, 16),
    ("modular-addition", {}, 12),
    ("permutation-composition", {"format": "symbols"}, 3),
)


@pytest.mark.parametrize("case", LLAMA_TASKS, ids=[task_case_name(*case) for case in LLAMA_TASKS])
def test_llamas_of_tasks(case: tuple[str, dict[str, int | str], int]) -> None:
    name, parameters, length = case
    for dtype in DTYPES:
        lowered, _ = lower_task_to_llama(make_task(name, parameters), length, dtype=dtype)
        assert lowered.transformer.digest() == GOLDEN[f"llama/task/{task_case_name(*case)}/{dtype}"]


def test_options() -> None:
    multiplier = chain(circuits()["multiplier16"])
    assert digest(multiplier, activation="relu") == GOLDEN["circuit/multiplier16/relu"]
    assert digest(multiplier, attention_gap=80.0) == GOLDEN["circuit/multiplier16/gap 80"]
    assert digest(task_construction(make_task("parity"), 16), activation="relu") == GOLDEN["task/parity-16/relu"]
    squarings = task_construction(make_task("iterated-squaring"), 8)
    assert digest(squarings) == GOLDEN["task/iterated-squaring-1000/float32"]
    assert digest(evaluator_construction(5), activation="relu") == GOLDEN["evaluator/5/relu"]


def test_nothing_recorded_is_left_out() -> None:
    checked = {f"circuit/{name}/{dtype}" for name in circuits() for dtype in DTYPES}
    checked |= {f"paper/{name}/{precision}" for name in circuits() for precision in (1, 3)}
    checked |= {f"task/{task_case_name(*case)}/{dtype}" for case in TASK_CASES for dtype in DTYPES}
    checked |= {f"evaluator/{num_gates}/{dtype}" for num_gates in (1, 2, 5, 64, 300) for dtype in DTYPES}
    checked |= {f"{name}/{dtype}" for name in WITHOUT_A_CHAIN for dtype in DTYPES}
    checked |= {f"paper/depth/{name}/{precision}" for name in recorded_circuits() for precision in (1, 3)}
    checked |= {f"{name}/{dtype}" for name in llamas() for dtype in DTYPES}
    checked |= {f"llama/task/{task_case_name(*case)}/{dtype}" for case in LLAMA_TASKS for dtype in DTYPES}
    checked |= {"circuit/multiplier16/relu", "circuit/multiplier16/gap 80", "task/parity-16/relu", "evaluator/5/relu"}
    assert checked | {"task/iterated-squaring-1000/float32"} == set(GOLDEN)
