"""Lowering a circuit without a chain to the paper's own transformer: no layer norm, every operation rounded in F_s.

As in ``targets.paper``, all weights but B_s are in {0, ±1/2, ±1, ±3/2}, sums stay on multiples of 1/2, and heads find
positions by sign codes. What differs is that a position's bit is overwritten layer by layer, so it must be exact each
time. In order of the residual stream:

*one*: a constant 1. *bit* (two dimensions, both b): 0 or 1. *mark* (three dimensions): which of ``=``, ``.`` and
``<unk>`` the token is; 0 for bits. *fetched* u_i: what head i brings, ±1, which is b + b - 1. *table* e_c: ±1. *mode*:
1 at the last position, -1 elsewhere.

The unit (c, v) is relu((1 - K)/2 + sum of c_i u_i / 2 + v e_c / 2), the constant first: 1 if the fetched bits are c and
e_c = v, and 0 otherwise. For v = 1 it adds 1 to b. Other units, relu(b), relu(u_i) and relu(-u_i), take away what stood
there. In the last layer the units see the mode as well. Nothing is taken away there; they add 1 to b for v = 1 and -3/2
for v = 0, and -3/2 to each mark; at the last position another unit adds 3/2 to the mark of ``=`` and -3/2 to b.

So the logit of the bit 1 is at least 3/2 or at most -1, that of the bit 0 is 0, and that of a mark is at most -1/2,
but for ``=`` at the last position, where it is 3/2 and the bit 1's is at most -1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from serialformer.architecture import Architecture, Arithmetic
from serialformer.constructions.construction import Construction, ConstructionLayer
from serialformer.constructions.placement import Placement
from serialformer.errors import CompileError
from serialformer.targets.paper import MAX_HEADS, MAX_PAPER_PRECISION
from serialformer.targets.sign_codes import code_length, sign_codes
from serialformer.transformer.precision import fixed_point
from serialformer.transformer.transformer import Layer, Transformer

ONE, BIT, MARK, FIRST_FIELD = 0, 1, 3, 6
"""The first dimensions: the constant, the token's bit (two of them), the marks of tokens that are no bits (three)."""

OF_TOKEN = {"bit": np.array([[0, 0], [1, 1]]), "mark": np.concatenate([np.zeros((1, 3)), np.eye(3)])}
"""The codes of the token's fields."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PaperDepthLayout:
    """The layout of the residual stream: one, bit (2), mark (3), then the fields, each one dimension or a code.

    Attributes:
        construction: what is laid out.
        starts: the first dimension of each field.
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
        labels = ["one", "bit.0", "bit.1", "mark[=]", "mark[.]", "mark[<unk>]"]
        for name in list(self.starts)[len(OF_TOKEN) :]:
            is_id = self.is_id(name)
            labels += [f"{name}.{index}" for index in range(self.code_length)] if is_id else [name]
        return (*labels, *(f"padding.{index}" for index in range(self.width - len(labels))))

    def is_id(self, name: str) -> bool:
        """Whether look-ups compare a field."""
        clauses = [clause for look_up in self.construction.layers[0].look_ups for clause in look_up.clauses]
        return any(name in (clause.key, clause.asked) for clause in clauses)

    def num_clearing(self, name: str) -> int:
        """How many units clear a field: a bit is 0 or 1, what is fetched 1 or -1."""
        return 1 if name in OF_TOKEN else 2


def lay_out_paper_depth(construction: Construction) -> PaperDepthLayout:
    """The narrowest layout for ids of k = ceil(log2(positions)) signs."""
    length, num_heads = code_length(construction.num_positions), len(construction.layers[0].look_ups)
    layout = PaperDepthLayout(construction=construction, starts={}, code_length=length, num_heads=num_heads, width=0)
    starts, used = {"bit": BIT, "mark": MARK}, FIRST_FIELD
    for part in (*construction.fields_of("layers"), *construction.fields_of("position")):
        starts[part.name] = used
        used += length if layout.is_id(part.name) else 1
    width = num_heads * max(2 * length, -(-used // num_heads))
    return PaperDepthLayout(
        construction=construction, starts=starts, code_length=length, num_heads=num_heads, width=width
    )


def paper_depth_to_placement(layout: PaperDepthLayout) -> Placement:
    """The witness for the proof: what lies where, in which codes."""
    construction, codes, spans, of_ids = layout.construction, {}, {}, None
    for name, start in layout.starts.items():
        if name in OF_TOKEN:
            codes[name] = OF_TOKEN[name].astype(np.int8)
        elif layout.is_id(name):
            if of_ids is None:
                of_ids = sign_codes(np.arange(construction.num_positions), layout.code_length)
            codes[name] = of_ids
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
        heads=(tuple(range(layout.num_heads)),) * len(construction.layers),
        unit_output=1.0,
        answer_weight=1.0,
        default_weight=1.0,
    )


def construction_to_paper_depth(construction: Construction, *, precision: int) -> tuple[Transformer, PaperDepthLayout]:
    """The weights, in F_s with s = ``precision``.

    Args:
        construction: of a circuit without a chain.
        precision: s.

    Raises:
        CompileError: the precision is not between 1 and MAX_PAPER_PRECISION, or gates read more than two wires.
    """
    if not 1 <= precision <= MAX_PAPER_PRECISION:
        raise CompileError(
            f"expected a precision from 1 to {MAX_PAPER_PRECISION}, found {precision}",
            hint="1 is enough for any circuit",
        )
    num_heads = len(construction.layers[0].look_ups)
    if num_heads > MAX_HEADS:
        raise CompileError(
            f"gates of {num_heads} inputs, at most {MAX_HEADS} for target paper",
            hint="split_gates makes two-input ones",
        )
    layout, length = lay_out_paper_depth(construction), len(construction.vocabulary)
    hidden = max(_num_units(layout, layer) for layer in construction.layers)
    architecture = Architecture(
        vocabulary=construction.vocabulary,
        num_positions=construction.num_positions,
        width=layout.width,
        num_layers=len(construction.layers),
        num_heads=layout.num_heads,
        hidden_width=hidden,
        activation="relu",
        norm_epsilon=0.0,
        end_token=construction.end_token,
        dtype="float32",
        norm="none",
        scaled_scores=False,
        arithmetic=Arithmetic(precision=precision),
    )
    token_embedding = np.zeros((length, layout.width), dtype=np.float32)
    for name, codes in OF_TOKEN.items():
        start = layout.starts[name]
        token_embedding[:, start : start + codes.shape[1]] = codes[construction.field_named[name].of_token]
    position_embedding = np.zeros((construction.num_positions, layout.width), dtype=np.float32)
    position_embedding[:, ONE] = 1
    for part in construction.fields_of("position"):
        first, values = layout.starts[part.name], part.at(slice(0, construction.num_positions))
        if layout.is_id(part.name):
            position_embedding[:, first : first + layout.code_length] = sign_codes(values, layout.code_length)
        else:
            position_embedding[:, first] = 2.0 * values - 1
    largest = fixed_point(precision).largest
    made: dict[int, Layer] = {}
    for layer in construction.layers:
        if id(layer) not in made:
            is_last = layer is construction.layers[-1]
            made[id(layer)] = _layer(layout, architecture, layer, largest, is_last=is_last)
    transformer = Transformer(
        architecture=architecture,
        token_embedding=token_embedding,
        position_embedding=position_embedding,
        layers=tuple(made[id(layer)] for layer in construction.layers),
        final_norm_gain=np.zeros(0, dtype=np.float32),
        final_norm_bias=np.zeros(0, dtype=np.float32),
    )
    return transformer, layout


def _num_units(layout: PaperDepthLayout, layer: ConstructionLayer) -> int:
    return sum(table.num_units for table in layer.tables) + sum(map(layout.num_clearing, layer.clears))


def _layer(
    layout: PaperDepthLayout, architecture: Architecture, layer: ConstructionLayer, largest: float, *, is_last: bool
) -> Layer:
    width, heads, starts = layout.width, layout.num_heads, layout.starts
    into, out = np.zeros((width, 3, heads, width // heads)), np.zeros((heads, width // heads, width))
    sign = np.arange(layout.code_length)
    for head, look_up in enumerate(layer.look_ups):
        (clause,), (bring,) = look_up.clauses, look_up.brings
        assert clause.asked is not None and bring.source == "bit", look_up
        into[starts[clause.asked] + sign, 0, head, 2 * sign] = 1
        into[ONE, 0, head, 2 * sign + 1] = 1
        into[starts[clause.key] + sign, 1, head, 2 * sign] = largest
        into[ONE, 1, head, 2 * sign + 1] = -largest
        into[BIT : BIT + 2, 2, head, 0] = 1
        into[ONE, 2, head, 0] = -1
        out[head, 0, starts[bring.target]] = 1
    hidden = architecture.hidden_width
    mlp_in, mlp_out = np.zeros((width, hidden)), np.zeros((hidden, width))
    unit = 0
    for table in layer.tables:
        for watched, written in zip(table.watched[:, :, 0].tolist(), table.written.tolist(), strict=True):
            for name, value in zip(table.reads, watched, strict=True):
                mlp_in[starts[name], unit] = (value - 0.5) if len(table.reads) > 1 else 2 * value - 1
            if len(table.reads) > 1:
                mlp_in[ONE, unit] = 1 - len(table.reads) / 2
            if is_last:
                _answer(mlp_out[unit], dict(zip(table.writes, written, strict=True)))
            else:
                mlp_out[unit, BIT:MARK] = written[0]
            unit += 1
    for name in layer.clears:
        if name in OF_TOKEN:
            mlp_in[BIT, unit], mlp_out[unit, BIT:MARK] = 1, -1
        else:
            mlp_in[starts[name], unit : unit + 2] = [1, -1]
            mlp_out[unit : unit + 2, starts[name]] = [-1, 1]
        unit += layout.num_clearing(name)
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
        "mlp_in_bias": np.zeros(hidden),
        "mlp_out_weight": mlp_out,
        "mlp_out_bias": np.zeros(width),
    }
    return Layer(**{name: array.astype(np.float32) for name, array in arrays.items()})


def _answer(out: np.ndarray, written: Mapping[str, int]) -> None:
    """What a unit of the last layer writes: a bit, or a mark."""
    if written["mark"]:
        out[BIT:MARK] = -1.5
        out[MARK - 1 + written["mark"]] = 1.5
        return
    out[BIT:MARK] = 1 if written["bit"] else -1.5
    out[MARK:FIRST_FIELD] = -1.5
