"""Small models for the page."""

from __future__ import annotations

from serialformer import Model, compile
from serialformer.circuits.builder import CircuitBuilder
from serialformer.circuits.circuit import Circuit

HOSTILE = ("</script><script>alert(1)</script>", "\"'<b>&amp;", "\N{PILE OF POO}\u202e", "n" * 10_000)
"""Names that a netlist may bear: markup, quotes, what reads backwards, and a very long one."""


def adder(width: int = 2, *, names: tuple[str, str, str] = ("a", "b", "sum")) -> Circuit:
    """The sum of two words, with a carry."""
    build = CircuitBuilder()
    first, second = build.inputs(names[0], width), build.inputs(names[1], width)
    total, carry = [], None
    for one, other in zip(first, second, strict=True):
        either, both = build.xor(one, other), build.and_(one, other)
        total.append(either if carry is None else build.xor(either, carry))
        carry = both if carry is None else build.or_(both, build.and_(either, carry))
    assert carry is not None
    build.outputs(names[2], [*total, carry])
    return build.circuit()


def compiled_adder(width: int = 2) -> Model:
    return compile(adder(width))


def hostile_model() -> Model:
    return compile(adder(1, names=HOSTILE[:3]))
