"""A finite automaton as a one-layer transformer: one token of the chain for each symbol of the prompt.

Chain token i is the state after i symbols. The position that writes it holds the state before as its own token (``=``
stands for the start state), and one head brings it symbol i, by position. A table of hidden units has the next state.

States and symbols are tokens, and a token is written in *digits*. If the next state's digits can be had a few at a
time from a few of the digits before (``DigitRule``), as in a direct product or of permutations, many fewer units do
than a unit for each pair of a state and a symbol. That is the corollary of arXiv 2402.12875 that regular languages
need a chain of n tokens, a width of O(log n) and one layer, with the dependence on the automaton made explicit:

    width = 2 d + 2 c(n + 1) + c(modes) + 7,  hidden units = those of the rules + states (if there is a verdict) + 1

where d is the sum over the digits of c(its values), and c(v) the length of the shortest position codes of which there
are v (``targets.position_codes``), about log2(v) / 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serialformer.arrays import Int64
from serialformer.constructions.claim import ANY, Rule, TableClaim, token_sets
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

STEP, END, VERDICT = range(3)


@dataclass(frozen=True, kw_only=True, eq=False)
class DigitRule:
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
    rules: tuple[DigitRule, ...]
    verdict: Int64[np.ndarray, " states"] | None = None


def table_rule(
    digits: Int64[np.ndarray, " vocabulary"],
    states: Int64[np.ndarray, " states"],
    symbols: Int64[np.ndarray, " symbols"],
    next_state: Int64[np.ndarray, "states symbols"],
) -> DigitRule:
    """One unit for each pair of a state and a symbol, over tokens of one digit."""
    state, symbol = np.meshgrid(states, symbols, indexing="ij")
    table = digits[np.stack([state.ravel(), symbol.ravel(), next_state.ravel()], axis=1)]
    return DigitRule(state_digits=(0,), symbol_digits=(0,), next_digits=(0,), table=table)


def machine_to_construction(machine: Machine, length: int) -> Construction:
    """The construction for words of this length.

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
    own_name = np.minimum(position, length)
    return Construction(
        name=machine.name,
        vocabulary=machine.vocabulary,
        end_token=machine.end_token,
        num_positions=num_positions,
        fields=(
            Field(name="equals", num_values=2, origin="token", values=is_equals),
            *(
                Field(name=f"digit[{place}]", num_values=sizes[place], origin="token", values=digits[:, place])
                for place in places
            ),
            Field(name="name", num_values=length + 1, origin="position", values=own_name),
            Field(name="read", num_values=length + 1, origin="position", values=np.where(token >= 0, reads, own_name)),
            Field(name="mode", num_values=2 + has_verdict, origin="position", values=mode),
            *(Field(name=f"symbol[{place}]", num_values=sizes[place], origin="layers") for place in places),
        ),
        layers=(
            ConstructionLayer(
                look_ups=(
                    LookUp(
                        name="symbol",
                        clauses=(Clause(key="name", asked="read"),),
                        brings=tuple(Bring(source=f"digit[{place}]", target=f"symbol[{place}]") for place in places),
                    ),
                ),
                tables=_tables(machine, digits),
            ),
        ),
        prompts=f"all words of {length} symbols",
        num_chain_tokens=num_chain,
        claims=lambda: iter([_claim(machine, length)]),
    )


def _claim(machine: Machine, length: int) -> TableClaim:
    """Every pair of a state and a symbol; ``=`` in place of the start state; the verdict of each state; the end."""
    num_tokens, has_verdict = len(machine.vocabulary), machine.verdict is not None
    symbol = np.tile(machine.symbols, len(machine.states))
    first = np.flatnonzero(machine.states == machine.start)
    steps = length + np.arange(length, dtype=np.int64)
    rules = [
        _rule(steps[:1], steps[:1] - length, machine.end_token, machine.symbols, machine.next_state[first].ravel()),
        _rule(
            steps[1:],
            steps[1:] - length,
            np.repeat(machine.states, len(machine.symbols)),
            symbol,
            machine.next_state.ravel(),
        ),
    ]
    last, said = np.array([2 * length + has_verdict]), machine.states
    if machine.verdict is not None:
        rules.append(_rule(last - 1, np.array([0]), machine.states, ANY, machine.verdict))
        said = np.unique(machine.verdict)
    rules.append(_rule(last, np.array([0]), said, ANY, machine.end_token))
    return TableClaim(
        name=f"all words of {length} symbols",
        prompt=token_sets(num_tokens, *[machine.symbols] * length, np.array([machine.end_token])),
        rules=tuple(rules),
    )


def _rule(
    positions: np.ndarray,
    source: np.ndarray,
    own: np.ndarray | int,
    symbol: np.ndarray | int,
    expected: np.ndarray | int,
) -> Rule:
    own, symbol, expected = np.broadcast_arrays(own, symbol, expected)
    return Rule(
        positions=positions,
        sources=source[:, None],
        own=own.astype(np.int64),
        read=symbol.astype(np.int64)[:, None],
        expected=expected.astype(np.int64),
    )


def _tables(machine: Machine, digits: Int64[np.ndarray, "vocabulary digits"]) -> tuple[UnitTable, ...]:
    """The rules; the end; the verdict of each state. The rules that write digit 0 also write that it is not ``=``."""
    all_digits = tuple(f"digit[{place}]" for place in range(digits.shape[1]))
    tables = []
    for number, rule in enumerate(machine.rules):
        reads = ["mode", *(f"digit[{place}]" for place in rule.state_digits)]
        reads += [f"symbol[{place}]" for place in rule.symbol_digits]
        watched = np.pad(rule.table[:, : len(reads) - 1], ((0, 0), (1, 0)), constant_values=STEP)
        written = rule.table[:, len(reads) - 1 :]
        writes = tuple(f"digit[{place}]" for place in rule.next_digits)
        if 0 in rule.next_digits:
            writes, written = (*writes, "equals"), np.pad(written, ((0, 0), (0, 1)), constant_values=0)
        tables.append(exact_table(f"rule {number}", reads, watched, writes, written))
    tables.append(
        exact_table("end", ["mode"], [[END]], (*all_digits, "equals"), np.append(digits[machine.end_token], 1)[None])
    )
    if machine.verdict is not None:
        watched = np.pad(digits[machine.states], ((0, 0), (1, 0)), constant_values=VERDICT)
        written = np.pad(digits[machine.verdict], ((0, 0), (0, 1)), constant_values=0)
        tables.append(exact_table("verdict", ["mode", *all_digits], watched, (*all_digits, "equals"), written))
    return tuple(tables)
