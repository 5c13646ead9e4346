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
from serialformer.transformer.lane_kernels import LANES
from serialformer.transformer.narrow_attention_kernels import attend, attend_backward

MAX_HEAD_WIDTH = 32
MIN_KEYS = 16
MIN_QUERIES = 8
"""The rest is left to torch, which is faster with few queries; wider heads and short rows would gain little."""


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
        rows, num_queries, width = queries.shape
        head_width = width // num_heads
        num_parts = -(-head_width // LANES)
        parts, places = tuple(range(num_parts)), tuple(range(head_width // num_parts))
        sources = [_span(tensor) for tensor in (queries, keys, values)]
        held = (*sources, keys.shape[1], positions.contiguous().numpy(), parts, places, np.float32(scale))
        statistics = np.empty((rows, num_heads, -(-num_queries // LANES), 2, LANES), np.float32)
        mixed = torch.empty((rows, num_queries, width))
        attend(*held, _span(mixed), statistics)
        context.held = (*held, statistics)
        return mixed

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]  # torch has no types here
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, num_queries, width = gradient.shape
        num_keys = context.held[3]
        results = [torch.empty((rows, count, width)) for count in (num_queries, num_keys, num_keys)]
        attend_backward(*context.held, _span(gradient), *(_span(result) for result in results))
        return (*results, None, None, None)


def _span(tensor: Float[Tensor, "B N D"]) -> tuple[Float[np.ndarray, " numbers"], int, int]:
    """A tensor's memory from its first number on, and the steps there from row to row and from token to token."""
    tensor = tensor.detach()
    if tensor.stride(2) != 1:
        tensor = tensor.contiguous()
    rows, tokens, width = tensor.shape
    row_step, step, _ = tensor.stride()
    count = max(0, (rows - 1) * row_step + (tokens - 1) * step + width)
    return tensor.as_strided((count,), (1,)).numpy(), row_step, step
