"""What heads bring: the codes of the values that are to arrive, and nothing else."""

from __future__ import annotations

import numpy as np

from serialformer.constructions.construction import NOTHING, ConstructionLayer
from serialformer.proofs.bounds import round_values, sum_errors
from serialformer.proofs.distances import allow_mixtures
from serialformer.proofs.layer_maps import LayerMaps, map_errors, stored_errors
from serialformer.proofs.rounding import Rounding
from serialformer.proofs.stream import RealisationError, Stream
from serialformer.proofs.turned_heads import turns_heads, value_ball

FEW_COLUMNS = 8
"""If a head brings at most this many numbers, the 2-norm of their errors bounds each, until they are cleared."""


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
        stream: what stands before attention; changed to what stands after it.
        parts: the layer of the construction.
        maps: of the layer.
        heads: the look-up of each head, or IDLE.
        errors: how far each coordinate after the norm can be from its code.
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
            if turns_heads(stream):
                value_error[head] = errors @ np.abs(columns)
                ball = value_ball(stream, into[:, head], leak, rounding)
                if effective[head].sum() <= FEW_COLUMNS:
                    value_error[head] += ball * effective[head]
                else:
                    stream.ball += float(np.linalg.norm(out[head], 2)) * ball
                value_error[head] += 16 * 1.1 * leak * (value_reach[head] + value_error[head])
                continue
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
    # Whatever the columns of a head are rotated by, this is no less.
    sizes = np.linalg.norm(value_reach + value_error, axis=1) @ np.linalg.norm(out, axis=(1, 2))
    brought = float(sizes + np.linalg.norm(bias))
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
