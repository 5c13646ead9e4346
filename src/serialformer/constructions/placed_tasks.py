"""Tasks in tokens that say where they stand: what a family without an embedding of positions can realise.

A prompt and a chain of one fixed layout are asked for: then each position can hold a few tokens, and each of these gets
a copy of its own. The end of the chain is not written by a unit but stands where no unit fires, since the token that
ends a text has no position.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from serialformer.arrays import Int64
from serialformer.constructions.claim import TableClaim
from serialformer.constructions.construction import Construction, UnitTable
from serialformer.constructions.placed_tokens import VOCABULARY_MULTIPLE, PlacedTokens, place_tokens
from serialformer.errors import CompileError

MAX_TOKENS = 1 << 18
"""Tokens of all positions together. With a width of 256 their embedding takes 0.3 GB in float32."""

HINT = "--target gpt2 takes every task that has a construction"


def place_task(construction: Construction) -> tuple[Construction, PlacedTokens]:
    """The construction whose chain ends where no unit fires, and its tokens.

    Args:
        construction: of a task, with a chain.

    Raises:
        CompileError: it has several layers, its prompts differ in length, or there would be too many tokens.

    >>> from serialformer.constructions.tasks import task_construction
    >>> from serialformer.tasks.registry import make_task
    >>> construction, tokens = place_task(task_construction(make_task("parity"), 2))
    >>> construction.num_units, tokens.vocabulary[7:16]
    (4, ('aao', 'aai', 'abo', 'abi', 'ace', 'ado', 'adi', 'aeo', 'aei'))
    """
    claim = _only_claim(construction)
    allowed = claimed_tokens(construction, claim)
    check_number_of_tokens(construction, int(allowed.sum()))
    possible = [np.flatnonzero(row).tolist() for row in allowed]
    placed = place_tokens(
        possible,
        num_plain=len(construction.vocabulary),
        plain_end=construction.end_token,
        multiple=VOCABULARY_MULTIPLE,
    )
    return end_by_default(construction), placed


def check_number_of_tokens(construction: Construction, total: int) -> None:
    """Refuses more tokens than an embedding can reasonably have.

    Raises:
        CompileError: there are more.
    """
    if total > MAX_TOKENS:
        raise CompileError(
            f"{construction.name} would take {total:,} tokens, over {MAX_TOKENS:,}: one for each position and each"
            " token that can stand there",
            hint="choose a smaller length or parameter, or --target gpt2",
        )


def claimed_tokens(construction: Construction, claim: TableClaim) -> np.ndarray:
    """For each position and token whether a claim says that it can stand there, but for the end of the chain."""
    allowed = np.zeros((construction.num_positions + 1, len(construction.vocabulary)), dtype=bool)
    allowed[: claim.num_prompt] = claim.prompt.any(axis=1)
    for rule in claim.rules:
        written = np.unique(rule.expected)
        written = written[written != construction.end_token]
        allowed[np.ix_(rule.positions + 1, written)] = True
    return allowed[:-1]


def repeat_claim(claim: TableClaim, times: int) -> TableClaim:
    """The claim about a construction in which every look-up is made several times, one round after another."""
    rules = tuple(
        replace(rule, sources=np.tile(rule.sources, (1, times)), read=np.tile(rule.read, (1, times)))
        for rule in claim.rules
    )
    return replace(claim, rules=rules)


def _only_claim(construction: Construction) -> TableClaim:
    """The claim of a construction of one layer for prompts of one layout."""
    if len(construction.layers) > 1 or construction.counts:
        raise CompileError(f"{construction.name} takes several layers, or counts", hint=HINT)
    claims = construction.claims()
    claim = next(claims)
    if not isinstance(claim, TableClaim) or next(claims, None) is not None:
        raise CompileError(
            f"the prompts of {construction.name} differ in length, so that a token of a Llama cannot say where it"
            " stands",
            hint=HINT,
        )
    return claim


def end_by_default(construction: Construction) -> Construction:
    """The same construction without the units that write ``=``, which is written where none fires.

    Raises:
        CompileError: look-ups bring values to where something stands.
    """
    layer, look_ups = construction.layers[-1], [one for each in construction.layers for one in each.look_ups]
    joined = {bring.target for look_up in look_ups for bring in look_up.brings}
    if any(part.origin != "layers" for part in construction.fields if part.name in joined):
        raise CompileError(
            f"{construction.name} brings values into fields that tokens decide, which changes the norm of a Llama's"
            " stream",
            hint=HINT,
        )
    end = {part.name: int(part.of_token[construction.end_token]) for part in construction.fields_of("token")}
    tables = []
    for table in layer.tables:
        wanted = np.array([end.get(name, -2) for name in table.writes], dtype=np.int64)
        is_end = np.full(table.num_units, set(end) == set(table.writes)) & (table.written == wanted).all(axis=1)
        if not is_end.all():
            tables.append(_choose_units(table, np.flatnonzero(~is_end)))
    return replace(construction, layers=(*construction.layers[:-1], replace(layer, tables=tuple(tables))), default=end)


def _choose_units(table: UnitTable, units: Int64[np.ndarray, " chosen"]) -> UnitTable:
    return replace(table, watched=table.watched[units], written=table.written[units])
