"""Every activation of a forward pass, by the names that TransformerLens gives them."""

from __future__ import annotations

import numpy as np

from serialformer.arrays import Float, Integer
from serialformer.transformer.forward import (
    add_bias,
    apply_norm,
    attention_shares,
    cast_layer,
    hidden_units,
    merge_heads,
    mix_values,
    project_heads,
    refuse_rounded_arithmetic,
    score_bias,
    visible_keys,
)
from serialformer.transformer.transformer import Transformer


def compute_activations(
    transformer: Transformer, tokens: Integer[np.ndarray, "B T"], *, dtype: type[np.floating] = np.float64
) -> dict[str, Float[np.ndarray, "..."]]:
    """All activations of whole sequences, named and shaped as the hooks of TransformerLens without its processing.

    For each layer L: ``blocks.L.hook_resid_pre``, ``hook_resid_mid``, ``hook_resid_post``, ``hook_attn_out`` and
    ``hook_mlp_out`` (rows, positions, width); ``attn.hook_q``, ``hook_k``, ``hook_v`` and ``hook_z`` (rows, positions,
    heads, head width); ``attn.hook_pattern`` (rows, heads, queries, keys); ``mlp.hook_post`` (rows, positions, units).
    Besides: ``hook_embed``, ``hook_pos_embed``, ``ln_final.hook_normalized`` and ``logits``.

    Args:
        transformer: the weights.
        tokens: token ids.
        dtype: what to compute in.

    Raises:
        SerialformerError: the transformer's arithmetic is not that of floats.
    """
    refuse_rounded_arithmetic(transformer)
    architecture, positions = transformer.architecture, np.arange(tokens.shape[1])
    found: dict[str, np.ndarray] = {"hook_embed": transformer.token_embedding[tokens].astype(dtype)}
    x_BTD = found["hook_embed"]
    if architecture.positions != "rotary":
        placed = transformer.position_embedding[positions].astype(dtype)
        found["hook_pos_embed"] = np.broadcast_to(placed, x_BTD.shape)
        x_BTD = x_BTD + placed
    for number, stored in enumerate(transformer.layers):
        layer, name = cast_layer(stored, dtype), f"blocks.{number}."
        found[f"{name}hook_resid_pre"] = x_BTD
        queries, keys, values = project_heads(x_BTD, layer, architecture, positions)
        shares = attention_shares(
            queries,
            keys,
            visible_keys(architecture, positions, len(positions)),
            scaled=architecture.scaled_scores,
            bias=score_bias(layer, positions, len(positions)),
        )
        mixed = mix_values(shares, values)
        for part, array in {"q": queries, "k": keys, "v": values, "z": mixed}.items():
            found[f"{name}attn.hook_{part}"] = array.swapaxes(1, 2)
        found[f"{name}attn.hook_pattern"] = shares
        attended = add_bias(merge_heads(mixed) @ layer.attention_out_weight, layer.attention_out_bias)
        found[f"{name}hook_attn_out"] = attended
        x_BTD = found[f"{name}hook_resid_mid"] = x_BTD + attended
        units = found[f"{name}mlp.hook_post"] = hidden_units(x_BTD, layer, architecture)
        written = found[f"{name}hook_mlp_out"] = add_bias(units @ layer.mlp_out_weight, layer.mlp_out_bias)
        x_BTD = found[f"{name}hook_resid_post"] = x_BTD + written
    gain, bias = transformer.final_norm_gain.astype(dtype), transformer.final_norm_bias.astype(dtype)
    found["ln_final.hook_normalized"] = apply_norm(x_BTD, gain, bias, architecture)
    found["logits"] = found["ln_final.hook_normalized"] @ transformer.head.astype(dtype).T
    return found
