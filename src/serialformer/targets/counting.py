"""Counting in a stock GPT-2: uniform attention makes the mean of all items' numbers, and thresholds read it.

*Attention.* The one head has queries of 0. So all scores are 0 and every position gets the same weight, 1 / (n + 1).
Its values are the numbers of the items, and what it brings is their mean.

*Layer norms.* Digits, ``=`` and four constant numbers give every token mean 0 and deviation 1, so that the values are
whole numbers in any number format.

*Thresholds.* The layer norm before the hidden units divides the mean by a deviation that grows with it, so that sums
are still in order, and the steps between them are known. Where the answer changes only once, two units suffice, one for
each side: what they give is never less than a threshold's worth, and grows with the distance. Otherwise there are two
units for each change, whose difference is a step that is flat on both sides. Those for sums below the middle face the
other way, so that fewer fire at once.

How many items a number format carries is found by proof (``proofs.counting``).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2, sqrt

import numpy as np

from serialformer.architecture import DTYPES, Activation, Architecture, DtypeName
from serialformer.arrays import Float64, Int64
from serialformer.constructions.claim import CountClaim
from serialformer.constructions.construction import Construction
from serialformer.constructions.placement import Placement
from serialformer.errors import CompileError
from serialformer.transformer.names import UNUSED, Names, UnitRange
from serialformer.transformer.transformer import Layer, Transformer

NORM_EPSILON = 1e-5
FINAL_NORM_GAIN = 16.0
SHARPNESS = 8.0
"""What a step gives."""

ANSWER = 8.0
MARGIN = 12.0
"""The magnitude of what a unit sees of the sums on both sides of its threshold, before a step's own half."""

BALLAST = (2, -1, -1, 0)
"""With the two dimensions of the sum, which hold 0, six numbers of sum 0 and square norm 6."""

NUM_SUM_DIMENSIONS = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class CountingLayout:
    """The residual stream of a model that counts: the sum, the digit of a token, and the sign of ``=``.

    Attributes:
        construction: what was laid out.
        num_bits: bits of a digit.
        changes: the sums s for which the answer to s differs from that to s - 1.
    """

    construction: Construction
    num_bits: int
    changes: Int64[np.ndarray, " changes"]

    @property
    def width(self) -> int:
        return NUM_SUM_DIMENSIONS + len(BALLAST) + 2 * self.num_bits + 2

    @property
    def ballast(self) -> slice:
        """The dimensions of the constant numbers."""
        return slice(NUM_SUM_DIMENSIONS, NUM_SUM_DIMENSIONS + len(BALLAST))

    @property
    def digits(self) -> slice:
        """The dimensions of a token's digit: each bit as a sign, and its negative."""
        return slice(self.ballast.stop, self.ballast.stop + 2 * self.num_bits)

    @property
    def equals(self) -> slice:
        """The dimensions that hold 1 and -1 in ``=``, and the negative in other tokens."""
        return slice(self.digits.stop, self.width)

    @property
    def num_hidden_units(self) -> int:
        return 2 * len(self.changes)

    def directions(self) -> tuple[str, ...]:
        """A label for each dimension."""
        digits = [f"digit[{bit}]{sign}" for bit in range(self.num_bits) for sign in "+-"]
        ballast = [f"ballast.{index}" for index in range(len(BALLAST))]
        return ("sum+", "sum-", *ballast, *digits, "equals+", "equals-")

    def names(self, architecture: Architecture) -> Names:
        """The names of directions, heads and hidden units."""
        if len(self.changes) == 1:
            (change,) = self.changes.tolist()
            units = [UnitRange(name=f"sum is {change} or more"), UnitRange(name=f"sum is below {change}")]
        else:
            units = [
                UnitRange(name=f"sum is {change} or more{more}")
                for change in self.changes.tolist()
                for more in ("", " (no more than this)")
            ]
        rest = architecture.hidden_width - len(units)
        if rest:
            units.append(UnitRange(name=UNUSED, count=rest))
        return Names(directions=self.directions(), heads=(("sum",),), units=(tuple(units),))


def lay_out_counting(construction: Construction) -> CountingLayout:
    """Where everything lies."""
    claim = count_claim(construction)
    digits = max(construction.field_named["digit"].num_values, 2)
    changes = np.flatnonzero(claim.answer[1:] != claim.answer[:-1]) + 1
    return CountingLayout(construction=construction, num_bits=ceil(log2(digits)), changes=changes)


def count_claim(construction: Construction) -> CountClaim:
    """The one claim of a construction that counts."""
    (claim,) = construction.claims()
    assert isinstance(claim, CountClaim)
    return claim


def counting_to_placement(layout: CountingLayout) -> Placement:
    """What of the layout a proof may look at; that of counting reads the weights alone."""
    nothing = np.zeros(layout.width)
    return Placement(
        construction=layout.construction,
        width=layout.width,
        deviation=1,
        spans={"sum": slice(0, NUM_SUM_DIMENSIONS), "digit": layout.digits, "equals": layout.equals},
        codes={},
        nothing={},
        answers={},
        constant=nothing,
        constant_change=nothing,
        heads=((),),
        unit_output=SHARPNESS,
        answer_weight=ANSWER,
        default_weight=0.0,
    )


def counting_to_gpt2(
    construction: Construction, *, dtype: DtypeName, activation: Activation
) -> tuple[Transformer, CountingLayout]:
    """The weights, and where everything lies in them.

    Args:
        construction: what to realise; it counts.
        dtype: number format of the weights.
        activation: ``gelu_new`` is what stock GPT-2 has; ``relu`` takes the same weights.

    Raises:
        CompileError: the number format does not hold the weights.
    """
    layout, claim = lay_out_counting(construction), count_claim(construction)
    width, bits = layout.width, layout.num_bits
    architecture = Architecture(
        vocabulary=construction.vocabulary,
        num_positions=construction.num_positions,
        width=width,
        num_layers=1,
        num_heads=1,
        hidden_width=max(4 * width, layout.num_hidden_units),
        activation=activation,
        norm_epsilon=NORM_EPSILON,
        end_token=construction.end_token,
        dtype=dtype,
    )
    digit = construction.field_named["digit"].of_token
    codes = _codes(bits)
    embedding = np.zeros((len(construction.vocabulary), width))
    embedding[digit >= 0, layout.digits] = codes[digit[digit >= 0]]
    embedding[digit >= 0, layout.equals] = -1, 1
    embedding[construction.end_token, layout.digits] = codes[0]
    embedding[construction.end_token, layout.equals] = 1, -1
    positions = np.zeros((construction.num_positions, width))
    positions[:, layout.ballast] = BALLAST
    gain = np.full(width, sqrt(1 + NORM_EPSILON))
    scale = 2.0 ** -ceil(log2((1 << bits) - 1))
    into, out = np.zeros((width, 3 * width)), np.zeros((width, width))
    into[np.arange(layout.digits.start, layout.digits.stop, 2), 2 * width] = scale * 2.0 ** np.arange(bits)
    offset = _offset(layout, claim, bits)
    # ``=`` brings the number of digit 0 and this; for items, bias and weight cancel.
    into_bias = np.zeros(3 * width)
    into[layout.equals.start, 2 * width] = into_bias[2 * width] = scale * (offset + (1 << bits) - 1) / 2
    out[0, :NUM_SUM_DIMENSIONS] = 1, -1
    mlp_in, mlp_in_bias, mlp_out, mlp_out_bias = _thresholds(
        layout, claim, architecture.hidden_width, _normed_sums(claim, bits, width, scale, offset)
    )
    number, zeros = DTYPES[dtype], np.zeros(width)

    def stored(values: Float64[np.ndarray, "..."]) -> np.ndarray:
        with np.errstate(over="ignore"):
            rounded = values.astype(number)
        if not np.isfinite(rounded.astype(np.float64)).all():
            raise CompileError(f"{dtype} does not hold the weight {np.abs(values).max():g}", hint="float32 does")
        return rounded

    layer = Layer(
        attention_norm_gain=stored(gain),
        attention_norm_bias=stored(zeros),
        attention_in_weight=stored(into),
        attention_in_bias=stored(into_bias),
        attention_out_weight=stored(out),
        attention_out_bias=stored(zeros),
        mlp_norm_gain=stored(gain),
        mlp_norm_bias=stored(zeros),
        mlp_in_weight=stored(mlp_in),
        mlp_in_bias=stored(mlp_in_bias),
        mlp_out_weight=stored(mlp_out),
        mlp_out_bias=stored(mlp_out_bias),
    )
    transformer = Transformer(
        architecture=architecture,
        token_embedding=stored(embedding),
        position_embedding=stored(positions),
        layers=(layer,),
        final_norm_gain=stored(np.full(width, FINAL_NORM_GAIN)),
        final_norm_bias=stored(zeros),
    )
    return transformer, layout


def _codes(bits: int) -> Float64[np.ndarray, "values length"]:
    """For each number with that number of bits, its bits as signs, each followed by its negative."""
    signs = 2.0 * (np.arange(1 << bits)[:, None] >> np.arange(bits) & 1) - 1
    return np.stack([signs, -signs], axis=2).reshape(1 << bits, 2 * bits)


def _offset(layout: CountingLayout, claim: CountClaim, bits: int) -> int:
    """What ``=`` adds to the sum: the number of digit 0, or what moves the answer's one change to 0.

    A digit d counts as 2 d - (2^bits - 1) here.
    """
    if len(layout.changes) != 1:
        return 1 - (1 << bits)
    return claim.num_items * ((1 << bits) - 1) + 1 - 2 * int(layout.changes[0])


def _normed_sums(claim: CountClaim, bits: int, width: int, scale: float, offset: int) -> Float64[np.ndarray, " sums"]:
    """For each sum what the layer norm before the hidden units makes of the mean."""
    doubled = 2.0 * np.arange(len(claim.answer)) - claim.num_items * ((1 << bits) - 1) + offset
    mean = scale * doubled / (claim.num_items + 1)
    return mean * sqrt(1 + NORM_EPSILON) / np.sqrt(1 + 2 * mean**2 / width + NORM_EPSILON)


def _thresholds(
    layout: CountingLayout, claim: CountClaim, hidden: int, sums: Float64[np.ndarray, " sums"]
) -> tuple[
    Float64[np.ndarray, "width hidden"],
    Float64[np.ndarray, " hidden"],
    Float64[np.ndarray, "hidden width"],
    Float64[np.ndarray, " width"],
]:
    """The matrices and biases of the hidden units."""
    digit = layout.construction.field_named["digit"].of_token
    # An answer is a digit, and that it is not ``=``.
    written = slice(layout.digits.start, layout.equals.stop)
    codes = np.pad(_codes(layout.num_bits)[digit[claim.answer]], ((0, 0), (0, 2)))
    codes[:, -2:] = -1, 1
    into, bias = np.zeros((layout.width, hidden)), np.zeros(hidden)
    out, out_bias = np.zeros((hidden, layout.width)), np.zeros(layout.width)
    changes = layout.changes
    low, high = sums[changes - 1], sums[changes]
    slope = 2 * MARGIN / (high - low)
    if len(changes) == 1:
        into[0, :2] = slope[0], -slope[0]
        out[0, written], out[1, written] = codes[changes[0]], codes[changes[0] - 1]
        return into, bias, out, out_bias
    middle = len(sums) // 2
    out_bias[written] = ANSWER * codes[middle]
    for number, change in enumerate(changes.tolist()):
        pair = slice(2 * number, 2 * number + 2)
        sign = 1 if change > middle else -1
        into[0, pair] = sign * slope[number]
        threshold = -sign * slope[number] * (low[number] + high[number]) / 2
        bias[pair] = threshold + SHARPNESS / 2, threshold - SHARPNESS / 2
        step = sign * ANSWER / SHARPNESS * (codes[change] - codes[change - 1])
        out[2 * number, written], out[2 * number + 1, written] = step, -step
    return into, bias, out, out_bias
