"""Attention of narrow heads in training on one core: our loops where they are faster than torch's.

Shapes: B rows, L queries, T keys, D width.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from serialformer.arrays import Float, Int64
from serialformer.transformer.narrow_attention_kernels import attend, attend_backward

MAX_HEAD_WIDTH = 16
MIN_KEYS = 32
MIN_QUERIES = 8
"""Wider heads, shorter rows and single tokens are left to torch, which was as fast there or faster."""


def is_narrow(
    queries: Float[Tensor, "B L D"], keys: Float[Tensor, "B T D"], num_heads: int, positions: Int64[Tensor, "... L"]
) -> bool:
    """Whether ``NarrowAttention`` takes this attention, and is likely the faster way.

    It takes float32 on the CPU, in one thread, with the same positions for every row.
    """
    head_width = queries.shape[2] // num_heads
    return (
        queries.dtype == keys.dtype == torch.float32
        and queries.device.type == "cpu"
        and head_width <= MAX_HEAD_WIDTH
        and head_width % 4 == 0
        and keys.shape[1] >= MIN_KEYS
        and queries.shape[1] >= MIN_QUERIES
        and positions.dim() == 1
        and torch.get_num_threads() == 1
        and not torch.compiler.is_compiling()
    )


class NarrowAttention(torch.autograd.Function):  # type: ignore[misc]  # torch has no types here
    """Causal attention, equal to ``scaled_dot_product_attention`` up to float32's rounding.

    ``NarrowAttention.apply(queries, keys, values, positions, num_heads, scale)``: float32 of shapes B L D, B T D and
    B T D; query i sees the keys 0..positions[i]; gives B L D.
    """

    @staticmethod
    def forward(
        context: Any, queries: Tensor, keys: Tensor, values: Tensor, positions: Tensor, num_heads: int, scale: float
    ) -> Tensor:
        held = [tensor.detach().contiguous().numpy() for tensor in (queries, keys, values, positions)]
        rows, num_queries, _ = held[0].shape
        mixed = np.empty_like(held[0])
        log_sums = np.empty((rows, num_heads, num_queries), np.float32)
        attend(*held, num_heads, np.float32(scale), mixed, log_sums)
        context.held = (*held, num_heads, np.float32(scale), mixed, log_sums)
        return torch.from_numpy(mixed)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]  # torch has no types here
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        queries, keys, *_ = context.held
        results = np.empty_like(queries), np.empty_like(keys), np.empty_like(keys)
        attend_backward(*context.held, gradient.contiguous().numpy(), *results)
        return (*(torch.from_numpy(result) for result in results), None, None, None)
