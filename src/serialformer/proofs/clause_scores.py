"""What one clause of a look-up adds to the scores of a head, from the weights and the codes that it compares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from serialformer.arrays import Float64, Int64
from serialformer.constructions.construction import NOTHING, Clause, LookUp
from serialformer.proofs.code_distances import check_codes
from serialformer.proofs.layer_maps import map_errors, stored_errors
from serialformer.proofs.rounding import Rounding
from serialformer.proofs.stream import RealisationError, Stream

MAX_PAIRS = 1 << 22
"""The most pairs of values of a clause that are checked one by one."""

Pair = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class ClauseScores:
    """What one clause adds to the score of a position.

    Attributes:
        met: the least and the largest where the position meets it.
        unmet: the least and the largest where it does not.
        gap: the least difference between a position that meets it and one that does not, for one query.
        spread: the largest difference between two positions that do not meet it, for one query.
        size: the largest product of the norms of query and key.
        columns: the columns of the head that are its.
        queries: the numbers that each of these columns of a query can be, one array for all of them or one for each.
        keys: likewise of a key.
        query_errors: how far each of these columns can be from them.
        key_errors: likewise of a key.
        weight: of the clause.
    """

    met: Pair
    unmet: Pair
    gap: float
    spread: float
    size: float
    columns: Int64[np.ndarray, " columns"]
    queries: Sequence[np.ndarray]
    keys: Sequence[np.ndarray]
    query_errors: Float64[np.ndarray, " columns"]
    key_errors: Float64[np.ndarray, " columns"]
    weight: int


def split_clauses(
    stream: Stream, look_up: LookUp, into: np.ndarray, bias: np.ndarray, errors: np.ndarray, rounding: Rounding
) -> list[ClauseScores]:
    """The scores by clause; every column that enters them is one clause's."""
    is_query, is_key = (((into[:, part] != 0).any(axis=0) | (bias[part] != 0)) for part in range(2))
    used = is_query & is_key
    taken, scores = np.zeros(len(used), dtype=bool), []
    outside = np.ones(len(into), dtype=bool)
    for clause in look_up.clauses:
        span = stream.placement.spans[clause.key]
        outside[span] = False
        mine = used & (into[span, 1] != 0).any(axis=0)
        if (mine & taken).any():
            raise RealisationError(f"two clauses of look-up {look_up.name} share a column of their head")
        taken |= mine
        scores.append(
            replace(
                _clause_scores(stream, clause, into[:, :, mine], bias[:, mine], errors, rounding),
                columns=np.flatnonzero(mine),
            )
        )
    if into[outside][:, 1][:, used].any() or not taken[used].all():
        raise RealisationError(f"the keys of look-up {look_up.name} hold more than it compares")
    # Columns of which only one side is not zero add zero, as long as they are finite.
    levels = stream.placement.magnitudes + errors
    for part in range(2):
        if not (levels @ np.abs(into[:, part]) + np.abs(bias[part])).max(initial=0.0) * 4 < rounding.largest:
            raise RealisationError(f"look-up {look_up.name} can overflow")
    return scores


def _clause_scores(
    stream: Stream, clause: Clause, into: np.ndarray, bias: np.ndarray, errors: np.ndarray, rounding: Rounding
) -> ClauseScores:
    placement, span = stream.placement, stream.placement.spans[clause.key]
    unread = np.ones(len(into), dtype=bool)
    if clause.asked is not None:
        unread[placement.spans[clause.asked]] = False
    if into[unread, 0].any():
        raise RealisationError(f"a query that is to ask for {clause.key} asks for something else as well")
    num_values = len(placement.codes[clause.key])
    num_asked = 1 if clause.asked is None else len(placement.codes[clause.asked])
    if num_values * num_asked > MAX_PAIRS:
        return _code_scores(stream, clause, into, bias, errors, rounding)
    keys = stream.table(clause.key) @ into[span, 1] + bias[1]
    if clause.asked is None:
        queries, wanted = bias[:1].copy(), np.array([clause.constant])
    else:
        codes = placement.codes[clause.asked].astype(np.float64)
        queries = codes @ into[placement.spans[clause.asked], 0] + bias[0]
        wanted = clause.wanted(np.arange(len(codes)))
    query_levels, query_errors = _table_errors(queries, into[:, 0], bias[0], stream, errors, rounding)
    key_levels, key_errors = _table_errors(keys, into[:, 1], bias[1], stream, errors, rounding)
    sizes = [float(np.sqrt(np.square(part).sum(axis=1).max(initial=0.0))) for part in (queries, keys)]
    met, unmet, gap, spread = _compare_values(queries, keys, wanted)
    return ClauseScores(
        met=met,
        unmet=unmet,
        gap=gap,
        spread=spread,
        size=sizes[0] * sizes[1],
        columns=np.arange(keys.shape[1]),
        queries=query_levels,
        keys=key_levels,
        query_errors=query_errors,
        key_errors=key_errors,
        weight=clause.weight,
    )


def _code_scores(
    stream: Stream, clause: Clause, into: np.ndarray, bias: np.ndarray, errors: np.ndarray, rounding: Rounding
) -> ClauseScores:
    """The same where there are too many pairs of values: queries must be multiples of what keys are.

    Keys are the codes, or some of their coordinates, each as it is.
    """
    placement, name = stream.placement, clause.key
    asked = clause.asked
    if asked is None or clause.of_value is not None or stream.may_be_nothing[name]:
        raise RealisationError(f"{name} has too many values to go through all pairs of them")
    codes, own = placement.codes[name], placement.codes[asked]
    keys, queries = into[placement.spans[name], 1], into[placement.spans[asked], 0]
    scale = float(queries.max(initial=0.0))
    picked = keys.argmax(axis=0)
    is_selection = len(np.unique(picked)) == len(picked) > 0 and np.array_equal(keys, np.eye(len(keys))[:, picked])
    if not (is_selection and scale > 0 and np.array_equal(queries, scale * keys) and not bias.any()):
        raise RealisationError(f"queries for {name} are no multiples of its codes")
    if codes is not own and not np.array_equal(codes, own):
        raise RealisationError(f"{asked} and {name} have different codes")
    levels = placement.levels[name]
    compared = codes if np.array_equal(picked, np.arange(len(keys))) else np.ascontiguousarray(codes[:, picked])
    square, gap = check_codes(compared, levels, name)
    key_levels, key_errors = _table_errors(levels[:, None], into[:, 1], bias[1], stream, errors, rounding)
    query_levels, query_errors = _table_errors(scale * levels[:, None], into[:, 0], bias[0], stream, errors, rounding)
    most = scale * square
    return ClauseScores(
        met=(most, most),
        unmet=(-most, most),
        gap=scale * gap,
        spread=2 * most,
        size=most,
        columns=np.arange(keys.shape[1]),
        queries=query_levels,
        keys=key_levels,
        query_errors=query_errors,
        key_errors=key_errors,
        weight=clause.weight,
    )


def _table_errors(
    table: np.ndarray, weight: np.ndarray, bias: np.ndarray, stream: Stream, errors: np.ndarray, rounding: Rounding
) -> tuple[list[np.ndarray], Float64[np.ndarray, " columns"]]:
    """What each column of queries or keys can be, and how far it can be from that, whichever row stands there.

    A table of one column stands for all of them.
    """
    is_added = stream.head_biases
    bounds = map_errors(weight, bias, stream, errors, rounding, is_added=is_added)
    result = np.zeros(weight.shape[1])
    different = [np.unique(column) for column in table.T]  # few, however many rows
    for column in range(weight.shape[1]):
        levels = different[min(column, len(different) - 1)]
        result[column] = stored_errors(
            levels, float(bias[column]), float(bounds[column]), stream.placement, rounding, is_added=is_added
        ).max()
    return different, result


def _compare_values(queries: np.ndarray, keys: np.ndarray, wanted: np.ndarray) -> tuple[Pair, Pair, float, float]:
    """Scores of the value asked for and of others: extremes where met and unmet, the least gap, the largest spread."""
    asks = wanted != NOTHING
    products = queries[asks] @ keys.T
    rows = np.arange(len(products))
    own = products[rows, wanted[asks]].copy()
    others = products.copy()
    others[rows, wanted[asks]] = -np.inf
    highest = others.max(axis=1)
    others[rows, wanted[asks]] = np.inf
    lowest = others.min(axis=1)
    has_others = np.isfinite(highest)
    gap = float((own - highest)[has_others].min(initial=np.inf))
    spread = float((highest - lowest)[has_others].max(initial=0.0))
    unmet = (float(lowest[has_others].min(initial=0.0)), float(highest[has_others].max(initial=0.0)))
    return (float(own.min()), float(own.max())), unmet, gap, spread


def ranked_gap(clauses: list[ClauseScores]) -> float:
    """The least difference between a position that meets clauses of more weight and one that meets others."""
    least = np.inf
    for winner, loser in product(product((False, True), repeat=len(clauses)), repeat=2):
        weights = [sum(c.weight for c, met in zip(clauses, pattern, strict=True) if met) for pattern in (winner, loser)]
        if weights[0] <= weights[1]:
            continue
        difference = 0.0
        for clause, wins, loses in zip(clauses, winner, loser, strict=True):
            if wins and not loses:
                difference += clause.gap
            elif loses and not wins:
                difference -= clause.met[1] - clause.unmet[0]
            elif not wins:
                difference -= clause.spread
        least = min(least, difference)
    return least
