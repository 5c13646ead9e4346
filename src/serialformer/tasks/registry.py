"""The tasks by name, and their parameters from text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from difflib import get_close_matches

from serialformer.errors import TaskError
from serialformer.tasks.arithmetic_expression import ArithmeticExpression
from serialformer.tasks.automaton import Automaton
from serialformer.tasks.circuit_value import CircuitValue
from serialformer.tasks.edit_distance import EditDistance
from serialformer.tasks.iterated_squaring import IteratedSquaring
from serialformer.tasks.majority import Majority
from serialformer.tasks.modular_addition import ModularAddition, Parity
from serialformer.tasks.permutation_composition import PermutationComposition
from serialformer.tasks.task import ParameterValue, Task
from serialformer.tasks.word_problem import WordProblem

TASKS: dict[str, type[Task]] = {
    task.name: task
    for task in (
        ModularAddition,
        PermutationComposition,
        IteratedSquaring,
        CircuitValue,
        Parity,
        Majority,
        WordProblem,
        Automaton,
        ArithmeticExpression,
        EditDistance,
    )
}
"""Every task by its name."""


def make_task(name: str, parameters: Mapping[str, ParameterValue] | None = None) -> Task:
    """The task of this name with these parameters; those not given have their defaults.

    Values may be text, as on the command line.

    Raises:
        TaskError: there is no such task or parameter, or a value does not fit; says what there is.

    >>> make_task("modular-addition", {"modulus": "5"})
    ModularAddition(modulus=5)
    """
    if name not in TASKS:
        raise TaskError(f"no task {name!r}", hint=_nearest(name, TASKS))
    kind = TASKS[name]
    # Annotations are text where the task's module says so, otherwise types.
    types = {field.name: str(getattr(field.type, "__name__", field.type)) for field in fields(kind)}
    values: dict[str, ParameterValue] = {}
    for key, value in (parameters or {}).items():
        if key not in types:
            raise TaskError(f"no parameter {key!r}", where=name, hint=_nearest(key, types))
        values[key] = _parse(value, types[key], f"{name}, {key}")
    return kind(**values)


def parse_task(name: str, assignments: Iterable[str]) -> Task:
    """The task of this name with parameters written ``key=value``.

    Raises:
        TaskError: as in ``make_task``, or an assignment is none, or a parameter is given twice.

    >>> parse_task("modular-addition", ["modulus=2"]).parameters
    {'modulus': 2}
    """
    values: dict[str, ParameterValue] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        key = key.strip()
        if not equals or not key:
            raise TaskError(f"expected KEY=VALUE, found {assignment!r}", where="-p")
        if key in values:
            raise TaskError(f"{key!r} is given twice", where="-p")
        values[key] = text.strip()
    return make_task(name, values)


def _parse(value: ParameterValue, kind: str, where: str) -> ParameterValue:
    """A value as the type of its field, ``int``, ``float`` or ``str``, as annotations write it."""
    if kind == "str":
        return str(value)
    number = {"int": int, "float": float}[kind]
    if isinstance(value, bool) or (kind == "int" and isinstance(value, float)):
        raise TaskError(f"expected a whole number, found {value!r}", where=where)
    try:
        return number(value)
    except ValueError:
        what = "a whole number" if kind == "int" else "a number"
        raise TaskError(f"expected {what}, found {value!r}", where=where) from None


def _nearest(name: str, known: Iterable[str]) -> str:
    """What to write instead: the nearest names, or all."""
    known = list(known)
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"one of {', '.join(known)}" if known else "it has no parameters"
