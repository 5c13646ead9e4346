"""A finite automaton as a one-layer transformer: one token of the chain for each symbol of the prompt.

Chain token i is the state after i symbols. The position that writes it holds the state before as its own token (``=``
stands for the start state), and one head brings it symbol i, by position. A table of hidden units has the next state.

States and symbols are tokens, and a token is written in *digits*. If the next state's digits can be had a few at a time
from a few of the digits before (``Rule``), as in a direct product or of permutations, many fewer units do than a unit
for each pair of a state and a symbol. That is the corollary of arXiv 2402.12875 that regular languages need a chain of
n tokens, a width of O(log n) and one layer, with the dependence on the automaton made explicit:

    width = 2 d + 2 c(n + 1) + c(modes) + 7,  hidden units = those of the rules + states (if there is a verdict) + 1

where d is the sum over the digits of c(its values), and c(v) the length of the shortest anagrams of which there are v
(``names``), about log2(v) / 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from serialformer.compile.blueprint import Blueprint, Cases, Head, Look, Query, UnitTable, check_sizes
from serialformer.compile.fields import anagram_field

STEP, END, VERDICT = range(3)


@dataclass(frozen=True, kw_only=True, eq=False)
class Rule:
    """Hidden units: where the state and the symbol have these digits, the next state has those.

    Attributes:
        state_digits: which digits of the state are read.
        symbol_digits: which digits of the symbol are read.
        next_digits: which digits of the next state are written.
        table: a row a unit: the values of the digits, in this order.
    """

    state_digits: tuple[int, ...]
    symbol_digits: tuple[int, ...]
    next_digits: tuple[int, ...]
    table: Int64[np.ndarray, "units digits"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Machine:
    """A finite automaton over tokens.

    Attributes:
        name: what it is, for messages.
        vocabulary: the text of each token.
        end_token: the id of ``=``, whose digits are those of the start state.
        states: the tokens that are states.
        symbols: the tokens that are symbols.
        start: the token of the start state.
        next_state: for each state and symbol, the token of the next state.
        digits: for each token its digits.
        rules: how digits follow from digits; together they write all of them.
        verdict: for each state the token that is said at the end; none if the chain ends with the last state.
    """

    name: str
    vocabulary: tuple[str, ...]
    end_token: int
    states: Int64[np.ndarray, " states"]
    symbols: Int64[np.ndarray, " symbols"]
    start: int
    next_state: Int64[np.ndarray, "states symbols"]
    digits: Int64[np.ndarray, "vocabulary digits"]
    rules: tuple[Rule, ...]
    verdict: Int64[np.ndarray, " states"] | None = None


def table_rule(
    digits: Int64[np.ndarray, " vocabulary"],
    states: Int64[np.ndarray, " states"],
    symbols: Int64[np.ndarray, " symbols"],
    next_state: Int64[np.ndarray, "states symbols"],
) -> Rule:
    """One unit for each pair of a state and a symbol, over tokens of one digit."""
    state, symbol = np.meshgrid(states, symbols, indexing="ij")
    table = digits[np.stack([state.ravel(), symbol.ravel(), next_state.ravel()], axis=1)]
    return Rule(state_digits=(0,), symbol_digits=(0,), next_digits=(0,), table=table)


def machine_to_blueprint(machine: Machine, length: int) -> Blueprint:
    """The blueprint for words of this length.

    Raises:
        CompileError: it would take too many hidden units or positions.
    """
    has_verdict = machine.verdict is not None
    num_chain = length + has_verdict
    num_positions = length + 1 + num_chain
    num_units = sum(len(rule.table) for rule in machine.rules) + 1 + (len(machine.states) if has_verdict else 0)
    check_sizes(machine.name, num_units, num_positions, machine.next_state.size)
    digits = machine.digits.copy()
    digits[machine.end_token] = digits[machine.start]
    places = range(digits.shape[1])
    sizes = [int(digits[:, place].max()) + 1 for place in places]
    is_equals = (np.arange(len(digits)) == machine.end_token).astype(np.int64)
    # Position p >= n writes chain token p - n, which takes symbol p - n; only the positions of symbols need names.
    position = np.arange(num_positions, dtype=np.int64)
    token = position - length
    reads = np.where((token >= 0) & (token < length), token, 0)
    mode = np.full(num_positions, STEP, dtype=np.int64)
    mode[-1] = END
    if has_verdict:
        mode[-2] = VERDICT
    writers = position[length:]
    return Blueprint(
        name=machine.name,
        vocabulary=machine.vocabulary,
        end_token=machine.end_token,
        token_fields=(
            (anagram_field("equals", 2), is_equals),
            *((anagram_field(f"digit[{place}]", sizes[place]), digits[:, place]) for place in places),
        ),
        position_fields=(
            (anagram_field("name", length + 1), np.minimum(position, length)),
            (anagram_field("read", length + 1), np.where(token >= 0, reads, np.minimum(position, length))),
            (anagram_field("mode", 2 + has_verdict), mode),
        ),
        brought_fields=tuple(anagram_field(f"symbol[{place}]", sizes[place]) for place in places),
        heads=(
            Head(
                queries=(Query(key="name", asked="read"),),
                brings=tuple((f"digit[{place}]", f"symbol[{place}]") for place in places),
            ),
        ),
        units=_units(machine, digits, has_verdict),
        looks=(Look(head=0, tokens=np.arange(len(digits)), positions=writers, targets=reads[length:]),),
        cases=_cases(machine, num_positions, length, has_verdict),
    )


def _units(
    machine: Machine, digits: Int64[np.ndarray, "vocabulary digits"], has_verdict: bool
) -> tuple[UnitTable, ...]:
    """The rules; the verdict of each state; the end. What is not ``=`` is said so by the rules that write digit 0."""
    all_digits = tuple(f"digit[{place}]" for place in range(digits.shape[1]))
    tables = []
    for rule in machine.rules:
        reads = ["mode", *(f"digit[{place}]" for place in rule.state_digits)]
        reads += [f"symbol[{place}]" for place in rule.symbol_digits]
        watched = np.pad(rule.table[:, : len(reads) - 1], ((0, 0), (1, 0)), constant_values=STEP)
        written = rule.table[:, len(reads) - 1 :]
        writes = tuple(f"digit[{place}]" for place in rule.next_digits)
        if 0 in rule.next_digits:
            writes, written = (*writes, "equals"), np.pad(written, ((0, 0), (0, 1)), constant_values=0)
        tables.append(_table(reads, watched, writes, written))
    tables.append(
        _table(["mode"], np.array([[END]]), (*all_digits, "equals"), np.append(digits[machine.end_token], 1)[None])
    )
    if has_verdict and machine.verdict is not None:
        states = digits[machine.states]
        tables.append(
            _table(
                ["mode", *all_digits],
                np.pad(states, ((0, 0), (1, 0)), constant_values=VERDICT),
                (*all_digits, "equals"),
                np.pad(digits[machine.verdict], ((0, 0), (0, 1)), constant_values=0),
            )
        )
    return tuple(tables)


def _table(
    reads: Sequence[str],
    watched: Int64[np.ndarray, "units reads"],
    writes: tuple[str, ...],
    written: Int64[np.ndarray, "units writes"],
) -> UnitTable:
    return UnitTable(reads=tuple(reads), values=np.stack([watched, watched], axis=2), writes=writes, written=written)


def _cases(machine: Machine, num_positions: int, length: int, has_verdict: bool) -> Cases:
    """Every pair of a state and a symbol; ``=`` in place of the start state; the verdict of each state; the end."""
    starts = np.flatnonzero(machine.states == machine.start)
    state = np.append(np.arange(len(machine.states)), starts)
    own = np.append(machine.states, machine.end_token)
    own, symbol = np.repeat(own, len(machine.symbols)), np.tile(machine.symbols, len(own))
    expected = machine.next_state[state].ravel()
    position = np.full(len(own), length)
    blocks = [(own, symbol, expected, position)]
    said = machine.states
    any_symbol = int(machine.symbols[0])
    if has_verdict and machine.verdict is not None:
        said = np.unique(machine.verdict)
        some = np.full(len(machine.states), any_symbol)
        blocks.append((machine.states, some, machine.verdict, np.full(len(some), num_positions - 2)))
    some = np.full(len(said), any_symbol)
    blocks.append((said, some, np.full(len(said), machine.end_token), np.full(len(said), num_positions - 1)))
    own, symbol, expected, position = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return Cases(own=own, position=position, read=symbol[:, None], expected=expected)
