"""The scores of a head: by how much the position that a look-up asks for leads, after rounding."""

from __future__ import annotations

import numpy as np

from serialformer.arrays import Float64
from serialformer.constructions.construction import LookUp
from serialformer.proofs.bounds import round_values
from serialformer.proofs.clause_scores import ClauseScores, Pair, ranked_gap, split_clauses
from serialformer.proofs.layer_maps import LayerMaps
from serialformer.proofs.rounding import FLOAT64_SLACK, Rounding
from serialformer.proofs.rounding_kernels import gamma
from serialformer.proofs.stream import RealisationError, Stream
from serialformer.proofs.turned_heads import turned_scores, turns_heads


def score_gap(
    stream: Stream, look_up: LookUp, maps: LayerMaps, head: int, errors: np.ndarray, rounding: Rounding
) -> Pair:
    """The least difference of a head's scores between the position that a look-up reads and any other.

    Args:
        stream: what stands before attention.
        look_up: what the head is for.
        maps: of its layer.
        head: its number.
        errors: how far each coordinate after the layer norm can be from its code.
        rounding: the runtimes to cover.

    Returns:
        The difference in exact arithmetic, and less what rounding can take; neither is divided by the root of the
        width.
    """
    into, constant = maps.into[:, :2, head], maps.constant[:2, head]
    clauses = split_clauses(stream, look_up, into, constant, errors, rounding)
    exact = ranked_gap(clauses) if look_up.is_ranked else min(clause.gap for clause in clauses)
    is_turned = turns_heads(stream)
    num_columns = into.shape[2] if maps.angles.any() or is_turned else sum(len(clause.columns) for clause in clauses)
    rate = gamma(num_columns + 3, rounding.accumulation_roundoff) + 4 * rounding.storage_roundoff
    reach, found = _column_bounds(stream, clauses, maps, head, errors)
    if is_turned:
        size, inherited = turned_scores(stream, reach, maps, head, errors, rounding)
    else:
        size = sum(clause.size for clause in clauses)
        inherited = _inherited(clauses, maps, reach, found, rounding)
    if not (size + inherited) * (1 + rate) < rounding.largest:
        raise RealisationError(
            f"scores of look-up {look_up.name} reach {size:.3g}, beyond what {rounding.storage} holds"
        )
    lost = 2 * inherited + 2 * rate * (size + inherited)
    return exact, (exact - lost * (1 + FLOAT64_SLACK)) * (1 - 4 * rounding.storage_roundoff)


def _column_bounds(
    stream: Stream, clauses: list[ClauseScores], maps: LayerMaps, head: int, errors: np.ndarray
) -> tuple[Float64[np.ndarray, "2 columns"], Float64[np.ndarray, "2 columns"]]:
    """The largest magnitude of each column of queries and keys, and how far those of clauses can be off."""
    # What no clause has is a zero on one side or the other, but may be turned into a column where it is not.
    magnitudes = stream.placement.magnitudes + errors
    reach = np.stack([magnitudes @ np.abs(maps.into[:, part, head]) for part in range(2)])
    reach += np.abs(maps.constant[:2, head])
    found = np.zeros(reach.shape)
    for clause in clauses:
        for part, (levels, of_columns) in enumerate(
            ((clause.queries, clause.query_errors), (clause.keys, clause.key_errors))
        ):
            largest = [float(np.abs(one).max(initial=0.0)) for one in levels]
            reach[part, clause.columns] = largest if len(largest) > 1 else largest * len(of_columns)
            found[part, clause.columns] = of_columns
    return reach, found


def _inherited(
    clauses: list[ClauseScores],
    maps: LayerMaps,
    reach: Float64[np.ndarray, "2 columns"],
    found: Float64[np.ndarray, "2 columns"],
    rounding: Rounding,
) -> float:
    """How far errors of query and key, and what rotating them by positions changes, can move a score."""
    num_columns = len(maps.angles)
    if maps.angles.any():
        partner = np.roll(np.arange(num_columns), num_columns // 2)
        turned = found.copy()
        is_clause = np.zeros(num_columns, dtype=bool)
        for part in range(2):
            spill = (reach + found)[part, partner]
            for clause in clauses:
                levels, is_clause[clause.columns] = (clause.queries, clause.keys)[part], True
                for place, column in enumerate(clause.columns.tolist()):
                    own = levels[min(place, len(levels) - 1)]
                    turned[part, column] = rotated_error(
                        own, found[part, column], spill[column], maps.angles[column], rounding
                    )
            for column in np.flatnonzero(~is_clause):
                own = np.array([0.0, reach[part, column]])
                turned[part, column] = rotated_error(own, 0.0, spill[column], maps.angles[column], rounding)
        # Where no clause is, the product of the two is not what it should be at all, unless one of them is zero.
        outside = (reach.min(axis=0) * reach.max(axis=0))[~is_clause] * (reach.min(axis=0) > 0)[~is_clause]
        extra = float(outside.sum())
        found = turned
    else:
        mine = np.concatenate([clause.columns for clause in clauses]) if clauses else np.zeros(0, dtype=np.int64)
        reach, found, extra = reach[:, mine], found[:, mine], 0.0
    return float((reach[0] * found[1] + found[0] * reach[1] + found[0] * found[1]).sum()) + extra


def rotated_error(levels: np.ndarray, error: float, spill: float, angle: float, rounding: Rounding) -> float:
    """How far a coordinate can be from the numbers that it can be, once it is rotated by at most this angle.

    Its cosine is 1 up to angle^2 / 2, and its sine at most the angle; either may be stored, which moves the cosine no
    further than to 1 and makes the sine at most twice as large. Both products and their sum may be stored.

    Args:
        levels: what the coordinate can be.
        error: how far it can be from them before.
        spill: the largest magnitude of its partner.
        angle: in radians.
        rounding: the runtimes to cover.
    """
    if spill == 0 and error == 0 and not levels.any():
        return 0.0
    if not angle < 0.5:
        return np.inf
    cosine = angle**2 + 8 * rounding.accumulation_roundoff
    sine = 2.1 * angle + rounding.smallest
    size = np.abs(levels) + error
    own = round_values(levels, error + size * cosine, rounding)
    other = spill * sine * (1 + 2 * rounding.storage_roundoff)
    total = own + other + 2 * rounding.accumulation_roundoff * (np.abs(levels) + own + other)
    return float(round_values(levels, total, rounding).max(initial=0.0))
