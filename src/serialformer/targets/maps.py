"""Maps: how a target writes look-ups and unit tables as matrices over the dimensions where fields lie."""

from __future__ import annotations

from math import ceil, log, log2, sqrt

import numpy as np

from serialformer.architecture import DTYPES, DtypeName
from serialformer.arrays import Shaped
from serialformer.constructions.construction import Clause, LookUp, UnitTable
from serialformer.errors import CompileError
from serialformer.targets.fields import FieldLayout
from serialformer.targets.solve import solve_evenly, solve_exactly, split_rank_one

MIN_ATTENTION_GAP = 40.0


def default_attention_gap(num_positions: int) -> float:
    """The gap aimed at: 40, and beyond that enough to leave the other positions together 2^-26 of the weight."""
    return max(MIN_ATTENTION_GAP, log(num_positions) + 26 * log(2))


def query_scale(head_width: int, attention_gap: float, code_gap: int) -> float:
    """The least power of two, exact in every format, that gives at least this attention gap.

    >>> query_scale(30, 40.0, 4)
    64.0
    """
    return 2.0 ** ceil(log2(attention_gap * sqrt(head_width) / code_gap))


def store(values: np.ndarray, dtype: DtypeName) -> Shaped[np.ndarray, "..."]:
    """The same numbers in a number format that holds them."""
    with np.errstate(over="ignore"):
        stored = values.astype(DTYPES[dtype])
    lost = stored.astype(values.dtype) != values
    if lost.any():
        raise CompileError(f"{dtype} does not hold the weight {values[lost][0]:g} exactly", hint="float32 does")
    return stored


def clause_map(layout: FieldLayout, clause: Clause) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a query asks of a key's carriers: a matrix on the carriers of ``asked``, a constant, and which carriers."""
    key = layout.codings[clause.key]
    if clause.asked is None:
        probe = key.probes[clause.constant].astype(np.float64)
        used = np.flatnonzero(probe)
        return np.zeros((0, len(used))), probe[used], used
    own = layout.codings[clause.asked]
    every = np.arange(len(key.carriers))
    if clause.of_value is None:
        assert own is key or np.array_equal(own.codes[:, own.carriers], key.codes[:, key.carriers]), clause
        return np.eye(len(every)), np.zeros(len(every)), every
    inputs, outputs = own.codes[:, own.carriers], key.codes[np.array(clause.of_value)][:, key.carriers]
    asked = solve_exactly(inputs, outputs)
    if asked is None:
        asked = solve_exactly(np.pad(inputs, ((0, 0), (0, 1)), constant_values=1), outputs)
        assert asked is not None, clause
        return asked[:-1], asked[-1], every
    return asked, np.zeros(len(every)), every


def bring_maps(layout: FieldLayout, look_up: LookUp) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """For each value column of a head: its inputs, their weights, and the dimensions it adds to."""
    maps = []
    for bring in look_up.brings:
        source, target = layout.codings[bring.source], layout.codings[bring.target]
        sources, first = layout.carriers(bring.source), layout.starts[bring.target]
        if bring.of_value is None:
            assert np.array_equal(source.codes, target.codes), bring
            reads, writes = np.eye(len(source.carriers)), np.eye(len(target.carriers))
        else:
            solved = solve_evenly(
                source.codes[:, source.carriers], target.rows(np.array(bring.of_value))[:, target.carriers]
            )
            assert solved is not None, bring
            reads, writes = split_rank_one(solved)
        for column in range(reads.shape[1]):
            rows = np.flatnonzero(reads[:, column])
            # A dimension holds its carrier, times its sign.
            added = writes[column, target.carrier] * target.signs
            places = np.flatnonzero(added)
            maps.append((sources[rows], reads[rows, column], first + places, added[places]))
    return maps


def write_outputs(
    layout: FieldLayout, table: UnitTable, answer: float, sharpness: float, out: np.ndarray, *, is_last: bool = True
) -> None:
    """Fills in what a table's units write, if each gives ``sharpness`` where it fires."""
    for place, name in enumerate(table.writes):
        coding, span, written = layout.codings[name], layout.span(name), table.written[:, place]
        if table.replaced is None and not is_last:
            out[:, span] = (coding.rows(written).astype(np.float32) - coding.nothing) / sharpness
        elif table.replaced is None:
            answers = np.concatenate([coding.answers, np.zeros((1, coding.length), dtype=np.int8)])
            out[:, span] = answer / sharpness * answers[written]
        else:
            codes = coding.codes[:, coding.carriers].astype(np.float32)
            change = codes[written] - codes[table.replaced[:, place]]
            out[:, span] = change[:, coding.carrier] * coding.signs / sharpness


def watch(layout: FieldLayout, name: str, values: np.ndarray, sharpness: float) -> tuple[np.ndarray, np.ndarray]:
    """The weights of units that detect either of two values of a field, and their input if one is present.

    Where another value is there they give less by twice ``sharpness``, or more than that.
    """
    coding = layout.codings[name]
    codes = coding.codes[:, coding.watched].astype(np.float32)
    probes = coding.probes[:, : len(coding.watched)].astype(np.float32)
    # Only as many products as there are different watched values at once.
    different, which = np.unique(values, axis=0, return_inverse=True)
    watched = probes[different[:, 0]] + probes[different[:, 1]]
    products = watched @ codes.T
    rows = np.arange(len(different))
    if (products[rows, different[:, 0]] != products[rows, different[:, 1]]).any() or not watched.any(axis=1).all():
        watched, products = _watch_for_others(codes, different)
    on = products[rows, different[:, 0]].copy()
    assert np.array_equal(on, products[rows, different[:, 1]]), name
    products[rows[:, None], different] = -np.inf
    gap = on - products.max(axis=1)
    assert (gap > 0).all(), name
    scale = 2 * sharpness / np.exp2(np.floor(np.log2(np.minimum(gap, 2 * sharpness))))
    which = which.reshape(-1)
    return (watched * scale[:, None])[which].T, (on * scale)[which]


def _watch_for_others(codes: np.ndarray, different: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Watches for two values by what they are not: against the sum of all other codes."""
    others = np.stack([np.delete(codes, pair, axis=0).sum(axis=0) for pair in different])
    return -others, -others @ codes.T
