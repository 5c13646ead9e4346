"""Reading a GPT-2: ``look_up`` proves what its heads read, ``token_kernels`` what it writes, for any rounding."""

from __future__ import annotations

import numpy as np

from serialformer.errors import CheckpointError
from serialformer.proofs.certificate import Failure
from serialformer.proofs.columns import to_columns
from serialformer.proofs.look_up import LookUps, Projection, choose_columns, prove_look_ups
from serialformer.proofs.reading import (
    Context,
    Reading,
    find_context,
    group_equal_rows,
    list_sources,
)
from serialformer.proofs.rounding import Rounding
from serialformer.proofs.token_kernels import (
    MANY_SOURCES,
    MAX_FAN_IN,
    PROVEN,
    STRANGE_TOKEN,
    Layer,
    Rows,
    Tokens,
    tabulate_tokens,
)
from serialformer.transformer.row_table import forget_rows
from serialformer.transformer.transformer import Transformer

POSITIONS_PER_BLOCK = 1 << 13


def read_floats(transformer: Transformer, *, num_inputs: int, num_chain_tokens: int, rounding: Rounding) -> Reading:
    """Reads a GPT-2 of one layer whose prompt is bits and an end mark.

    Args:
        transformer: the model.
        num_inputs: bits of the prompt.
        num_chain_tokens: bits of the chain, which an end mark follows.
        rounding: which runtimes the proof is to cover.

    Raises:
        CheckpointError: it is no model of that kind; nothing can be said about it.
    """
    if not transformer.architecture.is_gpt2:
        raise CheckpointError("no GPT-2: only those can be read in floats")
    context = find_context(transformer, num_inputs, num_chain_tokens)
    projection = choose_columns(transformer)
    check_idle_parts(transformer, projection, rounding)
    look_ups = prove_look_ups(transformer, projection, context.states, num_inputs, rounding)
    num_writing = context.num_writing
    sources, fan_in = np.zeros((num_writing, MAX_FAN_IN), dtype=np.int32), np.zeros(num_writing, dtype=np.uint8)
    table, margins = np.zeros(num_writing, dtype=np.uint64), np.full((num_writing, 2), -np.inf)
    hull = np.tile([0.0, np.inf, 0.0], (2, 1))
    reached, why, detail = _tabulate(
        transformer, projection, look_ups, context, rounding, (sources, fan_in, table, margins, hull)
    )
    failure = None
    if why != PROVEN:
        reason = _explain(transformer, why, detail, margins[reached, 1])
        failure = Failure(position=num_inputs + reached, token=reached, reason=reason)
    elif look_ups.failed < num_writing:
        failure = Failure(position=num_inputs + look_ups.failed, token=look_ups.failed, reason=look_ups.reason)
    return Reading(
        num_inputs=num_inputs,
        sources=sources[:num_chain_tokens],
        fan_in=fan_in[:num_chain_tokens],
        table=table[:num_chain_tokens],
        gaps=look_ups.gaps,
        margins=margins,
        norms=np.vstack([[look_ups.mean, *look_ups.deviation], hull]),
        failure=failure,
    )


def check_idle_parts(transformer: Transformer, projection: Projection, rounding: Rounding) -> None:
    """Refuses heads and hidden units without effect that could overflow: infinity times zero is no number.

    A normed coordinate is at most sqrt(width) times its gain, plus its bias.

    Raises:
        CheckpointError: one could.
    """
    layer, architecture = transformer.layers[0], transformer.architecture
    weights = {name: np.abs(weight.astype(np.float64)) for name, weight in layer.named_weights()}
    root = np.sqrt(architecture.width)
    attention = weights["attention_norm_gain"] * root + weights["attention_norm_bias"]
    projected = attention @ weights["attention_in_weight"] + weights["attention_in_bias"]
    projected[projection.place] = 0  # these are bounded one by one
    heads = projected.reshape(3, architecture.num_heads, architecture.head_width).max(axis=2)
    scores = heads[0] * heads[1] * architecture.head_width
    hidden = (weights["mlp_norm_gain"] * root + weights["mlp_norm_bias"]) @ weights["mlp_in_weight"]
    hidden = (hidden + weights["mlp_in_bias"])[~(weights["mlp_out_weight"] != 0).any(axis=1)]
    furthest = [projected.max(), scores.max(), hidden.max(initial=0.0)]
    if not max(furthest) * (1 + 4 * rounding.storage_roundoff) ** 3 < rounding.largest:
        raise CheckpointError(f"parts without effect reach {max(furthest):.3g}, beyond what {rounding.storage} holds")


def _tabulate(
    transformer: Transformer,
    projection: Projection,
    look_ups: LookUps,
    context: Context,
    rounding: Rounding,
    results: tuple[np.ndarray, ...],
) -> tuple[int, int, int]:
    """Runs the compiled loop over the writing positions whose look-ups are proven; returns what it does."""
    layer, architecture = transformer.layers[0], transformer.architecture
    weights = {name: weight.astype(np.float64) for name, weight in layer.named_weights()}
    embedding = transformer.token_embedding.astype(np.float64)
    out_weight, out_bias = weights["attention_out_weight"][projection.value_row], weights["attention_out_bias"]
    units = np.flatnonzero((weights["mlp_out_weight"] != 0).any(axis=1))
    mlp_in, mlp_out = weights["mlp_in_weight"][:, units], weights["mlp_out_weight"][units]
    out_dims = (out_weight != 0).any(axis=0) | (out_bias != 0)
    mlp_dims = (mlp_out != 0).any(axis=0) | (weights["mlp_out_bias"] != 0)
    # The other dimensions are the position embedding's alone, and enter by their sum and square norm.
    is_active = out_dims | mlp_dims | (embedding != 0).any(axis=0) | (mlp_in != 0).any(axis=1)
    active, place = np.flatnonzero(is_active), np.cumsum(is_active) - 1
    model = Layer(
        width=architecture.width,
        epsilon=architecture.norm_epsilon,
        is_relu=architecture.activation == "relu",
        value_head=projection.value_head,
        leak=look_ups.leak,
        attention_out=to_columns(out_weight[:, out_dims], out_bias[out_dims]).arrays(),
        out_dims=place[out_dims],
        mlp_gain=weights["mlp_norm_gain"][active],
        mlp_norm_bias=weights["mlp_norm_bias"][active],
        mlp_in=to_columns(mlp_in[active], weights["mlp_in_bias"][units]).arrays(),
        mlp_out=to_columns(mlp_out[:, mlp_dims], weights["mlp_out_bias"][mlp_dims]).arrays(),
        mlp_dims=place[mlp_dims],
        final_gain=transformer.final_norm_gain.astype(np.float64)[active],
        final_bias=transformer.final_norm_bias.astype(np.float64)[active],
        unembedding=to_columns(embedding.T[active], np.zeros(len(embedding))).arrays(),
        bits=(context.zero, context.one),
        end=context.end,
    )
    sources, fan_in, table, margins, hull = results
    states, first = context.states, context.num_inputs
    offered, own_norm = look_ups.offers.table()
    num_rows = look_ups.failed
    for start in range(0, num_rows, POSITIONS_PER_BLOCK):
        block = slice(start, min(start + POSITIONS_PER_BLOCK, num_rows))
        positions = np.arange(block.start, block.stop) + first
        targets = look_ups.targets[block]
        variables, count, rank = list_sources(context, targets, int(positions[0]))
        rows = transformer.position_embedding[positions[0] : positions[-1] + 1].astype(np.float64)
        forget_rows(transformer.position_embedding)
        passive, sought = rows[:, ~is_active], targets[:, projection.value_head]
        value = np.arange(len(projection.value_head))
        given = Rows(
            active=np.ascontiguousarray(rows[:, active]),
            passive=np.stack([passive.sum(axis=1), np.einsum("pd,pd->p", passive, passive)], axis=1),
            own_norm=own_norm[look_ups.offers.kind[positions]],
            tokens=embedding[:, active][states[positions]],
            offered=offered[look_ups.offers.kind[sought], :, value],
            count=count,
            rank=rank,
            is_last=positions == len(states) - 1,
        )
        leaders, group = group_equal_rows(given)
        found = Tokens(
            places=np.zeros((len(leaders), MAX_FAN_IN), dtype=np.int64),
            fan_in=np.zeros(len(leaders), dtype=np.uint8),
            table=np.zeros(len(leaders), dtype=np.uint64),
            margins=np.full((len(leaders), 2), -np.inf),
            hull=hull,
        )
        distinct = Rows(*(np.ascontiguousarray(part[leaders]) for part in given))
        reached, why, detail = tabulate_tokens(distinct, model, rounding.constants(), found)
        fan_in[block], table[block], margins[block] = found.fan_in[group], found.table[group], found.margins[group]
        kept = np.arange(MAX_FAN_IN) < found.fan_in[group, None]
        sources[block] = np.where(kept, np.take_along_axis(variables, found.places[group], axis=1), 0)
        if why != PROVEN:
            return start + int(leaders[reached]), why, detail
    return num_rows, PROVEN, 0


def _explain(transformer: Transformer, why: int, detail: int, margin: float) -> str:
    vocabulary = transformer.architecture.vocabulary
    if why == STRANGE_TOKEN:
        return f"some bits make it write {vocabulary[detail]!r}"
    if why == MANY_SOURCES:
        return f"it depends on {detail} positions, more than {MAX_FAN_IN}"
    return f"for some bits no logit leads by more than rounding can take (it lacks {-margin:.3g})"
