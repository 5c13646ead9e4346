"""Margins: how far the compiled weights are from a wrong token, computed from the weights as they will be stored.

Two numbers decide. The *attention gap* is the least difference between the score of the position that a head is to
read and of any other. The *logit margin* is the least difference between the logit of the right token and of the
next, over all contents that the residual stream can have before the feed-forward layer. Both are compared with a bound
on what rounding in the stored number format can do; a compilation that would not hold is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import log, sqrt

import ml_dtypes
import numpy as np
from jaxtyping import Float

from serialformer.architecture import DTYPES
from serialformer.compile.names import LEVELS, MIN_NAME_GAP, name_norm
from serialformer.compile.program import EQUALS, ONE, ZERO, Program
from serialformer.compile.residual import Residual
from serialformer.errors import CompileError
from serialformer.transformer.forward import apply_mlp, cast_layer, unembed
from serialformer.transformer.transformer import Transformer

POSITIONS_A_BLOCK = 1 << 15
LARGEST_LEAK = 1 / 64
"""How much softmax weight all other positions together may get, under the worst rounding."""


@dataclass(frozen=True, kw_only=True)
class Margins:
    """What a compilation guarantees.

    Attributes:
        attention_gap: least score difference, in exact arithmetic on the stored weights.
        rounded_attention_gap: the same less what rounding can take, for any order of summation.
        logit_margin: least difference between the right logit and the next, in exact arithmetic.
        rounded_logit_margin: the same less what rounding can take.
    """

    attention_gap: float
    rounded_attention_gap: float
    logit_margin: float
    rounded_logit_margin: float


def measure_margins(transformer: Transformer, residual: Residual, program: Program) -> Margins:
    """The margins of a lowered program.

    Raises:
        CompileError: the weights would not hold at their number format; says which margin falls short.
    """
    architecture = transformer.architecture
    dtype = architecture.dtype
    roundoff = float(ml_dtypes.finfo(DTYPES[dtype]).eps) / 2
    variance = _constant_variance(transformer)
    layer = transformer.layers[0]
    factor = float(layer.attention_norm_gain[0]) / sqrt(variance + architecture.norm_epsilon)
    scale = float(layer.attention_in_weight[residual.read_name(0), 0])
    unit = scale * factor**2 / sqrt(architecture.head_width)
    gap, largest = unit * MIN_NAME_GAP, unit * name_norm(residual.name_length)
    # Where layer norm gives back the names' small integers exactly, products and sums of them are exact in any order
    # and only the scaled score is rounded; elsewhere every step is.
    normed = (np.array(LEVELS) * factor).astype(DTYPES[dtype]).astype(float)
    exact = bool((normed == LEVELS).all()) and name_norm(residual.name_length) * roundoff < 1
    relative = (2 if exact else residual.name_length + 10) * roundoff
    rounded_gap = gap - 2 * relative * largest
    needed = log(max(2, architecture.num_positions) / LARGEST_LEAK)
    if not rounded_gap >= needed:
        raise CompileError(
            f"the attention gap {gap:.1f} shrinks to {rounded_gap:.1f} under {dtype} rounding; {needed:.1f} is needed"
            f" to tell {architecture.num_positions:,} positions apart",
            hint="ask for a larger attention gap or another dtype",
        )
    largest_product = scale * name_norm(residual.name_length) * (1 + relative)
    if largest_product > float(ml_dtypes.finfo(DTYPES[dtype]).max):
        raise CompileError(
            f"attention products reach {largest_product:.3g}, beyond what {dtype} holds",
            hint="ask for a smaller attention gap or another dtype",
        )
    margin, largest_logit = _logit_margin(transformer, residual, factor)
    rounded_margin = margin - 16 * roundoff * largest_logit - margin * 4 * LARGEST_LEAK
    if not rounded_margin > 0:
        raise CompileError(f"the logit margin {margin:.1f} does not hold under {dtype} rounding", hint="another dtype")
    return Margins(
        attention_gap=gap,
        rounded_attention_gap=rounded_gap,
        logit_margin=margin,
        rounded_logit_margin=rounded_margin,
    )


def _constant_variance(transformer: Transformer) -> float:
    """The variance that the first layer norm sees at every position; checks that it is one, and that the mean is 0."""
    embedding, width = transformer.position_embedding, transformer.architecture.width
    tokens = transformer.token_embedding.astype(np.float64)
    token_norm = float((tokens[0] ** 2).sum())
    norm = None
    for start in range(0, len(embedding), POSITIONS_A_BLOCK):
        # Small integers, but for the ballast: their sums are exact in float32.
        rows = embedding[start : start + POSITIONS_A_BLOCK].astype(np.float32)
        norms = np.einsum("pd,pd->p", rows, rows, dtype=np.float32)
        if norm is None:
            norm = float((rows[0].astype(np.float64) ** 2).sum())
        tilted, uneven = np.abs(rows.sum(axis=1)) > 1e-3, np.abs(norms - norm) > 1e-3 * norm
        if (tilted | uneven).any():
            position = start + int(np.argmax(tilted | uneven))
            raise CompileError(f"position {position} has another mean or variance than position 0")
    assert norm is not None
    return (norm + token_norm) / width


def _logit_margin(transformer: Transformer, residual: Residual, factor: float) -> tuple[float, float]:
    """The least margin and the largest logit, over every content of the residual stream before the last layer.

    The names enter only through their sum and square norm, so one name stands for all; of a truth table's entries
    those beside the one looked up matter only in keeping other units silent, so all alike and all opposite stand for
    all (a unit's input is monotone in its own entry alone). A fetched bit is ``factor`` large, what layer norm makes
    of 1.
    """
    cases, expected = _cases(transformer, residual, factor)
    layer = cast_layer(transformer.layers[0], np.float64)
    architecture = transformer.architecture
    x = apply_mlp(cases, layer, architecture.activation, architecture.norm_epsilon)
    logits = unembed(x, transformer)
    right = logits[np.arange(len(logits)), expected]
    others = logits.copy()
    others[np.arange(len(logits)), expected] = -np.inf
    return float((right - others.max(axis=1)).min()), float(np.abs(logits).max())


def _cases(
    transformer: Transformer, residual: Residual, factor: float
) -> tuple[Float[np.ndarray, "cases width"], np.ndarray]:
    base = transformer.position_embedding[0].astype(np.float64)
    base[residual.table : residual.name] = 0
    base += transformer.layers[0].attention_out_bias.astype(np.float64)
    silent = np.repeat(np.where(np.arange(residual.table_size) % 2, 1.0, -1.0), 2)
    pair = np.array([1.0, -1.0])
    rows, expected = [], []
    for token in (ZERO, ONE, EQUALS):
        for bits in product((0, 1), repeat=residual.num_heads):
            fetched = base + transformer.token_embedding[token].astype(np.float64)
            for head, bit in enumerate(bits):
                fetched[residual.fetched_bit(head) + np.arange(2)] += (2 * bit - 1) * factor * pair
            combination = sum(bit << head for head, bit in enumerate(bits))
            for value, others in product((0, 1), repeat=2):
                entries = np.full(residual.table_size, 2 * others - 1)
                entries[combination] = 2 * value - 1
                row = fetched.copy()
                row[residual.table : residual.name] = (entries[:, None] * pair).ravel()
                rows.append(row)
                expected.append(ONE if value else ZERO)
            row = fetched.copy()
            row[residual.table : residual.name] = silent
            rows.append(row)
            expected.append(EQUALS)
    return np.array(rows), np.array(expected)
