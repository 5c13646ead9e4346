"""Branches on data: both are traced, and every variable and array element becomes a multiplexer where they differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from serialformer.circuits.function import vectors
from serialformer.circuits.function.frame import Frame, Unusable
from serialformer.circuits.function.logic import FALSE, TRUE, Logic
from serialformer.circuits.function.vectors import BitVector
from serialformer.errors import TraceError


@dataclass(frozen=True, kw_only=True)
class Flow:
    """How a run of statements ends: the literals under which it returned, broke out of a loop, went on with it."""

    returned: int = FALSE
    broken: int = FALSE
    continued: int = FALSE


ON = Flow()
"""To the next statement, always."""

_Contents = dict[int, tuple[list[Any], list[Any]]]


def jumped(logic: Logic, flow: Flow) -> int:
    """Whether the statements that follow in the loop's body are passed over."""
    return logic.or_(flow.broken, flow.continued)


def is_over(logic: Logic, flow: Flow) -> bool:
    """Whether nothing that follows is ever executed."""
    return logic.or_(flow.returned, jumped(logic, flow)) == TRUE


def run_branches(frame: Frame, condition: int, then: Callable[[], Flow], otherwise: Callable[[], Flow]) -> Flow:
    """Traces both branches from the same state, and merges the states that they leave.

    A branch that has returned leaves none. Arrays are merged in place, so whoever else has one sees the result. A
    variable whose two values have no common type is an error only where it is read.
    """
    logic, before, outer = frame.logic, dict(frame.variables), frame.condition
    contents = _contents(before)

    frame.condition = logic.and_(outer, condition)
    first = then()
    then_variables, then_contents = frame.variables, _contents(frame.variables, contents)
    frame.variables = dict(before)
    for array, items in contents.values():
        array[:] = items

    frame.condition = logic.and_(outer, condition ^ 1)
    second = otherwise()
    frame.condition = outer
    else_variables, else_contents = frame.variables, _contents(frame.variables, contents)

    if first.returned == TRUE or second.returned == TRUE:
        alone = then_contents if second.returned == TRUE else else_contents
        frame.variables = then_variables if second.returned == TRUE else else_variables
        for array, items in alone.values():
            array[:] = items
    else:
        merge = _Merge(logic, condition, then_contents, else_contents)
        for key in contents:
            array = contents[key][0]
            array[:] = merge.items(then_contents[key][1], else_contents[key][1])
        frame.variables = {
            name: merge.variable(name, then_variables, else_variables) for name in {**else_variables, **then_variables}
        }
    return Flow(
        returned=logic.mux(condition, first.returned, second.returned),
        broken=logic.mux(condition, first.broken, second.broken),
        continued=logic.mux(condition, first.continued, second.continued),
    )


def merge_values(logic: Logic, condition: int, then: Any, otherwise: Any) -> Any:
    """The one value where the condition holds, the other where it does not.

    Raises:
        TraceError: they have no common type.
    """
    return _Merge(logic, condition, {}, {}).values(then, otherwise)


def _contents(values: dict[str, Any], known: _Contents | None = None) -> _Contents:
    """Every array that the variables reach (and those known), with a copy of what it holds."""
    found: _Contents = {}
    waiting: list[Any] = [value for value in values.values() if type(value) in (list, tuple)]
    waiting += [array for array, _ in (known or {}).values()]
    while waiting:
        value = waiting.pop()
        if type(value) is list:
            if id(value) in found:
                continue
            found[id(value)] = (value, list(value))
        waiting += [item for item in value if type(item) in (list, tuple)]
    return found


class _Merge:
    def __init__(self, logic: Logic, condition: int, then: _Contents, otherwise: _Contents) -> None:
        self.logic, self.condition, self.then, self.otherwise = logic, condition, then, otherwise

    def variable(self, name: str, then: dict[str, Any], otherwise: dict[str, Any]) -> Any:
        if name not in then or name not in otherwise:
            return Unusable(
                message=f"{name} is assigned in one branch only", hint="give it a value before the condition on data"
            )
        try:
            return self.values(then[name], otherwise[name])
        except TraceError as error:
            return Unusable(
                message=f"a condition on data leaves different kinds of {name}: {error.message}", hint=error.hint
            )

    def values(self, then: Any, otherwise: Any) -> Any:
        if then is otherwise:
            return then
        if isinstance(then, Unusable) or isinstance(otherwise, Unusable):
            return then if isinstance(then, Unusable) else otherwise
        if type(then) is type(otherwise) and type(then) in (list, tuple):
            if type(then) is list:
                then = self.then.get(id(then), (then, then))[1]
                otherwise = self.otherwise.get(id(otherwise), (otherwise, otherwise))[1]
                return self.items(then, otherwise)
            return tuple(self.items(then, otherwise))
        vector = isinstance(then, BitVector) or isinstance(otherwise, BitVector)
        if vector and isinstance(then, (BitVector, int)) and isinstance(otherwise, (BitVector, int)):
            a, b = vectors.unify(then, otherwise)
            bits = [self.logic.mux(self.condition, x, y) for x, y in zip(a.bits, b.bits, strict=True)]
            return BitVector(bits=tuple(bits), signed=a.signed)
        if isinstance(then, bool) and isinstance(otherwise, bool):
            return vectors.flag(self.logic.mux(self.condition, int(then), int(otherwise)))
        if not vector and type(then) is type(otherwise) and then == otherwise:
            return then
        if isinstance(then, int) and isinstance(otherwise, int):
            raise TraceError(
                f"the integers {int(then)} and {int(otherwise)} have no width",
                hint=f"give one of them a width, as in U8({int(then)}), or declare the variable: x: U8 = {int(then)}",
            )
        raise TraceError(
            f"{_kind(then)} and {_kind(otherwise)} have no common type",
            hint="a condition on data chooses between words, or arrays of them",
        )

    def items(self, then: Any, otherwise: Any) -> list[Any]:
        if len(then) != len(otherwise):
            raise TraceError(
                f"{len(then)} and {len(otherwise)} elements",
                hint="the length of an array cannot depend on data; make it as long as it can become",
            )
        return [self.values(x, y) for x, y in zip(then, otherwise, strict=True)]


def _kind(value: Any) -> str:
    if isinstance(value, BitVector):
        return repr(value.type)
    return f"{type(value).__name__} {value!r}" if isinstance(value, (str, bytes)) else type(value).__name__
