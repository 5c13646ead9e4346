"""Constructions of every kind, small: one table that each level is checked on."""

from __future__ import annotations

from collections.abc import Callable

from serialformer.constructions.circuit_chain import program_to_construction
from serialformer.constructions.circuit_depth import circuit_depth_construction
from serialformer.constructions.construction import Construction
from serialformer.constructions.evaluator import evaluator_construction
from serialformer.constructions.program import schedule_to_program
from serialformer.constructions.schedule import schedule_chain
from serialformer.constructions.task_depth import task_depth_construction
from serialformer.constructions.tasks import task_construction
from serialformer.tasks.registry import make_task
from tests.cases import small_circuits

TASK_CASES: list[tuple[str, dict[str, int | str], int]] = [
    ("parity", {}, 1),
    ("parity", {}, 16),
    ("majority", {}, 1),
    ("majority", {}, 13),
    ("modular-addition", {}, 16),
    ("modular-addition", {"modulus": 30}, 6),
    ("word-problem", {}, 12),
    ("word-problem", {"group": "A4_x_Z5"}, 12),
    ("word-problem", {"group": "D6"}, 5),
    ("permutation-composition", {"format": "token"}, 6),
    ("permutation-composition", {"format": "symbols"}, 6),
    ("permutation-composition", {}, 1),
    ("permutation-composition", {}, 6),
    ("permutation-composition", {"degree": 9}, 4),
    ("automaton", {}, 16),
    ("automaton", {"accepting": "0,2", "start": 1}, 9),
    ("iterated-squaring", {"bound": 20}, 1),
    ("iterated-squaring", {"bound": 60}, 9),
]


def task_case_name(name: str, parameters: dict[str, int | str], length: int) -> str:
    return "-".join([name, *map(str, parameters.values()), str(length)])


def circuit_construction(name: str) -> Construction:
    circuit = small_circuits()[name]
    return program_to_construction(schedule_to_program(circuit, schedule_chain(circuit)))


def every_construction() -> dict[str, Callable[[], Construction]]:
    """Each construction by name; nothing is made before it is asked for."""
    found: dict[str, Callable[[], Construction]] = {}
    for name in small_circuits():
        found[f"circuit/{name}"] = lambda name=name: circuit_construction(name)
    for name, parameters, length in TASK_CASES:
        found[f"task/{task_case_name(name, parameters, length)}"] = (
            lambda name=name, parameters=parameters, length=length: task_construction(
                make_task(name, parameters), length
            )
        )
    for num_gates in (1, 2, 5, 64):
        found[f"evaluator/{num_gates}"] = lambda num_gates=num_gates: evaluator_construction(num_gates)
    return found


def constructions_without_a_chain() -> dict[str, Callable[[], Construction]]:
    """The same of those that answer at once, by layers."""
    circuits = small_circuits()
    found: dict[str, Callable[[], Construction]] = {
        f"depth/{name}": lambda name=name: circuit_depth_construction(circuits[name])
        for name in ("inverters only", "gates of one, two and three inputs", "random, 2 inputs a gate")
    }
    tasks: list[tuple[str, str, dict[str, int | str], int, int]] = [
        ("word-problem", "word-problem", {"group": "S3"}, 5, 3),
        ("automaton", "automaton", {}, 6, 2),
        ("majority", "majority", {}, 4, 3),
        ("parity", "parity", {}, 6, 3),
        ("circuit-value", "circuit-value", {}, 3, 4),
        ("permutations in brackets", "permutation-composition", {"degree": 3}, 3, 3),
        ("permutations as symbols", "permutation-composition", {"degree": 3, "format": "symbols"}, 4, 3),
        ("iterated-squaring", "iterated-squaring", {"bound": 20}, 3, 4),
        ("iterated-squaring, three layers", "iterated-squaring", {"bound": 20}, 3, 3),
    ]
    for key, name, parameters, length, layers in tasks:
        found[f"base/{key}"] = lambda name=name, parameters=parameters, length=length, layers=layers: (
            task_depth_construction(make_task(name, parameters), length, layers)
        )
    return found
