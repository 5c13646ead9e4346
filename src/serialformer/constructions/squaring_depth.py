"""Iterated squaring without a chain: one layer per squaring and one more.

``=`` fetches the prime p and the residue r in the first layer. Hidden units know the square of each residue: one for
each pair of a prime and a residue, half of them (r up to p / 2) in the first layer and half in the second. Each later
layer squares once more, and there only squares occur, which are half as many. How many squarings a prompt asks for is
the position of ``=``: where they are done, a layer keeps what it finds. So n squarings take

    n + 1 layers,   units of a layer = the sum of (p - 1) / 2 over the odd primes, and up to the bound more,

and with fewer layers, L, all prompts of up to L - 1 squarings are right. The width is

    2 (3 b(B + 1) + 2 b(P + 1) + n + 4), from 4 layers on at least 8 b(B + 1), rounded up to a multiple of 4

for residues below B, P primes and b(v) = ceil(log2(v)).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from serialformer.arrays import Int64
from serialformer.constructions.claim import SquaringClaim
from serialformer.constructions.construction import (
    Bring,
    Clause,
    Construction,
    ConstructionLayer,
    Field,
    LookUp,
    UnitTable,
    check_sizes,
    exact_table,
)
from serialformer.errors import CompileError

KEEP, SQUARE = range(2)
"""The values of the fields ``step``: whether a position squares in a layer."""

MAX_UNITS_OF_LAYERS = 1 << 20
"""Layers times the hidden units of the largest. With a width of 120 their weights take 1 GB in float32."""


def squarings_construction(
    name: str,
    vocabulary: tuple[str, ...],
    end_token: int,
    primes: Int64[np.ndarray, " primes"],
    length: int,
    num_layers: int | None = None,
    *,
    ends: bool = False,
) -> Construction:
    """The construction for up to ``length`` squarings; the first tokens are the numbers from 0, by their own value.

    With ``ends`` there is a position for the answer, and only ``=`` has it written, so that nothing follows it.

    Raises:
        CompileError: it would take too many hidden units or positions, or there is only one layer.
    """
    num_layers = length + 1 if num_layers is None else num_layers
    if num_layers < 2:
        raise CompileError(f"{name} takes at least 2 layers, found {num_layers}", hint="the first squaring takes two")
    num_positions, bound = length + 3 + ends, end_token
    largest = int((primes // 2).sum()) + bound + 10
    check_sizes(name, largest, num_positions)
    if num_layers * largest > MAX_UNITS_OF_LAYERS:
        raise CompileError(
            f"{name} takes {num_layers} layers of {largest:,} hidden units, over {MAX_UNITS_OF_LAYERS:,} in all",
            hint="choose a smaller length or bound, or fewer layers",
        )
    tokens = np.arange(len(vocabulary))
    number = np.minimum(tokens, bound)
    which_prime = np.full(len(tokens), len(primes), dtype=np.int64)
    which_prime[primes] = np.arange(len(primes))
    is_equals = (tokens == end_token).astype(np.int64)
    position = np.arange(num_positions, dtype=np.int64)
    # Position q, if "=" stands there, asks for q - 2 squarings. Layer l makes squaring l - 1, from the third one on.
    steps = {
        f"step[{layer}]": np.where(position - 2 >= layer - 1, SQUARE, KEEP).astype(np.int64)
        for layer in range(3, num_layers + 1)
    }
    look_ups = (
        LookUp(
            name="modulus",
            clauses=(Clause(key="name", constant=0),),
            brings=(Bring(source="prime", target="modulus"),),
        ),
        LookUp(
            name="residue",
            clauses=(Clause(key="name", asked="given"),),
            brings=(Bring(source="number", target="residue"),),
        ),
    )
    answers = np.stack([is_equals, number, which_prime], axis=1)
    claim = SquaringClaim(primes=primes, length=length, num_squarings=min(length, num_layers - 1))
    num_moduli = len(primes) + 1
    which = "" if claim.num_squarings == length else f", of which {claim.num_squarings} are made"
    return Construction(
        name=f"{name} without a chain",
        vocabulary=vocabulary,
        end_token=end_token,
        num_positions=num_positions,
        fields=(
            Field(name="equals", num_values=2, origin="token", values=is_equals),
            Field(name="number", num_values=bound + 1, origin="token", values=number),
            Field(name="prime", num_values=num_moduli, origin="token", values=which_prime),
            Field(name="name", num_values=3, origin="position", values=np.minimum(position, 2)),
            Field(name="given", num_values=3, origin="position", values=np.minimum(position, 1)),
            *(Field(name=step, num_values=2, origin="position", values=values) for step, values in steps.items()),
            Field(name="residue", num_values=bound + 1, origin="layers"),
            Field(name="modulus", num_values=num_moduli, origin="layers"),
            Field(name="square", num_values=bound + 1, origin="layers"),
        ),
        layers=tuple(
            ConstructionLayer(
                look_ups=look_ups if layer == 1 else (),
                tables=tuple(
                    table
                    for table in _tables(primes, layer, answers if layer == num_layers else None, ends=ends)
                    if table.num_units
                ),
                clears=("square",) if 2 < layer < num_layers else (),
            )
            for layer in range(1, num_layers + 1)
        ),
        prompts=f"all prompts of up to {length} squarings{which}",
        num_chain_tokens=1,
        claims=lambda: iter([claim]),
    )


def occurring_residues(
    primes: Int64[np.ndarray, " primes"], num_squared: int
) -> tuple[Int64[np.ndarray, " pairs"], Int64[np.ndarray, " pairs"]]:
    """Pairs of a prime's number and a residue that some residue from 1 on becomes when it is squared so often.

    >>> [pair.tolist() for pair in occurring_residues(np.array([3, 5]), 1)]
    [[0, 1, 1], [1, 1, 4]]
    """
    index = np.repeat(np.arange(len(primes)), primes - 1)
    residue = np.arange(len(index)) - np.repeat(np.cumsum(primes - 1) - (primes - 1), primes - 1) + 1
    size = int(primes.max()) + 1
    pairs = index * size + residue
    for _ in range(num_squared):
        index, residue = pairs // size, pairs % size
        pairs = np.unique(index * size + residue**2 % primes[index])
    return pairs // size, pairs % size


def _tables(
    primes: Int64[np.ndarray, " primes"], layer: int, answers: Int64[np.ndarray, "vocabulary 3"] | None, *, ends: bool
) -> tuple[UnitTable, ...]:
    """What a layer squares and keeps; the last one writes tokens, whose fields ``answers`` has."""
    tables = _tables_anywhere(primes, layer, answers)
    if answers is None or not ends:
        return tables
    return tuple(
        replace(
            table,
            reads=(*table.reads, "equals"),
            watched=np.pad(table.watched, ((0, 0), (0, 1), (0, 0)), constant_values=1),
        )
        for table in tables
    )


def _tables_anywhere(
    primes: Int64[np.ndarray, " primes"], layer: int, answers: Int64[np.ndarray, "vocabulary 3"] | None
) -> tuple[UnitTable, ...]:
    """The same of units that fire whatever token stands there."""

    def written(values: np.ndarray) -> np.ndarray:
        return values[:, None] if answers is None else answers[values]

    writes = ("square",) if answers is None else ("equals", "number", "prime")
    index, residue = occurring_residues(primes, max(0, layer - 2))
    square = residue**2 % primes[index]
    # A prompt of fewer squarings keeps what may have been squared once only.
    kept = np.unique(occurring_residues(primes, 1)[1])
    if layer <= 2:
        # A position whose residue the first layer has squared is left alone by the second one, or answers.
        chosen = (2 * residue <= primes[index]) == (layer == 1)
        index, residue, square = index[chosen], residue[chosen], square[chosen]
        found = exact_table(
            "square", ["residue", "modulus"], np.stack([residue, index], axis=1), writes, written(square)
        )
        if layer == 1 or answers is None:
            return (found,)
        return found, exact_table("answer", ["square"], kept[:, None], writes, written(kept))
    step = f"step[{layer}]"
    squares = np.full(len(index), SQUARE)
    found = exact_table(
        "square", ["square", "modulus", step], np.stack([residue, index, squares], axis=1), writes, written(square)
    )
    keeps = np.full(len(kept), KEEP)
    return found, exact_table("keep", ["square", step], np.stack([kept, keeps], axis=1), writes, written(kept))
