"""The evaluator's hidden units: each is an AND of signs.

A unit of n literals sees SHARPNESS (sum of the literals - (n - 1)), a literal being +1 where it holds and -1 (or
less) where it does not: SHARPNESS where all hold, at most -SHARPNESS otherwise. relu and gelu agree at both (``mlp``),
so a unit gives SHARPNESS or 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from serialformer.compile.evaluator_layout import AND, EQUALS, FALSE, NA, NOT, OR, TRUE, EvaluatorLayout
from serialformer.compile.mlp import ANSWER, EQUALS_BIAS, SHARPNESS
from serialformer.compile.residues import residue_bits, residue_signs

SLOT_OF_TYPE, SLOT_OF_FIRST, SLOT_OF_SECOND, SLOT_OF_VALUE = range(4)


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One hidden unit.

    Attributes:
        literals: the signs that it reads, with their weights; a literal may be a sum of several signs.
        num_literals: how many literals these make.
        shift: what is added to their sum.
        writes: what it adds to signs where it fires.
    """

    literals: tuple[tuple[int, float], ...]
    num_literals: int
    shift: float = 0.0
    writes: tuple[tuple[int, float], ...]


def subtraction_units(layout: EvaluatorLayout) -> Iterator[Unit]:
    """Turns ``gate`` from the number of gates m into (p div 4) - m: a table a modulus, one unit an entry.

    The unit (r, s) fires where p div 4 has the residue r and m the residue s, and writes r - s in the place of s.
    """
    first_bit = 0
    for modulus in layout.moduli:
        signs = residue_signs(np.arange(modulus), modulus)
        bits = range(residue_bits(modulus))
        for minuend in range(modulus):
            for subtrahend in range(modulus):
                difference = signs[(minuend - subtrahend) % modulus].astype(int) - signs[subtrahend]
                yield Unit(
                    literals=(
                        *((layout.place + first_bit + bit, float(signs[minuend, bit])) for bit in bits),
                        *((layout.gate + first_bit + bit, float(signs[subtrahend, bit])) for bit in bits),
                    ),
                    num_literals=2 * len(bits),
                    writes=tuple((layout.gate + first_bit + bit, float(difference[bit])) for bit in bits),
                )
        first_bit += len(bits)


def answer_units(layout: EvaluatorLayout) -> Iterator[Unit]:
    """Writes the kind of the next token: a copied type, NA or a looked-up value, or what the gate makes of its inputs.

    One unit fires where the prompt is a circuit; elsewhere perhaps none does, and ``=`` stands (``EQUALS_BIAS``).
    """

    slot, reads, fetched = layout.slot, layout.reads, layout.fetched_kind
    # Sums of two signs: 1 where both, or one of two that exclude each other, are +1; -1 or less otherwise.
    writes_type, type_shift = ((slot, -1.0), (slot + 1, -1.0)), -1.0
    writes_input, input_shift = ((reads, 1.0), (reads + 1, 1.0)), 1.0
    writes_value, value_shift = ((slot, 1.0), (slot + 1, 1.0)), -1.0

    def unit(where: Sequence[tuple[int, float]], shift: float, signs: Sequence[int], answer: int) -> Unit:
        literals = (*where, *((sign, 1.0) for sign in signs))
        return Unit(
            literals=literals, num_literals=1 + len(signs), shift=shift, writes=((layout.kind + answer, ANSWER),)
        )

    for copied in (TRUE, FALSE, AND, OR, NOT, EQUALS):
        yield unit(writes_type, type_shift, [fetched + copied], copied)
    yield unit(writes_input, input_shift, [fetched + NA], NA)
    for place, value in enumerate((TRUE, FALSE)):
        yield unit(writes_input, input_shift, [layout.value + place], value)
        yield unit(writes_value, value_shift, [fetched + value], value)
    for one, one_is in enumerate((True, False)):
        first = layout.previous + one
        yield unit(writes_value, value_shift, [fetched + NOT, first], FALSE if one_is else TRUE)
        for other, other_is in enumerate((True, False)):
            both = [first, layout.kind + (TRUE, FALSE)[other]]
            yield unit(writes_value, value_shift, [fetched + AND, *both], TRUE if one_is and other_is else FALSE)
            yield unit(writes_value, value_shift, [fetched + OR, *both], TRUE if one_is or other_is else FALSE)


def answer_bias(layout: EvaluatorLayout) -> Float[np.ndarray, " width"]:
    """The standing offer of ``=``, which ends the chain."""
    bias = np.zeros(layout.width)
    bias[2 * (layout.kind + EQUALS)] = EQUALS_BIAS
    bias[2 * (layout.kind + EQUALS) + 1] = -EQUALS_BIAS
    return bias


def units_to_matrices(
    units: Sequence[Unit], width: int, hidden_width: int
) -> tuple[
    Float[np.ndarray, "width hidden"],
    Float[np.ndarray, " hidden"],
    Float[np.ndarray, "hidden width"],
]:
    """The input matrix and bias and the output matrix; hidden units beyond those given are zero.

    A sign is read from the first dimension of its pair and written to both.
    """
    into, bias, out = np.zeros((width, hidden_width)), np.zeros(hidden_width), np.zeros((hidden_width, width))
    for number, unit in enumerate(units):
        for sign, weight in unit.literals:
            into[2 * sign, number] = SHARPNESS * weight
        bias[number] = SHARPNESS * (unit.shift - (unit.num_literals - 1))
        for sign, change in unit.writes:
            out[number, 2 * sign] = change / SHARPNESS
            out[number, 2 * sign + 1] = -change / SHARPNESS
    return into, bias, out
