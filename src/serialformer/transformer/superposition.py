"""A residual stream of fewer dimensions than directions: each direction is a random code, and readers are fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from serialformer.architecture import DTYPES
from serialformer.arrays import Float32, Float64, Int64
from serialformer.errors import CompileError, SerialformerError
from serialformer.transformer.cache import compute_activations
from serialformer.transformer.forward import apply_norm
from serialformer.transformer.rotation import mean_free_basis, random_rotation
from serialformer.transformer.transformer import Transformer, weights_to_transformer

SWAPS = 2
"""The number of other sequences from which each sequence takes each of its terms when readers are fitted."""

RIDGE = 1e-9
"""How much large readers cost when they are fitted, as a share of the largest eigenvalue."""

STRENGTH = 16.0
"""How much louder the last layer writes: the tied unembedding cannot be fitted, so the answer has to outvote it."""


def random_codes(num_directions: int, width: int, seed: int) -> Float64[np.ndarray, "directions width"]:
    """A random code of mean 0 for each direction, with the least interference that there is on the average.

    The codes are the rows of a random projection of all vectors of mean 0 (a tight frame), scaled so that lengths are
    kept on the average.

    >>> codes = random_codes(6, 4, 0)
    >>> codes.shape, bool(np.allclose(codes.sum(axis=1), 0))
    ((6, 4), True)
    """
    inner = random_rotation(num_directions, seed)
    kept = mean_free_basis(num_directions).T @ inner @ mean_free_basis(num_directions)
    scale = np.sqrt((num_directions - 1) / (width - 1))
    return np.asarray(scale * mean_free_basis(num_directions) @ kept[:, : width - 1] @ mean_free_basis(width).T)


def superpose_transformer(
    transformer: Transformer, tokens: Int64[np.ndarray, "rows tokens"], width: int, seed: int
) -> Transformer:
    """A GPT-2 of fewer dimensions that does the same, as far as fewer dimensions allow.

    Everything that is written is written by its direction's code. What reads the stream, layer by layer, is fitted by
    least squares: on some sequences it is to read what the plain transformer reads there, and also where one part of
    the transformer says what it says in another of them, as it does when an edge is patched.

    Args:
        transformer: the plain GPT-2.
        tokens: those sequences.
        width: dimensions.
        seed: of the codes.

    Raises:
        CompileError: there are not fewer dimensions, or heads get too narrow.
        SerialformerError: it is no GPT-2.
    """
    plain = transformer.architecture
    if not plain.is_gpt2:
        raise SerialformerError(f"expected a GPT-2, found {plain.family}")
    if not 2 <= width < plain.width or width % plain.num_heads:
        raise CompileError(
            f"expected fewer than {plain.width} dimensions, a multiple of {plain.num_heads} heads, found {width}"
        )
    architecture = replace(plain, width=width)
    codes = random_codes(plain.width, width, seed)
    number = DTYPES[plain.dtype]
    weights = {name: weight.astype(np.float64) for name, weight in transformer.named_weights()}
    for name in ("token_embedding", "position_embedding"):
        weights[name] = weights[name] @ codes
    for index in range(plain.num_layers):
        first = f"layers.{index}."
        for part in ("attention", "mlp"):
            gain = np.full(width, weights[f"{first}{part}_norm_gain"][0])
            weights[f"{first}{part}_norm_gain"], weights[f"{first}{part}_norm_bias"] = gain, np.zeros(width)
        columns = _narrow_heads(weights, first, plain.num_heads, width // plain.num_heads)
        weights[f"{first}attention_out_weight"] = weights[f"{first}attention_out_weight"][columns] @ codes
        for name in ("attention_out_bias", "mlp_out_weight", "mlp_out_bias"):
            weights[first + name] = weights[first + name] @ codes
    for name in ("mlp_out_weight", "mlp_out_bias"):
        weights[f"layers.{plain.num_layers - 1}.{name}"] *= STRENGTH
    weights["final_norm_gain"] = np.full(width, weights["final_norm_gain"][0])
    weights["final_norm_bias"] = np.zeros(width)
    # A reader can be fitted when everything that stands before it has been.
    random = np.random.default_rng([seed, 1])
    for index, layer in enumerate(transformer.layers):
        for part in ("attention", "mlp"):
            name, gain = f"layers.{index}.{part}", getattr(layer, f"{part}_norm_gain").astype(np.float64)
            shaped = {key: _shaped(weight, width, key) for key, weight in weights.items()}
            half_made = weights_to_transformer(replace(architecture, dtype="float32"), shaped)
            orders = [random.permutation(len(tokens)) for _ in range(SWAPS)]
            ideal, made = (_streams(one, tokens, index, part, orders) for one in (transformer, half_made))
            wanted = apply_norm(ideal, gain, np.zeros_like(gain), plain)
            seen = apply_norm(made, np.full(width, gain[0]), np.zeros(width), architecture)
            reader, constant = _fit(seen.reshape(-1, width), wanted.reshape(-1, plain.width))
            weights[f"{name}_in_bias"] = weights[f"{name}_in_bias"] + constant @ weights[f"{name}_in_weight"]
            weights[f"{name}_in_weight"] = reader @ weights[f"{name}_in_weight"]
    return weights_to_transformer(architecture, {name: weight.astype(number) for name, weight in weights.items()})


def _streams(
    transformer: Transformer,
    tokens: Int64[np.ndarray, "rows tokens"],
    index: int,
    part: str,
    orders: Sequence[Int64[np.ndarray, " rows"]],
) -> Float64[np.ndarray, "samples tokens width"]:
    """What can stand before a reader: the stream of each sequence, and the same with one term of another sequence.

    The terms are what the embedding, each head and each layer's hidden units add. Their exchange is what patching does.

    Args:
        transformer: of which.
        tokens: the sequences.
        index: the layer of the reader.
        part: ``attention`` or ``mlp``.
        orders: for each exchange which other sequence each one takes a term of.
    """
    found = compute_activations(transformer, tokens)
    heads, terms = transformer.architecture.num_heads, [found["hook_embed"] + found["hook_pos_embed"]]
    for number, layer in enumerate(transformer.layers[: index + (part == "mlp")]):
        out = layer.attention_out_weight.astype(np.float64).reshape(heads, -1, transformer.architecture.width)
        mixed = found[f"blocks.{number}.attn.hook_z"]
        terms += [mixed[:, :, head] @ out[head] for head in range(heads)]
        if number < index:
            terms.append(found[f"blocks.{number}.hook_mlp_out"])
    whole = found[f"blocks.{index}.hook_resid_{'pre' if part == 'attention' else 'mid'}"]
    samples = [whole]
    for order in orders:
        samples += [whole + term[order] - term for term in terms]
    return np.concatenate(samples)


def _narrow_heads(
    weights: dict[str, Float64[np.ndarray, "..."]], first: str, num_heads: int, head_width: int
) -> Int64[np.ndarray, " rows"]:
    """Leaves out the last columns of each head, which must be unused; returns the rows of its output that stay."""
    into, bias = weights[f"{first}attention_in_weight"], weights[f"{first}attention_in_bias"]
    parts, biases = into.reshape(len(into), 3 * num_heads, -1), bias.reshape(3 * num_heads, -1)
    if parts[:, :, head_width:].any() or biases[:, head_width:].any():
        needed = int(np.flatnonzero(parts.any(axis=(0, 1)) | biases.any(axis=0)).max()) + 1
        raise CompileError(f"heads of {head_width} dimensions are too narrow", hint=f"they use {needed}")
    weights[f"{first}attention_in_weight"] = parts[:, :, :head_width].reshape(len(into), -1)
    weights[f"{first}attention_in_bias"] = biases[:, :head_width].reshape(-1)
    rows = np.arange(num_heads * parts.shape[2]).reshape(num_heads, -1)[:, :head_width]
    return np.asarray(rows.reshape(-1))


def _shaped(weight: Float64[np.ndarray, "..."], width: int, name: str) -> Float32[np.ndarray, "..."]:
    """A weight that has not been fitted yet, cut to the shape that it will have; nothing depends on it before that."""
    return (weight[:width] if name.endswith("in_weight") else weight).astype(np.float32)


def _fit(
    seen: Float64[np.ndarray, "samples width"], wanted: Float64[np.ndarray, "samples directions"]
) -> tuple[Float64[np.ndarray, "width directions"], Float64[np.ndarray, " directions"]]:
    """The linear map, and the constant, that come nearest to making of each row what is wanted."""
    rows, which = np.unique(np.round(np.hstack([seen, wanted]), 9), axis=0), seen.shape[1]
    inputs, outputs = rows[:, :which], rows[:, which:]
    means = inputs.mean(axis=0), outputs.mean(axis=0)
    centred = inputs - means[0]
    square = centred.T @ centred
    square += RIDGE * float(np.trace(square)) * np.eye(which)
    reader = np.linalg.solve(square, centred.T @ (outputs - means[1]))
    return np.asarray(reader), np.asarray(means[1] - means[0] @ reader)
