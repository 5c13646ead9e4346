"""Attention, proven from the weights: heads tell the position that a look-up asks for from every other one.

A head's score is a sum over the clauses of its look-up: the code of the value that is asked for, scaled, times the
code of the value that a position holds. So the gap between a position that meets all clauses and one that does not is
found clause by clause. Where a clause compares too many values to go through all pairs, both codes are the same but
for a scale; then <a, a> - <a, b> = |a - b|^2 / 2 for codes of one norm, and codes of one sum on a grid that differ
are at least sqrt(2) steps apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from serialformer.arrays import Float64, Int64
from serialformer.constructions.construction import NOTHING, Clause, ConstructionLayer, LookUp
from serialformer.constructions.placement import IDLE
from serialformer.proofs.bounds import round_values, sum_errors
from serialformer.proofs.distances import allow_mixtures, distance_gap
from serialformer.proofs.layer_maps import LayerMaps, map_errors, stored_errors
from serialformer.proofs.rounding import FLOAT64_SLACK, Rounding
from serialformer.proofs.rounding_kernels import gamma
from serialformer.proofs.stream import RealisationError, Stream, coordinate_errors
from serialformer.transformer.transformer import Transformer

MAX_PAIRS = 1 << 22
"""So many pairs of values of a clause are gone through one by one."""

ROWS_PER_BLOCK = 1 << 16

LARGEST_LEAK = 2.0**-10
"""How much attention weight all other positions may have together for a head to count as a look-up."""

Pair = tuple[float, float]


def check_attention(
    transformer: Transformer, stream: Stream, maps: LayerMaps, index: int, num_positions: int, rounding: Rounding
) -> Pair:
    """Checks a layer's heads and updates the stream to the values after them.

    Returns:
        The least gap of scores, exact and less what rounding can take.

    Raises:
        RealisationError: a head does not do what its look-up says.
    """
    placement, architecture = stream.placement, transformer.architecture
    steps = placement.steps_of_layers
    parts, is_first = placement.construction.layers[steps[index]], index == 0
    head_width = architecture.head_width
    wanted = (maps.into != 0).any(axis=(1, 2, 3))
    if placement.one:
        wanted[placement.spans[placement.one]] = True
    errors = coordinate_errors(
        transformer, stream, maps.attention_gain, maps.attention_gain_bias, wanted, rounding, everywhere=True
    )
    heads = placement.heads[index] + (IDLE,) * (architecture.num_heads - len(placement.heads[index]))
    check_idle_heads(transformer, maps, np.array(heads) == IDLE, rounding)
    gap = (np.inf, np.inf)
    leak = 0.0
    for head, number in enumerate(heads):
        if number == IDLE:
            continue
        look_up = parts.look_ups[number]
        if look_up.distance is None:
            exact, rounded = score_gap(stream, look_up, maps, head, errors, rounding)
        else:
            visible = min(num_positions, architecture.window or num_positions)
            exact, rounded = distance_gap(stream, look_up, maps, head, errors, (num_positions, visible), rounding)
        exact, rounded = exact / float(np.sqrt(head_width)), rounded / float(np.sqrt(head_width))
        needed = np.log(num_positions / LARGEST_LEAK)
        if not rounded >= needed:
            raise RealisationError(
                f"head {head} of layer {index} ({parts.look_ups[number].name}) has a score gap of {exact:.3g},"
                f" {rounded:.3g} after rounding, where {needed:.3g} is needed"
            )
        gap = min(gap[0], exact), min(gap[1], rounded)
        leak = max(leak, num_positions * float(np.exp(-rounded)))
    check_values(stream, parts, maps, heads, errors, leak, is_first, rounding)
    return gap


def check_idle_heads(transformer: Transformer, maps: LayerMaps, is_idle: np.ndarray, rounding: Rounding) -> None:
    """Checks that heads beyond those of the construction have no effect, and that nothing overflows."""
    into, constant = maps.into[:, :, is_idle], maps.constant[:, is_idle]
    brings = (into[:, 2] != 0).any(axis=0) | (constant[2] != 0)
    if brings[maps.out[is_idle].any(axis=2)].any():
        raise RealisationError("a head beyond those of the construction brings something")
    root = np.sqrt(transformer.architecture.width)
    coordinates = np.abs(maps.attention_gain) * root + np.abs(maps.attention_gain_bias)
    projected = np.einsum("w,wphc->phc", coordinates, np.abs(into)) + np.abs(constant)
    scores = (projected[0] * projected[1]).sum(axis=1)
    if maps.angles.any():  # a rotation makes no coordinate larger than two together
        scores = 4 * projected[0].sum(axis=1) * projected[1].sum(axis=1)
    if not max(projected.max(initial=0.0), scores.max(initial=0.0)) * 4 < rounding.largest:
        raise RealisationError("a head without effect can overflow")


@dataclass(frozen=True, kw_only=True)
class _ClauseScores:
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


def score_gap(
    stream: Stream, look_up: LookUp, maps: LayerMaps, head: int, errors: np.ndarray, rounding: Rounding
) -> Pair:
    """The least difference of a head's scores between the position that a look-up reads and any other.

    Args:
        stream: what stands before attention.
        look_up: what the head is for.
        maps: of its layer.
        head: its number.
        errors: how far each coordinate behind the layer norm can be from its code.
        rounding: the runtimes to cover.

    Returns:
        The difference in exact arithmetic, and less what rounding can take; neither is divided by the root of the
        width.
    """
    into, constant = maps.into[:, :2, head], maps.constant[:2, head]
    clauses = _split_clauses(stream, look_up, into, constant, errors, rounding)
    exact = _ranked_gap(clauses) if look_up.is_ranked else min(clause.gap for clause in clauses)
    num_columns = into.shape[2] if maps.angles.any() else sum(len(clause.columns) for clause in clauses)
    rate = gamma(num_columns + 3, rounding.accumulation_roundoff) + 4 * rounding.storage_roundoff
    size, inherited = sum(clause.size for clause in clauses), _inherited(stream, clauses, maps, head, errors, rounding)
    if not (size + inherited) * (1 + rate) < rounding.largest:
        raise RealisationError(
            f"scores of look-up {look_up.name} reach {size:.3g}, beyond what {rounding.storage} holds"
        )
    lost = 2 * inherited + 2 * rate * (size + inherited)
    return exact, (exact - lost * (1 + FLOAT64_SLACK)) * (1 - 4 * rounding.storage_roundoff)


def _inherited(
    stream: Stream, clauses: list[_ClauseScores], maps: LayerMaps, head: int, errors: np.ndarray, rounding: Rounding
) -> float:
    """How far errors of query and key, and what rotating them changes, can move a score."""
    num_columns = len(maps.angles)
    # What no clause has is a zero on one side or the other, but may be turned into a column where it is not.
    magnitudes = stream.placement.magnitudes + errors
    reach = np.stack([magnitudes @ np.abs(maps.into[:, part, head]) for part in range(2)])
    reach += np.abs(maps.constant[:2, head])
    found = np.zeros((2, num_columns))
    for clause in clauses:
        for part, (levels, of_columns) in enumerate(
            ((clause.queries, clause.query_errors), (clause.keys, clause.key_errors))
        ):
            largest = [float(np.abs(one).max(initial=0.0)) for one in levels]
            reach[part, clause.columns] = largest if len(largest) > 1 else largest * len(of_columns)
            found[part, clause.columns] = of_columns
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


def _split_clauses(
    stream: Stream, look_up: LookUp, into: np.ndarray, bias: np.ndarray, errors: np.ndarray, rounding: Rounding
) -> list[_ClauseScores]:
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
) -> _ClauseScores:
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
    return _ClauseScores(
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
) -> _ClauseScores:
    """The same where there are too many pairs of values: queries must be multiples of the codes that keys are."""
    placement, name = stream.placement, clause.key
    asked = clause.asked
    if asked is None or clause.of_value is not None or stream.may_be_nothing[name]:
        raise RealisationError(f"{name} has too many values to go through all pairs of them")
    codes, own = placement.codes[name], placement.codes[asked]
    keys, queries = into[placement.spans[name], 1], into[placement.spans[asked], 0]
    scale = float(queries.max(initial=0.0))
    picks = np.count_nonzero(keys, axis=0)
    is_selection = (
        keys.shape[0] == keys.shape[1] and (picks == 1).all() and np.array_equal(keys @ keys.T, np.eye(len(keys)))
    )
    if not (is_selection and scale > 0 and np.array_equal(queries, scale * keys) and not bias.any()):
        raise RealisationError(f"queries for {name} are no multiples of its codes")
    if codes is not own and not np.array_equal(codes, own):
        raise RealisationError(f"{asked} and {name} have different codes")
    levels = placement.levels[name]
    square, gap = check_codes(codes, levels, name)
    key_levels, key_errors = _table_errors(levels[:, None], into[:, 1], bias[1], stream, errors, rounding)
    query_levels, query_errors = _table_errors(scale * levels[:, None], into[:, 0], bias[0], stream, errors, rounding)
    most = scale * square
    return _ClauseScores(
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


def check_codes(codes: np.ndarray, levels: np.ndarray, name: str) -> Pair:
    """Checks that codes are all different points of a grid with one sum and norm.

    Returns:
        Their square norm, and by how much the product of a code with itself exceeds that with another at least.
    """
    step = float(np.diff(levels).min(initial=np.inf))
    sums, squares = _extremes(codes)
    on_grid = bool((np.remainder(levels - levels[0], step) == 0).all())
    if not (sums[0] == sums[1] and squares[0] == squares[1] and on_grid and _all_different(codes)):
        raise RealisationError(f"the codes of {name} are not all different points of a grid with one sum and norm")
    # Codes of one sum and norm that differ are at least sqrt(2) steps apart.
    return float(squares[0]), step**2


def _extremes(codes: np.ndarray) -> tuple[tuple[int, int], tuple[int, int]]:
    """The least and the largest sum and square norm of codes."""
    sums, squares = [], []
    for start in range(0, len(codes), ROWS_PER_BLOCK):
        block = codes[start : start + ROWS_PER_BLOCK].astype(np.int32)
        total, square = block.sum(axis=1), np.einsum("rc,rc->r", block, block)
        sums += [int(total.min()), int(total.max())]
        squares += [int(square.min()), int(square.max())]
    return (min(sums), max(sums)), (min(squares), max(squares))


def _all_different(codes: np.ndarray) -> bool:
    """Whether no two codes are equal."""
    length = codes.shape[1]
    padded = np.zeros((len(codes), -(-length // 8) * 8), dtype=np.uint8)
    padded[:, :length] = codes.view(np.uint8) ^ 0x80  # in the order of the numbers
    words = padded.view(">u8").astype(np.uint64)
    order = np.arange(len(words))
    for _ in range(2):
        later, earlier = words[order[1:]], words[order[:-1]]
        rises, equal = np.zeros(len(later), dtype=bool), np.ones(len(later), dtype=bool)
        for column in range(words.shape[1]):
            rises |= equal & (later[:, column] > earlier[:, column])
            equal &= later[:, column] == earlier[:, column]
        if rises.all():
            return True
        order = np.lexsort(words.T[::-1])
    return False


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


def _ranked_gap(clauses: list[_ClauseScores]) -> float:
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


# --- what is brought


def check_values(
    stream: Stream,
    parts: ConstructionLayer,
    maps: LayerMaps,
    heads: tuple[int, ...],
    errors: np.ndarray,
    leak: float,
    is_first: bool,
    rounding: Rounding,
) -> None:
    """Checks that heads bring the codes of the values that are to arrive, and updates the stream.

    Args:
        stream: what stands before attention; changed to what stands behind it.
        parts: the layer of the construction.
        maps: of the layer.
        heads: the look-up of each head, or IDLE.
        errors: how far each coordinate behind the norm can be from its code.
        leak: how much attention weight other positions may have together.
        is_first: whether it is the first layer.
        rounding: the runtimes to cover.
    """
    placement = stream.placement
    into, constant, out = maps.into[:, 2], maps.constant[2], maps.out
    effective = (out != 0).any(axis=2)
    if constant[effective].any() and not placement.one:
        raise RealisationError("a value has a bias")
    expected_bias = placement.constant_change.copy() if is_first else np.zeros(placement.width)
    given = maps.out_constant + np.einsum("hc,hcd->d", constant * effective, out)
    levels = stream.placement.magnitudes
    value_error, value_reach = np.zeros(out.shape[:2]), np.zeros(out.shape[:2])
    served = [(number, look_up) for number, look_up in enumerate(parts.look_ups) if number in heads]
    for number, look_up in served:
        mine = [head for head, served in enumerate(heads) if served == number]
        unread = np.ones(placement.width, dtype=bool)
        ranges = [np.zeros(2), np.zeros(2)]
        joint: np.ndarray | None = None
        for source in dict.fromkeys(bring.source for bring in look_up.brings):
            span = placement.spans[source]
            unread[span] = False
            table = stream.table(source)
            added = sum(table @ (into[span, head] * effective[head]) @ out[head] for head in mine)
            values = np.arange(len(table))
            values[len(placement.codes[source]) :] = NOTHING
            expected = np.zeros_like(added)
            for bring in look_up.brings:
                if bring.source == source:
                    arriving = bring.arriving(values)
                    codes = placement.rows(bring.target, arriving).astype(np.float64)
                    if placement.nothing[bring.target].any() and (arriving == NOTHING).any():
                        raise RealisationError(f"nothing may arrive in {bring.target}, which must be filled")
                    expected[:, placement.spans[bring.target]] += codes
            if not np.array_equal(added, expected):
                raise RealisationError(f"look-up {look_up.name} does not bring the codes of {source}")
            sums = np.stack([added.sum(axis=1), np.square(added).sum(axis=1)], axis=1)
            part = placement.construction.field_named[source]
            if part.origin == "token":
                of_token = (
                    sums[part.of_token] if not stream.may_be_nothing[source] else sums[_last(part.of_token, sums)]
                )
                joint = of_token if joint is None else joint + of_token
            else:
                ranges = [ranges[0] + sums.min(axis=0), ranges[1] + sums.max(axis=0)]
        for head in mine:
            if (into[unread, head] * effective[head]).any():
                raise RealisationError(f"look-up {look_up.name} brings something that it should not")
        if joint is not None:
            seen = joint[stream.allowed]
            ranges = [ranges[0] + seen.min(axis=0), ranges[1] + seen.max(axis=0)]
        if look_up.distance is not None:
            allow_mixtures(stream, look_up, rounding)
        stream.brought.append((tuple(bring.target for bring in look_up.brings), np.stack(ranges)))
        for bring in look_up.brings:
            span = placement.spans[bring.target]
            if placement.nothing[bring.target].any():
                if expected_bias[span].any():
                    raise RealisationError(f"two look-ups bring into {bring.target}, which must be filled once")
                expected_bias[span] = -placement.nothing[bring.target].astype(np.float64)
            if placement.construction.field_named[bring.target].origin == "layers":
                may_miss = stream.may_be_nothing[bring.source] and bring.of_value is None
                stream.may_be_nothing[bring.target] = may_miss or NOTHING in (bring.of_value or ())
        for head in mine:
            columns = into[:, head] * effective[head]
            value_reach[head] = levels @ np.abs(columns) + np.abs(constant[head]) * effective[head]
            is_added = stream.head_biases
            bound = map_errors(columns, constant[head] * effective[head], stream, errors, rounding, is_added=is_added)
            # Values are few: any of them is some code's coordinate, or a sum of a few.
            for column in np.flatnonzero(effective[head]):
                reached = np.unique(
                    np.concatenate([stream.table(b.source) @ columns[placement.spans[b.source], column]
                                    for b in look_up.brings])
                )  # fmt: skip
                reached = reached + constant[head, column]
                error = stored_errors(
                    reached, float(constant[head, column]), float(bound[column]), placement, rounding, is_added=is_added
                ).max()
                value_error[head, column] = error + 16 * 1.1 * leak * (value_reach[head, column] + error)
    if not np.array_equal(given, expected_bias):
        raise RealisationError("what attention adds everywhere is not what the construction says")
    # Fields that are filled take the code of nothing out of the square norm.
    for _, look_up in served:
        for bring in look_up.brings:
            nothing = placement.nothing[bring.target].astype(np.float64)
            stream.own = stream.own - np.array([nothing.sum(), np.square(nothing).sum()])
    if is_first:
        change = placement.constant_change
        before, after = placement.constant, placement.constant + change
        stream.own = stream.own + np.array([change.sum(), np.square(after).sum() - np.square(before).sum()])
    _add_to_stream(stream, out, value_error, value_reach, expected_bias, rounding)


def _last(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The rows of values, the last row standing for nothing."""
    return np.where(values < 0, len(rows) - 1, values)


def _add_to_stream(
    stream: Stream,
    out: np.ndarray,
    value_error: np.ndarray,
    value_reach: np.ndarray,
    bias: np.ndarray,
    rounding: Rounding,
) -> None:
    """The error of the stream after attention."""
    placement = stream.placement
    weight = out.reshape(-1, placement.width)
    bounds = sum_errors(weight, value_reach.reshape(-1), value_error.reshape(-1), rounding)
    sizes = np.linalg.norm(weight, axis=1)
    brought = float((value_reach + value_error).reshape(-1) @ sizes + np.linalg.norm(bias))
    stream.spread(brought, len(weight) + 1, rounding)
    errors_of = {}
    reached = (weight != 0).any(axis=0)
    for name, span in placement.spans.items():
        if not reached[span].any():
            continue
        reached[span] = False
        levels = stream.levels(name)[:, None]
        if placement.one:
            error = round_values(levels + bias[span][None], bounds[span][None], rounding).max(axis=0)
        else:
            error = round_values(levels, bounds[span][None], rounding).max(axis=0)
        if bias[span].any() and not placement.one:
            error = round_values(levels - placement.nothing[name][None], error[None], rounding).max(axis=0)
        errors_of[name] = levels, error
    if reached.any():
        raise RealisationError("attention adds to dimensions that no field has")
    stream.add(errors_of, rounding)
