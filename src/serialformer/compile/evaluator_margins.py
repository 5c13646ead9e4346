"""Margins of the evaluator, computed from the weights as they will be stored.

Before every layer norm each coordinate is +1 or -1 in exact arithmetic, so the margins are the same for every circuit
and do not shrink with M but for the number of positions that attention has to tell apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import exp, log, sqrt

import ml_dtypes
import numpy as np
from jaxtyping import Float, Int64

from serialformer.architecture import DTYPES
from serialformer.compile.evaluator_layout import AND, EQUALS, FALSE, KINDS, NA, NOT, OR, TRUE, EvaluatorLayout
from serialformer.compile.residues import residue_bits
from serialformer.errors import CompileError
from serialformer.transformer.forward import apply_mlp, cast_layer, layer_norm
from serialformer.transformer.transformer import Transformer

POSITIONS_A_BLOCK = 1 << 15
LARGEST_LEAK = 1 / 64
"""How much softmax weight all other positions together may get, under the worst rounding."""

NO_KIND = -1
"""In the tables of cases: an id, or a value that is neither TRUE nor FALSE."""


@dataclass(frozen=True, kw_only=True)
class EvaluatorMargins:
    """What a construction guarantees, for every circuit.

    Attributes:
        attention_gap: least difference of a head's score for the position that it is to read and for any other, in
            exact arithmetic on the stored weights.
        rounded_attention_gap: the same less what rounding can take.
        logit_margin: least difference between the right logit and the next, in exact arithmetic.
        rounded_logit_margin: the same less what rounding can take.
    """

    attention_gap: float
    rounded_attention_gap: float
    logit_margin: float
    rounded_logit_margin: float


def measure_evaluator(transformer: Transformer, layout: EvaluatorLayout, scale: float) -> EvaluatorMargins:
    """The margins of an evaluator whose queries have this scale.

    Sums of products are taken to be in float32 or wider, as every runtime takes them; their results are rounded to
    the number format of the weights.

    Raises:
        CompileError: it would not hold at this number format; says which margin falls short.
    """
    architecture = transformer.architecture
    dtype = architecture.dtype
    _check_embeddings(transformer)
    roundoff = float(ml_dtypes.finfo(DTYPES[dtype]).eps) / 2
    factor = float(transformer.layers[0].attention_norm_gain[0]) / sqrt(1 + architecture.norm_epsilon)
    unit = scale * factor**2 / sqrt(architecture.head_width)
    longest = layout.name_length + 3
    gap, largest = 2 * unit, unit * longest
    needed = log(max(2, architecture.num_positions) / LARGEST_LEAK)
    # Where layer norm gives back +1 and -1 exactly, every sum up to the score is one of whole numbers.
    exact = float(np.array(factor).astype(DTYPES[dtype])) == 1.0 and dtype != "float32"
    error = 0.0 if exact else _sign_error(layout, architecture.width, roundoff)
    relative = 4 * roundoff + (0.0 if exact else 2 * error + (longest + 10) * roundoff)
    rounded_gap = gap - 2 * relative * largest
    if not rounded_gap >= needed:
        raise CompileError(
            f"the attention gap {gap:.1f} shrinks to {rounded_gap:.1f} under {dtype} rounding; {needed:.1f} is needed"
            f" to tell {architecture.num_positions:,} positions apart",
            hint="ask for a larger attention gap or another dtype",
        )
    margin, largest_logit = _logit_margin(transformer, layout)
    leak = architecture.num_positions * exp(-rounded_gap)
    rounded_margin = margin * (1 - 8 * (error + leak)) - 16 * roundoff * largest_logit
    if not rounded_margin > 0:
        raise CompileError(f"the logit margin {margin:.1f} does not hold under {dtype} rounding", hint="another dtype")
    return EvaluatorMargins(
        attention_gap=gap,
        rounded_attention_gap=rounded_gap,
        logit_margin=margin,
        rounded_logit_margin=rounded_margin,
    )


def _sign_error(layout: EvaluatorLayout, width: int, roundoff: float) -> float:
    """How far a coordinate can be from +1 or -1 before any layer norm.

    A fetched sign errs by the rounding of two layer norms and a few sums; the unit that fires for a residue of b bits
    reads 2 b of them with the weight 8 and writes 2 / 8 of its result.
    """
    fetched = (width + 16) * roundoff
    bits = 2 * max(residue_bits(modulus) for modulus in layout.moduli)
    return fetched + 2 * bits * (2 * fetched + (2 * bits + 16) * roundoff)


def _check_embeddings(transformer: Transformer) -> None:
    """Every coordinate of token and position together is +1 or -1, and pairs are opposite: mean 0, variance 1."""
    table = transformer.token_embedding.astype(np.float32)
    from_token = (table != 0).any(axis=0)
    for name, embedding, is_set in (
        ("token", table, from_token),
        ("position", transformer.position_embedding, ~from_token),
    ):
        for start in range(0, len(embedding), POSITIONS_A_BLOCK):
            rows = embedding[start : start + POSITIONS_A_BLOCK].astype(np.float32)
            wrong = (np.abs(rows) != is_set).any(axis=1) | (rows[:, ::2] != -rows[:, 1::2]).any(axis=1)
            if wrong.any():
                raise CompileError(f"{name} {start + int(np.argmax(wrong))} is not made of signs")


def _logit_margin(transformer: Transformer, layout: EvaluatorLayout) -> tuple[float, float]:
    """The least margin and the largest logit, over all that the last feed-forward layer can be given.

    Of the ids only the one most like the number 0, which all tokens of a chain have, can come near.
    """
    cases, expected = _cases(transformer, layout)
    architecture = transformer.architecture
    layer = cast_layer(transformer.layers[-1], np.float64)
    x = apply_mlp(cases, layer, architecture.activation, architecture.norm_epsilon)
    gain, bias = (getattr(transformer, f"final_norm_{part}").astype(np.float64) for part in ("gain", "bias"))
    ids = transformer.token_embedding[: -len(KINDS) - 1].astype(np.float32)
    rest = transformer.token_embedding[-len(KINDS) - 1 :].astype(np.float64)
    likest = ids[np.argmax(ids @ rest[-1].astype(np.float32))]
    logits = layer_norm(x, gain, bias, architecture.norm_epsilon) @ np.concatenate([rest, likest[None]]).T
    right = logits[np.arange(len(logits)), expected]
    others = logits.copy()
    others[np.arange(len(logits)), expected] = -np.inf
    return float((right - others.max(axis=1)).min()), float(np.abs(logits).max())


def _cases(
    transformer: Transformer, layout: EvaluatorLayout
) -> tuple[Float[np.ndarray, "cases width"], Int64[np.ndarray, " cases"]]:
    """The residual stream before the last feed-forward layer, and the kind that it is to write."""
    values = (NO_KIND, TRUE, FALSE)
    cases = np.array(
        [
            (*case, answer)
            for case in product(range(4), range(-1, len(KINDS)), range(len(KINDS)), values, values)
            if (answer := _answer(*case)) != NO_KIND
        ]
    )
    slot, fetched, own, previous, value, expected = cases.T
    num_ids = transformer.architecture.end_token - EQUALS
    signs = transformer.position_embedding[0, ::2].astype(np.float64)
    signs = signs + transformer.token_embedding[num_ids + own, ::2].astype(np.float64)
    kinds, truths = np.arange(len(KINDS)), np.array([TRUE, FALSE])
    for first, facts in (
        (layout.slot, np.stack([slot // 2, slot % 2, slot == 2, slot == 1], axis=1)),
        (layout.fetched_kind, fetched[:, None] == kinds),
        (layout.previous, previous[:, None] == truths),
        (layout.value, value[:, None] == truths),
    ):
        signs[:, first : first + facts.shape[1]] = 2.0 * facts - 1
    return np.stack([signs, -signs], axis=2).reshape(len(signs), -1), expected


def _answer(slot: int, fetched: int, own: int, previous: int, value: int) -> int:
    """The next token's kind, or NO_KIND if this does not occur in the evaluation of a circuit."""
    if slot == 0:
        return NO_KIND if fetched == NA else fetched
    if slot < 3:
        if fetched == NO_KIND:
            return value
        return NA if fetched == NA and value == NO_KIND else NO_KIND
    if fetched in (TRUE, FALSE):
        return fetched
    if fetched == NOT:
        return {TRUE: FALSE, FALSE: TRUE}.get(previous, NO_KIND)
    if fetched not in (AND, OR) or previous == NO_KIND or own not in (TRUE, FALSE):
        return NO_KIND
    decisive = FALSE if fetched == AND else TRUE
    return decisive if decisive in (previous, own) else TRUE + FALSE - decisive
