"""Expressions of a traced function. What depends on no input is computed by Python itself; the rest becomes gates."""

from __future__ import annotations

import ast
import builtins
import operator
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

from serialformer.circuits.function import vectors
from serialformer.circuits.function.branches import ON, Flow, merge_values, run_branches
from serialformer.circuits.function.calls import BUILTINS, call, call_method
from serialformer.circuits.function.exact import exact_value
from serialformer.circuits.function.frame import Frame, Unusable
from serialformer.circuits.function.selection import select, written
from serialformer.circuits.function.values import freeze, holds_vectors, items_of
from serialformer.circuits.function.vectors import BitVector, flag
from serialformer.errors import TraceError

BINARY_SYMBOLS: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.LShift: "<<",
    ast.RShift: ">>",
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.BitXor: "^",
    ast.Pow: "**",
    ast.Div: "/",
    ast.MatMult: "@",
}

_PYTHON: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
    "<<": operator.lshift,
    ">>": operator.rshift,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
    "**": operator.pow,
    "/": operator.truediv,
    "@": operator.matmul,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

_COMPARISON_SYMBOLS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}


def evaluate(frame: Frame, node: ast.expr) -> Any:
    """The value of an expression: a bit vector, or any Python value that depends on no input.

    Raises:
        TraceError: it cannot be traced; says at which line.
    """
    function = _EXPRESSIONS.get(type(node))
    if function is None:
        raise frame.error(node, f"an expression of the kind {type(node).__name__} cannot be traced")
    try:
        return function(frame, node)
    except TraceError as error:
        if error.where is None:
            raise frame.error(node, error.message, error.hint) from None
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise frame.error(node, f"Python says {type(error).__name__}: {error}") from error


def truth(frame: Frame, node: ast.expr) -> int:
    """Whether an expression holds, as a literal; ``and``, ``or`` and ``not`` are gates of one bit."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return truth(frame, node.operand) ^ 1
    if isinstance(node, ast.BoolOp):
        stop = int(isinstance(node.op, ast.Or))

        def rest(index: int) -> int:
            if index == len(node.values):
                return stop ^ 1
            first = truth(frame, node.values[index])
            if first < 2:
                return stop if first == stop else rest(index + 1)
            # What follows may fail, or assign, only where it is reached.
            then = _under(frame, first ^ stop, lambda: rest(index + 1))
            return (frame.logic.or_ if stop else frame.logic.and_)(first, then)

        return rest(0)
    return _literal(frame, evaluate(frame, node))


def _literal(frame: Frame, value: Any) -> int:
    if isinstance(value, BitVector):
        return vectors.truth(frame.logic, value)
    return int(bool(value))


def _under(frame: Frame, condition: int, compute: Callable[[], Any]) -> Any:
    """Evaluates under a condition on data: what is assigned on the way is assigned only there."""
    result = None

    def then() -> Flow:
        nonlocal result
        result = compute()
        return ON

    run_branches(frame, condition, then, lambda: ON)
    return result


def binary(frame: Frame, symbol: str, a: Any, b: Any) -> Any:
    """``a symbol b``: gates if either is a word."""
    if isinstance(a, BitVector) or isinstance(b, BitVector):
        for operand in (a, b):
            if not isinstance(operand, (BitVector, int)):
                raise TraceError(f"a word and a {type(operand).__name__} have no operator {symbol}")
        return vectors.binary(frame.logic, symbol, a, b)
    return _PYTHON[symbol](a, b)


def read_variable(frame: Frame, name: str) -> Any:
    """The value of a name: the function's own, its module's, or one of Python's."""
    if name in frame.variables:
        value = frame.variables[name]
        if isinstance(value, Unusable):
            raise TraceError(value.message, hint=value.hint)
        return value
    if name in frame.globals:
        return freeze(frame.globals[name])
    if name in BUILTINS or name in ("True", "False", "None"):
        return getattr(builtins, name)
    if hasattr(builtins, name):
        raise TraceError(f"the builtin {name} cannot be traced", hint=f"these can: {', '.join(sorted(BUILTINS))}")
    raise TraceError(f"no variable {name!r} here")


def assign(frame: Frame, target: ast.expr, value: Any) -> None:
    """Gives a target (a name, an element, several of them) its value."""
    if isinstance(target, ast.Name):
        frame.variables[target.id] = value
    elif isinstance(target, (ast.Tuple, ast.List)):
        values, parts = list(items_of(value)), list(target.elts)
        for place, part in enumerate(parts):
            if isinstance(part, ast.Starred):  # Python allows one
                stop = len(values) - (len(parts) - 1 - place)
                values[place : max(place, stop)] = [values[place : max(place, stop)]]
                parts[place] = part.value
        if len(values) != len(parts):
            raise frame.error(target, f"{len(values)} values for {len(parts)} targets")
        for part, item in zip(parts, values, strict=True):
            assign(frame, part, item)
    elif isinstance(target, ast.Subscript):
        write_item(frame, target, evaluate(frame, target.value), evaluate(frame, target.slice), value)
    else:
        raise frame.error(target, "only variables and elements can be assigned")


def read_item(frame: Frame, container: Any, index: Any) -> Any:
    """``container[index]``: an element, a slice, some bits of a word; a multiplexer where the index is data."""
    if isinstance(index, BitVector):
        index = index.constant if index.constant is not None else index
    if isinstance(index, slice):
        parts = [part.constant if isinstance(part, BitVector) else part for part in _parts(index)]
        if any(part is None and isinstance(given, BitVector) for part, given in zip(parts, _parts(index), strict=True)):
            raise TraceError("a slice with bounds that are data cannot be traced", hint="shift the word, then slice it")
        index = slice(*parts)
    if isinstance(container, BitVector):
        if isinstance(index, BitVector):
            bits = [flag(bit) for bit in container.bits]
            return select(frame.logic, bits, index)
        picked = container.bits[index]
        if isinstance(picked, int):
            return flag(picked)
        if not picked:
            raise TraceError(f"a slice of no bits of {container.type!r}")
        return BitVector(bits=picked)
    if isinstance(index, BitVector):
        if not isinstance(container, (list, tuple, bytes, range)):
            raise TraceError(
                f"a {type(container).__name__} has no elements that data can choose",
                hint="make it a list, with an entry for each value of the index",
            )
        return select(frame.logic, list(container), index, as_bytes=isinstance(container, bytes))
    return container[index]


def _parts(index: slice) -> tuple[Any, Any, Any]:
    return index.start, index.stop, index.step


def write_item(frame: Frame, target: ast.Subscript, container: Any, index: Any, value: Any) -> None:
    """``container[index] = value``; of a word it makes a new one, for words are values."""
    if isinstance(index, BitVector) and index.constant is not None:
        index = index.constant
    if isinstance(container, BitVector):
        assign(frame, target.value, written(frame.logic, container, index, value))
    elif type(container) is list:
        if isinstance(index, BitVector):
            container[:] = written(frame.logic, container, index, value)
        else:
            container[index] = list(value) if isinstance(index, slice) else value
    elif isinstance(container, tuple):
        raise frame.error(
            target,
            "arguments, module-level tables and tuples cannot be written to",
            f"copy it first: {ast.unparse(target.value)} = list({ast.unparse(target.value)})",
        )
    else:
        raise frame.error(target, f"a {type(container).__name__} cannot be written to")


def _name(frame: Frame, node: ast.Name) -> Any:
    return read_variable(frame, node.id)


def _binary(frame: Frame, node: ast.BinOp) -> Any:
    return binary(frame, BINARY_SYMBOLS[type(node.op)], evaluate(frame, node.left), evaluate(frame, node.right))


def _unary(frame: Frame, node: ast.UnaryOp) -> Any:
    if isinstance(node.op, ast.Not):
        literal = truth(frame, node)
        return bool(literal) if literal < 2 else flag(literal)
    value = evaluate(frame, node.operand)
    if isinstance(value, BitVector):
        if isinstance(node.op, ast.USub):
            return vectors.negate(frame.logic, value)
        return vectors.complement(value) if isinstance(node.op, ast.Invert) else value
    if isinstance(node.op, ast.USub):
        return -value
    return ~value if isinstance(node.op, ast.Invert) else +value


def _bool(frame: Frame, node: ast.BoolOp) -> Any:
    """As in Python one of the operands: the first that decides, else the last."""
    wants = int(isinstance(node.op, ast.Or))

    def rest(index: int) -> Any:
        value = evaluate(frame, node.values[index])
        if index == len(node.values) - 1:
            return value
        literal = _literal(frame, value)
        if literal < 2:
            return value if literal == wants else rest(index + 1)
        other = _under(frame, literal ^ wants, lambda: rest(index + 1))
        return merge_values(frame.logic, literal ^ wants, other, value)

    return rest(0)


def _compare(frame: Frame, node: ast.Compare) -> Any:
    left = evaluate(frame, node.left)
    result: Any = True
    for op, comparator in zip(node.ops, node.comparators, strict=True):
        right = evaluate(frame, comparator)
        now = _compare_two(frame, op, left, right)
        if not isinstance(now, BitVector) and not isinstance(result, BitVector):
            result = now
            if not result:
                return result
        else:
            result = flag(frame.logic.and_(_literal(frame, result), _literal(frame, now)))
        left = right
    return result


def _compare_two(frame: Frame, op: ast.cmpop, a: Any, b: Any) -> Any:
    if isinstance(op, (ast.Is, ast.IsNot)):
        if a is not None and b is not None and (holds_vectors(a) or holds_vectors(b)):
            raise TraceError("words have no identity", hint="compare them with == or !=")
        return (a is b) == isinstance(op, ast.Is)
    if isinstance(op, (ast.In, ast.NotIn)):
        negated = isinstance(op, ast.NotIn)
        if not isinstance(a, BitVector) and not holds_vectors(b):
            return (a in b) != negated
        found = [_literal(frame, _equal(frame, a, item)) for item in items_of(b)]
        return flag(frame.logic.any_of(found) ^ int(negated))
    symbol = _COMPARISON_SYMBOLS[type(op)]
    if symbol in ("==", "!=") and not (isinstance(a, BitVector) and isinstance(b, BitVector)):
        same = _equal(frame, a, b)
        if isinstance(same, BitVector):
            return flag(same.bits[0] ^ int(symbol == "!="))
        return same == (symbol == "==")
    if isinstance(a, BitVector) or isinstance(b, BitVector):
        for operand in (a, b):
            if not isinstance(operand, (BitVector, int)):
                raise TraceError(f"a word and a {type(operand).__name__} cannot be compared")
        return vectors.compare(frame.logic, symbol, a, b)
    if holds_vectors(a) or holds_vectors(b):
        raise TraceError("arrays have == and != only")
    return _PYTHON[symbol](a, b)


def _equal(frame: Frame, a: Any, b: Any) -> Any:
    """Of words and integers, and of arrays element by element."""
    if isinstance(a, BitVector) or isinstance(b, BitVector):
        if not isinstance(a, (BitVector, int)) or not isinstance(b, (BitVector, int)):
            raise TraceError("a word can be compared with words and integers only")
        return vectors.compare(frame.logic, "==", a, b)
    if holds_vectors(a) or holds_vectors(b):
        x, y = list(items_of(a)), list(items_of(b))
        if len(x) != len(y):
            return False
        return flag(frame.logic.all_of([_literal(frame, _equal(frame, p, q)) for p, q in zip(x, y, strict=True)]))
    return a == b


def _if_else(frame: Frame, node: ast.IfExp) -> Any:
    condition = truth(frame, node.test)
    if condition < 2:
        return evaluate(frame, node.body if condition else node.orelse)
    then: Any = None
    otherwise: Any = None

    def first() -> Flow:
        nonlocal then
        then = evaluate(frame, node.body)
        return ON

    def second() -> Flow:
        nonlocal otherwise
        otherwise = evaluate(frame, node.orelse)
        return ON

    run_branches(frame, condition, first, second)
    return merge_values(frame.logic, condition, then, otherwise)


def _subscript(frame: Frame, node: ast.Subscript) -> Any:
    return read_item(frame, evaluate(frame, node.value), evaluate(frame, node.slice))


def _slice(frame: Frame, node: ast.Slice) -> slice:
    lower, upper, step = (
        None if part is None else evaluate(frame, part) for part in (node.lower, node.upper, node.step)
    )
    return slice(lower, upper, step)


def _attribute(frame: Frame, node: ast.Attribute) -> Any:
    value = evaluate(frame, node.value)
    if isinstance(value, BitVector):
        if node.attr == "width":
            return len(value.bits)
        raise TraceError(f"words have no attribute {node.attr!r}")
    if isinstance(value, ModuleType) or not holds_vectors(value):
        return freeze(getattr(value, node.attr))
    raise TraceError(f"a {type(value).__name__} has no attribute {node.attr!r} here")


def _items(frame: Frame, nodes: Sequence[ast.expr]) -> Iterator[Any]:
    for node in nodes:
        if isinstance(node, ast.Starred):
            yield from items_of(evaluate(frame, node.value))
        else:
            yield evaluate(frame, node)


def _call(frame: Frame, node: ast.Call) -> Any:
    function = node.func
    named = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise frame.error(node, "a call with ** cannot be traced", "name the arguments")
        named[keyword.arg] = evaluate(frame, keyword.value)
    if isinstance(function, ast.Attribute):
        if function.attr == "widen" and not node.args and not named:
            return exact_value(frame.logic, function.value, lambda part: evaluate(frame, part))
        receiver = evaluate(frame, function.value)
        if isinstance(receiver, (BitVector, list, tuple)):
            return call_method(frame.logic, receiver, function.attr, list(_items(frame, node.args)), named)
        return call(frame, getattr(receiver, function.attr), list(_items(frame, node.args)), named)
    return call(frame, evaluate(frame, function), list(_items(frame, node.args)), named)


def _comprehension(frame: Frame, node: ast.ListComp | ast.GeneratorExp) -> list[Any]:
    results: list[Any] = []
    names = [part.id for each in node.generators for part in ast.walk(each.target) if isinstance(part, ast.Name)]
    hidden = {name: frame.variables[name] for name in names if name in frame.variables}

    def run(depth: int) -> None:
        if depth == len(node.generators):
            results.append(evaluate(frame, node.elt))
            return
        generator = node.generators[depth]
        for item in list(items_of(evaluate(frame, generator.iter))):
            assign(frame, generator.target, item)
            conditions = [truth(frame, condition) for condition in generator.ifs]
            if any(condition > 1 for condition in conditions):
                raise frame.error(
                    generator.ifs[0],
                    "a comprehension's `if` on data cannot be traced",
                    "the length of an array cannot depend on data: choose each element with `x if condition else y`",
                )
            if all(conditions):
                run(depth + 1)

    run(0)
    for name in names:
        frame.variables.pop(name, None)
    frame.variables.update(hidden)
    return results


def _walrus(frame: Frame, node: ast.NamedExpr) -> Any:
    value = evaluate(frame, node.value)
    assign(frame, node.target, value)
    return value


def _text(frame: Frame, node: ast.JoinedStr) -> str:
    parts = []
    for part in node.values:
        if isinstance(part, ast.FormattedValue):
            value = evaluate(frame, part.value)
            if holds_vectors(value) or part.format_spec is not None:
                raise frame.error(node, "text cannot hold data")
            parts.append(str(value))
        else:
            parts.append(str(evaluate(frame, part)))
    return "".join(parts)


_EXPRESSIONS: dict[type[ast.expr], Callable[[Frame, Any], Any]] = {
    ast.Constant: lambda frame, node: node.value,
    ast.Name: _name,
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.BoolOp: _bool,
    ast.Compare: _compare,
    ast.IfExp: _if_else,
    ast.Subscript: _subscript,
    ast.Slice: _slice,
    ast.Attribute: _attribute,
    ast.Call: _call,
    ast.List: lambda frame, node: list(_items(frame, node.elts)),
    ast.Tuple: lambda frame, node: tuple(_items(frame, node.elts)),
    ast.ListComp: _comprehension,
    ast.GeneratorExp: _comprehension,
    ast.NamedExpr: _walrus,
    ast.JoinedStr: _text,
}
