"""Statements of a traced function, one after another."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from serialformer.circuits.function.branches import ON, Flow, is_over, jumped, run_branches
from serialformer.circuits.function.expressions import (
    BINARY_SYMBOLS,
    assign,
    binary,
    evaluate,
    read_item,
    read_variable,
    truth,
    write_item,
)
from serialformer.circuits.function.frame import Frame
from serialformer.circuits.function.logic import FALSE, TRUE
from serialformer.circuits.function.types import parse_type
from serialformer.circuits.function.values import coerce, items_of
from serialformer.circuits.function.vectors import BitVector
from serialformer.errors import TraceError

MAX_ROUNDS = 1_000_000
"""Of a ``while`` loop, which may have been meant to end on data."""


def execute_block(frame: Frame, statements: Sequence[ast.stmt]) -> Flow:
    """Traces statements; where one may jump, those after it are a branch of their own."""
    logic, flow = frame.logic, ON
    for index, statement in enumerate(statements):
        now = _execute(frame, statement)
        if now is ON:
            continue
        flow = _joined(frame, flow, now)
        if is_over(logic, flow):
            break
        jump = jumped(logic, now)
        if jump != FALSE:
            behind = statements[index + 1 :]
            rest = run_branches(frame, jump ^ 1, partial(execute_block, frame, behind), lambda: ON)
            return _joined(frame, flow, rest)
    return flow


def _joined(frame: Frame, first: Flow, then: Flow) -> Flow:
    """One run of statements after another; ``then`` holds only where it was reached."""
    or_ = frame.logic.or_
    return Flow(
        returned=or_(first.returned, then.returned),
        broken=or_(first.broken, then.broken),
        continued=or_(first.continued, then.continued),
    )


def _execute(frame: Frame, statement: ast.stmt) -> Flow:
    execute = _STATEMENTS.get(type(statement))
    if execute is None:
        kind, hint = _REFUSED.get(
            type(statement),
            (
                f"a statement of the kind {type(statement).__name__.lower()!r}",
                "use assignments, if, for, while, return",
            ),
        )
        raise frame.error(statement, f"{kind} cannot be traced", hint)
    try:
        return execute(frame, statement)
    except TraceError as error:
        if error.where is None:
            raise frame.error(statement, error.message, error.hint) from None
        raise


def _assign(frame: Frame, statement: ast.Assign) -> Flow:
    value = evaluate(frame, statement.value)
    for target in statement.targets:
        if isinstance(target, ast.Subscript) and _reads(statement.value, target.value):
            container, index = evaluate(frame, target.value), evaluate(frame, target.slice)
            _check_widths(frame, statement, target, container, index)
        assign(frame, target, value)
    return ON


def _reads(expression: ast.expr, container: ast.expr) -> bool:
    """Whether an element of the container occurs in the expression."""
    text = ast.unparse(container)
    return any(isinstance(node, ast.Subscript) and ast.unparse(node.value) == text for node in ast.walk(expression))


def _check_widths(frame: Frame, statement: ast.stmt, target: ast.Subscript, container: Any, index: Any) -> None:
    """Refuses to make an element, which data choose among plain integers, from what stood there.

    As wide as the integers themselves, a sum would soon wrap around: a counter of 0 and 1 after one step.
    """
    chosen = isinstance(index, BitVector) and index.constant is None
    if chosen and type(container) is list and all(isinstance(item, int) for item in container):
        raise frame.error(
            statement,
            f"the integers in {ast.unparse(target.value)} have no width",
            f"give them one, as in [U8({container[0]})] * {len(container)}" if container else None,
        )


def _annotated(frame: Frame, statement: ast.AnnAssign) -> Flow:
    kind = parse_type(evaluate(frame, statement.annotation))
    if statement.value is not None:
        assign(frame, statement.target, coerce(evaluate(frame, statement.value), kind))
    return ON


def _augmented(frame: Frame, statement: ast.AugAssign) -> Flow:
    symbol, target = BINARY_SYMBOLS[type(statement.op)], statement.target
    if isinstance(target, ast.Subscript):
        container, index = evaluate(frame, target.value), evaluate(frame, target.slice)
        _check_widths(frame, statement, target, container, index)
        value = binary(frame, symbol, read_item(frame, container, index), evaluate(frame, statement.value))
        write_item(frame, target, container, index, value)
        return ON
    if not isinstance(target, ast.Name):
        raise frame.error(statement, "only variables and elements can be assigned")
    old = read_variable(frame, target.id)
    added = evaluate(frame, statement.value)
    if type(old) is list and symbol == "+" and type(added) in (list, tuple):
        old += added  # in place, as Python does
    else:
        assign(frame, target, binary(frame, symbol, old, added))
    return ON


def _expression(frame: Frame, statement: ast.Expr) -> Flow:
    if not isinstance(statement.value, ast.Constant):  # a docstring
        evaluate(frame, statement.value)
    return ON


def _if(frame: Frame, statement: ast.If) -> Flow:
    condition = truth(frame, statement.test)
    if condition < 2:
        return execute_block(frame, statement.body if condition else statement.orelse)
    return run_branches(
        frame,
        condition,
        lambda: execute_block(frame, statement.body),
        lambda: execute_block(frame, statement.orelse),
    )


def _for(frame: Frame, statement: ast.For) -> Flow:
    items = list(items_of(evaluate(frame, statement.iter)))

    def start(index: int) -> bool:
        if index == len(items):
            return False
        assign(frame, statement.target, items[index])
        return True

    return _loop(frame, statement, start)


def _while(frame: Frame, statement: ast.While) -> Flow:
    def start(index: int) -> bool:
        condition = truth(frame, statement.test)
        if condition > 1:
            raise frame.error(
                statement,
                "`while` on data cannot be traced",
                "a circuit has no unbounded loop: write `for _ in range(most)` with `if` or `break` inside",
            )
        if index == MAX_ROUNDS:
            raise frame.error(statement, f"this loop does not end within {MAX_ROUNDS:,} rounds")
        return condition == TRUE

    return _loop(frame, statement, start)


def _loop(frame: Frame, statement: ast.For | ast.While, start: Callable[[int], bool]) -> Flow:
    if statement.orelse:
        raise frame.error(statement.orelse[0], "`else` of a loop cannot be traced")
    return _rounds(frame, statement, start, 0)


def _rounds(frame: Frame, statement: ast.For | ast.While, start: Callable[[int], bool], index: int) -> Flow:
    logic, returned = frame.logic, FALSE
    while start(index):
        flow = execute_block(frame, statement.body)
        returned = logic.or_(returned, flow.returned)
        if returned == TRUE or logic.or_(flow.returned, flow.broken) == TRUE:
            break
        index += 1
        if flow.broken != FALSE:
            # What is left of the loop is a branch of its own, executed where it was not broken.
            following = partial(_rounds, frame, statement, start, index)
            rest = run_branches(frame, flow.broken ^ 1, following, lambda: ON)
            returned = logic.or_(returned, rest.returned)
            break
    return ON if returned == FALSE else Flow(returned=returned)


def _return(frame: Frame, statement: ast.Return) -> Flow:
    if statement.value is None:
        raise frame.error(statement, "`return` without a value", "a circuit's function returns words")
    value = evaluate(frame, statement.value)
    if frame.returns is not None:
        value = coerce(value, frame.returns)
    frame.returned.append((frame.condition, value, statement))
    return Flow(returned=TRUE)


def _assert(frame: Frame, statement: ast.Assert) -> Flow:
    condition = truth(frame, statement.test)
    if condition > 1:
        raise frame.error(statement, "`assert` on data cannot be traced", "return the condition as a word of one bit")
    if not condition:
        said: Any = "" if statement.msg is None else f": {evaluate(frame, statement.msg)}"
        raise frame.error(statement, f"the assertion does not hold{said}")
    return ON


_REFUSED: dict[type[ast.stmt], tuple[str, str]] = {
    ast.FunctionDef: ("a function in a function", "define it at the module's level, with or without @circuit"),
    ast.Match: ("`match`", "write if, elif and else"),
    ast.Try: ("`try`", "nothing is raised on data: write an if (a division by 0 gives all ones)"),
    ast.Raise: ("`raise`", "return a word that says so: a circuit always gives an answer"),
    ast.Global: ("`global`", "return what the caller is to have"),
}
"""What people write nevertheless, and what to write instead."""

_STATEMENTS: dict[type[ast.stmt], Callable[[Frame, Any], Flow]] = {
    ast.Assign: _assign,
    ast.AnnAssign: _annotated,
    ast.AugAssign: _augmented,
    ast.Expr: _expression,
    ast.If: _if,
    ast.For: _for,
    ast.While: _while,
    ast.Return: _return,
    ast.Assert: _assert,
    ast.Pass: lambda frame, statement: ON,
    ast.Break: lambda frame, statement: Flow(broken=TRUE),
    ast.Continue: lambda frame, statement: Flow(continued=TRUE),
}
