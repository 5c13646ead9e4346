"""The tasks by name, by the paper's short names and by ``FILE.py:Class``; and their parameters from text."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields
from difflib import get_close_matches

from serialformer.errors import TaskError
from serialformer.python_file import file_of, split_reference
from serialformer.tasks.arithmetic_expression import ArithmeticExpression
from serialformer.tasks.automaton import Automaton
from serialformer.tasks.circuit_value import CircuitValue
from serialformer.tasks.edit_distance import EditDistance
from serialformer.tasks.iterated_squaring import IteratedSquaring
from serialformer.tasks.majority import Majority
from serialformer.tasks.modular_addition import ModularAddition, Parity
from serialformer.tasks.permutation_composition import PermutationComposition
from serialformer.tasks.task import ParameterValue, Task
from serialformer.tasks.user_task import check_task, load_task_class
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

ALIASES = {
    "S_5": ("permutation-composition", "degree=5"),
    "C_7": ("modular-addition", "modulus=7"),
    "C_2": ("modular-addition", "modulus=2"),
    "CVP": ("circuit-value", ""),
}
"""The paper's short names, in capitals or not, with the underscore or without. Any S_k and C_m is understood,
these are listed."""


def make_task(name: str, parameters: Mapping[str, ParameterValue] | None = None) -> Task:
    """The task of this name with these parameters; those not given have their defaults.

    Values may be text, as on the command line.

    Args:
        name: of a task of this package; one of the paper's short names, such as ``S_5``; or ``FILE.py:Class``, a task
            of the user's, whose file is imported.
        parameters: by name.

    Raises:
        TaskError: there is no such task or parameter, or a value does not fit; says all that is wrong, and what there
            is. Of a user's task also whatever keeps it from being one.

    >>> make_task("modular-addition", {"modulus": "5"}), make_task("c_2")
    (ModularAddition(modulus=5), ModularAddition(modulus=2))
    """
    if split_reference(name) is not None:
        return make_user_task(name, parameters)
    known, fixed = resolve_alias(name)
    if known not in TASKS:
        raise TaskError(f"no task {name!r}", hint=_nearest(name, [*TASKS, *ALIASES]))
    for key, value in fixed.items():
        if key in (parameters or {}) and str((parameters or {})[key]) != value:
            raise TaskError(
                f"{name} has {key} {value}, found {key}={(parameters or {})[key]}",
                where="-p",
                hint=f"write {known} -p {key}=...",
            )
    return _build(TASKS[known], {**(parameters or {}), **fixed}, name)


def make_user_task(
    reference: str, parameters: Mapping[str, ParameterValue] | None = None, *, name: str | None = None
) -> Task:
    """A task of the user's, with its parameters; a few of its samples have been checked.

    Args:
        reference: ``FILE.py:Class``.
        parameters: by name.
        name: what the task is called; the file's name and the class unless given.

    Raises:
        TaskError: as in ``make_task``.
    """
    return check_task(_build(load_task_class(reference, name), parameters or {}, reference))


def find_reference(task: Task) -> str:
    """The name under which ``make_task`` finds the class of a task: ``FILE.py:Class`` for a task of the user's.

    Raises:
        TaskError: it is a user's, and no file defines its class.

    >>> find_reference(make_task("C_2"))
    'modular-addition'
    """
    kind = type(task)
    if TASKS.get(getattr(kind, "name", "")) is kind:
        return kind.name
    file = file_of(kind)
    path = getattr(sys.modules.get(kind.__module__), "__file__", None) if file is None else file.path
    if path is None:
        raise TaskError(f"no file defines {kind.__name__}", where="task", hint="define it in a Python file")
    return f"{path}:{kind.__name__}"


def resolve_alias(name: str) -> tuple[str, dict[str, str]]:
    """The name of a task and the parameters that a short name of the paper's stands for; other names as they are.

    >>> resolve_alias("S_3"), resolve_alias("c7"), resolve_alias("cvp")
    (('permutation-composition', {'degree': '3'}), ('modular-addition', {'modulus': '7'}), ('circuit-value', {}))
    """
    match = re.fullmatch(r"([SC])_?(\d{1,9})", name.upper())
    if match is not None:
        kind, key = {"S": ("permutation-composition", "degree"), "C": ("modular-addition", "modulus")}[match[1]]
        return kind, {key: match[2]}
    return ("circuit-value", {}) if name.upper() == "CVP" else (name, {})


def _build(kind: type[Task], parameters: Mapping[str, ParameterValue], name: str) -> Task:
    """A task of this class; all parameters that do not fit are refused together."""
    # Annotations are text where the task's module says so, otherwise types.
    types = {field.name: str(getattr(field.type, "__name__", field.type)) for field in fields(kind)}
    values: dict[str, ParameterValue] = {}
    problems: list[TaskError] = []
    for key, value in parameters.items():
        if key not in types:
            problems.append(TaskError(f"no parameter {key!r}", where=name, hint=_nearest(key, types)))
            continue
        try:
            values[key] = _parse(value, types[key], f"{name}, {key}")
        except TaskError as error:
            problems.append(error)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        texts = [
            error.message if error.where in (None, name) else f"{str(error.where).rpartition(', ')[2]}: {error.message}"
            for error in problems
        ]
        listed = ", ".join(f"{key}={value}" for key, value in types.items())
        raise TaskError("; ".join(texts), where=name, hint=f"it has {listed or 'no parameters'}")
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
    if kind not in ("int", "float"):
        raise TaskError(f"expected a parameter of type int, float or str, found {kind}", where=where)
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
