"""Distractors: hidden units and heads that do something at every position, all of which cancels.

A compiled model has hidden units that are all zeros, and sometimes heads. Here they get weights. Units come in groups
that read the same and write what adds up to nothing; the value columns of a head come in pairs, and its output takes
their difference. Adding up numbers that cancel costs some rounding, so how loud distractors may be is limited.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from serialformer.arrays import Bool, Float32, Float64
from serialformer.transformer.transformer import Transformer, weights_to_transformer

UNIT_WEIGHTS = ("mlp_in_weight", "mlp_in_bias", "mlp_out_weight")

CANCELS = 1e-5
"""What the values and the output of a head make together is nothing if it is below this share of their norms."""


def add_distractors(transformer: Transformer, seed: int, loudness: float) -> Transformer:
    """The transformer with weights in place of the zeros of its hidden units and heads without effect.

    Args:
        transformer: a GPT-2 in float32. A single unit without effect in a layer is left as it is.
        seed: of the weights.
        loudness: the norms of what a distractor reads and writes, as a share of those of other units, or of the other
            heads of its layer.
    """
    architecture, random = transformer.architecture, np.random.default_rng([seed, 2])
    weights = {name: weight.copy() for name, weight in transformer.named_weights()}
    norms = loudness * _norms_of_units(transformer)
    for index in range(architecture.num_layers):
        first = f"layers.{index}."
        into, bias, out = (weights[first + name] for name in UNIT_WEIGHTS)
        _fill_units(into, bias, out, random, norms)
        into, out = weights[f"{first}attention_in_weight"], weights[f"{first}attention_out_weight"]
        _fill_heads(into, out, architecture.num_heads, random, loudness)
    return weights_to_transformer(architecture, weights)


def leave_out_units(transformer: Transformer) -> Transformer:
    """The transformer with as few hidden units per layer as the layer with the most needs with an effect."""
    architecture = transformer.architecture
    used = [np.flatnonzero(layer.mlp_out_weight.any(axis=1)) for layer in transformer.layers]
    kept = slice(0, max(int(units.max(initial=0)) + 1 for units in used))
    weights = dict(transformer.named_weights())
    for index in range(architecture.num_layers):
        first = f"layers.{index}.mlp_"
        weights[f"{first}in_weight"] = weights[f"{first}in_weight"][:, kept]
        weights[f"{first}in_bias"] = weights[f"{first}in_bias"][kept]
        weights[f"{first}out_weight"] = weights[f"{first}out_weight"][kept]
    return weights_to_transformer(replace(architecture, hidden_width=kept.stop), weights)


def _norms_of_units(transformer: Transformer) -> Float64[np.ndarray, "2"]:
    """The mean norm of what units with an effect read, and of what they write."""
    norms = []
    for layer in transformer.layers:
        used = np.flatnonzero(layer.mlp_out_weight.any(axis=1))
        read = np.linalg.norm(layer.mlp_in_weight[:, used].astype(np.float64), axis=0)
        norms.append(np.stack([read, np.linalg.norm(layer.mlp_out_weight[used].astype(np.float64), axis=1)]))
    return np.asarray(np.hstack(norms).mean(axis=1))


def _fill_units(
    into: Float32[np.ndarray, "width units"],
    bias: Float32[np.ndarray, " units"],
    out: Float32[np.ndarray, "units width"],
    random: np.random.Generator,
    norms: Float64[np.ndarray, "2"],
) -> None:
    """Gives weights to units that are all zeros: groups of two, the last of three if their number is odd."""
    idle = np.flatnonzero(~out.any(axis=1) & ~into.any(axis=0))
    if len(idle) < 2:
        return
    count, (read, written) = len(idle) // 2, norms
    groups = np.repeat(np.arange(count), 2)
    factors = np.tile([1.0, -1.0], count)
    if len(idle) % 2:
        groups, factors = np.append(groups, count - 1), np.append(factors, 1.0)
        factors[-2] = -2.0
    root = np.sqrt(len(into))
    drawn = (read / root * random.standard_normal((len(into), count))).astype(np.float32)
    levels = (read * random.standard_normal(count)).astype(np.float32)
    rows = (written / root * random.standard_normal((count, len(into)))).astype(np.float32)
    into[:, idle], bias[idle] = drawn[:, groups], levels[groups]
    out[idle] = rows[groups] * factors[:, None].astype(np.float32)


def _fill_heads(
    into: Float32[np.ndarray, "width qkv"],
    out: Float32[np.ndarray, "attended width"],
    num_heads: int,
    random: np.random.Generator,
    loudness: float,
) -> None:
    """Gives weights to heads that write nothing: values come in pairs, and the output takes their difference."""
    width = len(into)
    by_head, rows = into.reshape(width, 3, num_heads, -1), out.reshape(num_heads, -1, width)
    is_idle = ~rows.any(axis=(1, 2)) & ~by_head.any(axis=(0, 1, 3))
    half = rows.shape[1] // 2
    if is_idle.all():
        return
    norms = [
        np.linalg.norm(part[~is_idle]) / np.sqrt((~is_idle).sum()) for part in (by_head[:, 2].swapaxes(0, 1), rows)
    ]
    for head in np.flatnonzero(is_idle):
        by_head[:, :2, head] = 1.5 / np.sqrt(width) * random.standard_normal((width, 2, rows.shape[1]))
        size = np.sqrt(2 * half * width)
        values = loudness * norms[0] / size * random.standard_normal((width, half))
        written = loudness * norms[1] / size * random.standard_normal((half, width))
        turn, _ = np.linalg.qr(random.standard_normal((rows.shape[1], rows.shape[1])))
        zeros = rows.shape[1] - 2 * half
        by_head[:, 2, head] = np.hstack([values, values, np.zeros((width, zeros))]) @ turn
        rows[head] = turn.T @ np.vstack([written, -written, np.zeros((zeros, width))])


@dataclass(frozen=True, kw_only=True)
class LayerDistractors:
    """How much the distractors of a layer can do, for bounds of what rounding leaves of it.

    Attributes:
        unit_weights: the sum over units of the norm of what each reads times the norm of what it writes.
        unit_levels: the sum of the magnitude of its bias times the norm of what it writes.
        unit_sizes: the sum of the norms of what they write.
        head_weights: the sum over heads of the norms of its values times that of its output.
        head_rest: the sum of the norms of what values and output make together, which should be nothing.
        largest: the largest product of norms of query and key of a head.
    """

    unit_weights: float = 0.0
    unit_levels: float = 0.0
    unit_sizes: float = 0.0
    head_weights: float = 0.0
    head_rest: float = 0.0
    largest: float = 0.0


def remove_distractors(transformer: Transformer) -> tuple[Transformer, tuple[LayerDistractors, ...]]:
    """The transformer with zeros in place of whatever cancels, and how loud that was.

    Units cancel if they read the same, to the bit, and what they write adds up to nothing. A head cancels if what its
    values and its output make together is nothing but for rounding.
    """
    architecture, found = transformer.architecture, []
    weights = {name: weight.copy() for name, weight in transformer.named_weights()}
    for index in range(architecture.num_layers):
        first = f"layers.{index}."
        into, bias, out = (weights[first + name] for name in UNIT_WEIGHTS)
        units = _remove_units(into, bias, out)
        into, out = weights[f"{first}attention_in_weight"], weights[f"{first}attention_out_weight"]
        heads = _remove_heads(into, weights[f"{first}attention_in_bias"], out, architecture.num_heads)
        found.append(LayerDistractors(**units, **heads))
    return weights_to_transformer(architecture, weights), tuple(found)


def _remove_units(
    into: Float32[np.ndarray, "width units"],
    bias: Float32[np.ndarray, " units"],
    out: Float32[np.ndarray, "units width"],
) -> dict[str, float]:
    groups: dict[bytes, list[int]] = {}
    columns = np.ascontiguousarray(np.vstack([into, bias]).T)
    for unit in np.flatnonzero(columns.any(axis=1)).tolist():
        groups.setdefault(columns[unit].tobytes(), []).append(unit)
    cancel: Bool[np.ndarray, " units"] = np.zeros(len(bias), dtype=bool)
    for units in groups.values():
        cancel[units] = len(units) > 1 and not out[units].astype(np.float64).sum(axis=0).any()
    read, written = np.linalg.norm(into[:, cancel], axis=0), np.linalg.norm(out[cancel], axis=1)
    facts = {
        "unit_weights": float(read @ written),
        "unit_levels": float(np.abs(bias[cancel]) @ written),
        "unit_sizes": float(written.sum()),
    }
    into[:, cancel], bias[cancel], out[cancel] = 0, 0, 0
    return facts


def _remove_heads(
    into: Float32[np.ndarray, "width qkv"],
    bias: Float32[np.ndarray, " qkv"],
    out: Float32[np.ndarray, "attended width"],
    num_heads: int,
) -> dict[str, float]:
    by_head, rows = into.reshape(len(into), 3, num_heads, -1), out.reshape(num_heads, -1, out.shape[1])
    biases = bias.reshape(3, num_heads, -1)
    facts = {"head_weights": 0.0, "head_rest": 0.0, "largest": 0.0}
    for head in range(num_heads):
        if biases[:, head].any() or not rows[head].any():
            continue
        values, written = by_head[:, 2, head].astype(np.float64), rows[head].astype(np.float64)
        size = float(np.linalg.norm(values) * np.linalg.norm(written))
        rest = float(np.linalg.norm(values @ written))
        if rest >= CANCELS * size:
            continue
        facts["head_weights"] += size
        facts["head_rest"] += rest + 2.0**-40 * size
        products: Float64[np.ndarray, "2"] = np.linalg.norm(by_head[:, :2, head].astype(np.float64), axis=(0, 2))
        facts["largest"] = max(facts["largest"], float(products.prod()))
        by_head[:, :, head], rows[head] = 0, 0
    return facts
