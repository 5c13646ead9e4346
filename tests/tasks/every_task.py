"""Every task with parameters and lengths that show its corners: one table for all tests of all tasks."""

from __future__ import annotations

from serialformer.tasks.registry import make_task
from serialformer.tasks.task import ParameterValue, Task

CASES: list[tuple[str, dict[str, ParameterValue], int]] = [
    ("modular-addition", {}, 1),
    ("modular-addition", {}, 9),
    ("modular-addition", {"modulus": 2}, 8),
    ("modular-addition", {"modulus": 113}, 5),
    ("permutation-composition", {}, 1),
    ("permutation-composition", {}, 4),
    ("permutation-composition", {"format": "symbols"}, 3),
    ("permutation-composition", {"format": "token"}, 5),
    ("permutation-composition", {"format": "token", "degree": 2}, 3),
    ("permutation-composition", {"degree": 8}, 3),
    ("permutation-composition", {"degree": 11, "format": "symbols"}, 2),
    ("iterated-squaring", {}, 1),
    ("iterated-squaring", {}, 6),
    ("iterated-squaring", {"bound": 3}, 3),
    ("circuit-value", {}, 1),
    ("circuit-value", {}, 2),
    ("circuit-value", {}, 12),
    ("circuit-value", {"constants": 0.0, "negations": 0.5}, 7),
    ("circuit-value", {"constants": 1.0, "negations": 1.0}, 4),
    ("parity", {}, 1),
    ("parity", {}, 10),
    ("majority", {}, 1),
    ("majority", {}, 6),
    ("majority", {}, 11),
    ("word-problem", {}, 5),
    ("word-problem", {"group": "A4_x_Z5"}, 6),
    ("word-problem", {"group": "D4"}, 3),
    ("automaton", {}, 8),
    ("automaton", {"accepting": "2"}, 7),
    ("automaton", {"table": "0,1,2;1,2,0;2,0,1", "start": 1, "accepting": "0,2"}, 4),
    ("arithmetic-expression", {}, 2),
    ("arithmetic-expression", {}, 6),
    ("arithmetic-expression", {"modulus": 2}, 3),
    ("edit-distance", {}, 1),
    ("edit-distance", {}, 5),
    ("edit-distance", {"alphabet": 2}, 9),
]

NAMES = [" ".join([name, *(f"{key}={value}" for key, value in given.items()), str(n)]) for name, given, n in CASES]


def tasks_and_lengths() -> list[tuple[Task, int]]:
    return [(make_task(name, given), length) for name, given, length in CASES]
