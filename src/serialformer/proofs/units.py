"""Hidden units, proven from the weights: each fires where its fields hold what it watches for, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from serialformer.arrays import Float64
from serialformer.constructions.construction import ConstructionLayer, UnitTable
from serialformer.constructions.placement import Placement
from serialformer.errors import CompileError
from serialformer.proofs.bounds import round_values, sum_errors
from serialformer.proofs.rounding import FLOAT64_SLACK, Rounding
from serialformer.proofs.rounding_kernels import gamma
from serialformer.proofs.stream import RealisationError, Stream, coordinate_errors
from serialformer.proofs.token_kernels import activation_error
from serialformer.transformer.transformer import Transformer

UNITS_PER_BLOCK = 1 << 11


def check_units(
    transformer: Transformer,
    stream: Stream,
    weights: dict[str, np.ndarray],
    layer: ConstructionLayer,
    is_last: bool,
    rounding: Rounding,
) -> None:
    """Checks a layer's hidden units, and updates the stream to what stands behind them."""
    from serialformer.proofs.clearing import check_clearing

    placement, tables = stream.placement, layer.tables
    read = np.zeros(placement.width, dtype=bool)
    for table in tables:
        for name in table.reads:
            read[placement.spans[name]] = True
    for name in layer.clears:
        read[placement.spans[name]] = True
    errors = coordinate_errors(transformer, stream, weights["mlp_norm_gain"], weights["mlp_norm_bias"], read, rounding)
    into, bias, out = weights["mlp_in_weight"], weights["mlp_in_bias"], weights["mlp_out_weight"]
    copies = 1 + placement.is_saturated
    num_units = copies * sum(table.num_units for table in tables)
    cleared, num_units = check_clearing(transformer, stream, weights, layer.clears, num_units, errors, rounding)
    check_idle_units(transformer, weights, num_units, rounding)
    # At most one unit fires that writes into a field; where fields hold nothing, several may give a little.
    added, largest, leaks = np.zeros(placement.width), np.zeros(placement.width), _Leaks(stream)
    first = 0
    for table in tables:
        _check_exclusive(table)
        for start in range(0, table.num_units, UNITS_PER_BLOCK):
            rows = slice(start, min(start + UNITS_PER_BLOCK, table.num_units))
            units = slice(first + rows.start, first + rows.stop)
            if placement.is_saturated:
                seconds = slice(units.start + table.num_units, units.stop + table.num_units)
                _check_pairs(placement, table, [weight[..., units] for weight in (into, bias, out.T)],
                             [weight[..., seconds] for weight in (into, bias, out.T)])  # fmt: skip
            on, near_zero = _unit_errors(
                transformer, stream, table, rows, into[:, units], bias[units], errors, rounding
            )
            _check_written(stream, table, rows, out[units], is_last)
            magnitude = np.abs(out[units])
            added = np.maximum(added, (on[:, None] * magnitude).max(axis=0))
            # The first of a pair gives twice as much as both together, the second once.
            reach = placement.unit_output * (3 if placement.is_saturated else 1)
            largest = np.maximum(largest, reach * magnitude.max(axis=0))
            leaks.add(table, rows, near_zero[:, None] * magnitude)
        first += copies * table.num_units
    bias_out, expected = weights["mlp_out_bias"], np.zeros(placement.width)
    if is_last:
        for name, value in placement.construction.default.items():
            expected[placement.spans[name]] = placement.default_weight * placement.answers[name][value]
    for name in cleared:
        expected[placement.spans[name]] = bias_out[placement.spans[name]]  # has been checked with the units
        largest[placement.spans[name]] += cleared[name].size
    if not np.array_equal(bias_out, expected):
        raise RealisationError("the output bias of the hidden units is not the default")
    # Adding zeros rounds nothing.
    rate = gamma(copies * len(tables) + 2, rounding.accumulation_roundoff)
    size, leaked = largest + np.abs(bias_out), leaks.total()
    added = np.where(size > 0, added + leaked + 2 * rate * (size + added + leaked), 0.0)
    if is_last:
        stream.error = stream.stored + added  # ``logits`` rounds the answers
        return
    stream.clear(layer.clears)
    for table in tables:
        for name in table.writes if table.replaced is None else ():
            stream.fill(name)
    errors_of = {}
    for name in dict.fromkeys([*layer.clears, *(name for table in tables for name in table.writes)]):
        codes, dimensions = stream.table(name), placement.dimensions(name)
        change = 2 * np.abs(codes).max(axis=0)
        if name not in cleared:
            errors_of[name] = codes, round_values(change, added[dimensions], rounding)
            continue
        left = cleared[name]
        from_stream = left.from_stream + added[dimensions]
        from_stream += rounding.storage_roundoff * (change + stream.stored[dimensions] + from_stream)
        from_codes = round_values(change, left.from_codes + added[dimensions], rounding) + stream.stored[dimensions]
        errors_of[name] = codes, np.minimum(from_stream, from_codes)
        stream.stored[dimensions] = 0.0
    stream.add(errors_of, rounding)


def _check_pairs(
    placement: Placement, table: UnitTable, firsts: Sequence[np.ndarray], seconds: Sequence[np.ndarray]
) -> None:
    """Checks that the second unit of each pair sees ``unit_output`` less than the first, and takes away what it gives.

    Args:
        placement: where the units are.
        table: whose they are.
        firsts: the weights of the first units: what they read, their bias, and what they write.
        seconds: the same of the second ones.
    """
    (into, bias, out), (into_second, bias_second, out_second) = firsts, seconds
    is_pair = (
        np.array_equal(into, into_second)
        and np.array_equal(bias - placement.unit_output, bias_second)
        and np.array_equal(-out, out_second)
    )
    if not is_pair:
        raise RealisationError(f"the units of table {table.name} are no pairs")


def _check_exclusive(table: UnitTable) -> None:
    """Checks that two units of a table never fire together."""
    try:
        keys, _, _ = table.index
    except CompileError as error:
        raise RealisationError(error.message) from None
    assert len(keys) >= table.num_units


class _Leaks:
    """What units may give where fields that they read hold nothing.

    Units that watch for different values in fields that do hold something exclude each other.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._groups: dict[tuple[str, ...], dict[bytes, np.ndarray]] = {}

    def add(self, table: UnitTable, rows: slice, written: Float64[np.ndarray, "units width"]) -> None:
        """Adds what some units of a table may give to each dimension."""
        definite = [place for place, name in enumerate(table.reads) if not self._stream.may_be_nothing[name]]
        group = self._groups.setdefault(tuple(table.reads[place] for place in definite), {})
        for unit in np.flatnonzero(written.any(axis=1)):
            pair = table.watched[rows.start + unit, definite]
            key = np.sort(pair, axis=1).tobytes() if (pair[:, 0] == pair[:, 1]).all() else b""
            group[key] = group.get(key, 0.0) + written[unit]

    def total(self) -> Float64[np.ndarray, " width"]:
        """The most that all of them may give at once."""
        total = np.zeros(self._stream.placement.width)
        for group in self._groups.values():
            shared = group.pop(b"", 0.0)
            total += shared + np.max(list(group.values()), axis=0, initial=0.0) if group else shared
        return total


def _unit_errors(
    transformer: Transformer,
    stream: Stream,
    table: UnitTable,
    rows: slice,
    into: np.ndarray,
    bias: np.ndarray,
    errors: np.ndarray,
    rounding: Rounding,
) -> tuple[Float64[np.ndarray, " units"], Float64[np.ndarray, " units"]]:
    """Checks that units fire where they should and nowhere else.

    Returns:
        How far what a unit gives can be from the ideal where it fires, and from 0 where a field that it reads holds
        nothing.
    """
    placement, num_units = stream.placement, len(bias)
    is_relu = transformer.architecture.activation == "relu"
    unread = np.ones(placement.width, dtype=bool)
    on = np.stack([bias, bias])
    largest, size = bias.copy(), np.zeros(num_units)
    # How much less a unit sees than its most when one field holds a value it does not watch for, or nothing.
    loss, loss_of_nothing = np.full(num_units, np.inf), np.full(num_units, np.inf)
    units = np.arange(num_units)
    for place, name in enumerate(table.reads):
        span = placement.spans[name]
        unread[span] = False
        codes = stream.table(name)
        products = codes @ into[span]
        pair = table.watched[rows, place]
        watched = np.stack([products[pair[:, 0], units], products[pair[:, 1], units]])
        on += np.stack([watched.min(axis=0), watched.max(axis=0)])
        most = products.max(axis=0)
        if stream.may_be_nothing[name]:
            loss_of_nothing = np.minimum(loss_of_nothing, most - products[-1])
            products = products[:-1]
        products[pair[:, 0], units] = products[pair[:, 1], units] = -np.inf
        largest, loss = largest + most, np.minimum(loss, most - products.max(axis=0))
        size += np.abs(codes).max(axis=0) @ np.abs(into[span])
    if into[unread].any():
        raise RealisationError(f"a unit of table {table.name} reads a field that it should not")
    bound = sum_errors(into, stream.placement.magnitudes, errors, rounding)
    # What the units of a pair see where they fire; or the one unit, if there are no pairs.
    ideals = (2 * placement.unit_output, placement.unit_output) if placement.is_saturated else (placement.unit_output,)
    ideal, gives, lost = ideals[0], np.zeros(num_units), np.zeros(num_units)
    inherited = errors @ np.abs(into)
    for seen in ideals:
        own = bias - (ideal - seen)
        # The sum before the bias is added may be stored.
        before = round_values(seen - own, bound + np.abs(on - ideal).max(axis=0), rounding)
        on_error = round_values(np.full(num_units, seen), before, rounding)
        if not (on_error <= 1).all():
            raise RealisationError(f"a unit of table {table.name} errs by {on_error.max():.2g} of {seen:g}")
        gives += activation_errors(seen, on_error, is_relu, rounding)
        # Both of a pair hand on by how much their fields are off, which is gone in the difference; this is not.
        lost += bound - inherited
        lost += (rounding.storage_roundoff + rounding.accumulation_roundoff) * (np.abs(seen - own) + seen + 3)
    if placement.is_saturated:
        gives = np.minimum(gives, lost * (1 + FLOAT64_SLACK))
    off = largest - loss
    spoilt = bound + rounding.storage_roundoff * (np.abs(off - bias) + np.abs(off) + 2 * bound)
    if not (np.isinf(loss) | (off + spoilt < (0.0 if is_relu else -SILENCE))).all():
        raise RealisationError(f"a unit of table {table.name} comes too near to firing where it should not")
    if not (size < rounding.largest / 4).all():
        raise RealisationError(f"a unit of table {table.name} can overflow")
    near_zero = np.zeros(num_units)
    if np.isfinite(loss_of_nothing).any():
        off = np.where(np.isfinite(loss_of_nothing), largest - loss_of_nothing, -ideal)
        if not (off <= 0).all():
            raise RealisationError(f"a unit of table {table.name} can fire where a field holds nothing")
        spoilt = bound + rounding.storage_roundoff * (np.abs(off - bias) + np.abs(off) + 2 * bound)
        # It sees 0 at most.
        at_zero = round_values(np.zeros(num_units), round_values(-bias, bound, rounding), rounding)
        silent = off + spoilt < (0.0 if is_relu else -SILENCE)
        near_zero = np.where(silent, 0.0, activation_errors(0.0, at_zero, is_relu, rounding))
        if placement.is_saturated and near_zero.any():
            raise RealisationError(f"a unit of table {table.name} may give something where a field holds nothing")
    return gives, near_zero


SILENCE = 5.5
"""The tangent's argument in gelu is below -10 for inputs below minus this, where every library's tangent is -1."""


def activation_errors(ideal: float, errors: np.ndarray, is_relu: bool, rounding: Rounding) -> np.ndarray:
    """How far what units give can be from the ideal, when what they see is off by this much."""
    result = np.empty(len(errors))
    different, which = np.unique(errors, return_inverse=True)
    bounds = np.array([activation_error(ideal, error, is_relu, rounding.constants()) for error in different.tolist()])
    bounds = bounds.reshape(-1, 2)
    result = np.abs(bounds[:, 0] - ideal) + bounds[:, 1]
    return result[which.reshape(-1)]


def _check_written(stream: Stream, table: UnitTable, rows: slice, out: np.ndarray, is_last: bool) -> None:
    """Checks that units write the codes that they are to write, and nothing else."""
    placement = stream.placement
    expected = np.zeros_like(out)
    for place, name in enumerate(table.writes):
        span, written = placement.spans[name], table.written[rows, place]
        if table.replaced is not None:
            old = placement.rows(name, table.replaced[rows, place]).astype(np.float64)
            expected[:, span] = placement.rows(name, written) - old
        elif is_last:
            answers = placement.answers[name].astype(np.float64)
            expected[:, span] = placement.answer_weight * np.vstack([answers, np.zeros(answers.shape[1])])[written]
        else:
            expected[:, span] = placement.rows(name, written).astype(np.float64) - placement.nothing[name]
    if not np.array_equal(placement.unit_output * out, expected):
        raise RealisationError(f"a unit of table {table.name} does not write what it is to write")


def check_idle_units(
    transformer: Transformer, weights: dict[str, np.ndarray], num_units: int, rounding: Rounding
) -> None:
    """Refuses units without effect that could overflow: infinity times zero is no number."""
    root = np.sqrt(transformer.architecture.width)
    coordinates = np.abs(weights["mlp_norm_gain"]) * root + np.abs(weights["mlp_norm_bias"])
    sums = coordinates @ np.abs(weights["mlp_in_weight"][:, num_units:]) + np.abs(weights["mlp_in_bias"][num_units:])
    if not sums.max(initial=0.0) * 4 < rounding.largest:
        raise RealisationError("a hidden unit without effect can overflow")
