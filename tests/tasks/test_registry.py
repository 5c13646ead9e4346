"""Tasks by name and parameters from text: what is taken, and the wording of what is not."""

from __future__ import annotations

import pytest

from serialformer.errors import TaskError
from serialformer.tasks.registry import TASKS, make_task, parse_task
from serialformer.tasks.task import ParameterValue
from tests.tasks.every_task import CASES


def test_names_are_the_command_lines() -> None:
    assert list(TASKS) == [
        "modular-addition",
        "permutation-composition",
        "iterated-squaring",
        "circuit-value",
        "parity",
        "majority",
        "word-problem",
        "automaton",
        "arithmetic-expression",
        "edit-distance",
    ]
    assert all(kind.version >= 1 for kind in TASKS.values())


@pytest.mark.parametrize(("name", "given", "length"), CASES)
def test_parameters_from_text_and_from_json(name: str, given: dict[str, ParameterValue], length: int) -> None:
    task = make_task(name, given)
    assert parse_task(name, [f"{key}={value}" for key, value in given.items()]) == task
    assert make_task(task.name, task.parameters) == task
    assert hash(make_task(task.name, task.parameters)) == hash(task)


def test_a_table_keeps_its_signs() -> None:
    assert parse_task("automaton", ["table=1,0;0,1", " start = 1 "]).parameters == {
        "table": "1,0;0,1",
        "start": 1,
        "accepting": "",
    }


@pytest.mark.parametrize(
    ("name", "assignments", "message"),
    [
        ("modular-adition", [], "no task 'modular-adition'\nhint: did you mean modular-addition?"),
        (
            "x",
            [],
            "no task 'x'\nhint: one of modular-addition, permutation-composition, iterated-squaring, circuit-value, "
            "parity, majority, word-problem, automaton, arithmetic-expression, edit-distance, S_5, C_7, C_2, CVP",
        ),
        ("modular-addition", ["modulo=3"], "modular-addition: no parameter 'modulo'\nhint: did you mean modulus?"),
        ("parity", ["modulus=3"], "parity: no parameter 'modulus'\nhint: it has no parameters"),
        (
            "circuit-value",
            ["depth=3"],
            "circuit-value: no parameter 'depth'\nhint: one of constants, negations",
        ),
        ("modular-addition", ["modulus"], "-p: expected KEY=VALUE, found 'modulus'"),
        ("modular-addition", ["=3"], "-p: expected KEY=VALUE, found '=3'"),
        ("modular-addition", ["modulus=3", "modulus=4"], "-p: 'modulus' is given twice"),
        ("modular-addition", ["modulus=3.5"], "modular-addition, modulus: expected a whole number, found '3.5'"),
        ("circuit-value", ["constants=x"], "circuit-value, constants: expected a number, found 'x'"),
        ("circuit-value", ["constants=nan"], "circuit-value, constants: expected a probability, found nan"),
        ("circuit-value", ["negations=-1"], "circuit-value, negations: expected a probability, found -1.0"),
        ("modular-addition", ["modulus=1"], "modular-addition: expected a modulus from 2 to 10000, found 1"),
        ("permutation-composition", ["degree=1"], "permutation-composition: expected a degree from 2 to 64, found 1"),
        (
            "permutation-composition",
            ["degree=7", "format=token"],
            "permutation-composition: expected a degree from 2 to 6, found 7",
        ),
        (
            "permutation-composition",
            ["format=words"],
            "permutation-composition: no format 'words'\nhint: one of brackets, symbols, token",
        ),
        ("iterated-squaring", ["bound=2"], "iterated-squaring: expected a bound from 3 to 32768, found 2"),
        ("word-problem", ["group=M11"], "no group 'M11'\nhint: S5, A4, Z60, D4, or a product such as A4_x_Z5"),
        ("word-problem", ["group=S7"], "group S7 has more than 1024 elements\nhint: choose a smaller one"),
        ("word-problem", ["group=S999999"], "group S999999 has more than 1024 elements\nhint: choose a smaller one"),
        ("word-problem", ["group=S5_x_Z9"], "group S5_x_Z9 has more than 1024 elements\nhint: choose a smaller one"),
        ("word-problem", ["group=A2_x_S1"], "group A2_x_S1 has one element\nhint: choose a larger one"),
        (
            "automaton",
            ["table=0,1;1"],
            "automaton: the rows of the table differ in length\n"
            "hint: rows separated by ; and next states by , as in 0,1;0,2;2,2",
        ),
        (
            "automaton",
            ["table=0,1;1,2"],
            "automaton: no state 2: the table has 2 rows\n"
            "hint: rows separated by ; and next states by , as in 0,1;0,2;2,2",
        ),
        (
            "automaton",
            ["table=0,a;1,1"],
            "automaton, table: expected the number of a state, found 'a'\n"
            "hint: rows separated by ; and next states by , as in 0,1;0,2;2,2",
        ),
        ("automaton", ["start=3"], "automaton: no state 3: the table has 3 rows"),
        ("automaton", ["accepting=1,7"], "automaton: no state 7: the table has 3 rows"),
        (
            "automaton",
            ["table=" + ",".join(["0"] * 27)],
            "automaton: 1 states and 27 letters, more than 256 and 26",
        ),
        (
            "arithmetic-expression",
            ["modulus=9"],
            "arithmetic-expression, modulus: expected a prime from 2 to 1009, found 9",
        ),
        ("edit-distance", ["alphabet=27"], "edit-distance: expected an alphabet of 2 to 26, found 27"),
    ],
)
def test_errors(name: str, assignments: list[str], message: str) -> None:
    with pytest.raises(TaskError) as error:
        parse_task(name, assignments)
    assert str(error.value) == message


def test_a_number_from_json_is_not_cut() -> None:
    with pytest.raises(TaskError, match="modular-addition, modulus: expected a whole number, found 7.5"):
        make_task("modular-addition", {"modulus": 7.5})
    with pytest.raises(TaskError, match="modular-addition, modulus: expected a whole number, found True"):
        make_task("modular-addition", {"modulus": True})
