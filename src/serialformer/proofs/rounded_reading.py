"""Reading a model of the paper's arithmetic, where every operation rounds and every result is one known number.

*Attention.* A query (a_1, 1, a_2, 1, ...) and a key (B b_1, -B, B b_2, -B, ...), a_i and b_i signs, B the largest
number, have a score that is summed pair by pair: +B, -B returns to 0 where the signs agree; -B, -B ends at -B where
they do not, and so does every pair after that. So the score is 0 if all signs agree and -B otherwise, and if
[exp(-B)] = 0 the softmax is one-hot, exactly, on the one position that agrees. That is checked of every query and key,
and of the arithmetic itself.

*The rest* is computed, for every combination of bits that a position's sources can hold, by the arithmetic's own
operations; positions that are alike in all that matters are computed once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serialformer.arrays import Float64, Int32, Int64
from serialformer.errors import CheckpointError
from serialformer.proofs.canonical import canonical_functions
from serialformer.proofs.certificate import Failure
from serialformer.proofs.codes import SortedNumbers
from serialformer.proofs.reading import (
    Context,
    Reading,
    find_context,
    group_equal_rows,
    list_sources,
)
from serialformer.proofs.token_kernels import MAX_FAN_IN
from serialformer.transformer.precision import NumberFormat, arithmetic_to_format
from serialformer.transformer.transformer import Transformer

POSITIONS_PER_BLOCK = 1 << 12


@dataclass(frozen=True, kw_only=True, eq=False)
class _Heads:
    """What attention does: for each writing position and head the position read, and where that fails first."""

    targets: Int32[np.ndarray, "writing heads"]
    values: Float64[np.ndarray, "positions 2 width"]
    stream: Float64[np.ndarray, "positions 2 width"]
    failed: int  # the position; their number if there is none
    reason: str


def read_rounded(transformer: Transformer, *, num_inputs: int, num_chain_tokens: int) -> Reading:
    """Reads a model of one layer, without layer norm, in the arithmetic of its architecture.

    Args:
        transformer: the model; its prompt is bits and an end mark.
        num_inputs: bits of the prompt.
        num_chain_tokens: bits of the chain, which an end mark follows.

    Raises:
        CheckpointError: it is no model of that kind; nothing can be said about it.
    """
    arithmetic = transformer.architecture.arithmetic
    if arithmetic is None:
        raise CheckpointError("its arithmetic is that of floats")
    rounded = arithmetic_to_format(arithmetic)
    context = find_context(transformer, num_inputs, num_chain_tokens)
    for name, weight in transformer.named_weights():
        if not rounded.holds(weight.astype(np.float64)).all():
            raise CheckpointError(f"{name} holds what is no number of {rounded.name}")
    heads = _read_heads(transformer, context, rounded)
    num_writing = context.num_writing
    num_proven = max(0, heads.failed - num_inputs)
    failure = None
    if heads.failed < len(context.states):
        token = max(-1, heads.failed - num_inputs)
        failure = Failure(position=heads.failed, token=token, reason=heads.reason)
    sources, fan_in = np.zeros((num_writing, MAX_FAN_IN), dtype=np.int32), np.zeros(num_writing, dtype=np.uint8)
    table, margins = np.zeros(num_writing, dtype=np.uint64), np.full((num_writing, 2), -np.inf)
    if num_proven:
        variables, count, rank = list_sources(context, heads.targets[:num_proven], num_inputs)
        written, leads, broken = _write(transformer, context, heads, count, rank, rounded)
        margins[:num_proven] = leads[:, None]
        places = np.zeros((num_proven, MAX_FAN_IN), dtype=np.int32)
        _tabulate(written == context.one, count, places, fan_in[:num_proven], table[:num_proven])
        kept = np.arange(MAX_FAN_IN) < fan_in[:num_proven, None]
        sources[:num_proven] = np.where(kept, np.take_along_axis(variables, places.astype(np.int64), axis=1), 0)
        if broken is not None:
            failure = broken
    gap = np.full((num_writing, 2), rounded.largest)
    return Reading(
        num_inputs=num_inputs,
        sources=sources[:num_chain_tokens],
        fan_in=fan_in[:num_chain_tokens],
        table=table[:num_chain_tokens],
        gaps=gap,
        margins=margins,
        norms=np.zeros((0, 3)),
        failure=failure,
    )


def _read_heads(transformer: Transformer, context: Context, rounded: NumberFormat) -> _Heads:
    layer, architecture = transformer.layers[0], transformer.architecture
    width, head_width = architecture.width, architecture.head_width
    num_heads, num_positions = architecture.num_heads, len(context.states)
    embedding = transformer.token_embedding.astype(np.float64)
    into, bias = layer.attention_in_weight.astype(np.float64), layer.attention_in_bias.astype(np.float64)
    stream, projected = np.empty((num_positions, 2, width)), np.empty((num_positions, 2, 3 * width))
    for start in range(0, num_positions, POSITIONS_PER_BLOCK):
        block = slice(start, min(start + POSITIONS_PER_BLOCK, num_positions))
        own = transformer.position_embedding[block].astype(np.float64)
        stream[block] = rounded.add(embedding[context.states[block]], own[:, None])
        projected[block] = rounded.add(rounded.matmul(stream[block], into), bias)
    check_saturation(rounded)
    targets = np.zeros((num_positions, num_heads), dtype=np.int32)
    failed, reason = num_positions, ""
    positions = np.arange(num_positions)
    for head in range(num_heads):
        columns = head * head_width + np.arange(head_width)
        queries, keys = projected[:, :, columns], projected[:, :, width + columns]
        used = (queries != 0).any(axis=(0, 1)) & (keys != 0).any(axis=(0, 1))
        if used.sum() % 2 or used.sum() > 128:
            failed, reason = 0, f"head {head} has no code"
            break
        # The other coordinates add zeros, which change no sum.
        queries, keys = queries[:, :, used], keys[:, :, used]
        is_query = _is_interleaved(queries, 1.0, 1.0)
        is_key = _is_interleaved(keys, rounded.largest, -rounded.largest)
        wanted, found_keys = queries[:, :, 0::2] > 0, keys[:, :, 0::2] > 0
        is_query &= (wanted[:, 0] == wanted[:, 1]).all(axis=1)
        is_key &= (found_keys[:, 0] == found_keys[:, 1]).all(axis=1)
        seen = np.minimum.accumulate(is_key)
        place = np.uint64(1) << np.arange(wanted.shape[2], dtype=np.uint64)
        numbers = SortedNumbers((found_keys[:, 0] * place).sum(axis=1, dtype=np.uint64))
        found = numbers.find((wanted[:, 0] * place).sum(axis=1, dtype=np.uint64))
        targets[:, head] = found.first
        checks = [
            (~is_query, "looks for what is no interleaved code"),
            (~seen, "sees a key that is no interleaved code"),
            (~found.is_found, "looks for a key that no position has"),
            (found.first > positions, "looks for position {target}, which comes later"),
            # In the prompt it does not matter what is read, as long as there is something.
            (
                (found.again <= positions) & (positions >= context.num_inputs),
                "finds the same key at positions {target} and {again}",
            ),
        ]
        wrong = np.logical_or.reduce([check for check, _ in checks])
        if wrong[:failed].any():
            failed = int(np.argmax(wrong))
            text = next(text for check, text in checks if check[failed])
            reason = f"head {head} " + text.format(target=found.first[failed], again=found.again[failed])
    return _Heads(
        targets=targets[context.num_inputs :],
        values=projected[:, :, 2 * width :],
        stream=stream,
        failed=failed,
        reason=reason,
    )


def _is_interleaved(vectors: Float64[np.ndarray, "rows 2 size"], size: float, between: float) -> np.ndarray:
    """Which rows alternate between ±size and ``between``, for both tokens."""
    signs, rest = vectors[:, :, 0::2], vectors[:, :, 1::2]
    return ((np.abs(signs) == size) & (rest == between)).all(axis=(1, 2))


def check_saturation(rounded: NumberFormat) -> None:
    """Checks the module's statements about scores and softmax, in this arithmetic."""
    largest = rounded.largest
    pairs = np.array([[largest, -largest], [-largest, -largest]])
    after_match = rounded.sum(np.concatenate([np.zeros((2, 1)), pairs], axis=1))
    after_mismatch = rounded.sum(np.concatenate([np.full((2, 1), -largest), pairs], axis=1))
    exponentials = rounded.exp(np.array([0.0, -largest]))
    holds = (
        after_match.tolist() == [0.0, -largest]
        and (after_mismatch == -largest).all()
        and exponentials.tolist() == [1.0, 0.0]
    )
    if not holds:
        raise CheckpointError(f"{rounded.name} does not make interleaved codes one-hot")


def _write(
    transformer: Transformer,
    context: Context,
    heads: _Heads,
    count: Int64[np.ndarray, " rows"],
    rank: Int64[np.ndarray, "rows sources"],
    rounded: NumberFormat,
) -> tuple[np.ndarray, Float64[np.ndarray, " rows"], Failure | None]:
    """The token each position writes for each combination of its sources, its least lead, and what breaks first."""
    layer, architecture = transformer.layers[0], transformer.architecture
    weights = {name: weight.astype(np.float64) for name, weight in layer.named_weights()}
    embedding = transformer.token_embedding.astype(np.float64)
    first, num_rows = context.num_inputs, len(count)
    if count.max() > MAX_FAN_IN:
        raise CheckpointError(f"a token may depend on {count.max()} positions, more than {MAX_FAN_IN}")
    # Dimensions that nothing reads after attention enter nowhere.
    is_active = (embedding != 0).any(axis=0) | (weights["mlp_in_weight"] != 0).any(axis=1)
    is_value = (weights["attention_out_weight"] != 0).any(axis=1)
    head_of_value = np.arange(architecture.width)[is_value] // architecture.head_width
    sought = heads.targets[:num_rows][:, head_of_value]
    offered = heads.values[sought, :, np.flatnonzero(is_value)]
    is_last = np.arange(num_rows) == context.num_writing - 1
    own = heads.stream[first : first + num_rows][:, :, is_active]
    leaders, group = group_equal_rows((own, offered, count, rank, is_last))
    num_combinations = 1 << int(count.max(initial=0))
    written = np.full((len(leaders), num_combinations), context.end, dtype=np.int64)
    leads = np.full(len(leaders), np.inf)
    for combination in range(num_combinations):
        bit = np.where(rank[leaders] >= 0, combination >> np.maximum(rank[leaders], 0) & 1, 0)
        row = np.arange(len(leaders))
        x = own[leaders][row, bit[:, 0]]
        value = np.arange(len(head_of_value))
        mixed = offered[leaders][row[:, None], value, bit[:, 1 + head_of_value]]
        out = rounded.matmul(mixed, weights["attention_out_weight"][is_value][:, is_active])
        x = rounded.add(x, rounded.add(out, weights["attention_out_bias"][is_active]))
        hidden = rounded.add(rounded.matmul(x, weights["mlp_in_weight"][is_active]), weights["mlp_in_bias"])
        out = rounded.matmul(np.maximum(hidden, 0), weights["mlp_out_weight"][:, is_active])
        x = rounded.add(x, rounded.add(out, weights["mlp_out_bias"][is_active]))
        logits = rounded.matmul(x, embedding[:, is_active].T)
        best = logits.argmax(axis=1)
        others = logits.copy()
        others[row, best] = -np.inf
        # Combinations beyond a position's sources repeat those within.
        written[:, combination] = best
        leads = np.minimum(leads, logits[row, best] - others.max(axis=1))
    expected = np.isin(written, (context.zero, context.one)).all(axis=1)
    expected = np.where(is_last[leaders], (written == context.end).all(axis=1), expected)
    failure = None
    bad = np.flatnonzero(~expected | ~(leads > 0))
    if len(bad):
        token = int(leaders[bad[0]])
        reason = "some bits make it write " + repr(architecture.vocabulary[_stranger(written[bad[0]], context)])
        if not leads[bad[0]] > 0:
            reason = "for some bits two logits are equal"
        failure = Failure(position=first + token, token=token, reason=reason)
    return written[group], leads[group], failure


def _stranger(written: Int64[np.ndarray, " combinations"], context: Context) -> int:
    """A token that is no bit, if there is one."""
    strange = written[(written != context.zero) & (written != context.one)]
    return int(strange[0]) if len(strange) else int(written[0])


def _tabulate(
    is_one: np.ndarray, count: Int64[np.ndarray, " rows"], places: np.ndarray, fan_in: np.ndarray, table: np.ndarray
) -> None:
    """Truth tables over the sources that make a difference, from the bit written for each combination."""
    weights = np.uint64(1) << np.arange(is_one.shape[1], dtype=np.uint64)
    tables = (is_one * weights).sum(axis=1, dtype=np.uint64)
    reads = np.tile(np.arange(MAX_FAN_IN, dtype=np.int32), (len(count), 1))
    places[:], fan_in[:], table[:] = canonical_functions(reads, count, tables)
