"""Iterated squaring modulo every prime below a bound, in one layer.

The prompt is p, r, k times ``^2`` and ``=``; chain token i is r^(2^i) mod p. The position that writes it has the
residue before as its own token, and heads bring it the rest, by position:

1. the prime, from position 0;
2. at ``=``, the residue r, from position 1. Elsewhere it reads position 2, a ``^2``, which holds no number, so that one
   field of the residual stream holds the residue in either case (two heads, half of the dimensions each);
3. whether the chain is at its end: ``=`` stands at e = k + 2 and the last token at 2 e - 2, so position q, if even,
   asks whether ``=`` stands at q / 2 + 1. There the model writes ``=``.

A residue and its negative have one square, and with the code of residues (``gold_codes``) one hidden unit can watch for
both:

    hidden units = 2 + the sum over the odd primes below the bound of (p - 1) / 2,      37,981 for 1000,
    width = 4 max((g + 4) / 2, c(n + 4), ceil((g + 2 c(P + 1) + 2 c(n + 4) + 17) / 4))

where the length is n, P the number of primes, g = 34 (bound up to 1023; then 130) the length of the code, and c as in
``automaton``. A unit for each pair of a prime and a residue would be 75,960 with a code of 8 dimensions in place of 34.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from serialformer.arrays import Int64
from serialformer.constructions.claim import ANY, Rule, TableClaim
from serialformer.constructions.construction import (
    NOTHING,
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


def primes_below(bound: int) -> Int64[np.ndarray, " primes"]:
    """The primes below a bound of at least 3.

    >>> primes_below(12).tolist()
    [2, 3, 5, 7, 11]
    """
    number = np.arange(2, bound)
    small = np.arange(2, int(bound**0.5) + 1)
    return number[((number[:, None] % small != 0) | (number[:, None] == small)).all(axis=1)]


def num_squaring_units(primes: Int64[np.ndarray, " primes"]) -> int:
    """Hidden units: one for each prime and square, and one for the end.

    >>> num_squaring_units(np.array([2, 3, 5, 7]))
    8
    """
    return int((primes // 2).sum()) + 1


def squaring_construction(
    name: str,
    vocabulary: tuple[str, ...],
    end_token: int,
    square_token: int,
    primes: Int64[np.ndarray, " primes"],
    length: int,
) -> Construction:
    """The construction for up to ``length`` squarings; the first tokens are the numbers from 0, by their own value.

    Raises:
        CompileError: it would take too many hidden units or positions.
    """
    bound = min(end_token, square_token)
    num_positions = 2 * length + 3
    check_sizes(name, num_squaring_units(primes), num_positions)
    tokens = np.arange(len(vocabulary))
    which_prime = np.full(len(tokens), len(primes), dtype=np.int64)
    which_prime[primes] = np.arange(len(primes))
    position = np.arange(num_positions, dtype=np.int64)
    # Positions 0 .. n + 2 have names of their own, those that are never looked up share one.
    num_names = length + 4
    asks = np.where((position % 2 == 0) & (position >= 4), position // 2 + 1, 0)
    look_ups = (
        LookUp(
            name="modulus",
            clauses=(Clause(key="name", constant=0),),
            brings=(Bring(source="prime", target="modulus"),),
        ),
        LookUp(
            name="residue",
            clauses=(Clause(key="name", asked="equals", of_value=(2, 1)),),
            brings=(Bring(source="number", target="number"),),
            copies=2,
        ),
        LookUp(
            name="ended",
            clauses=(Clause(key="name", asked="asks"),),
            brings=(Bring(source="equals", target="ended"),),
        ),
    )
    num_moduli = len(primes) + 1
    return Construction(
        name=name,
        vocabulary=vocabulary,
        end_token=end_token,
        num_positions=num_positions,
        fields=(
            Field(name="equals", num_values=2, origin="token", values=(tokens == end_token).astype(np.int64)),
            Field(name="number", num_values=bound, origin="token", values=np.where(tokens < bound, tokens, NOTHING)),
            Field(name="prime", num_values=num_moduli, origin="token", values=which_prime),
            Field(name="name", num_values=num_names, origin="position", values=np.minimum(position, length + 3)),
            Field(name="asks", num_values=num_names, origin="position", values=asks),
            Field(name="modulus", num_values=num_moduli, origin="layers"),
            Field(name="ended", num_values=2, origin="layers"),
        ),
        layers=(ConstructionLayer(look_ups=look_ups, tables=_tables(primes, which_prime, end_token)),),
        prompts=f"all prompts of up to {length} squarings",
        num_chain_tokens=length,
        claims=lambda: _claims(primes, len(vocabulary), end_token, square_token, length),
    )


def _claims(
    primes: Int64[np.ndarray, " primes"], num_tokens: int, end_token: int, square_token: int, length: int
) -> Iterator[TableClaim]:
    """Prompts with 1, 2, ... squarings: the residue before is squared until as many tokens as ``^2`` have been written.

    The third look-up reads a ``^2`` or the prime, unless the chain is at its end.
    """
    index = np.repeat(np.arange(len(primes)), primes - 1)
    residue = np.arange(len(index)) - np.repeat(np.cumsum(primes - 1) - (primes - 1), primes - 1) + 1
    modulus = primes[index]
    square = residue * residue % modulus
    is_equals, is_square = np.full_like(residue, end_token), np.full_like(residue, square_token)
    starts, steps = (
        [np.stack([modulus, second, third], axis=1) for third in (is_square, modulus)]
        for second in (residue, is_square)
    )
    allowed = np.zeros((len(primes), num_tokens), dtype=bool)
    allowed[index, residue] = True
    for num_squarings in range(1, length + 1):
        end = num_squarings + 2
        prompt = np.zeros((end + 1, len(primes), num_tokens), dtype=bool)
        prompt[0, np.arange(len(primes)), primes] = True
        prompt[1] = allowed
        prompt[2:end, :, square_token] = True
        prompt[end, :, end_token] = True
        positions = np.arange(end, end + num_squarings)
        asks = np.where((positions % 2 == 0) & (positions >= 4), positions // 2 + 1, 0)
        rules = []
        for first in (True, False):
            for odd in (0, 1):
                chosen = ((positions == end) == first) & (positions % 2 == odd)
                sources = np.stack([0 * positions, np.full_like(positions, 1 if first else 2), asks], axis=1)
                own, read = (is_equals, starts[odd]) if first else (residue, steps[odd])
                rules.append(
                    Rule(positions=positions[chosen], sources=sources[chosen], own=own, read=read, expected=square)
                )
        rules.append(
            Rule(
                positions=np.array([end + num_squarings]),
                sources=np.array([[0, 2, end]]),
                own=np.array([ANY]),
                read=np.array([[ANY, ANY, end_token]]),
                expected=np.array([end_token]),
            )
        )
        yield TableClaim(
            name=f"all prompts with {num_squarings} squarings",
            prompt=prompt,
            rules=tuple(rule for rule in rules if len(rule.positions)),
            anchor=0,
            anchor_tokens=primes,
        )


def _tables(
    primes: Int64[np.ndarray, " primes"], which_prime: Int64[np.ndarray, " tokens"], end_token: int
) -> tuple[UnitTable, ...]:
    """One unit for each prime and each pair of residues r and p - r; one for the end."""
    index = np.repeat(np.arange(len(primes)), primes // 2)
    # 1 .. p // 2 for each prime, one after another; modulo 2 the residue 1 is its own negative.
    residue = np.arange(len(index)) - np.repeat(np.cumsum(primes // 2) - primes // 2, primes // 2) + 1
    modulus = primes[index]
    square = residue * residue % modulus
    running = np.zeros(len(index), dtype=np.int64)
    squares = UnitTable(
        name="square",
        reads=("number", "modulus", "ended"),
        watched=np.stack(
            [
                np.stack([residue, modulus - residue], axis=1),
                np.stack([index, index], axis=1),
                np.stack([running, running], axis=1),
            ],
            axis=1,
        ),
        writes=("equals", "number", "prime"),
        written=np.stack([running, square, which_prime[square]], axis=1),
    )
    end = exact_table("end", ["ended"], [[1]], ["equals", "number", "prime"], [[1, NOTHING, which_prime[end_token]]])
    return squares, end
