"""Writes examples/multiplier16.blif: a 16 by 16 bit array multiplier of two-input gates."""

from __future__ import annotations

from pathlib import Path

from serialformer import Circuit, CircuitBuilder, write


def full_adder(build: CircuitBuilder, a: int, b: int, carry: int) -> tuple[int, int]:
    """The sum and the carry of three bits, in five gates."""
    half = build.xor(a, b)
    return build.xor(half, carry), build.or_(build.and_(a, b), build.and_(half, carry))


def multiplier(width: int) -> Circuit:
    """The product of words a and b, row by row: shift, mask, add."""
    build = CircuitBuilder()
    a, b = build.inputs("a", width), build.inputs("b", width)
    product = []
    total = [build.and_(bit, b[0]) for bit in a]
    for row in b[1:]:
        product.append(total[0])
        masked = [build.and_(bit, row) for bit in a]
        carry, sums = None, []
        for index, bit in enumerate(masked):
            above = total[index + 1] if index + 1 < len(total) else None
            operands = [wire for wire in (bit, above, carry) if wire is not None]
            if len(operands) == 3:
                bit, carry = full_adder(build, *operands)
            elif len(operands) == 2:
                bit, carry = build.xor(*operands), build.and_(*operands)
            sums.append(bit)
        total = [*sums, carry] if carry is not None else sums
    build.outputs("product", product + total)
    return build.circuit()


if __name__ == "__main__":
    write(multiplier(16), Path(__file__).with_name("multiplier16.blif"))
