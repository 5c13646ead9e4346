"""The linear maps of a layer as a proof reads them, of whichever family the transformer is.

A GPT-2 adds biases. A Llama has none: its maps read a dimension that holds the same at every position, and what they
get from it is a term of their sums. Here both are *constants*, apart from the matrices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serialformer.architecture import Architecture
from serialformer.arrays import Float64
from serialformer.constructions.placement import Placement
from serialformer.proofs.bounds import round_values, sum_errors
from serialformer.proofs.rounding import Rounding
from serialformer.proofs.stream import RealisationError, Stream
from serialformer.transformer.transformer import Transformer


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerMaps:
    """The maps of one layer, in float64. A constant is what a map gives where everything else is zero.

    Attributes:
        attention_gain: of the norm before attention.
        attention_gain_bias: likewise; zeros where there is none.
        into: queries, keys and values by dimension, part, head and column; every head has its own copy of keys.
        constant: the constants of these, by part, head and column.
        out: what each value column adds, by head, column and dimension.
        out_constant: what attention adds besides; zeros where there is no bias.
        mlp_gain: of the norm before the hidden units.
        mlp_gain_bias: likewise.
        unit_in: what units see, by dimension and unit.
        unit_constant: the constants of these.
        unit_up: what units are multiplied by, by dimension and unit; None where they are not.
        unit_out: what they add.
        unit_out_constant: what is added besides.
        angles: for each column of a head the largest angle by which it is rotated; zeros where positions are learned.
        head_biases: whether the constants of queries, keys and values are biases, which are added to sums.
        turns: for each pair of columns the angle by which one position more rotates it; likewise.
    """

    attention_gain: Float64[np.ndarray, " width"]
    attention_gain_bias: Float64[np.ndarray, " width"]
    into: Float64[np.ndarray, "width 3 heads columns"]
    constant: Float64[np.ndarray, "3 heads columns"]
    out: Float64[np.ndarray, "heads columns width"]
    out_constant: Float64[np.ndarray, " width"]
    mlp_gain: Float64[np.ndarray, " width"]
    mlp_gain_bias: Float64[np.ndarray, " width"]
    unit_in: Float64[np.ndarray, "width units"]
    unit_constant: Float64[np.ndarray, " units"]
    unit_up: Float64[np.ndarray, "width units"] | None
    unit_out: Float64[np.ndarray, "units width"]
    unit_out_constant: Float64[np.ndarray, " width"]
    angles: Float64[np.ndarray, " columns"]
    turns: Float64[np.ndarray, " pairs"]
    head_biases: bool


def read_layer(transformer: Transformer, placement: Placement, index: int) -> LayerMaps:
    """The maps of a layer."""
    architecture = transformer.architecture
    width, heads, head_width = architecture.width, architecture.num_heads, architecture.head_width
    weights = {name: weight.astype(np.float64) for name, weight in transformer.layers[index].named_weights()}
    into = _repeat_groups(weights["attention_in_weight"], architecture)
    unit_in, up = weights["mlp_in_weight"], weights.get("mlp_up_weight")
    if placement.one:
        one, value = one_of(placement)
        constant, unit_constant = value * into[one], value * unit_in[one]
        into[one], unit_in[one] = 0, 0
        if (bias := weights["attention_in_bias"]).size:
            if constant.any():
                raise RealisationError("heads read what is the same everywhere, and have biases")
            constant = _repeat_groups(bias[None], architecture)[0]
    else:
        assert architecture.num_key_heads == heads
        constant = weights["attention_in_bias"].reshape(3, heads, head_width)
        unit_constant = weights["mlp_in_bias"]
    nothing = np.zeros(width)
    angles, turns = np.zeros(head_width), np.zeros(head_width // 2)
    if architecture.positions == "rotary":
        turns = architecture.rotary_base ** (-2.0 * np.arange(head_width // 2) / head_width)
        # Whoever computes them in float32 errs by some millionths.
        angles = placement.construction.num_positions * np.tile(turns, 2) * (1 + 2.0**-10)
    return LayerMaps(
        attention_gain=weights["attention_norm_gain"],
        attention_gain_bias=_or(weights["attention_norm_bias"], nothing),
        into=into,
        constant=constant,
        out=weights["attention_out_weight"].reshape(heads, head_width, width),
        out_constant=_or(weights["attention_out_bias"], nothing),
        mlp_gain=weights["mlp_norm_gain"],
        mlp_gain_bias=_or(weights["mlp_norm_bias"], nothing),
        unit_in=unit_in,
        unit_constant=unit_constant,
        unit_up=up,
        unit_out=weights["mlp_out_weight"],
        unit_out_constant=_or(weights["mlp_out_bias"], nothing),
        angles=angles,
        turns=turns,
        head_biases=bool(placement.one) and weights["attention_in_bias"].size > 0,
    )


def _repeat_groups(
    weight: Float64[np.ndarray, "rows qkv"], architecture: Architecture
) -> Float64[np.ndarray, "rows 3 heads columns"]:
    """Queries, keys and values apart, with a copy of keys and values for every head."""
    ends = [architecture.attention_width, architecture.attention_width + architecture.key_width]
    queries, keys, values = (
        part.reshape(len(weight), -1, architecture.head_width) for part in np.split(weight, ends, axis=1)
    )
    repeats = architecture.num_heads // architecture.num_key_heads
    return np.stack([queries, np.repeat(keys, repeats, axis=1), np.repeat(values, repeats, axis=1)], axis=1)


def one_of(placement: Placement) -> tuple[int, float]:
    """The dimension that holds the same at every position, and what it holds."""
    span, codes = placement.spans[placement.one], placement.codes[placement.one]
    if codes.shape != (1, 1) or span.stop - span.start != 1 or codes[0, 0] == 0:
        raise RealisationError("what is to be the same at every position is not one number")
    return span.start, float(codes[0, 0])


def _or(weight: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    return weight if weight.size else otherwise


def map_errors(
    weight: np.ndarray,
    constant: np.ndarray,
    stream: Stream,
    errors: np.ndarray,
    rounding: Rounding,
    *,
    is_added: bool = False,
) -> Float64[np.ndarray, " outputs"]:
    """How far sums of products can be from the ideal before they are stored, the constant among them if it is a term.

    Args:
        weight: from dimensions of the stream to outputs.
        constant: of each output.
        stream: what stands there.
        errors: how far each coordinate after the norm can be from its code.
        rounding: the runtimes to cover.
        is_added: whether the constant is a bias where it could be a term.
    """
    placement = stream.placement
    if not placement.one or is_added:
        bounds = sum_errors(weight, placement.magnitudes, errors, rounding)
        return bounds + turning_errors(weight, stream, rounding)
    one, value = one_of(placement)
    return sum_errors(
        np.vstack([weight, constant / value]),
        np.append(placement.magnitudes, abs(value)),
        np.append(errors, errors[one]),
        rounding,
    )


def turning_errors(weight: np.ndarray, stream: Stream, rounding: Rounding) -> Float64[np.ndarray, " outputs"]:
    """How much further off the sums of a map that reads the stream are where the stream is rotated."""
    if stream.frame is None:
        return np.zeros(weight.shape[1])
    largest = stream.frame.normed_size(float(stream.placement.deviation))
    share = stream.frame.share(stream.frame.width, rounding)
    return np.asarray((share * largest + stream.heard) * np.linalg.norm(weight, axis=0))


def stored_errors(
    levels: np.ndarray,
    constant: float,
    bound: float,
    placement: Placement,
    rounding: Rounding,
    *,
    is_added: bool = False,
) -> Float64[np.ndarray, " levels"]:
    """How far an output can be from the numbers that it can be once it is stored.

    A bias is added to a sum that may have been stored before; a constant that is a term is in the sum.
    """
    bounds = np.full(len(levels), bound)
    if (placement.one and not is_added) or constant == 0:
        return round_values(levels, bounds, rounding)
    error = round_values(levels - constant, bounds, rounding)
    return round_values(levels, error + rounding.accumulation_roundoff * np.abs(levels), rounding)
