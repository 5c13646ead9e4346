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

import numpy as np
from jaxtyping import Int64

from serialformer.compile.blueprint import Blueprint, Cases, Head, Look, Query, UnitTable, check_sizes
from serialformer.compile.fields import Field, anagram_field, gold_field

NUM_LOOKED_UP = 3
"""Positions 0, 1 and 2 are read by every chain."""


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


def squaring_blueprint(
    name: str,
    vocabulary: tuple[str, ...],
    end_token: int,
    square_token: int,
    primes: Int64[np.ndarray, " primes"],
    length: int,
) -> Blueprint:
    """The blueprint for up to ``length`` squarings; the first tokens are the numbers from 0, by their own value.

    Raises:
        CompileError: it would take too many hidden units or positions.
    """
    bound = min(end_token, square_token)
    num_positions = 2 * length + 3
    check_sizes(name, num_squaring_units(primes), num_positions)
    tokens = np.arange(len(vocabulary))
    is_number = tokens < bound
    numbers = gold_field("number", bound)
    norm = int(np.square(numbers.codes[0].astype(int)).sum())
    # What is no number makes up for the square norm elsewhere.
    half = int((norm // 4) ** 0.5)
    assert 4 * half**2 == norm
    weight = np.array([[0, 0, 0, 0], [half, -half, half, -half]], dtype=np.int8)
    which_prime = np.full(len(tokens), len(primes), dtype=np.int64)
    which_prime[primes] = np.arange(len(primes))
    position = np.arange(num_positions, dtype=np.int64)
    # Positions 0 .. n + 2 have names of their own, those that are never looked up share one.
    names = anagram_field("name", length + 4)
    asks = np.where((position % 2 == 0) & (position >= 4), position // 2 + 1, 0)
    of_first, of_second = names.codes[1].astype(float), names.codes[2].astype(float)
    heads = (
        Head(
            queries=(Query(key="name", constant=tuple(names.codes[0].astype(float).tolist())),),
            brings=(("prime", "modulus"),),
        ),
        Head(
            queries=(
                Query(
                    key="name",
                    constant=tuple(((of_first + of_second) / 2).tolist()),
                    flag="equals",
                    by_flag=tuple(((of_first - of_second) / 2).tolist()),
                ),
            ),
            brings=(("number", "number"), ("weight", "brought weight")),
            copies=2,
        ),
        Head(queries=(Query(key="name", asked="asks"),), brings=(("equals", "ended"),)),
    )
    return Blueprint(
        name=name,
        vocabulary=vocabulary,
        end_token=end_token,
        token_fields=(
            # The anagrams of two values are (-1, 1) and (1, -1).
            (anagram_field("equals", 2), (tokens == end_token).astype(np.int64)),
            (numbers, np.where(is_number, tokens, bound)),
            (Field(name="weight", codes=weight, num_read=4), (~is_number).astype(np.int64)),
            (anagram_field("prime", len(primes) + 1), which_prime),
        ),
        position_fields=((names, np.minimum(position, length + 3)), (anagram_field("asks", length + 4), asks)),
        brought_fields=(
            anagram_field("modulus", len(primes) + 1),
            Field(name="brought weight", codes=weight, num_read=4),
            anagram_field("ended", 2),
        ),
        heads=heads,
        units=_units(primes, which_prime, bound, end_token),
        looks=_looks(tokens, end_token, position, asks),
        cases=_cases(primes, bound, end_token, square_token, num_positions),
    )


def _looks(
    tokens: Int64[np.ndarray, " tokens"],
    end_token: int,
    position: Int64[np.ndarray, " positions"],
    asks: Int64[np.ndarray, " positions"],
) -> tuple[Look, ...]:
    """Positions from 3 on may write; ``=`` stands at one of them."""
    writers = position[NUM_LOOKED_UP:]
    zeros = np.zeros_like(writers)
    equals = tokens == end_token
    return (
        Look(head=0, tokens=tokens, positions=writers, targets=zeros),
        Look(head=1, tokens=tokens[equals], positions=writers, targets=zeros + 1),
        Look(head=1, tokens=tokens[~equals], positions=writers, targets=zeros + 2),
        Look(head=2, tokens=tokens, positions=writers, targets=asks[NUM_LOOKED_UP:]),
    )


def _units(
    primes: Int64[np.ndarray, " primes"], which_prime: Int64[np.ndarray, " tokens"], bound: int, end_token: int
) -> tuple[UnitTable, ...]:
    """One unit for each prime and each pair of residues r and p - r; one for the end."""
    index = np.repeat(np.arange(len(primes)), primes // 2)
    # 1 .. p // 2 for each prime, one behind the other; modulo 2 the residue 1 is its own negative.
    residue = np.arange(len(index)) - np.repeat(np.cumsum(primes // 2) - primes // 2, primes // 2) + 1
    modulus = primes[index]
    square = residue * residue % modulus
    running = np.zeros(len(index), dtype=np.int64)
    squares = UnitTable(
        reads=("number", "modulus", "ended"),
        values=np.stack(
            [
                np.stack([residue, modulus - residue], axis=1),
                np.stack([index, index], axis=1),
                np.stack([running, running], axis=1),
            ],
            axis=1,
        ),
        writes=("equals", "number", "weight", "prime"),
        written=np.stack([running, square, running, which_prime[square]], axis=1),
    )
    end = UnitTable(
        reads=("ended",),
        values=np.ones((1, 1, 2), dtype=np.int64),
        writes=("equals", "number", "weight", "prime"),
        written=np.array([[1, bound, 1, which_prime[end_token]]]),
    )
    return squares, end


def _cases(
    primes: Int64[np.ndarray, " primes"], bound: int, end_token: int, square_token: int, num_positions: int
) -> Cases:
    """Every prime with every residue, as a token of the chain and as r behind ``=``; the end after every residue."""
    index = np.repeat(np.arange(len(primes)), primes - 1)
    residue = np.arange(len(index)) - np.repeat(np.cumsum(primes - 1) - (primes - 1), primes - 1) + 1
    modulus = primes[index]
    square = residue * residue % modulus
    some = np.zeros_like(residue)
    last = np.arange(1, bound)
    # Heads: the prime, the residue (behind "=", otherwise a ^2), and whether "=" stands where the end asks for it.
    steps = (residue, np.stack([modulus, some + square_token, modulus], axis=1), square)
    starts = (some + end_token, np.stack([modulus, residue, modulus], axis=1), square)
    largest = np.full(len(last), primes[-1])
    ends = (last, np.stack([largest, np.full(len(last), square_token), np.full(len(last), end_token)], axis=1))
    own = np.concatenate([steps[0], starts[0], ends[0]])
    return Cases(
        own=own,
        position=np.full(len(own), num_positions - 1),
        read=np.concatenate([steps[1], starts[1], ends[1]]),
        expected=np.concatenate([steps[2], starts[2], np.full(len(last), end_token)]),
    )
