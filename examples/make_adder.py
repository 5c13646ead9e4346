"""Writes a ripple-carry or a prefix adder as BLIF: `python make_adder.py ripple|prefix WIDTH FILE.blif`."""

from __future__ import annotations

import sys
from pathlib import Path

from serialformer import Circuit, CircuitBuilder, write


def ripple_adder(width: int) -> Circuit:
    """The sum of words a and b, bit by bit: few gates, and a depth that grows with the width."""
    build = CircuitBuilder()
    a, b = build.inputs("a", width), build.inputs("b", width)
    carry, bits = build.and_(a[0], b[0]), [build.xor(a[0], b[0])]
    for one, other in zip(a[1:], b[1:], strict=True):
        half = build.xor(one, other)
        bits.append(build.xor(half, carry))
        carry = build.or_(build.and_(one, other), build.and_(half, carry))
    build.outputs("sum", [*bits, carry])
    return build.circuit()


def prefix_adder(width: int) -> Circuit:
    """The same by Kogge and Stone: the carries of twice as many bits in each step, so that depth is logarithmic."""
    build = CircuitBuilder()
    a, b = build.inputs("a", width), build.inputs("b", width)
    halves = [build.xor(one, other) for one, other in zip(a, b, strict=True)]
    makes, passes = [build.and_(one, other) for one, other in zip(a, b, strict=True)], list(halves)
    reach = 1
    while reach < width:
        steps = range(reach, width)
        joined = [build.or_(makes[i], build.and_(passes[i], makes[i - reach])) for i in steps]
        both = [build.and_(passes[i], passes[i - reach]) for i in steps]
        makes, passes = makes[:reach] + joined, passes[:reach] + both
        reach *= 2
    bits = [halves[0], *(build.xor(half, carry) for half, carry in zip(halves[1:], makes, strict=False))]
    build.outputs("sum", [*bits, makes[-1]])
    return build.circuit()


if __name__ == "__main__":
    KINDS = {"ripple": ripple_adder, "prefix": prefix_adder}
    if len(sys.argv) != 4 or sys.argv[1] not in KINDS or not sys.argv[2].isdigit() or int(sys.argv[2]) < 2:
        sys.exit(f"error: expected ripple|prefix, a width of at least 2, and a file, found {sys.argv[1:]}")
    write(KINDS[sys.argv[1]](int(sys.argv[2])), Path(sys.argv[3]))
