"""Ways to damage a transformer: pure functions from weights to weights.

``weights`` says which are hit: ``all`` of them, or one by its name. The circuit lies in ``position_embedding``.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from math import comb

import ml_dtypes
import numpy as np

from serialformer.architecture import DTYPES
from serialformer.targets.layout import Layout
from serialformer.targets.position_codes import LEVELS
from serialformer.transformer.transformer import Transformer, weights_to_transformer

MOST_FLIPS = 1 << 12

EMBEDDINGS = ("token_embedding", "position_embedding")


def change(transformer: Transformer, weights: str, how: Callable[[str, np.ndarray], np.ndarray]) -> Transformer:
    """The transformer with ``how(name, weight)``, a float64 array, in place of each weight that is hit."""
    number = DTYPES[transformer.architecture.dtype]
    changed = {}
    for name, weight in transformer.named_weights():
        hit = weights in ("all", name)
        with np.errstate(over="ignore"):
            changed[name] = how(name, weight.astype(np.float64)).astype(number) if hit else weight
    return weights_to_transformer(transformer.architecture, changed)


def add_noise(transformer: Transformer, weights: str, deviation: float, random: np.random.Generator) -> Transformer:
    """Adds normal noise of this standard deviation, to weights that are zero as to others."""
    return change(transformer, weights, lambda _, weight: weight + deviation * random.normal(size=weight.shape))


def flip_bits(transformer: Transformer, count: int, random: np.random.Generator) -> Transformer:
    """Flips so many different bits among those of all weights, all equally likely.

    With a fresh generator of the same seed, the bits that a smaller count flips are among those of a larger one.
    """
    changed = {name: weight.copy() for name, weight in transformer.named_weights()}
    width = 8 * DTYPES[transformer.architecture.dtype].itemsize
    ends = width * np.cumsum([weight.size for weight in changed.values()])
    drawn = random.integers(0, ends[-1], size=2 * MOST_FLIPS)
    chosen = list(dict.fromkeys(drawn.tolist()))[:count]
    if len(chosen) < count:
        raise ValueError(f"{count} different bits asked for, {len(chosen)} drawn")
    names = list(changed)
    for place in chosen:
        which = int(np.searchsorted(ends, place, side="right"))
        weight, offset = changed[names[which]], place - (int(ends[which - 1]) if which else 0)
        bits = weight.reshape(-1).view(f"u{weight.itemsize}")
        bits[offset // width] ^= bits.dtype.type(1 << offset % width)
    return weights_to_transformer(transformer.architecture, changed)


def round_to_integers(
    transformer: Transformer, weights: str, num_bits: int, *, per_channel: bool, power_of_two: bool = False
) -> Transformer:
    """Symmetric integers: w becomes s round(w / s) with s = max |w| / (2^(bits - 1) - 1).

    Args:
        transformer: the weights.
        weights: which are hit.
        num_bits: of an integer, the sign included.
        per_channel: an s for each output of a matrix and each row of an embedding; else one for each tensor, which
            biases and gains have in any case.
        power_of_two: takes the next larger power of two for s.
    """

    def quantise(name: str, weight: np.ndarray) -> np.ndarray:
        axis = None if not per_channel or weight.ndim < 2 else 1 if name in EMBEDDINGS else 0
        step = np.abs(weight).max(axis=axis, keepdims=True) / (2 ** (num_bits - 1) - 1)
        step = np.where(step == 0, 1.0, step)
        if power_of_two:
            step = 2.0 ** np.ceil(np.log2(step))
        return step * np.rint(weight / step)

    return change(transformer, weights, quantise)


def cast(transformer: Transformer, weights: str, number_format: str) -> Transformer:
    """Rounds to a number format of ml_dtypes or numpy and back, unscaled."""
    number = np.dtype(getattr(ml_dtypes, number_format, number_format))
    return change(transformer, weights, lambda _, weight: weight.astype(number).astype(np.float64))


def num_ways_to_drop(length: int, count: int) -> int:
    return comb(length, count)


def drop_coordinates(transformer: Transformer, layout: Layout, count: int, which: int) -> Transformer:
    """Leaves so many coordinates of all names out of keys and queries alike: choice ``which`` of all choices.

    The residual stream, and so the layer norm, stays as it is.
    """
    dropped = np.array(list(combinations(range(layout.codings["name"].length), count))[which], dtype=np.int64)
    width = layout.width

    def blind(_: str, weight: np.ndarray) -> np.ndarray:
        weight[layout.starts["name"] + dropped, width : 2 * width] = 0
        for head in range(layout.num_heads):
            weight[layout.starts[f"read[{head}]"] + dropped, :width] = 0
        return weight

    return change(transformer, "layers.0.attention_in_weight", blind)


def merge_levels(transformer: Transformer, layout: Layout, count: int) -> Transformer:
    """Names with fewer levels than -3, -1, 1, 3: the inner two become 0, or all become -2 and 2."""
    names = slice(layout.starts["name"], layout.span(f"read[{layout.num_heads - 1}]").stop)
    merged = {4: LEVELS, 3: (-3, 0, 0, 3), 2: (-2, -2, 2, 2)}[count]

    def merge(_: str, weight: np.ndarray) -> np.ndarray:
        named = weight[:, names]
        weight[:, names] = np.array(merged)[np.searchsorted(LEVELS, named)]
        return weight

    return change(transformer, "position_embedding", merge)


def scale_queries(transformer: Transformer, factor: float) -> Transformer:
    """Multiplies every query, and so every gap between scores."""
    width = transformer.architecture.width
    queries = np.where(np.arange(3 * width) < width, factor, 1.0)
    return change(transformer, "layers.0.attention_in_weight", lambda _, weight: weight * queries)


def scale_answers(transformer: Transformer, factor: float) -> Transformer:
    """Multiplies what the feed-forward layer adds to the residual stream."""
    scaled = change(transformer, "layers.0.mlp_out_weight", lambda _, weight: weight * factor)
    return change(scaled, "layers.0.mlp_out_bias", lambda _, weight: weight * factor)
