"""Margins of a blueprint's transformer, computed from the weights as stored, over everything that can happen.

All weights and all contents of the residual stream are whole numbers (times powers of two), so what is compared here is
exact; what rounding can take from it is bounded for the runtimes of ``certify.rounding``. One assumption more: the
hyperbolic tangent is 1 or -1, exactly, beyond 10 and -10, as it is in every library.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, sqrt

import numpy as np
from jaxtyping import Bool, Float32, Int64

from serialformer.compile.blueprint import Blueprint, Look
from serialformer.compile.fields import DEVIATION
from serialformer.compile.mlp import SHARPNESS
from serialformer.errors import CompileError
from serialformer.proofs.rounding import covered_rounding
from serialformer.transformer.transformer import Transformer

LARGEST_LEAK = 2.0**-20
"""How much softmax weight all other positions together may get, under the worst rounding."""

LARGEST_READ = 4
"""Codes of fields are whole numbers up to this; only the ballast is larger."""

LEAST_SILENCE = 5.5
"""The tangent's argument in gelu is below -10 for inputs below minus this: such a unit gives nothing."""

NUMBERS_A_BLOCK = 1 << 23


@dataclass(frozen=True, kw_only=True)
class BlueprintMargins:
    """What a construction guarantees, for every prompt.

    Attributes:
        attention_gap: least difference of a head's score for the position that it is to read and for any other.
        rounded_attention_gap: the same less what rounding can take.
        unit_margin: least distance from 0 of a hidden unit's input, above where it is to fire and below elsewhere.
        logit_margin: least difference between the right logit and the next, over all cases.
        rounded_logit_margin: the same less what rounding can take.
        num_cases: how many cases there are.
    """

    attention_gap: float
    rounded_attention_gap: float
    unit_margin: float
    logit_margin: float
    rounded_logit_margin: float
    num_cases: int


def measure_blueprint(blueprint: Blueprint, transformer: Transformer) -> BlueprintMargins:
    """The margins of a blueprint's transformer.

    Raises:
        CompileError: it would not hold at this number format, or a case comes out wrong; says which.
    """
    rounding = covered_rounding(transformer.architecture.dtype)
    width, roundoff = transformer.architecture.width, rounding.storage_roundoff
    # In 16 bits whole numbers pass a layer norm unchanged: its error is below half the distance to the next number.
    norm_error = (width + 32) * rounding.accumulation_roundoff
    norm_error += transformer.architecture.norm_epsilon / (2 * DEVIATION**2)
    # What heads and units read are whole numbers up to 4, which may be spaced by twice the roundoff.
    error = norm_error * (DEVIATION + LARGEST_READ)
    coordinate_error = 0.0 if 2 * error < roundoff else error + LARGEST_READ * 2 * roundoff
    gap, rounded_gap = _attention_gap(blueprint, transformer, coordinate_error)
    leak = blueprint.num_positions * exp(-rounded_gap)
    stream_error = 0.0 if coordinate_error == 0 else coordinate_error + 64 * (leak + roundoff)
    unit_margin, unit_error = _unit_margin(blueprint, transformer, 2 * (coordinate_error + stream_error))
    if not unit_error <= 1:
        raise CompileError(f"hidden units err by {unit_error:.2g} of {SHARPNESS:g}", hint="another dtype")
    # One unit at most writes in a coordinate, 3 or less times what it gives.
    written_error = stream_error + 4 * unit_error + (32 * roundoff if coordinate_error else 0.0)
    margin, rounded_margin = _logit_margin(blueprint, transformer, written_error)
    return BlueprintMargins(
        attention_gap=gap,
        rounded_attention_gap=rounded_gap,
        unit_margin=unit_margin,
        logit_margin=margin,
        rounded_logit_margin=rounded_margin,
        num_cases=blueprint.cases.num_cases,
    )


def _whole(weights: np.ndarray) -> Float32[np.ndarray, "..."]:
    return weights.astype(np.float32)


# --- attention


def _attention_gap(blueprint: Blueprint, transformer: Transformer, coordinate_error: float) -> tuple[float, float]:
    """The least gap of scores over all looks, exact, and less what rounding can take."""
    architecture = transformer.architecture
    rounding = covered_rounding(architecture.dtype)
    layer, heads, head_width = transformer.layers[0], architecture.num_heads, architecture.head_width
    into = _whole(layer.attention_in_weight).reshape(architecture.width, 3, heads, head_width)
    bias = _whole(layer.attention_in_bias).reshape(3, heads, head_width)
    tokens, positions = _whole(transformer.token_embedding), _whole(transformer.position_embedding)
    first_heads = np.cumsum([0, *(head.copies for head in blueprint.heads)])
    least, least_rounded, largest_product = np.inf, np.inf, 0.0
    keys_of_head = {}
    for look in blueprint.looks:
        first = int(first_heads[look.head])
        if first not in keys_of_head:
            for copy in range(first, first + blueprint.heads[look.head].copies):
                same = np.array_equal(into[:, :2, copy], into[:, :2, first])
                assert same and np.array_equal(bias[:2, copy], bias[:2, first])
            assert not (tokens @ into[:, 1, first]).any()  # keys are names of positions, whatever the token
            keys_of_head[first] = positions @ into[:, 1, first] + bias[1, first]
        keys = keys_of_head[first]
        asked = np.unique(tokens[look.tokens] @ into[:, 0, first], axis=0)
        for queries in (positions[look.positions] @ into[:, 0, first] + row + bias[0, first] for row in asked):
            gap, size = _least_gap(look, queries, keys)
            terms = int(np.count_nonzero(into[:, 1, first].any(axis=0)))
            # Errors of the coordinates of query and key, of the sum of products, and of rounding twice what it gives.
            error = coordinate_error * terms * 2 * (np.abs(queries).max() + 3 * np.abs(into[:, 0, first]).max())
            error += size * (4 * rounding.storage_roundoff + 2 * (terms + 8) * rounding.accumulation_roundoff)
            least = min(least, gap / sqrt(head_width))
            least_rounded = min(least_rounded, float(gap - 2 * error) / sqrt(head_width))
            largest_product = max(largest_product, size)
    needed = log(blueprint.num_positions / LARGEST_LEAK)
    if not least_rounded >= needed:
        raise CompileError(
            f"the attention gap {least:.1f} shrinks to {least_rounded:.1f} under {architecture.dtype} rounding;"
            f" {needed:.1f} is needed to tell {blueprint.num_positions:,} positions apart",
            hint="ask for a larger attention gap or another dtype",
        )
    if not 2 * largest_product < rounding.largest:
        raise CompileError(
            f"attention products reach {largest_product:.3g}, near the end of what {architecture.dtype} holds",
            hint="ask for a smaller attention gap or another dtype",
        )
    return float(least), least_rounded


def _least_gap(
    look: Look, queries: Float32[np.ndarray, "looks head"], keys: Float32[np.ndarray, "positions head"]
) -> tuple[float, float]:
    """The least gap of products between a target and what else the position sees, and the largest product."""
    least, largest = np.inf, 0.0
    block = max(1, NUMBERS_A_BLOCK // len(keys))
    for start in range(0, len(queries), block):
        rows = slice(start, start + block)
        position, target = look.positions[rows], look.targets[rows]
        assert (target <= position).all()
        last = int(position.max()) + 1
        products = queries[rows] @ keys[:last].T
        largest = max(largest, float(np.abs(products).max()))
        products[np.arange(last) > position[:, None]] = -np.inf
        own = products[np.arange(len(target)), target].copy()
        products[np.arange(len(target)), target] = -np.inf
        least = min(least, float((own - products.max(axis=1)).min()))
    return least, largest


# --- hidden units


def _unit_margin(blueprint: Blueprint, transformer: Transformer, input_error: float) -> tuple[float, float]:
    """The least distance of a unit's input from 0, and how far it can err.

    A unit's input is a sum over the fields that it reads, so the least over all contents where it is to fire, and the
    largest over all others, are found field by field.
    """
    stream = blueprint.stream
    rounding = covered_rounding(transformer.architecture.dtype)
    layer = transformer.layers[0]
    margin, error, first = np.inf, 0.0, 0
    for table in blueprint.units:
        reads = np.concatenate([np.arange(stream.width)[stream.span(name)] for name in table.reads])
        for start in range(0, len(table.values), 4096):
            units = slice(first + start, first + min(start + 4096, len(table.values)))
            into, bias = _whole(layer.mlp_in_weight[:, units]), _whole(layer.mlp_in_bias[units])
            unread = np.delete(into, reads, axis=0)
            assert not unread.any()
            on, largest, loss = bias.copy(), bias.copy(), np.full(len(bias), np.inf, dtype=np.float32)
            size = np.abs(bias)
            for place, name in enumerate(table.reads):
                part = stream.fields[name]
                products = part.codes.astype(np.float32) @ into[stream.span(name)]
                watched = _watched(table.values[start : start + 4096, place], part.num_values)
                least = np.where(watched, products, np.inf).min(axis=0)
                on, largest = on + least, largest + products.max(axis=0)
                others = np.where(watched, -np.inf, products).max(axis=0)
                loss = np.minimum(loss, products.max(axis=0) - others)
                size = size + np.abs(products).max(axis=0)
            margin = min(margin, float(on.min()), float((loss - largest).min()))
            # In 16 bits the sum before the bias is added is rounded where the format does not hold it.
            sums = (on - bias).astype(transformer.token_embedding.dtype).astype(np.float32)
            rounded = np.abs(sums - (on - bias))
            # Without errors of what is read, the sum is one of whole numbers, and exact.
            share = rounding.accumulation_roundoff * (2 * len(reads) + 8) + 2 * rounding.storage_roundoff
            spoilt = rounded + (share * size + input_error * np.abs(into).sum(axis=0) if input_error else 0.0)
            error = max(error, float(spoilt.max()))
            # Below, the sum before the bias is rounded too; where that takes most, the sum is the largest.
            below = rounding.storage_roundoff * (np.abs(largest - bias) + SHARPNESS)
            if not (loss - largest - spoilt - below).min() > LEAST_SILENCE:
                raise CompileError(
                    f"hidden units that are not to fire come too near to it in {rounding.storage}", hint="another dtype"
                )
        first += len(table.values)
    assert margin > 0
    return margin, error


def _watched(values: Int64[np.ndarray, "units two"], num_values: int) -> Bool[np.ndarray, "values units"]:
    watched = np.zeros((num_values, len(values)), dtype=bool)
    watched[values, np.arange(len(values))[:, None]] = True
    return watched


# --- logits


def _logit_margin(blueprint: Blueprint, transformer: Transformer, written_error: float) -> tuple[float, float]:
    """The least margin over all cases, exact, and less what rounding can take."""
    architecture, cases = transformer.architecture, blueprint.cases
    rounding = covered_rounding(architecture.dtype)
    embedding = _whole(transformer.token_embedding)
    distances = _distances(embedding)
    gain = float(transformer.final_norm_gain[0])
    share = 2 * (architecture.width + 16) * rounding.accumulation_roundoff
    contents = _Contents(blueprint, transformer)
    fired = [_Firing(blueprint, number) for number in range(len(blueprint.units))]
    written = SHARPNESS * _whole(transformer.layers[0].mlp_out_weight)
    least, least_rounded = np.inf, np.inf
    block = max(1, NUMBERS_A_BLOCK // (len(embedding) + architecture.width))
    for start in range(0, cases.num_cases, block):
        rows = np.arange(start, min(start + block, cases.num_cases))
        x = contents.rows(rows)
        for firing in fired:
            hit, units = firing.look_up(rows)
            x[hit] += written[units]
        deviation = np.sqrt(np.square(x).mean(axis=1) + architecture.norm_epsilon)
        assert not x.sum(axis=1).any()
        logits = x @ embedding.T
        expected = cases.expected[rows]
        own = logits[np.arange(len(rows)), expected][:, None]
        lead = own - logits
        apart = distances[expected]
        spoilt = apart * (
            written_error + np.abs(x).max(axis=1, keepdims=True) * (3 * rounding.storage_roundoff + share)
        )
        spoilt += (rounding.storage_roundoff + share) * (np.abs(own) + np.abs(logits))
        lead[np.arange(len(rows)), expected] = np.inf
        scale = gain / deviation
        least = min(least, float((lead.min(axis=1) * scale).min()))
        least_rounded = min(least_rounded, float(((lead - spoilt).min(axis=1) * scale).min()))
        if not least > 0:
            raise AssertionError(f"{blueprint.name}: case {rows[int(np.argmin(lead.min(axis=1)))]} comes out wrong")
    if not least_rounded > 0:
        raise CompileError(
            f"the logit margin {least:.1f} does not hold under {architecture.dtype} rounding", hint="another dtype"
        )
    return least, least_rounded


def _distances(embedding: Float32[np.ndarray, "vocabulary width"]) -> Float32[np.ndarray, "vocabulary vocabulary"]:
    """Sums of absolute differences between the embeddings of two tokens."""
    different = np.flatnonzero((embedding != embedding[0]).any(axis=0))
    distances = np.zeros((len(embedding), len(embedding)), dtype=np.float32)
    for column in different:
        distances += np.abs(embedding[:, None, column] - embedding[:, column])
    return distances


class _Contents:
    """The residual stream before the feed-forward layer, in every case."""

    def __init__(self, blueprint: Blueprint, transformer: Transformer) -> None:
        self.cases, layer, architecture = blueprint.cases, transformer.layers[0], transformer.architecture
        self.embedding, positions = _whole(transformer.token_embedding), _whole(transformer.position_embedding)
        width, head_width = architecture.width, architecture.head_width
        values = _whole(layer.attention_in_weight[:, 2 * width :])
        assert not (positions @ values).any() and not layer.attention_in_bias[2 * width :].any()
        self.constant = positions + _whole(layer.attention_out_bias)
        # For each head where it brings something, and what, of each token.
        self.brought: list[tuple[Int64[np.ndarray, " targets"], Float32[np.ndarray, "vocabulary targets"]]] = []
        first = 0
        for head in blueprint.heads:
            columns = slice(first * head_width, (first + head.copies) * head_width)
            first += head.copies
            brought = self.embedding @ values[:, columns] @ _whole(layer.attention_out_weight[columns])
            targets = np.flatnonzero(brought.any(axis=0))
            self.brought.append((targets, brought[:, targets]))

    def rows(self, rows: Int64[np.ndarray, " rows"]) -> Float32[np.ndarray, "rows width"]:
        x = self.embedding[self.cases.own[rows]] + self.constant[self.cases.position[rows]]
        for number, (targets, brought) in enumerate(self.brought):
            x[:, targets] += brought[self.cases.read[rows, number]]
        return x


class _Firing:
    """Which units of a table fire in which cases: a look-up of the values that its fields hold."""

    def __init__(self, blueprint: Blueprint, number: int) -> None:
        self.blueprint, self.table = blueprint, blueprint.units[number]
        self.first = sum(len(table.values) for table in blueprint.units[:number])
        sizes = [blueprint.stream.fields[name].num_values for name in self.table.reads]
        self.factors = np.cumprod([1, *sizes[:-1]]).astype(np.int64)
        # A unit watches for one value or two in each field: 2^fields keys, the same ones where the two are the same.
        keys = np.zeros((len(self.table.values), 1), dtype=np.int64)
        for place, factor in enumerate(self.factors.tolist()):
            keys = (keys[:, :, None] + factor * self.table.values[:, place][:, None, :]).reshape(len(keys), -1)
        pairs = np.unique(np.stack([keys.ravel(), np.repeat(np.arange(len(keys)), keys.shape[1])], axis=1), axis=0)
        self.keys, self.units = pairs[:, 0], pairs[:, 1]
        assert len(np.unique(self.keys)) == len(self.keys)

    def look_up(self, rows: Int64[np.ndarray, " rows"]) -> tuple[Int64[np.ndarray, " hit"], Int64[np.ndarray, " hit"]]:
        """Which of some cases a unit of the table fires in, by their place in ``rows``, and which unit."""
        key = np.zeros(len(rows), dtype=np.int64)
        for name, factor in zip(self.table.reads, self.factors.tolist(), strict=True):
            key += factor * case_values(self.blueprint, name, rows)
        place = np.minimum(np.searchsorted(self.keys, key), len(self.keys) - 1)
        (hit,) = np.nonzero(self.keys[place] == key)
        return hit, self.first + self.units[place[hit]]


def case_values(blueprint: Blueprint, name: str, rows: Int64[np.ndarray, " rows"]) -> Int64[np.ndarray, " rows"]:
    """The value that a field holds before the feed-forward layer, in some of the cases."""
    cases, tokens = blueprint.cases, blueprint.token_values
    nothing = blueprint.stream.fields[name].nothing
    values: Int64[np.ndarray, " rows"] | None = None
    for part, of_position in blueprint.position_fields:
        if part.name == name:
            values = of_position[cases.position[rows]]
    if name in tokens:
        values = tokens[name][cases.own[rows]]
    for number, head in enumerate(blueprint.heads):
        for source, target in head.brings:
            if target == name:
                brought = tokens[source][cases.read[rows, number]]
                # A field that two bring into holds the one that is not nothing.
                values = brought if values is None else np.where(values == nothing, brought, values)
    assert values is not None, name
    return values
