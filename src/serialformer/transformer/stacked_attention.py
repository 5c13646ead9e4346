"""Attention of many models at once: torch's fused kernel, which ``torch.vmap`` does not map over models by itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


class StackedAttention(torch.autograd.Function):  # type: ignore[misc]  # torch gives its Function no types
    """Causal attention. Under ``torch.vmap`` the models become rows of one batch, and torch's own gradient is used."""

    generate_vmap_rule = False

    @staticmethod
    def forward(queries: Tensor, keys: Tensor, values: Tensor, scale: float, grouped: bool) -> Tensor:
        return _attend(queries, keys, values, scale, grouped)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        queries, keys, values, *ctx.rest = inputs
        ctx.save_for_backward(queries, keys, values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """For one model alone: torch's gradient of the same kernel, computed again."""
        parts = [part.detach().requires_grad_() for part in ctx.saved_tensors]
        with torch.enable_grad():
            mixed = _attend(parts[0], parts[1], parts[2], *ctx.rest)
        return (*torch.autograd.grad(mixed, parts, gradients), None, None)

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int, int, int, None, None],
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        scale: float,
        grouped: bool,
    ) -> tuple[Tensor, int]:
        queries, keys, values = (
            x.movedim(dim, 0).flatten(0, 1) for x, dim in zip((queries, keys, values), in_dims[:3], strict=True)
        )
        return _attend(queries, keys, values, scale, grouped).unflatten(0, (info.batch_size, -1)), 0


def _attend(queries: Tensor, keys: Tensor, values: Tensor, scale: float, grouped: bool) -> Tensor:
    mixed: Tensor = functional.scaled_dot_product_attention(
        queries, keys, values, is_causal=True, scale=scale, enable_gqa=grouped
    )
    return mixed
