"""Hidden units, proven from the weights: each fires where its fields hold what it watches for, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from serialformer.architecture import Activation
from serialformer.arrays import Bool, Float64
from serialformer.constructions.construction import ConstructionLayer, UnitTable
from serialformer.constructions.placement import Placement
from serialformer.errors import CompileError
from serialformer.proofs.activations import activation_errors, silu_errors
from serialformer.proofs.bounds import round_any, round_values
from serialformer.proofs.clearing import check_clearing
from serialformer.proofs.gated_pairs import NormedParts, PairInput, pair_errors, split_norm
from serialformer.proofs.layer_maps import LayerMaps, map_errors, one_of
from serialformer.proofs.moving import check_moving
from serialformer.proofs.rounding import FLOAT64_SLACK, Rounding
from serialformer.proofs.rounding_kernels import gamma
from serialformer.proofs.stream import RealisationError, Stream, coordinate_errors
from serialformer.transformer.transformer import Transformer

UNITS_PER_BLOCK = 1 << 11

LARGEST_ERROR = 1.0
"""How far what a unit sees may be from what it should see where it fires."""

LARGEST_ERROR_OF_PAIRS = 2.5
"""The same of units in pairs, whose difference does not depend on it: from 5.5 on gelu is linear to within 1e-8."""


def check_units(
    transformer: Transformer,
    stream: Stream,
    maps: LayerMaps,
    layer: ConstructionLayer,
    index: int,
    is_last: bool,
    rounding: Rounding,
) -> None:
    """Checks a layer's hidden units, and updates the stream to the values after them."""
    placement, tables = stream.placement, layer.tables
    read = np.zeros(placement.width, dtype=bool)
    for table in tables:
        for name in table.reads:
            read[placement.spans[name]] = True
    for name in layer.clears:
        read[placement.spans[name]] = True
    if placement.one:
        read[placement.spans[placement.one]] = True
    is_moving = is_last and placement.following != ""
    for name in (placement.address, placement.following) if is_moving else ():
        read[placement.spans[name]] = True
    errors = coordinate_errors(transformer, stream, maps.mlp_gain, maps.mlp_gain_bias, read, rounding)
    into, bias, out = maps.unit_in, maps.unit_constant, maps.unit_out
    copies = 1 + placement.is_saturated
    num_units = copies * sum(table.num_units for table in tables)
    up_error = _up_error(stream, maps, num_units, errors, rounding)
    parts = None
    if maps.unit_up is not None and placement.is_saturated:
        parts = split_norm(stream, maps, transformer.architecture.norm_epsilon, up_error, rounding)
    moved = check_moving(stream, maps, num_units, errors, rounding) if is_moving else None
    num_units += 0 if moved is None else len(moved.dimensions)
    cleared, num_units = check_clearing(transformer, stream, maps, layer.clears, num_units, errors, rounding)
    check_idle_units(transformer, maps, num_units, rounding)
    # At most one unit fires that writes into a field; where fields hold nothing, several may give a little.
    added, largest, leaks = np.zeros(placement.width), np.zeros(placement.width), _Leaks(stream)
    hushed = np.zeros(placement.width)
    first, written = 0, float(np.linalg.norm(maps.unit_out_constant))
    for table in tables:
        _check_exclusive(table)
        strongest = 0.0
        for start in range(0, table.num_units, UNITS_PER_BLOCK):
            rows = slice(start, min(start + UNITS_PER_BLOCK, table.num_units))
            units = slice(first + rows.start, first + rows.stop)
            if placement.is_saturated:
                seconds = slice(units.start + table.num_units, units.stop + table.num_units)
                _check_pairs(placement, table, [weight[..., units] for weight in (into, bias, out.T)],
                             [weight[..., seconds] for weight in (into, bias, out.T)])  # fmt: skip
            on, off, near_zero = _unit_errors(
                transformer.architecture.activation, stream, table, rows, into[:, units], bias[units], errors, parts,
                rounding,
            )  # fmt: skip
            if maps.unit_up is not None and parts is None:
                on, off, near_zero = _multiplied(placement.unit_output, (on, off, near_zero), up_error, rounding)
            _check_written(stream, table, rows, out[units], is_last)
            magnitude = np.abs(out[units])
            added = np.maximum(added, (on[:, None] * magnitude).max(axis=0))
            # The first of a pair gives twice as much as both together, the second once.
            reach = placement.unit_output * (3 if placement.is_saturated else 1)
            largest = np.maximum(largest, reach * magnitude.max(axis=0))
            seen = reach + (2 * LARGEST_ERROR_OF_PAIRS if placement.is_saturated else LARGEST_ERROR)
            strongest = max(strongest, seen * float(np.linalg.norm(magnitude, axis=1).max()))
            leaks.add(table, rows, near_zero[:, None] * magnitude)
            hushed += off @ magnitude
        first += copies * table.num_units
        written += strongest
    if moved is not None:
        added[moved.dimensions], largest[moved.dimensions] = moved.error, moved.size
    bias_out, expected = maps.unit_out_constant, np.zeros(placement.width)
    if is_last and placement.placed is None:
        for name, value in placement.construction.default.items():
            expected[placement.spans[name]] = placement.default_weight * placement.answers[name][value]
    for name in cleared:
        expected[placement.spans[name]] = bias_out[placement.spans[name]]  # has been checked with the units
        largest[placement.spans[name]] += cleared[name].size
    if not np.array_equal(bias_out, expected):
        raise RealisationError("the output bias of the hidden units is not the default")
    # Adding zeros rounds nothing.
    rate = gamma(copies * len(tables) + 2, rounding.accumulation_roundoff)
    size, leaked = largest + np.abs(bias_out), leaks.total() + hushed
    added = np.where(size > 0, added + leaked + 2 * rate * (size + added + leaked), 0.0)
    terms = copies * len(tables) + 2 + num_units * bool(leaked.any()) + sum(len(left.size) for left in cleared.values())
    written += sum(left.norms for left in cleared.values()) + float(added.sum() + leaked.sum())
    if stream.frame is not None:
        heard = stream.frame.normed_size(float(placement.deviation)) + stream.heard
        of_distractors, uncancelled = stream.frame.of_distracting_units(index, heard, rounding)
        if of_distractors:
            written, terms = written + of_distractors, stream.frame.hidden_width + 2
            stream.ball += uncancelled
    stream.spread(written, terms, rounding)
    if is_last:
        stream.error = stream.stored + added  # ``logits`` rounds the answers
        if moved is not None:
            stream.error[moved.dimensions] = moved.after(stream, added, rounding)
        return
    stream.clear(layer.clears)
    for table in tables:
        for name in table.writes if table.replaced is None else ():
            stream.fill(name)
    errors_of = {}
    for name in dict.fromkeys([*layer.clears, *(name for table in tables for name in table.writes)]):
        codes, dimensions = stream.table(name), placement.dimensions(name)
        change, levels = 2 * np.abs(codes).max(axis=0), stream.levels(name)
        changes = np.unique(levels[:, None] - levels)
        if name not in cleared:
            errors_of[name] = codes, round_any(changes, added[dimensions], rounding)
            continue
        left = cleared[name]
        from_stream = left.from_stream + added[dimensions]
        from_stream += rounding.storage_roundoff * (change + stream.stored[dimensions] + from_stream)
        from_codes = round_any(changes, left.from_codes + added[dimensions], rounding) + stream.stored[dimensions]
        errors_of[name] = codes, np.minimum(from_stream, from_codes)
        stream.stored[dimensions] = 0.0
    stream.add(errors_of, rounding)


def _check_pairs(
    placement: Placement, table: UnitTable, firsts: Sequence[np.ndarray], seconds: Sequence[np.ndarray]
) -> None:
    """Checks that the second unit of each pair sees ``unit_output`` less than the first and is subtracted.

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
    activation: Activation,
    stream: Stream,
    table: UnitTable,
    rows: slice,
    into: np.ndarray,
    bias: np.ndarray,
    errors: np.ndarray,
    parts: NormedParts | None,
    rounding: Rounding,
) -> tuple[Float64[np.ndarray, " units"], Float64[np.ndarray, " units"], Float64[np.ndarray, " units"]]:
    """Checks that units fire where they should and nowhere else.

    Returns:
        How far what a unit gives can be from the ideal where it fires, from 0 where it does not, and from 0 where a
        field that it reads holds nothing.
    """
    placement, num_units = stream.placement, len(bias)
    is_relu, is_silu = activation == "relu", activation == "silu"
    silence = 0.0 if is_relu else -SILU_SILENCE if is_silu else -SILENCE
    unread = np.ones(placement.width, dtype=bool)
    on_least, on_most = bias.copy(), bias.copy()
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
        one, other = products[pair[:, 0], units], products[pair[:, 1], units]
        on_least += np.minimum(one, other)
        on_most += np.maximum(one, other)
        most = products.max(axis=0)
        if stream.may_be_nothing[name]:
            loss_of_nothing = np.minimum(loss_of_nothing, most - products[-1])
            products = products[:-1]
        products[pair[:, 0], units] = products[pair[:, 1], units] = -np.inf
        largest, loss = largest + most, np.minimum(loss, most - products.max(axis=0))
        size += np.abs(codes).max(axis=0) @ np.abs(into[span])
    if into[unread].any():
        raise RealisationError(f"a unit of table {table.name} reads a field that it should not")

    def distance_from(ideal: float) -> Float64[np.ndarray, " units"]:
        """How far what each unit sees where it fires can be from the ideal, before rounding."""
        return np.maximum(np.abs(on_least - ideal), np.abs(on_most - ideal))

    bound = map_errors(into, bias, stream, errors, rounding)
    if parts is not None:
        second = map_errors(into, bias - placement.unit_output, stream, errors, rounding)
        if not (size + np.abs(bias) + placement.unit_output < rounding.largest / 4).all():
            raise RealisationError(f"a unit of table {table.name} can overflow")
        pairs = PairInput(
            table=table.name,
            into=into,
            constant=bias,
            off_ideal=distance_from(2 * placement.unit_output),
            most_off=largest - np.minimum(loss, loss_of_nothing),
            bound=np.maximum(bound, second),
        )
        return *pair_errors(pairs, stream, parts, rounding), np.zeros(num_units)
    # What the units of a pair see where they fire; or the one unit, if there are no pairs.
    ideals = (2 * placement.unit_output, placement.unit_output) if placement.is_saturated else (placement.unit_output,)
    ideal, gives, lost = ideals[0], np.zeros(num_units), np.zeros(num_units)
    most_off = LARGEST_ERROR_OF_PAIRS if placement.is_saturated else LARGEST_ERROR
    inherited = errors @ np.abs(into) + stream.heard * np.linalg.norm(into, axis=0)
    for seen in ideals:
        own = bias - (ideal - seen)
        before = bound + distance_from(ideal)
        if not placement.one:  # the sum before the bias is added may be stored
            before = round_values(seen - own, before, rounding)
        on_error = round_values(np.full(num_units, seen), before, rounding)
        if not (on_error <= most_off).all():
            raise RealisationError(f"a unit of table {table.name} errs by {on_error.max():.2g} of {seen:g}")
        gives += (
            silu_errors(seen, on_error, rounding) if is_silu else activation_errors(seen, on_error, is_relu, rounding)
        )
        # Both of a pair hand on by how much their fields are off, which is gone in the difference; this is not.
        lost += bound - inherited
        lost += (rounding.storage_roundoff + rounding.accumulation_roundoff) * (np.abs(seen - own) + seen + 3)
    if placement.is_saturated:
        gives = np.minimum(gives, lost * (1 + FLOAT64_SLACK))
    off = largest - loss
    spoilt = bound + rounding.storage_roundoff * (np.abs(off - bias) + np.abs(off) + 2 * bound)
    if not (np.isinf(loss) | (off + spoilt < silence)).all():
        raise RealisationError(f"a unit of table {table.name} comes too near to firing where it should not")
    if not (size < rounding.largest / 4).all():
        raise RealisationError(f"a unit of table {table.name} can overflow")
    near_zero = np.zeros(num_units)
    if np.isfinite(loss_of_nothing).any():
        off = np.where(np.isfinite(loss_of_nothing), largest - loss_of_nothing, -ideal)
        if not (off <= 0).all():
            raise RealisationError(f"a unit of table {table.name} can fire where a field holds nothing")
        spoilt = bound + rounding.storage_roundoff * (np.abs(off - bias) + np.abs(off) + 2 * bound)
        silent = off + spoilt < silence
        if is_silu:
            # It sees 0 at most, and silu dips no deeper than this below it.
            near_zero = np.where(silent, 0.0, SILU_DIP + silu_errors(0.0, bound, rounding))
        else:
            # It sees 0 at most, and gelu dips no deeper than this below it.
            at_zero = round_values(np.zeros(num_units), round_values(-bias, bound, rounding), rounding)
            dip = np.where(silent | is_relu, 0.0, GELU_DIP)
            if dip.any():
                dip[~_may_dip(stream, table, into, bias, bound, rounding)] = 0.0
            near_zero = np.where(silent, 0.0, dip + activation_errors(0.0, at_zero, is_relu, rounding))
        if placement.is_saturated and near_zero.any():
            raise RealisationError(f"a unit of table {table.name} may give something where a field holds nothing")
    return gives, np.full(num_units, SILU_LEAK if is_silu else 0.0), near_zero


def _may_dip(
    stream: Stream, table: UnitTable, into: np.ndarray, bias: np.ndarray, bound: np.ndarray, rounding: Rounding
) -> Bool[np.ndarray, " units"]:
    """Which units may see something between silence and 0 where a field that they read holds nothing.

    With nothing in one field, a unit sees the most if all its other fields hold what counts most. Otherwise it sees
    less by at least the least step of one of them. Neither gives anything if the first is 0 and the second silent.
    """

    def is_silent(seen: np.ndarray) -> np.ndarray:
        spoilt = bound + rounding.storage_roundoff * (np.abs(seen - bias) + np.abs(seen) + 2 * bound)
        return np.isneginf(seen) | (seen + spoilt < -SILENCE)

    most, losses, steps = bias.copy(), [], []
    for name in table.reads:
        products = stream.table(name) @ into[stream.placement.spans[name]]
        highest = products.max(axis=0)
        most += highest
        steps.append(highest - np.where(products < highest, products, -np.inf).max(axis=0))
        losses.append(highest - products[-1] if stream.may_be_nothing[name] else None)
    may = np.zeros(len(bias), dtype=bool)
    for place, loss in enumerate(losses):
        if loss is None:
            continue
        step = np.min([other for number, other in enumerate(steps) if number != place], axis=0, initial=np.inf)
        seen = most - loss
        may |= ~(is_silent(seen) | ((seen == 0) & is_silent(seen - step)))
    return may


GELU_DIP = 0.1701
"""Where its argument is negative, gelu is above minus this."""

SILENCE = 5.5
"""The tangent's argument in gelu is below -10 for inputs below minus this, where every library's tangent is -1."""

SILU_SILENCE = 14.0
SILU_LEAK = SILU_SILENCE * float(np.exp(-SILU_SILENCE)) * 1.01
"""Below minus SILU_SILENCE silu is nearer to 0 than this, its own roundings included."""

SILU_DIP = 0.279
"""Where its argument is negative, silu is above minus this."""


def _up_error(stream: Stream, maps: LayerMaps, num_units: int, errors: np.ndarray, rounding: Rounding) -> float:
    """Checks that what units are multiplied by is 1; returns how far it can be from that."""
    if maps.unit_up is None or num_units == 0:
        return 0.0
    one, value = one_of(stream.placement)
    up = maps.unit_up[:, :num_units]
    if (np.delete(up, one, axis=0) != 0).any() or (up[one] * value != 1).any():
        raise RealisationError("a unit is multiplied by something else than 1")
    bound = abs(up[one, 0]) * errors[one] + 2 * rounding.accumulation_roundoff * (1 + abs(up[one, 0]) * errors[one])
    return float(round_values(np.ones(1), np.full(1, bound), rounding)[0])


def _multiplied(
    ideal: float, bounds: tuple[np.ndarray, np.ndarray, np.ndarray], up_error: float, rounding: Rounding
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The errors of units, and of what is not quite 0, after a factor that is 1 up to an error."""
    on, off, near_zero = bounds
    result = []
    for size, error in ((ideal, on), (0.0, off), (0.0, near_zero)):
        spread = error * (1 + up_error) + size * up_error
        spread = spread + rounding.accumulation_roundoff * (size + spread)
        result.append(round_values(np.full(len(error), size), spread, rounding) * (spread > 0))
    return result[0], result[1], result[2]


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


def check_idle_units(transformer: Transformer, maps: LayerMaps, num_units: int, rounding: Rounding) -> None:
    """Refuses units without effect that could overflow: infinity times zero is no number."""
    root = np.sqrt(transformer.architecture.width)
    coordinates = np.abs(maps.mlp_gain) * root + np.abs(maps.mlp_gain_bias)
    sums = coordinates @ np.abs(maps.unit_in[:, num_units:]) + np.abs(maps.unit_constant[num_units:])
    if maps.unit_up is not None:
        up = coordinates @ np.abs(maps.unit_up[:, num_units:])
        sums = np.maximum(np.maximum(sums, up), sums * up)
    if not sums.max(initial=0.0) * 4 < rounding.largest:
        raise RealisationError("a hidden unit without effect can overflow")
