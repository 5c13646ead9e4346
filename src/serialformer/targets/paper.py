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

import numpy as np

from serialformer.constructions.construction import Construction
from serialformer.targets.paper_layout import PaperLayout, StreamStart, lay_out_stream
from serialformer.targets.paper_weights import check_paper, paper_architecture, paper_layer, paper_transformer
from serialformer.transformer.transformer import Layer, Transformer

TOKEN, EQUALS, ONE = 0, 2, 3
"""The first dimensions: the token's bit (two of them), whether it is ``=``, and a constant 1."""

AWAY = ("takes token 1 away", "takes token 0 away", "takes = away")
"""The first three hidden units, by name."""

CHAIN_START = StreamStart(
    labels=("token.0", "token.1", "equals", "one"),
    one=ONE,
    starts={"token": TOKEN},
    codes={"token": np.array([[-1, -1, 0], [1, 1, 0], [0, 0, 1]], dtype=np.int8)},
    source=("token", (0, 1, 0)),
    value={TOKEN: 1, EQUALS: -1},
    unit_output=0.5,
    first_units=AWAY,
)


def lay_out_paper(construction: Construction) -> PaperLayout:
    """The narrowest layout: width max(3k + 10, 4k) for two heads, k = ceil(log2(positions)), rounded up to even."""
    return lay_out_stream(construction, CHAIN_START)


def construction_to_paper(construction: Construction, *, precision: int) -> tuple[Transformer, PaperLayout]:
    """The weights, in F_s with s = ``precision``: one layer, K <= 2 heads, 2^(K+1) + 3 hidden units.

    Args:
        construction: of one layer, over the bits 0 and 1 and ``=``, each look-up comparing one field with another.
        precision: s.

    Raises:
        CompileError: the precision is not between 1 and MAX_PAPER_PRECISION, or gates read more than two wires.
    """
    check_paper(construction, precision)
    layout, (layer,) = lay_out_paper(construction), construction.layers
    hidden_width = sum(table.num_units for table in layer.tables) + len(AWAY)
    architecture = paper_architecture(layout, hidden_width, precision)
    return paper_transformer(layout, architecture, (_layer(layout, hidden_width, precision),)), layout


def _layer(layout: PaperLayout, hidden: int, precision: int) -> Layer:
    width, (layer,) = layout.width, layout.construction.layers
    mlp_in, mlp_in_bias = np.zeros((width, hidden)), np.zeros(hidden)
    mlp_out, mlp_out_bias = np.zeros((hidden, width)), np.zeros(width)
    # The units that take the current token away come first: see the sums above.
    for unit, (direction, seen) in enumerate(((TOKEN, 1), (TOKEN, -1), (EQUALS, 1))):
        mlp_in[direction, unit] = seen
        mlp_out[unit, direction : direction + (2 if direction == TOKEN else 1)] = -seen
    unit = len(AWAY)
    for table in layer.tables:
        for watched, written in zip(table.watched[:, :, 0].tolist(), table.written[:, 0].tolist(), strict=True):
            for name, value in zip(table.reads, watched, strict=True):
                mlp_in[layout.starts[name], unit] = value - 0.5
            mlp_in_bias[unit] = -(len(table.reads) - 1) / 2
            mlp_out[unit, TOKEN : TOKEN + 2] = 2 * written - 1
            unit += 1
    mlp_out_bias[EQUALS] = 0.5
    return paper_layer(
        layout, layer, precision, mlp_in=mlp_in, mlp_in_bias=mlp_in_bias, mlp_out=mlp_out, mlp_out_bias=mlp_out_bias
    )
