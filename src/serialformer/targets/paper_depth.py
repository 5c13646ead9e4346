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

import numpy as np

from serialformer.constructions.construction import Construction, ConstructionLayer
from serialformer.targets.paper_layout import PaperLayout, StreamStart, lay_out_stream
from serialformer.targets.paper_weights import check_paper, paper_architecture, paper_layer, paper_transformer
from serialformer.transformer.transformer import Layer, Transformer

ONE, BIT, MARK, FIRST_FIELD = 0, 1, 3, 6
"""The first dimensions: the constant, the token's bit (two of them), the marks of tokens that are no bits (three)."""

COLUMNS_START = StreamStart(
    labels=("one", "bit.0", "bit.1", "mark[=]", "mark[.]", "mark[<unk>]"),
    one=ONE,
    starts={"bit": BIT, "mark": MARK},
    codes={
        "bit": np.array([[0, 0], [1, 1]], dtype=np.int8),
        "mark": np.concatenate([np.zeros((1, 3)), np.eye(3)]).astype(np.int8),
    },
    source=("bit", None),
    value={BIT: 1, BIT + 1: 1, ONE: -1},
    unit_output=1.0,
)


def lay_out_paper_depth(construction: Construction) -> PaperLayout:
    """The narrowest layout for ids of k = ceil(log2(positions)) signs."""
    return lay_out_stream(construction, COLUMNS_START)


def construction_to_paper_depth(construction: Construction, *, precision: int) -> tuple[Transformer, PaperLayout]:
    """The weights, in F_s with s = ``precision``.

    Args:
        construction: of a circuit without a chain.
        precision: s.

    Raises:
        CompileError: the precision is not between 1 and MAX_PAPER_PRECISION, or gates read more than two wires.
    """
    check_paper(construction, precision)
    layout = lay_out_paper_depth(construction)
    hidden = max(_num_units(layout, layer) for layer in construction.layers)
    made: dict[int, Layer] = {}
    for layer in construction.layers:
        if id(layer) not in made:
            is_last = layer is construction.layers[-1]
            made[id(layer)] = _layer(layout, layer, hidden, precision, is_last=is_last)
    layers = tuple(made[id(layer)] for layer in construction.layers)
    return paper_transformer(layout, paper_architecture(layout, hidden, precision), layers), layout


def _num_units(layout: PaperLayout, layer: ConstructionLayer) -> int:
    return sum(table.num_units for table in layer.tables) + sum(map(layout.num_clearing, layer.clears))


def _layer(layout: PaperLayout, layer: ConstructionLayer, hidden: int, precision: int, *, is_last: bool) -> Layer:
    width, starts = layout.width, layout.starts
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
        if name == "bit":
            mlp_in[BIT, unit], mlp_out[unit, BIT:MARK] = 1, -1
        else:
            mlp_in[starts[name], unit : unit + 2] = [1, -1]
            mlp_out[unit : unit + 2, starts[name]] = [-1, 1]
        unit += layout.num_clearing(name)
    return paper_layer(
        layout, layer, precision,
        mlp_in=mlp_in, mlp_in_bias=np.zeros(hidden), mlp_out=mlp_out, mlp_out_bias=np.zeros(width),
    )  # fmt: skip


def _answer(out: np.ndarray, written: Mapping[str, int]) -> None:
    """What a unit of the last layer writes: a bit, or a mark."""
    if written["mark"]:
        out[BIT:MARK] = -1.5
        out[MARK - 1 + written["mark"]] = 1.5
        return
    out[BIT:MARK] = 1 if written["bit"] else -1.5
    out[MARK:FIRST_FIELD] = -1.5
