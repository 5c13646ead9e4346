"""Lowering to the paper's own transformer: no layer norm, unscaled scores, relu, every operation rounded in F_s.

Theorem 3.3 of arXiv 2402.12875, SIZE[T] ⊆ CoT[T, log n, 1]. One layer with two heads suffices: the ids that the heads
look up lie in the position embedding, so neither look-up waits for the other, and the feed-forward layer comes after
both. (Two layers of one head each would do the same, one after the other.)

All weights are in {0, ±1/2, ±1, ±B_s}, and every sum below stays within ±3/2 and on multiples of 1/2, except scores
(``sign_codes``), so the same weights but for B_s work for every s >= 1. In order of the residual stream:

*token* (two dimensions, both t): the current token's bit, t = ±1, and 0 for ``=``. *equals*: 1 for ``=``, else 0. The
value of a head is t - equals: the bit as a sign, ``=`` as -1, and 0 for ``<unk>``.

*fetched* u_i: what head i brings. *table* e_c for each combination c of fetched bits: ±1, or 0 where nothing is to be
written. The hidden unit (c, v) is relu(sum of c_i u_i / 2 + v e_c / 2 - K/2): 1/2 if the fetched bits are c and
e_c = v, and 0 otherwise. It adds v/2 to both token dimensions. Three more units, relu(t), relu(-t) and relu(equals),
take away what the current token left there; the bias adds 1/2 to equals. The sums go -t first and then ±1/2, so nothing
saturates.

After that a token dimension is v/2 or, if no unit fired, 0, and equals is 1/2. The logits are v/2 + v/2 = v for the
bit 1, -v for the bit 0, and 1/2 for ``=``: the right one leads by 1/2 or more. (One token dimension could only hold
±1/2, and in F_1 no number lies between 0 and 1/2 for ``=`` to have.)

Positions that write nothing look up their own id, which exists: no softmax divides by zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from serialformer.architecture import Architecture, Arithmetic
from serialformer.arrays import Float32
from serialformer.constructions.construction import NOTHING, Construction
from serialformer.constructions.placement import Placement
from serialformer.errors import CompileError
from serialformer.targets.sign_codes import code_length, sign_codes
from serialformer.transformer.precision import fixed_point
from serialformer.transformer.transformer import Layer, Transformer

MAX_PAPER_PRECISION = 12
"""B_s has 2s binary digits, and the weights are stored in float32."""

MAX_HEADS = 2
"""K/2 + 1/2, the largest sum of a hidden unit, has to stay below B_1 = 3/2."""

AWAY = ("takes token 1 away", "takes token 0 away", "takes = away")
"""The first three hidden units, by name."""

TOKEN, EQUALS, ONE = 0, 2, 3
"""The first dimensions: the token's bit (two of them), whether it is ``=``, and a constant 1."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PaperLayout:
    """The layout of the residual stream: token (2), equals, one, then the fields, each one dimension or a code,
    padding.

    Attributes:
        construction: what is laid out.
        starts: the first dimension of each field but the token's.
        code_length: signs of an id.
        num_heads: bits fetched; 1 or 2.
        width: all dimensions: a head is 2 ``code_length`` wide, and all heads together are as wide as the stream.
    """

    construction: Construction
    starts: Mapping[str, int]
    code_length: int
    num_heads: int
    width: int

    def directions(self) -> tuple[str, ...]:
        """A label for each dimension."""
        labels = ["token.0", "token.1", "equals", "one"]
        for name in self.starts:
            is_id = name in _ids(self.construction)
            labels += [f"{name}.{index}" for index in range(self.code_length)] if is_id else [name]
        return (*labels, *(f"padding.{index}" for index in range(self.width - len(labels))))


def lay_out_paper(construction: Construction) -> PaperLayout:
    """The narrowest layout: width max(3k + 10, 4k) for two heads, k = ceil(log2(positions)), rounded up to even."""
    length, num_heads = code_length(construction.num_positions), len(construction.layers[0].look_ups)
    starts, used, ids = {}, ONE + 1, _ids(construction)
    for part in (*construction.fields_of("layers"), *construction.fields_of("position")):
        starts[part.name] = used
        used += length if part.name in ids else 1
    head_width = max(2 * length, -(-used // num_heads))
    return PaperLayout(
        construction=construction,
        starts=starts,
        code_length=length,
        num_heads=num_heads,
        width=num_heads * head_width,
    )


def paper_to_placement(layout: PaperLayout) -> Placement:
    """The witness for the proof: what lies where, in which codes."""
    construction, ids = layout.construction, _ids(layout.construction)
    (token,) = construction.fields_of("token")
    spans = {token.name: slice(TOKEN, ONE)}
    codes = {token.name: np.array([[-1, -1, 0], [1, 1, 0], [0, 0, 1]], dtype=np.int8)}
    of_ids: dict[int, np.ndarray] = {}
    for name, start in layout.starts.items():
        num_values = construction.field_named[name].num_values
        if name in ids:
            if num_values not in of_ids:
                of_ids[num_values] = sign_codes(np.arange(num_values), layout.code_length)
            codes[name] = of_ids[num_values]
        else:
            codes[name] = np.array([[-1], [1]], dtype=np.int8)
        spans[name] = slice(start, start + codes[name].shape[1])
    constant = np.zeros(layout.width)
    constant[ONE] = 1
    return Placement(
        construction=construction,
        width=layout.width,
        deviation=1,
        spans=spans,
        codes=codes,
        nothing={name: np.zeros(rows.shape[1], dtype=np.int8) for name, rows in codes.items()},
        answers=codes,
        constant=constant,
        constant_change=np.zeros(layout.width),
        heads=(tuple(range(layout.num_heads)),),
        unit_output=0.5,
        answer_weight=0.5,
        default_weight=0.5,
    )


def _ids(construction: Construction) -> set[str]:
    """The fields that look-ups compare."""
    clauses = [clause for look_up in construction.layers[0].look_ups for clause in look_up.clauses]
    return {clause.key for clause in clauses} | {clause.asked for clause in clauses if clause.asked is not None}


def construction_to_paper(construction: Construction, *, precision: int) -> tuple[Transformer, PaperLayout]:
    """The weights, in F_s with s = ``precision``: one layer, K <= 2 heads, 2^(K+1) + 3 hidden units.

    Args:
        construction: of one layer, over the bits 0 and 1 and ``=``, each look-up comparing one field with another.
        precision: s.

    Raises:
        CompileError: the precision is not between 1 and MAX_PAPER_PRECISION, or gates read more than two wires.
    """
    if not 1 <= precision <= MAX_PAPER_PRECISION:
        raise CompileError(
            f"expected a precision from 1 to {MAX_PAPER_PRECISION}, found {precision}",
            hint="1 is enough for any circuit",
        )
    if len(construction.layers[0].look_ups) > MAX_HEADS:
        raise CompileError(
            f"gates of {len(construction.layers[0].look_ups)} inputs, at most {MAX_HEADS} for target paper",
            hint="split_gates makes two-input ones",
        )
    layout = lay_out_paper(construction)
    num_units = sum(table.num_units for table in construction.layers[0].tables)
    architecture = Architecture(
        vocabulary=construction.vocabulary,
        num_positions=construction.num_positions,
        width=layout.width,
        num_layers=1,
        num_heads=layout.num_heads,
        hidden_width=num_units + 3,
        activation="relu",
        norm_epsilon=0.0,
        end_token=construction.end_token,
        dtype="float32",
        norm="none",
        scaled_scores=False,
        arithmetic=Arithmetic(precision=precision),
    )
    (token,) = construction.fields_of("token")
    token_embedding = np.zeros((len(construction.vocabulary), layout.width), dtype=np.float32)
    for row, value in enumerate(token.of_token.tolist()):
        if value == 2:
            token_embedding[row, EQUALS] = 1
        elif value != NOTHING:
            token_embedding[row, TOKEN : TOKEN + 2] = 2 * value - 1
    transformer = Transformer(
        architecture=architecture,
        token_embedding=token_embedding,
        position_embedding=_position_embedding(layout),
        layers=(_layer(layout, architecture, fixed_point(precision).largest),),
        final_norm_gain=np.zeros(0, dtype=np.float32),
        final_norm_bias=np.zeros(0, dtype=np.float32),
    )
    return transformer, layout


def _layer(layout: PaperLayout, architecture: Architecture, largest: float) -> Layer:
    width, heads, layer = layout.width, layout.num_heads, layout.construction.layers[0]
    into, out = np.zeros((width, 3, heads, width // heads)), np.zeros((heads, width // heads, width))
    sign = np.arange(layout.code_length)
    for head, look_up in enumerate(layer.look_ups):
        (clause,), (bring,) = look_up.clauses, look_up.brings
        assert clause.asked is not None and bring.of_value == (0, 1, 0), look_up
        into[layout.starts[clause.asked] + sign, 0, head, 2 * sign] = 1
        into[ONE, 0, head, 2 * sign + 1] = 1
        into[layout.starts[clause.key] + sign, 1, head, 2 * sign] = largest
        into[ONE, 1, head, 2 * sign + 1] = -largest
        into[TOKEN, 2, head, 0] = 1
        into[EQUALS, 2, head, 0] = -1
        out[head, 0, layout.starts[bring.target]] = 1
    hidden = architecture.hidden_width
    mlp_in, mlp_in_bias = np.zeros((width, hidden)), np.zeros(hidden)
    mlp_out, mlp_out_bias = np.zeros((hidden, width)), np.zeros(width)
    # The units that take the current token away come first: see the sums above.
    for unit, (direction, seen) in enumerate(((TOKEN, 1), (TOKEN, -1), (EQUALS, 1))):
        mlp_in[direction, unit] = seen
        mlp_out[unit, direction : direction + (2 if direction == TOKEN else 1)] = -seen
    unit = 3
    for table in layer.tables:
        for watched, written in zip(table.watched[:, :, 0].tolist(), table.written[:, 0].tolist(), strict=True):
            for name, value in zip(table.reads, watched, strict=True):
                mlp_in[layout.starts[name], unit] = value - 0.5
            mlp_in_bias[unit] = -(len(table.reads) - 1) / 2
            mlp_out[unit, TOKEN : TOKEN + 2] = 2 * written - 1
            unit += 1
    mlp_out_bias[EQUALS] = 0.5
    arrays = {
        "attention_norm_gain": np.zeros(0),
        "attention_norm_bias": np.zeros(0),
        "attention_in_weight": into.reshape(width, 3 * width),
        "attention_in_bias": np.zeros(3 * width),
        "attention_out_weight": out.reshape(width, width),
        "attention_out_bias": np.zeros(width),
        "mlp_norm_gain": np.zeros(0),
        "mlp_norm_bias": np.zeros(0),
        "mlp_in_weight": mlp_in,
        "mlp_in_bias": mlp_in_bias,
        "mlp_out_weight": mlp_out,
        "mlp_out_bias": mlp_out_bias,
    }
    return Layer(**{name: array.astype(np.float32) for name, array in arrays.items()})


def _position_embedding(layout: PaperLayout) -> Float32[np.ndarray, "positions width"]:
    construction = layout.construction
    every = slice(0, construction.num_positions)
    ids = _ids(construction)
    rows = np.zeros((construction.num_positions, layout.width), dtype=np.float32)
    rows[:, ONE] = 1
    for part in construction.fields_of("position"):
        first, values = layout.starts[part.name], part.at(every)
        if part.name in ids:
            rows[:, first : first + layout.code_length] = sign_codes(values, layout.code_length)
        else:
            rows[:, first] = np.where(values == NOTHING, 0, 2.0 * values - 1)
    return rows
