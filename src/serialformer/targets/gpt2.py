"""The GPT-2 target: a construction becomes the weights of a stock GPT-2.

All weights but the embeddings depend on the layout alone. Three ideas carry it:

*Attention.* The query of a position is what it asks for, times a scale s; the key of a position is the code of the
field that is compared. The score of the position that meets all clauses exceeds any other's by at least s gap /
sqrt(head width), where gap is that of the codes. Softmax then leaves all the others together at most T exp(-score
gap) of the weight: nothing, in any number format, for the gaps used here.

*Hidden units.* A unit of n literals sees SHARPNESS where all its fields hold what it watches for and at most -SHARPNESS
otherwise: a field whose codes have the product ``on`` with the watched code, and at most ``on - gap`` otherwise,
enters with the weight 2 SHARPNESS / gap. relu and gelu agree at both (gelu to within 1e-14 at 8), so a unit gives
SHARPNESS or 0. A *saturated* unit is a pair with twice these weights: the first sees 2 SHARPNESS or at most -2
SHARPNESS, the second SHARPNESS less, and what it gives is subtracted. Both are linear where they fire, so their
difference is SHARPNESS there, whatever the fields err by. A field is cleared by units that are linear for all that it
can hold: they take away what stands there, errors included.

*Answer.* The units that fire add ANSWER times the code of the next token, which outvotes the code that the current
token put there. The unembedding is the token embedding, so that token's logit beats any other's. A default, written
where no unit fires, counts half as much.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import numpy as np

from serialformer.architecture import DTYPES, Activation, Architecture, DtypeName, Shape
from serialformer.arrays import Float32, Float64, Shaped
from serialformer.constructions.construction import Construction, LookUp
from serialformer.constructions.placement import Placement
from serialformer.errors import CompileError
from serialformer.targets.layout import Layout, Packing, lay_out
from serialformer.targets.maps import (
    bring_maps,
    clause_map,
    default_attention_gap,
    query_scale,
    store,
    watch,
    write_outputs,
)
from serialformer.transformer.row_table import forget_rows, make_table
from serialformer.transformer.transformer import Layer, Transformer

NORM_EPSILON = 1e-5

FINAL_NORM_GAIN = 16.0
"""Makes the logits' margin large enough that sampling at temperature 1 gives the chain as well."""

SHARPNESS = 8.0
ANSWER = 8.0
DEFAULT_ANSWER = 4.0

POSITIONS_PER_BLOCK = 1 << 15


def construction_to_gpt2(
    construction: Construction,
    *,
    dtype: DtypeName,
    activation: Activation,
    attention_gap: float | None = None,
    packing: Packing | None = None,
    shape: Shape | None = None,
) -> tuple[Transformer, Layout]:
    """The weights, and where everything lies in them.

    Args:
        construction: what to realise.
        dtype: number format of the weights.
        activation: ``gelu_new`` is what stock GPT-2 has; ``relu`` takes the same weights.
        attention_gap: the least score difference to aim at; by default 40, more for very long chains.
        packing: how the stream is laid out; by default as ``choose_packing`` says.
        shape: the width of heads and the number of spare positions, if they are to be other than necessary.

    Raises:
        CompileError: the number format does not hold the weights.
    """
    gap = default_attention_gap(construction.num_positions) if attention_gap is None else attention_gap
    if not gap > 0:
        raise CompileError(f"expected an attention gap above 0, found {gap}")
    shape = shape or Shape()
    layout = lay_out(construction, packing, head_width=shape.head_width)
    construction = layout.construction
    most_units = max(layout.num_hidden_units(layer) for layer in construction.layers)
    architecture = Architecture(
        vocabulary=construction.vocabulary,
        num_positions=construction.num_positions + (shape.spare_positions or 0),
        width=layout.width,
        num_layers=len(construction.layers),
        num_heads=layout.num_heads,
        hidden_width=max(4 * layout.width, most_units),
        activation=activation,
        norm_epsilon=NORM_EPSILON,
        end_token=construction.end_token,
        dtype=dtype,
    )
    number = DTYPES[dtype]

    def stored(values: np.ndarray) -> Shaped[np.ndarray, "..."]:
        return store(values, dtype)

    token_embedding = np.zeros((len(construction.vocabulary), layout.width))
    for part in construction.fields_of("token"):
        token_embedding[:, layout.span(part.name)] = layout.codings[part.name].rows(part.of_token)
    gain = np.full(layout.width, float(layout.deviation))
    if layout.is_signs:
        gain = gain * sqrt(1 + NORM_EPSILON)
    gain, zeros = gain.astype(number), np.zeros(layout.width).astype(number)
    layers = []
    for index in range(len(construction.layers)):
        into, into_bias, out, out_bias = _attention(layout, architecture, index, gap)
        mlp_in, mlp_in_bias, mlp_out, mlp_out_bias = _feed_forward(layout, architecture, index)
        layers.append(
            Layer(
                attention_norm_gain=gain,
                attention_norm_bias=zeros,
                attention_in_weight=stored(into),
                attention_in_bias=stored(into_bias),
                attention_out_weight=stored(out),
                attention_out_bias=stored(out_bias),
                mlp_norm_gain=gain,
                mlp_norm_bias=zeros,
                mlp_in_weight=stored(mlp_in),
                mlp_in_bias=stored(mlp_in_bias),
                mlp_out_weight=stored(mlp_out),
                mlp_out_bias=stored(mlp_out_bias),
            )
        )
    transformer = Transformer(
        architecture=architecture,
        token_embedding=stored(token_embedding),
        position_embedding=_position_embedding(layout, number, stored, shape.spare_positions or 0),
        layers=tuple(layers),
        final_norm_gain=np.full(layout.width, FINAL_NORM_GAIN).astype(number),
        final_norm_bias=zeros,
    )
    return transformer, layout


def layout_to_placement(layout: Layout) -> Placement:
    """The witness for the proof: what lies where, and how much units write."""
    construction, codings = layout.construction, layout.codings
    constant, change = np.zeros(layout.width), np.zeros(layout.width)
    constant[layout.ballast] = layout.ballast_before
    constant[layout.width - layout.num_filled :] = layout.filling
    change[layout.ballast] = np.subtract(layout.ballast_after, layout.ballast_before)
    return Placement(
        construction=construction,
        width=layout.width,
        deviation=layout.deviation,
        spans={name: layout.span(name) for name in codings},
        codes={name: coding.codes for name, coding in codings.items()},
        nothing={name: coding.nothing for name, coding in codings.items()},
        answers={name: coding.answers for name, coding in codings.items()},
        constant=constant,
        constant_change=change,
        heads=tuple(
            tuple(number for number, look_up in enumerate(layer.look_ups) for _ in range(look_up.copies))
            for layer in construction.layers
        ),
        unit_output=SHARPNESS,
        is_saturated=layout.is_saturated,
        answer_weight=ANSWER,
        default_weight=DEFAULT_ANSWER,
    )


def _position_embedding(
    layout: Layout, number: np.dtype, store: Callable[[np.ndarray], np.ndarray], num_spare: int
) -> Shaped[np.ndarray, "positions width"]:
    construction = layout.construction
    num_positions = construction.num_positions
    embedding = make_table(num_positions + num_spare, layout.width, number)
    constant = np.zeros(layout.width, dtype=np.float32)
    constant[layout.ballast] = layout.ballast_before
    constant[layout.width - layout.num_filled :] = layout.filling
    for part in construction.fields_of("layers"):
        constant[layout.span(part.name)] = layout.codings[part.name].nothing
    for start in range(0, num_positions, POSITIONS_PER_BLOCK):
        rows = slice(start, min(start + POSITIONS_PER_BLOCK, num_positions))
        block = np.tile(constant, (rows.stop - rows.start, 1))
        for part in construction.fields_of("position"):
            block[:, layout.span(part.name)] = layout.codings[part.name].rows(part.at(rows))
        embedding[rows] = block if number == np.float32 else store(block)
        forget_rows(embedding)
    return embedding


# --- attention


def _attention(
    layout: Layout, architecture: Architecture, index: int, gap: float
) -> tuple[
    Float64[np.ndarray, "width qkv"],
    Float64[np.ndarray, " qkv"],
    Float64[np.ndarray, "width width"],
    Float64[np.ndarray, " width"],
]:
    """The matrices and biases of a layer's heads."""
    width, heads, head_width = architecture.width, architecture.num_heads, architecture.head_width
    into, bias = np.zeros((width, 3, heads, head_width)), np.zeros((3, heads, head_width))
    out, out_bias = np.zeros((heads, head_width, width)), np.zeros(width)
    if index == 0:
        # What the heads bring adds to the square norm; the ballast gives up as much.
        out_bias[layout.ballast] = np.subtract(layout.ballast_after, layout.ballast_before)
    head = 0
    for look_up in layout.construction.layers[index].look_ups:
        maps = bring_maps(layout, look_up)
        shares = np.array_split(np.arange(len(maps)), look_up.copies)
        for share in shares:
            _write_query(layout, look_up, gap, head_width, into[:, :, head], bias[:, head])
            for column, number in enumerate(share):
                sources, weights, targets, values = maps[number]
                into[sources, 2, head, column] = weights
                out[head, column, targets] = values
            head += 1
        for bring in look_up.brings:
            nothing = layout.codings[bring.target].nothing
            if nothing.any():
                out_bias[layout.span(bring.target)] = -nothing.astype(np.float64)
    return into.reshape(width, 3 * width), bias.reshape(3 * width), out.reshape(width, width), out_bias


def _write_query(
    layout: Layout, look_up: LookUp, gap: float, head_width: int, into: np.ndarray, bias: np.ndarray
) -> None:
    """Fills in the query and key columns of a head: ``into[dimension, part, column]`` and ``bias[part, column]``."""
    code_gap = min(layout.codings[clause.key].gap for clause in look_up.clauses)
    scale = query_scale(head_width, gap, code_gap)
    first = 0
    for clause in look_up.clauses:
        asked, constant, used = clause_map(layout, clause)
        columns = np.arange(first, first + len(used))
        first += len(used)
        into[layout.carriers(clause.key)[used], 1, columns] = 1
        bias[0, columns] = scale * clause.weight * constant
        if clause.asked is not None:
            own = layout.carriers(clause.asked)
            rows, places = np.nonzero(asked)
            into[own[rows], 0, columns[places]] = scale * clause.weight * asked[rows, places]


# --- feed-forward


def _feed_forward(
    layout: Layout, architecture: Architecture, index: int
) -> tuple[
    Float32[np.ndarray, "width hidden"],
    Float64[np.ndarray, " hidden"],
    Float32[np.ndarray, "hidden width"],
    Float64[np.ndarray, " width"],
]:
    """The matrices and biases of a layer's hidden units; those beyond the construction's are zero."""
    width, hidden = architecture.width, architecture.hidden_width
    into = np.zeros((width, hidden), dtype=np.float32)
    bias = np.zeros(hidden)
    out, out_bias = np.zeros((hidden, width), dtype=np.float32), np.zeros(width)
    first, layer = 0, layout.construction.layers[index]
    is_last = index == len(layout.construction.layers) - 1
    for table in layer.tables:
        units = slice(first, first + table.num_units)
        first = units.stop
        bias[units] = SHARPNESS
        for place, name in enumerate(table.reads):
            weights, on = watch(layout, name, table.watched[:, place], SHARPNESS)
            into[layout.watched(name), units] += weights
            bias[units] -= on
        write_outputs(layout, table, ANSWER, SHARPNESS, out[units], is_last=is_last)
        if layout.is_saturated:
            into[:, units], bias[units] = 2 * into[:, units], 2 * bias[units]
            pairs = slice(first, first + table.num_units)
            first = pairs.stop
            into[:, pairs], bias[pairs], out[pairs] = into[:, units], bias[units] - SHARPNESS, -out[units]
    for name in layer.clears:
        coding, span = layout.codings[name], layout.span(name)
        clearing = np.arange(first, first + len(coding.carriers))
        first += len(clearing)
        # They see from SHARPNESS to 3 SHARPNESS, where they are linear.
        into[layout.carriers(name), clearing] = SHARPNESS
        bias[clearing] = 2 * SHARPNESS
        out[clearing[coding.carrier], np.arange(span.start, span.stop)] = -coding.signs / SHARPNESS
        out_bias[span] = 2.0 * coding.signs + coding.nothing
    if is_last:
        for name, value in layout.construction.default.items():
            out_bias[layout.span(name)] = DEFAULT_ANSWER * layout.codings[name].answers[value]
    return into, bias, out, out_bias
