"""Gates in words: ``and(a, not b)`` rather than a truth table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

_Function = Callable[[int], bool]


def describe_gate(table: int, operands: list[str]) -> str:
    """The gate as a function of its operands.

    >>> describe_gate(0b1000, ["a[0]=1", "b[3]=0"])
    'and(a[0]=1, b[3]=0)'
    >>> describe_gate(0b0010, ["a", "b"])
    'and(a, not b)'
    >>> describe_gate(0b11001010, ["low", "high", "select"])
    'mux(low, high, select)'
    >>> describe_gate(0b1100, ["a", "b"])
    'table[0xc](a, b)'
    """
    name, negated = _gate_name(table, len(operands))
    signed = [f"not {operand}" if negated >> index & 1 else operand for index, operand in enumerate(operands)]
    return f"{name}({', '.join(signed)})" if signed else name


@cache
def _gate_name(table: int, arity: int) -> tuple[str, int]:
    """The name of a truth table and the set of inputs that are complemented before it applies."""
    if arity == 0:
        return f"constant {table}", 0
    if arity == 1:
        return {0b01: "not", 0b10: "copy"}.get(table, f"table[{table:#x}]"), 0
    for negated in sorted(range(1 << arity), key=lambda mask: mask.bit_count()):
        for name, function in _known_functions(arity):
            # Complemented inputs are said of and, or, majority and mux only.
            if negated and name in ("nand", "nor", "xor", "xnor"):
                continue
            if table == sum(function(index ^ negated) << index for index in range(1 << arity)):
                return name, negated
    return f"table[{table:#x}]", 0


def _known_functions(arity: int) -> Iterator[tuple[str, _Function]]:
    everything = (1 << arity) - 1
    yield "and", lambda index: index == everything
    yield "or", lambda index: index != 0
    yield "nand", lambda index: index != everything
    yield "nor", lambda index: index == 0
    yield "xor", lambda index: index.bit_count() & 1 == 1
    yield "xnor", lambda index: index.bit_count() & 1 == 0
    if arity == 3:
        yield "majority", lambda index: index.bit_count() >= 2
        yield "mux", lambda index: bool(index >> 1 & 1 if index >> 2 & 1 else index & 1)
