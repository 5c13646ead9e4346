"""The torch module of a decoder, for training and for GPUs: the same weights as ``Transformer``, the same logits.

Shapes: B rows, T tokens, L positions at which the model is asked, D width, K the keys of all heads side by side, H
heads, W head width, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from serialformer.architecture import DTYPES, Architecture
from serialformer.arrays import Float, Int64
from serialformer.errors import SerialformerError
from serialformer.transformer.narrow_attention import NarrowAttention, is_narrow
from serialformer.transformer.stacked_attention import StackedAttention
from serialformer.transformer.transformer import Transformer, weight_shapes, weights_to_transformer

RELATIVE_BIAS_SCALE = 30.0
"""A relative bias is this times its parameter, so that it learns as much faster under an optimiser of fixed steps."""

AttentionMethod = Literal["narrow", "stacked"]

Asked = slice | Int64[Tensor, "B L"] | None
"""The positions whose logits are wanted: one span for all rows, or some of each row; None for all."""


class Cache:
    """The keys and values of the tokens read so far, layer by layer, for ``TransformerModule.forward``.

    Args:
        architecture: the model's.
        num_rows: of the batch.
        num_tokens: how many tokens there is room for; memory is taken at once.
        like: a tensor whose dtype and device the cache has.
    """

    def __init__(self, architecture: Architecture, num_rows: int, num_tokens: int, like: Tensor) -> None:
        shape = (architecture.num_layers, 2, num_rows, num_tokens, architecture.key_width)
        self._held = torch.empty(shape, dtype=like.dtype, device=like.device)
        self.num_tokens = 0

    def extend(
        self, layer: int, keys: Float[Tensor, "B new K"], values: Float[Tensor, "B new K"]
    ) -> tuple[Float[Tensor, "B T K"], Float[Tensor, "B T K"]]:
        """Appends a layer's keys and values; returns all that there are."""
        stop = self.num_tokens + keys.shape[1]
        self._held[layer, 0, :, self.num_tokens : stop] = keys
        self._held[layer, 1, :, self.num_tokens : stop] = values
        return self._held[layer, 0, :, :stop], self._held[layer, 1, :, :stop]


class TransformerModule(torch.nn.Module):  # type: ignore[misc]  # torch has no types here
    """A decoder of any ``Architecture`` in floats; its parameters are named as the weights of ``Transformer``.

    In the last layer, queries, feed-forward and logits are computed only where they are asked for, which changes no
    logit: other positions matter there by their keys and values alone.

    Args:
        architecture: the shape; its dtype is the one that ``to_transformer`` rounds to.
        dtype: of the parameters.
        device: where they are.
        attention: ``narrow`` lets narrow heads on one core go through our own loops, which ``torch.func`` does not
            know; ``stacked`` is for a module under ``torch.vmap``.

    Raises:
        SerialformerError: the arithmetic of the architecture is not that of floats.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
        attention: AttentionMethod = "narrow",
    ) -> None:
        super().__init__()
        if architecture.arithmetic is not None:
            raise SerialformerError("the model's arithmetic rounds after every operation, which torch does not")
        self.architecture = architecture
        self._attention = attention
        self.weights = torch.nn.ParameterDict(
            {
                name.replace(".", "_"): torch.nn.Parameter(torch.zeros(shape, dtype=dtype, device=device))
                for name, shape in weight_shapes(architecture).items()
                if 0 not in shape
            }
        )

    @property
    def device(self) -> torch.device:
        return self.weights["token_embedding"].device

    def named_weights(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        """Every parameter by the name of its weight, in the order of ``Transformer.named_weights``."""
        for name, shape in weight_shapes(self.architecture).items():
            if 0 not in shape:
                yield name, self.weights[name.replace(".", "_")]

    def load(self, transformer: Transformer) -> None:
        """Takes the weights of a transformer of the same shape, whatever their number format."""
        weights = dict(transformer.named_weights())
        with torch.no_grad():
            for name, parameter in self.named_weights():
                weight = torch.from_numpy(weights[name].astype("float64"))
                parameter.copy_(weight / RELATIVE_BIAS_SCALE if name.endswith("relative_bias") else weight)

    def to_transformer(self) -> Transformer:
        """The weights as arrays, rounded to the architecture's dtype."""
        dtype = DTYPES[self.architecture.dtype]
        weights = {}
        for name, parameter in self.named_weights():
            weight = parameter.detach().to("cpu", torch.float64)
            scaled = weight * RELATIVE_BIAS_SCALE if name.endswith("relative_bias") else weight
            weights[name] = scaled.numpy().astype(dtype)
        for name, shape in weight_shapes(self.architecture).items():
            if name not in weights:
                weights[name] = torch.zeros(shape).numpy().astype(dtype)
        return weights_to_transformer(self.architecture, weights)

    def forward(
        self, tokens: Int64[Tensor, "B T"], asked: Asked = None, cache: Cache | None = None
    ) -> Float[Tensor, "B L V"]:
        """The logits at the positions asked for.

        Args:
            tokens: one row a sequence; with a cache, what follows the tokens that it holds.
            asked: places in ``tokens``.
            cache: extended by these tokens; without one, sequences begin with ``tokens``.
        """
        start, count = (0 if cache is None else cache.num_tokens), tokens.shape[1]
        weights = self.weights
        x_BTD = functional.embedding(tokens, weights["token_embedding"])
        if self.architecture.positions == "learned":
            x_BTD = x_BTD + weights["position_embedding"][start : start + count]
        last = self.architecture.num_layers - 1
        for layer in range(last + 1):
            x_BTD = self._block(x_BTD, layer, asked if layer == last else None, cache)
        if cache is not None:
            cache.num_tokens += count
        return (
            self._norm(x_BTD, "final_norm") @ weights["token_embedding" if self.architecture.tied else "unembedding"].T
        )

    def _block(
        self, x_BTD: Float[Tensor, "B T D"], layer: int, asked: Asked, cache: Cache | None
    ) -> Float[Tensor, "B L D"]:
        """One layer; of its result only the positions asked for."""
        attended, key_width = self.architecture.attention_width, self.architecture.key_width
        normed = self._norm(x_BTD, f"layers_{layer}_attention_norm")
        weight, bias = self._pair(layer, "attention_in")
        if asked is None:
            projected = functional.linear(normed, weight.T, bias)
            queries, keys, values = projected.split([attended, key_width, key_width], dim=-1)
        else:
            rest = None if bias is None else bias[attended:]
            keys, values = functional.linear(normed, weight[:, attended:].T, rest).split(key_width, dim=-1)
            own = None if bias is None else bias[:attended]
            queries = functional.linear(_take(normed, asked), weight[:, :attended].T, own)
            x_BTD = _take(x_BTD, asked)
        positions = None if asked is None and cache is None else _positions(asked, normed, cache)
        if self.architecture.positions == "rotary":
            queries = self._rotate(queries, _positions(asked, normed, cache))
            keys = self._rotate(keys, _positions(None, normed, cache))
        if cache is not None:
            keys, values = cache.extend(layer, keys, values)
        mixed = self._attend(queries, keys, values, layer, positions)
        weight, bias = self._pair(layer, "attention_out")
        x_BTD = x_BTD + functional.linear(mixed, weight.T, bias)
        weight, bias = self._pair(layer, "mlp_in")
        normed = self._norm(x_BTD, f"layers_{layer}_mlp_norm")
        hidden = self._activate(functional.linear(normed, weight.T, bias))
        if self.architecture.gated:
            hidden = hidden * (normed @ self.weights[f"layers_{layer}_mlp_up_weight"])
        weight, bias = self._pair(layer, "mlp_out")
        return x_BTD + functional.linear(hidden, weight.T, bias)

    def _attend(
        self,
        queries: Float[Tensor, "B L attended"],
        keys: Float[Tensor, "B T K"],
        values: Float[Tensor, "B T K"],
        layer: int,
        positions: Int64[Tensor, "... L"] | None,
    ) -> Float[Tensor, "B L attended"]:
        """Attention of the queries at ``positions``; of one query a key, in order, if None."""
        heads, head_width = self.architecture.num_heads, self.architecture.head_width
        rows, num_keys = keys.shape[:2]
        plain = not self.architecture.relative_bias and self.architecture.window is None
        causal = positions is None and plain
        if positions is None:
            positions = torch.arange(num_keys, device=keys.device)
        scale = 1 / math.sqrt(head_width) if self.architecture.scaled_scores else 1.0
        grouped = self.architecture.num_key_heads < heads
        if self._attention == "narrow" and plain and not grouped and is_narrow(queries, keys, heads, positions):
            return NarrowAttention.apply(queries, keys, values, positions, heads, scale)
        split_queries, split_keys, split_values = (
            part.view(rows, -1, part.shape[2] // head_width, head_width).transpose(1, 2)
            for part in (queries, keys, values)
        )
        if causal and self._attention == "stacked":
            mixed = StackedAttention.apply(split_queries, split_keys, split_values, scale, grouped)
        else:
            mixed = functional.scaled_dot_product_attention(
                split_queries,
                split_keys,
                split_values,
                attn_mask=None if causal else self._score_bias(layer, positions, num_keys, queries.dtype),
                is_causal=causal,
                scale=scale,
                enable_gqa=grouped,
            )
        return mixed.transpose(1, 2).reshape(rows, -1, heads * head_width)

    def _score_bias(
        self, layer: int, positions: Int64[Tensor, "... L"], num_keys: int, dtype: torch.dtype
    ) -> Float[Tensor, "..."]:
        """What is added to the scores: minus infinity where a key is after its query, and the relative bias."""
        distance = positions.unsqueeze(-1) - torch.arange(num_keys, device=positions.device)  # L T, or B L T
        hidden = torch.zeros(distance.shape, dtype=dtype, device=distance.device)
        hidden = hidden.masked_fill(distance < 0, -math.inf)
        if self.architecture.window is not None:
            hidden = hidden.masked_fill(distance >= self.architecture.window, -math.inf)
        if distance.dim() == 3:
            hidden = hidden.unsqueeze(1)
        if not self.architecture.relative_bias:
            return hidden
        bias = RELATIVE_BIAS_SCALE * self.weights[f"layers_{layer}_attention_relative_bias"]
        chosen = bias.to(dtype)[:, distance.clamp(min=0)]  # H L T, or H B L T
        return hidden + (chosen.transpose(0, 1) if distance.dim() == 3 else chosen)

    def _norm(self, x: Float[Tensor, "B N D"], name: str) -> Float[Tensor, "B N D"]:
        if self.architecture.norm == "none":
            return x
        gain = self.weights[f"{name}_gain"]
        if self.architecture.norm == "rms_norm":
            return functional.rms_norm(x, gain.shape, gain, self.architecture.norm_epsilon)
        return functional.layer_norm(x, gain.shape, gain, self.weights[f"{name}_bias"], self.architecture.norm_epsilon)

    def _activate(self, x: Float[Tensor, "B N F"]) -> Float[Tensor, "B N F"]:
        if self.architecture.activation == "relu":
            return functional.relu(x)
        return functional.silu(x) if self.architecture.activation == "silu" else functional.gelu(x, approximate="tanh")

    def _rotate(self, x: Float[Tensor, "B N K"], positions: Int64[Tensor, "... N"]) -> Float[Tensor, "B N K"]:
        """Turns the heads' pairs of dimensions by the angles of the positions."""
        head_width = self.architecture.head_width
        pair = torch.arange(head_width // 2, dtype=torch.float64, device=x.device)
        frequencies = self.architecture.rotary_base ** (-2 * pair / head_width)
        angles = positions[..., None, None] * frequencies  # N 1 pairs, or B N 1 pairs
        cosine, sine = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        first, second = x.unflatten(-1, (-1, head_width)).chunk(2, dim=-1)
        return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1).flatten(-2)

    def _pair(self, layer: int, name: str) -> tuple[Float[Tensor, "inputs outputs"], Float[Tensor, " outputs"] | None]:
        """A linear map's weight and its bias, which it may not have."""
        bias = f"layers_{layer}_{name}_bias"
        return self.weights[f"layers_{layer}_{name}_weight"], self.weights.get(bias, None)


def _take(x: Float[Tensor, "B T D"], asked: slice | Int64[Tensor, "B L"]) -> Float[Tensor, "B L D"]:
    if isinstance(asked, slice):
        return x[:, asked]
    return x.gather(1, asked.unsqueeze(-1).expand(-1, -1, x.shape[2]))


def _positions(asked: Asked, tokens: Float[Tensor, "B T D"], cache: Cache | None) -> Int64[Tensor, "... L"]:
    """The positions of the queries in the whole sequence."""
    start = 0 if cache is None else cache.num_tokens
    if isinstance(asked, Tensor):
        return asked + start
    every = torch.arange(start, start + tokens.shape[1], device=tokens.device)
    return every if asked is None else every[asked]
