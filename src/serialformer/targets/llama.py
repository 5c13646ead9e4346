"""The Llama target: a construction of a circuit becomes the weights of a stock Llama.

*Tokens* say where they stand and bring along what a position decides, so that no embedding of positions is needed.

*Attention.* As in a GPT-2, the query asks for a name and the key is a name; ``llama_rotation`` has the other way, by
distance. Rotary positions turn pairs of dimensions;
with a base of 10^30 the slow ones turn by less than a number format can tell, and names lie on those alone. Several
heads serve one look-up, each with a part of the value, and keys and values lie in other columns in each layer and each
head that has its own, so that every head, every group and every layer matters.

*Hidden units.* The gate of a unit sees SHARPNESS where all its fields hold what it watches for and at most -SHARPNESS
otherwise; silu makes SHARPNESS or 0 of it, to within 2e-6. What it is multiplied by is 1 everywhere.

*Answer.* The unembedding of a token is the name of the position before its own, and its value. At a position whose
units wrote a value, the token with that value at the next position leads; where no unit fires the end token does, whose
logit is the same everywhere, between the two.

*Tied embeddings.* A token's embedding has its own name, and the stream at the position before holds another one. So
units of the last layer put the name of the next position in its place; the gain of the final norm is 0 in all
dimensions but those of name and value, and the one that holds the same everywhere, which the end token reads.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from serialformer.architecture import DTYPES, Architecture, DtypeName, Shape
from serialformer.arrays import Float64, Shaped
from serialformer.constructions.circuit_depth import MAX_WEIGHTS
from serialformer.constructions.construction import Construction
from serialformer.constructions.placed_tokens import ABSENT, BEGINNING, END, PADDING, PlacedTokens
from serialformer.constructions.placement import IDLE, Placement
from serialformer.errors import CompileError
from serialformer.targets.llama_layout import (
    DEVIATION,
    ONE,
    ONE_VALUE,
    ROTARY_BASE,
    WIDTH_MULTIPLE,
    LlamaLayout,
    lay_out_llama,
)
from serialformer.targets.llama_rotation import Rotation, find_rotation
from serialformer.targets.maps import (
    bring_maps,
    clause_map,
    default_attention_gap,
    query_scale,
    store,
    watch,
    write_outputs,
)
from serialformer.transformer.transformer import Layer, Transformer

NORM_EPSILON = 1e-5
FINAL_NORM_GAIN = 16.0
SHARPNESS = 16.0
ANSWER = 8.0
END_ANSWER = 4.0
"""The logit of the end token, over the square norm of a token's own fields: between those of a token that was written
and one that was not."""

FEW_LAYERS = 16
"""Up to this many layers there is no limit to the weights of all of them."""

POSITIONS_PER_BLOCK = 1 << 14


def construction_to_llama(
    construction: Construction,
    placed: PlacedTokens,
    *,
    dtype: DtypeName,
    shape: Shape,
    attention_gap: float | None = None,
) -> tuple[Transformer, LlamaLayout]:
    """The weights, and where everything lies in them.

    Args:
        construction: what to realise: a circuit as a chain, or what ``placed_tasks`` or ``placed_depth`` makes.
        placed: its tokens.
        dtype: number format of the weights.
        shape: what is asked of the shape.
        attention_gap: the least score difference to aim at; by default 40, more for very long chains.

    Raises:
        CompileError: the shape or the number format does not hold the weights.
    """
    gap = default_attention_gap(construction.num_positions) if attention_gap is None else attention_gap
    if not gap > 0:
        raise CompileError(f"expected an attention gap above 0, found {gap}")
    if shape.head_biases and shape.addressing == "window":
        raise CompileError("a Qwen2 has no window here", hint="--head-biases works with --address names or distances")
    layout = lay_out_llama(construction, placed, shape)
    rotation = None
    if shape.addressing in ("distances", "window"):
        distances = [look_up.distance for layer in construction.layers for look_up in layer.look_ups]
        rotation = find_rotation(
            [distance for distance in distances if distance is not None],
            construction.num_positions,
            layout.head_width,
            has_window=shape.addressing == "window",
        )
    num_layers, copies = len(layout.heads), 1 + layout.is_saturated
    of_tables = [sum(table.num_units for table in layout.tables(index)) for index in range(num_layers)]
    num_units = max(max(of_tables) * copies, of_tables[-1] * copies + layout.num_moving)
    architecture = Architecture(
        vocabulary=placed.vocabulary,
        num_positions=construction.num_positions + layout.spare_positions,
        width=layout.width,
        num_layers=num_layers,
        num_heads=layout.num_heads,
        hidden_width=max(layout.width, num_units + -num_units % WIDTH_MULTIPLE),
        activation="silu",
        norm_epsilon=NORM_EPSILON,
        end_token=END,
        dtype=dtype,
        norm="rms_norm",
        positions="rotary",
        rotary_base=ROTARY_BASE if rotation is None else rotation.base,
        window=None if rotation is None else rotation.window,
        head_size=layout.head_width,
        key_heads=layout.key_heads,
        gated=True,
        biases="attention_in" if shape.head_biases else "none",
        tied=bool(layout.following),
        beginning_token=BEGINNING,
        padding_token=PADDING,
    )
    _check_size(architecture)
    stored = partial(store, dtype=dtype)
    nothing = np.zeros(0, DTYPES[dtype])
    gain = np.full(layout.width, float(DEVIATION)).astype(DTYPES[dtype])
    layers = []
    for index in range(architecture.num_layers):
        into, out = _attention(layout, architecture, index, gap, rotation)
        bias = np.zeros(0)
        if shape.head_biases:
            bias = ONE_VALUE * into[layout.starts[ONE]]
            into[layout.starts[ONE]] = 0
        gate, up, down = _feed_forward(layout, architecture, index)
        layers.append(
            Layer(
                attention_norm_gain=gain,
                attention_norm_bias=nothing,
                attention_in_weight=stored(into),
                attention_in_bias=stored(bias),
                attention_out_weight=stored(out),
                attention_out_bias=nothing,
                mlp_norm_gain=gain,
                mlp_norm_bias=nothing,
                mlp_in_weight=stored(gate),
                mlp_in_bias=nothing,
                mlp_out_weight=stored(down),
                mlp_out_bias=nothing,
                mlp_up_weight=stored(up),
            )
        )
    embedding, unembedding = _embeddings(layout, dtype)
    transformer = Transformer(
        architecture=architecture,
        token_embedding=embedding,
        position_embedding=np.zeros((0, layout.width), DTYPES[dtype]),
        layers=tuple(layers),
        final_norm_gain=_final_gain(layout).astype(DTYPES[dtype]),
        final_norm_bias=nothing,
        unembedding=unembedding,
    )
    return transformer, layout


def _check_size(architecture: Architecture) -> None:
    """Refuses, before anything is made, what memory would not hold: fields of many layers make a stream wide."""
    attended, width = architecture.attention_width + architecture.key_width, architecture.width
    of_layer = 2 * width * attended + 3 * width * architecture.hidden_width
    total = architecture.num_layers * of_layer + 2 * len(architecture.vocabulary) * width
    if architecture.num_layers > FEW_LAYERS and total > MAX_WEIGHTS:
        raise CompileError(
            f"{architecture.num_layers:,} layers of width {width:,} take {total:,} weights, over {MAX_WEIGHTS:,}",
            hint="a chain takes one layer, and --target gpt2 overwrites fields, so that it stays narrow",
        )


def llama_to_placement(layout: LlamaLayout) -> Placement:
    """The witness for the proof: what lies where, and how much units write."""
    codings = layout.codings
    return Placement(
        construction=layout.claimed,
        width=layout.width,
        deviation=DEVIATION,
        spans={name: layout.span(name) for name in codings},
        codes={name: coding.codes for name, coding in codings.items()},
        nothing={name: coding.nothing for name, coding in codings.items()},
        answers={name: coding.answers for name, coding in codings.items()},
        constant=np.zeros(layout.width),
        constant_change=np.zeros(layout.width),
        heads=layout.heads,
        unit_output=SHARPNESS,
        answer_weight=ANSWER,
        default_weight=END_ANSWER,
        is_saturated=layout.is_saturated,
        steps=layout.steps,
        placed=layout.placed,
        one=ONE,
        address=layout.address,
        following=layout.following,
        is_fresh=any(layer.clears for layer in layout.claimed.layers),
    )


# --- embedding and unembedding


def _embeddings(
    layout: LlamaLayout, dtype: DtypeName
) -> tuple[Shaped[np.ndarray, "vocabulary width"], Shaped[np.ndarray, "vocabulary width"] | None]:
    """The embedding of each token, which is all fields at its position, and its unembedding if that is another."""
    construction, placed = layout.construction, layout.placed
    embedding = np.zeros((placed.num_tokens, layout.width), DTYPES[dtype])
    unembedding = None if layout.following else np.zeros_like(embedding)
    of_token = np.zeros((placed.num_plain, layout.width), np.float32)
    for part in construction.fields_of("token"):
        of_token[:, layout.span(part.name)] = layout.codings[part.name].rows(part.of_token)
    constant = np.zeros(layout.width, np.float32)
    for part in construction.fields_of("layers"):
        constant[layout.span(part.name)] = layout.codings[part.name].nothing
    address = layout.span(layout.address)
    for start in range(0, placed.num_positions, POSITIONS_PER_BLOCK):
        rows = slice(start, min(start + POSITIONS_PER_BLOCK, placed.num_positions))
        block = np.tile(constant, (rows.stop - rows.start, 1))
        for part in construction.fields_of("position"):
            block[:, layout.span(part.name)] = layout.codings[part.name].rows(part.at(rows))
        # What is written at a position is the token of the next one.
        following = placed.ids[rows.start + 1 : rows.stop + 1]
        for plain in range(placed.num_plain):
            here = placed.ids[rows, plain] != ABSENT
            embedding[placed.ids[rows, plain][here]] = store(block[here] + of_token[plain], dtype)
            if unembedding is None:
                continue
            written = np.flatnonzero(following[:, plain] != ABSENT)
            head = np.tile(of_token[plain], (len(written), 1))
            head[:, address] = block[written, address]
            unembedding[following[written, plain]] = store(head, dtype)
    end = np.zeros(layout.width)
    of_fields = sum(layout.codings[part.name].square_norm for part in construction.fields_of("token"))
    end[layout.span(ONE)] = (layout.codings[layout.address].square_norm + END_ANSWER * of_fields) / ONE_VALUE
    if unembedding is None:
        # All other tokens read what is the same everywhere, too.
        end[layout.span(ONE)] += ONE_VALUE
        embedding[END] = store(end, dtype)
    else:
        unembedding[END] = store(end, dtype)
    return embedding, unembedding


def _final_gain(layout: LlamaLayout) -> Float64[np.ndarray, " width"]:
    """The gain of the final norm: if embeddings are tied, only of what tells tokens apart."""
    if not layout.following:
        return np.full(layout.width, FINAL_NORM_GAIN)
    gain = np.zeros(layout.width)
    for name in (layout.address, ONE, *(part.name for part in layout.construction.fields_of("token"))):
        gain[layout.span(name)] = FINAL_NORM_GAIN
    return gain


# --- attention


def _attention(
    layout: LlamaLayout, architecture: Architecture, index: int, gap: float, rotation: Rotation | None
) -> tuple[Float64[np.ndarray, "width qkv"], Float64[np.ndarray, "attended width"]]:
    """The matrices of a layer's heads."""
    width, heads, groups = architecture.width, architecture.num_heads, architecture.num_key_heads
    head_width, layer = architecture.head_width, layout.construction.layers[layout.steps[index]]
    queries, keys, values = (np.zeros((width, count, head_width)) for count in (heads, groups, groups))
    out = np.zeros((heads, head_width, width))
    one = layout.starts[ONE]
    served = layout.heads[index]
    columns_of: list[dict[int, slice]] = [{} for _ in range(groups)]
    maps_of = {number: bring_maps(layout, layer.look_ups[number]) for number in sorted(set(served) - {IDLE})}
    room = [head_width] * groups
    for group in range(groups):
        of_group = served[group * (heads // groups) : (group + 1) * (heads // groups)]
        room[group] -= sum(len(maps_of[number]) + 1 for number in set(of_group) - {IDLE})
    for number, maps in maps_of.items():
        look_up = layer.look_ups[number]
        mine = [head for head, which in enumerate(served) if which == number]
        # Halves, quarters and so on, which add up to 1 exactly.
        shares = [0.5 ** min(place + 1, len(mine) - 1) for place in range(len(mine))]
        for head, share in zip(mine, shares, strict=True):
            group = head // (heads // groups)
            codes, scale, first = layout.columns[index, group], 0.0, 0
            if look_up.distance is None:
                code_gap = min(layout.codings[clause.key].gap for clause in look_up.clauses)
                scale = query_scale(head_width, gap, code_gap)
            else:
                assert rotation is not None
                key, query = rotation.key_and_query(look_up.distance, index * groups + group, gap)
                keys[one, group] = key / ONE_VALUE
                queries[one, head] = (query / ONE_VALUE).astype(DTYPES[architecture.dtype])
            for clause in look_up.clauses:
                asked, constant, used = clause_map(layout, clause)
                columns = codes[first : first + len(used)]
                first += len(used)
                keys[layout.carriers(clause.key)[used], group, columns] = 1
                queries[one, head, columns] = scale * clause.weight * constant / ONE_VALUE
                if clause.asked is not None:
                    own = layout.carriers(clause.asked)
                    places = np.nonzero(asked)
                    queries[own[places[0]], head, columns[places[1]]] = scale * clause.weight * asked[places]
            # Heads that share keys share values; a look-up of theirs has columns of its own.
            taken = columns_of[group]
            first_column = max(0, min((index * groups + group) % (head_width // 2), room[group]))
            start = max((one.stop for one in taken.values()), default=first_column)
            if number not in taken:
                taken[number] = slice(start, start + len(maps) + 1)
            mine_columns = taken[number]
            if mine_columns.stop > head_width:
                raise CompileError(
                    f"heads of width {head_width} cannot bring {mine_columns.stop} values",
                    hint="ask for wider heads (--head-width) or more of them (--kv-heads)",
                )
            for column, (sources, weights, targets, written) in zip(
                range(mine_columns.start, mine_columns.stop - 1), maps, strict=True
            ):
                values[sources, group, column] = weights
                out[head, column, targets] = share * written
            # What stands for nothing is taken away: a value that is 1 everywhere brings it.
            values[one, group, mine_columns.stop - 1] = 1 / ONE_VALUE
            for bring in look_up.brings:
                out[head, mine_columns.stop - 1, layout.span(bring.target)] = (
                    -share * layout.codings[bring.target].nothing
                )
    into = np.concatenate([part.reshape(width, -1) for part in (queries, keys, values)], axis=1)
    return into, out.reshape(-1, width)


# --- feed-forward


def _feed_forward(
    layout: LlamaLayout, architecture: Architecture, index: int
) -> tuple[
    Float64[np.ndarray, "width hidden"], Float64[np.ndarray, "width hidden"], Float64[np.ndarray, "hidden width"]
]:
    """The matrices of a layer's hidden units; those beyond the construction's are zero."""
    width, hidden = architecture.width, architecture.hidden_width
    gate, up, down = np.zeros((width, hidden)), np.zeros((width, hidden)), np.zeros((hidden, width))
    first, one = 0, layout.starts[ONE]
    is_last = index == architecture.num_layers - 1
    for table in layout.tables(index):
        units = slice(first, first + table.num_units)
        first = units.stop
        bias = np.full(table.num_units, SHARPNESS)
        for place, name in enumerate(table.reads):
            weights, on = watch(layout, name, table.watched[:, place], SHARPNESS)
            gate[layout.watched(name), units] += weights
            bias -= on
        gate[one, units] = bias / ONE_VALUE
        up[one, units] = 1 / ONE_VALUE
        written = np.zeros((table.num_units, width), dtype=np.float32)
        write_outputs(layout, table, ANSWER, SHARPNESS, written, is_last=is_last)
        down[units] = written
        if layout.is_saturated:
            gate[:, units] *= 2
            seconds = slice(first, first + table.num_units)
            first = seconds.stop
            gate[:, seconds], up[:, seconds], down[seconds] = gate[:, units], up[:, units], -written
            gate[one, seconds] -= SHARPNESS / ONE_VALUE
    if is_last and layout.following:
        # Units that are multiplied by the difference between two names.
        moving = np.arange(first, first + layout.num_moving)
        old, new = (layout.carriers(name) for name in (layout.address, layout.following))
        gate[one, moving] = SHARPNESS / ONE_VALUE
        up[new, moving], up[old, moving] = 1, -1
        down[moving, old] = 1 / SHARPNESS
    return gate, up, down
