"""Tracing: the syntax tree of a Python function, run on words whose bits are wires."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections import ChainMap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from serialformer.circuits.function.branches import merge_values
from serialformer.circuits.function.frame import Frame
from serialformer.circuits.function.logic import TRUE, Logic
from serialformer.circuits.function.statements import execute_block
from serialformer.circuits.function.types import DataType, parse_type
from serialformer.circuits.function.values import coerce, freeze
from serialformer.errors import TraceError

MAX_CALL_DEPTH = 100
_RECURSION_LIMIT = 20_000
"""Of the interpreter, which takes some calls for each level of the user's expressions and loops."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """A function as it stands in its file.

    Attributes:
        function: the function.
        path: its file.
        tree: its syntax tree, with the line numbers of the file.
    """

    function: FunctionType
    path: str
    tree: ast.FunctionDef

    @property
    def where(self) -> str:
        return f"{self.path}:{self.tree.lineno}"

    @property
    def names(self) -> ChainMap[str, Any]:
        """What the function sees of the scopes around it, as it is now."""
        function = self.function
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        closure = {}
        for name, cell in cells:
            try:
                closure[name] = cell.cell_contents
            except ValueError:  # not assigned yet
                continue
        return ChainMap(closure, function.__globals__)


def read_source(function: FunctionType) -> Source:
    """The syntax tree of a function.

    Raises:
        TraceError: there is none: it was typed at a prompt, is a lambda, a generator or a coroutine.
    """
    code = function.__code__
    where = f"{code.co_filename}:{code.co_firstlineno}"
    try:
        lines, first = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(lines))).body[0]
    except (OSError, SyntaxError, IndexError):
        raise TraceError(
            f"the source of {function.__name__} cannot be read", where=where, hint="put the function into a file"
        ) from None
    ast.increment_lineno(tree, first - 1)
    if not isinstance(tree, ast.FunctionDef) or inspect.isgeneratorfunction(function):
        raise TraceError(
            f"{function.__name__} cannot be traced", where=where, hint="a circuit is made of a plain `def` that returns"
        )
    return Source(function=function, path=code.co_filename, tree=tree)


def signature(source: Source) -> tuple[dict[str, DataType], DataType | None]:
    """The types of the parameters, and that of the result where it is declared.

    Raises:
        TraceError: a parameter has no type, or one that is not a word's; all of them at once.
    """
    function, problems = source.function, []
    try:
        hints = inspect.get_annotations(function, eval_str=True, locals=dict(source.names.maps[0]))
    except TraceError as error:
        raise TraceError(error.message, where=source.where, hint=error.hint) from None
    except Exception as error:  # whatever evaluating the user's annotations raises
        raise TraceError(
            f"the annotations cannot be evaluated: {error}",
            where=source.where,
            hint="types are looked up where the function stands: import or define them at the module's level",
        ) from error
    types: dict[str, DataType] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            problems.append(f"{parameter} can be any number of words")
        elif name not in hints:
            problems.append(f"{name} has no type")
        else:
            try:
                types[name] = parse_type(hints[name])
            except TraceError as error:
                problems.append(f"{name}: {error.message}")
    result = None
    if "return" in hints:
        try:
            result = parse_type(hints["return"])
        except TraceError as error:
            problems.append(f"the result: {error.message}")
    if problems:
        raise TraceError(
            f"the parameters of {function.__name__} must be words of fixed width: {'; '.join(problems)}",
            where=source.where,
            hint=f"as in def {function.__name__}(a: U8, b: Array[U16, 4]) -> U8",
        )
    return types, result


class Tracer:
    """Traces functions into one ``Logic``; reads the source of each once."""

    def __init__(self, *, whole_adders: bool = False) -> None:
        self.logic = Logic(whole_adders=whole_adders)
        self._sources: dict[FunctionType, Source] = {}
        self._signatures: dict[FunctionType, inspect.Signature] = {}
        self._types: dict[FunctionType, tuple[dict[str, DataType], DataType | None]] = {}
        self._depth = 0

    def call(
        self, function: FunctionType, arguments: Sequence[Any], named: dict[str, Any], *, typed: bool = False
    ) -> Any:
        """What a function returns; its arguments are checked against their types if it is ``typed``.

        Arrays are passed as tuples: a function cannot write into those of its caller.
        """
        if function not in self._sources:
            self._sources[function] = read_source(function)
            self._signatures[function] = inspect.signature(function)
        source = self._sources[function]
        try:
            bound = self._signatures[function].bind(*arguments, **named)
        except TypeError as error:
            raise TraceError(f"{function.__name__}: {error}") from None
        bound.apply_defaults()
        values, returns = dict(bound.arguments), None
        if typed:
            if function not in self._types:
                self._types[function] = signature(source)
            types, returns = self._types[function]
            for name, kind in types.items():
                try:
                    values[name] = coerce(values[name], kind)
                except TraceError as error:
                    raise TraceError(f"{name} of {function.__name__}: {error.message}", hint=error.hint) from None
        frame = Frame(
            logic=self.logic,
            path=source.path,
            name=function.__name__,
            globals=source.names,
            returns=returns,
            call=self.call,
            variables={name: freeze(value) for name, value in values.items()},
        )
        if self._depth == MAX_CALL_DEPTH:
            raise TraceError(
                f"{function.__name__} is called {MAX_CALL_DEPTH} levels deep",
                hint="a function that calls itself must end on a condition that does not depend on data",
            )
        self._depth += 1
        try:
            return _result(frame, source)
        finally:
            self._depth -= 1


def _result(frame: Frame, source: Source) -> Any:
    """Runs the body; of several returns, the first whose condition holds counts."""
    flow = execute_block(frame, source.tree.body)
    if flow.returned != TRUE:
        ends = "may end" if frame.returned else "ends"
        raise TraceError(
            f"{frame.name} {ends} without a return",
            where=source.where,
            hint="let its last statement be a return, or an if and else that both return",
        )
    result: Any = None
    for index, (condition, value, statement) in enumerate(reversed(frame.returned)):
        try:
            result = value if index == 0 else merge_values(frame.logic, condition, value, result)
        except TraceError as error:
            raise frame.error(
                statement, f"the returns have different types: {error.message}", error.hint or "declare the type: -> U8"
            ) from None
    return result


@contextmanager
def deep_recursion(where: str) -> Iterator[None]:
    """Lets the interpreter nest its calls deeper, for each level of the user's code takes some."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _RECURSION_LIMIT))
    try:
        yield
    except RecursionError:
        raise TraceError(
            "is nested too deeply", where=where, hint="a loop that breaks on data nests once a round: shorten it"
        ) from None
    finally:
        sys.setrecursionlimit(limit)
