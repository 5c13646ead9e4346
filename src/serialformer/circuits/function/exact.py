"""``(a * b + c).widen()``: sums, differences and products with all their bits."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from serialformer.circuits.function import arithmetic, multiply
from serialformer.circuits.function.arithmetic import extend
from serialformer.circuits.function.logic import FALSE, Logic
from serialformer.circuits.function.types import WordType
from serialformer.circuits.function.vectors import BitVector, constant_vector
from serialformer.errors import TraceError


def exact_value(logic: Logic, node: ast.expr, evaluate: Callable[[ast.expr], Any]) -> BitVector:
    """The expression with as many bits as it can need, signed if it can be negative.

    Sums, differences, products and negations are followed to their operands; those are traced as they always are.
    """
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub, ast.Mult)):
        a = exact_value(logic, node.left, evaluate)
        b = exact_value(logic, node.right, evaluate)
        if isinstance(node.op, ast.Mult):
            width = len(a.bits) + len(b.bits)
            product = multiply.multiply(logic, a.bits, a.signed, b.bits, b.signed, width)
            return BitVector(bits=tuple(product), signed=a.signed or b.signed)
        return _sum(logic, a, b, minus=isinstance(node.op, ast.Sub))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return _sum(logic, BitVector(bits=(FALSE,)), exact_value(logic, node.operand, evaluate), minus=True)
    value = evaluate(node)
    if isinstance(value, BitVector):
        return value
    if not isinstance(value, int):
        raise TraceError(f"only words have .widen(), not a {type(value).__name__}")
    size = max(1, (~value if value < 0 else value).bit_length() + (value < 0))
    return constant_vector(value, WordType(width=size, signed=value < 0))


def _sum(logic: Logic, a: BitVector, b: BitVector, *, minus: bool) -> BitVector:
    signed = a.signed or b.signed or minus
    # An unsigned word beside a signed one needs a bit for its sign.
    width = 1 + max(len(word.bits) + (signed and not word.signed and (a.signed or b.signed)) for word in (a, b))
    x, y = extend(a.bits, width, a.signed), extend(b.bits, width, b.signed)
    bits = arithmetic.subtract(logic, x, y) if minus else arithmetic.add(logic, x, y)
    return BitVector(bits=tuple(bits), signed=signed)
