"""Frames: what a traced function knows at one point, and where in the user's file that is."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from serialformer.circuits.function.logic import TRUE, Logic
from serialformer.circuits.function.types import DataType
from serialformer.errors import TraceError


@dataclass(frozen=True, kw_only=True)
class Unusable:
    """Marks a variable that has no value after a branch; reading it raises an error with the reason."""

    message: str
    hint: str | None


@dataclass(kw_only=True, eq=False)
class Frame:
    """One call of one function, while it is traced.

    Attributes:
        logic: where the gates go.
        path: the file of the function.
        name: the function's name.
        globals: the names that it sees besides its own.
        returns: the type of its result, where it is declared.
        call: traces a call of another function: function, arguments, named arguments.
        variables: its own names.
        condition: a literal: are the statements that are traced now executed, if nothing has been returned before?
        returned: what has been returned, each under its condition, and with its statement; the first that holds counts.
    """

    logic: Logic
    path: str
    name: str
    globals: Mapping[str, Any]
    returns: DataType | None
    call: Callable[..., Any]
    variables: dict[str, Any] = field(default_factory=dict)
    condition: int = TRUE
    returned: list[tuple[int, Any, ast.Return]] = field(default_factory=list)

    def place(self, node: ast.AST) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 1)}"

    def error(self, node: ast.AST, message: str, hint: str | None = None) -> TraceError:
        """The error that says why a node cannot be traced, and gives its line."""
        return TraceError(message, where=self.place(node), hint=hint)
