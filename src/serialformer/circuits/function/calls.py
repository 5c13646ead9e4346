"""Calls: Python's own functions where they make sense for words, methods of words and lists, conversions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

from serialformer.circuits.function import multiply, vectors
from serialformer.circuits.function.branches import merge_values
from serialformer.circuits.function.frame import Frame
from serialformer.circuits.function.logic import FALSE, Logic
from serialformer.circuits.function.types import WordType
from serialformer.circuits.function.values import freeze, holds_vectors, items_of
from serialformer.circuits.function.vectors import BitVector, convert, flag
from serialformer.errors import TraceError

_LIST_METHODS = ("append", "extend", "insert", "pop", "reverse", "copy", "clear")


def call(frame: Frame, function: Any, arguments: Sequence[Any], named: dict[str, Any]) -> Any:
    """The result of a call: traced if the function is the user's, gates if it is one of Python's.

    A function without ``@circuit`` and without data among its arguments is called as Python calls it.
    """
    if isinstance(function, WordType):
        return _conversion(frame.logic, function, arguments, named)
    if function is concat:
        if named:
            raise TraceError(f"concat takes no named arguments, found {', '.join(named)}")
        return concatenate(arguments)
    special = getattr(function, "traced_call", None)
    if special is not None:
        return special(frame, arguments, named)
    if getattr(function, "__module__", "") == "builtins" and function.__name__ in BUILTINS:
        return BUILTINS[function.__name__](frame.logic, *arguments, **named)
    if not any(holds_vectors(argument) for argument in [*arguments, *named.values()]):
        return freeze(function(*arguments, **named))
    if isinstance(function, FunctionType):
        return frame.call(function, arguments, named)
    shown = getattr(function, "__name__", repr(function))
    raise TraceError(f"a call of {shown} with data cannot be traced", hint="write it in Python")


def _conversion(logic: Logic, kind: WordType, arguments: Sequence[Any], named: dict[str, Any]) -> BitVector:
    if len(arguments) != 1 or named:
        raise TraceError(f"{kind!r}(x) takes one argument")
    (value,) = arguments
    if isinstance(value, (list, tuple)):
        bits = [bit.bits[0] if isinstance(bit, BitVector) and len(bit.bits) == 1 else bit for bit in value]
        if len(bits) != kind.width or any(not isinstance(bit, int) for bit in bits):
            raise TraceError(f"{kind!r} of a list takes {kind.width} words of one bit, least significant first")
        return BitVector(bits=tuple(bits), signed=kind.signed)
    if not isinstance(value, (BitVector, int)):
        raise TraceError(f"{kind!r}(x) takes a word, an integer or bits, not a {type(value).__name__}")
    return convert(value, kind)


def concat(*words: Any) -> Any:
    """Words side by side as one unsigned word, the first of them most significant; in traced functions only."""
    raise TraceError("concat joins words in a traced function, and integers have no width")


def concatenate(parts: Sequence[Any]) -> BitVector:
    """Words as one, the first of them most significant."""
    for part in parts:
        if not isinstance(part, BitVector):
            shown = f"the integer {part}" if isinstance(part, int) else f"a {type(part).__name__}"
            raise TraceError(f"concat takes words, and {shown} has no width", hint="give it one, as in U8(5)")
    if not parts:
        raise TraceError("concat takes at least one word")
    return BitVector(bits=tuple(bit for part in reversed(parts) for bit in part.bits))


def call_method(logic: Logic, receiver: Any, name: str, arguments: Sequence[Any], named: dict[str, Any]) -> Any:
    """``receiver.name(...)`` of a word or a list."""
    if isinstance(receiver, BitVector):
        method = _METHODS.get(name)
        if method is None:
            raise TraceError(f"words have no method {name!r}", hint=f"they have {', '.join(sorted(_METHODS))}")
        return method(logic, receiver, *arguments, **named)
    if type(receiver) is list and name in _LIST_METHODS:
        return getattr(receiver, name)(*arguments, **named)
    if type(receiver) is tuple and name == "copy":
        return list(receiver)
    if holds_vectors(receiver) or holds_vectors(list(arguments)) or name in _LIST_METHODS:
        raise TraceError(
            f"{name} of a {type(receiver).__name__} cannot be traced",
            hint=f"lists have {', '.join(_LIST_METHODS)}; arguments and tables are copied with list(x) first",
        )
    return getattr(receiver, name)(*arguments, **named)


def _widen(logic: Logic, a: BitVector, width: int) -> BitVector:
    if not isinstance(width, int) or width < len(a.bits):
        raise TraceError(f".widen({width}) of {a.type!r}: expected a width of at least {len(a.bits)}")
    return convert(a, WordType(width=width, signed=a.signed))


def _full_multiply(logic: Logic, a: BitVector, b: Any) -> BitVector:
    if not isinstance(b, BitVector):
        b = vectors.fit(b, a.type)
    return vectors.full_multiply(logic, a, b)


def _bit_count(logic: Logic, a: BitVector) -> BitVector:
    return BitVector(bits=tuple(multiply.bit_count(logic, a.bits)))


def _parity(logic: Logic, a: BitVector) -> BitVector:
    result = FALSE
    for bit in a.bits:
        result = logic.xor(result, bit)
    return flag(result)


_METHODS: dict[str, Callable[..., BitVector]] = {
    "widen": _widen,
    "full_mul": _full_multiply,
    "signed": lambda logic, a: BitVector(bits=a.bits, signed=True),
    "unsigned": lambda logic, a: BitVector(bits=a.bits),
    "rotl": lambda logic, a, by: vectors.rotate_left(logic, a, by),
    "rotr": lambda logic, a, by: vectors.rotate_left(logic, a, by, -1),
    "bit_count": _bit_count,
    "parity": _parity,
}


def _sum(logic: Logic, items: Any, start: Any = 0) -> Any:
    """All terms in their common type; three and more are added together, which is smaller than one after another."""
    terms = list(items_of(items))
    if isinstance(start, BitVector) or start != 0:
        terms.append(start)
    words = [term for term in terms if isinstance(term, BitVector)]
    if not words:
        return sum(terms)
    kind = words[0].type
    for word in words[1:]:
        kind = vectors.common_type(kind, word.type)
    columns = multiply.Columns(kind.width)
    for term in terms:
        if not isinstance(term, (BitVector, int)):
            raise TraceError(f"a word and a {type(term).__name__} cannot be added")
        for place, bit in enumerate(vectors.fit(term, kind).bits):
            columns.add(bit, place)
    return BitVector(bits=tuple(columns.total(logic)), signed=kind.signed)


def _extreme(logic: Logic, symbol: str, arguments: Sequence[Any]) -> Any:
    items = list(items_of(arguments[0])) if len(arguments) == 1 else list(arguments)
    if not items:
        raise TraceError("the least or greatest of no elements")
    best = items[0]
    for item in items[1:]:
        if isinstance(best, BitVector) or isinstance(item, BitVector):
            better = vectors.compare(logic, symbol, item, best).bits[0]
            best = merge_values(logic, better, item, best)
        else:
            best = min(best, item) if symbol == "<" else max(best, item)
    return best


def _quantified(logic: Logic, items: Any, *, every: bool) -> Any:
    values = list(items_of(items))
    if not holds_vectors(values):
        return all(values) if every else any(values)
    literals = [vectors.truth(logic, item) if isinstance(item, BitVector) else int(bool(item)) for item in values]
    return flag(logic.all_of(literals) if every else logic.any_of(literals))


def _absolute(logic: Logic, value: Any) -> Any:
    if not isinstance(value, BitVector):
        return abs(value)
    if not value.signed:
        raise TraceError(
            f"abs of {value.type!r}, which is never negative: a difference of unsigned words wraps around",
            hint="of a difference write max(a, b) - min(a, b), or abs((a - b).widen())",
        )
    return vectors.absolute(logic, value)


def _boolean(logic: Logic, value: Any = False) -> Any:
    return flag(vectors.truth(logic, value)) if isinstance(value, BitVector) else bool(value)


def _range(logic: Logic, *bounds: Any) -> range:
    for bound in bounds:
        if isinstance(bound, BitVector) and bound.constant is None:
            raise TraceError(
                "a loop over a range whose bounds are data cannot be traced",
                hint="loop to the greatest possible bound, with `if` or `break` inside",
            )
    return range(*(_integer(logic, bound) for bound in bounds))


def _integer(logic: Logic, value: Any = 0, *rest: Any) -> int:
    if isinstance(value, BitVector):
        if value.constant is None:
            raise TraceError(
                "int(...) of data: it has no one value", hint="it is a word already; U32(x) changes its width"
            )
        return value.constant
    return int(value, *rest)


def _divide(logic: Logic, a: Any, b: Any) -> Any:
    if isinstance(a, BitVector) or isinstance(b, BitVector):
        return vectors.divide(logic, a, b)
    return divmod(a, b)


def _power(logic: Logic, a: Any, b: Any, *modulus: Any) -> Any:
    if not holds_vectors((a, b, modulus)):
        return pow(a, b, *modulus)
    if modulus:
        raise TraceError("pow with a modulus and data cannot be traced")
    return vectors.binary(logic, "**", a, b)


BUILTINS: dict[str, Callable[..., Any]] = {
    "abs": _absolute,
    "all": lambda logic, items: _quantified(logic, items, every=True),
    "any": lambda logic, items: _quantified(logic, items, every=False),
    "bool": _boolean,
    "bytes": lambda logic, *arguments: bytes(*arguments),
    "divmod": _divide,
    "enumerate": lambda logic, items, start=0: list(enumerate(items_of(items), start)),
    "int": _integer,
    "len": lambda logic, value: len(value.bits) if isinstance(value, BitVector) else len(value),
    "list": lambda logic, items=(): list(items_of(items)),
    "max": lambda logic, *arguments: _extreme(logic, ">", arguments),
    "min": lambda logic, *arguments: _extreme(logic, "<", arguments),
    "pow": _power,
    "range": _range,
    "reversed": lambda logic, items: list(items_of(items))[::-1],
    "sum": _sum,
    "tuple": lambda logic, items=(): tuple(items_of(items)),
    "zip": lambda logic, *items, strict=False: list(zip(*(items_of(each) for each in items), strict=strict)),
}
"""Python's own functions, by name; each takes the logic first."""
