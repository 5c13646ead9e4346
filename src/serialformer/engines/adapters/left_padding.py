"""Batches as transformers takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def left_padded(prompts: Sequence[Sequence[int]], padding_token: int) -> tuple[Any, Any]:
    """Prompts as rows of one length, padded on the left, and the mask that says what is no padding: torch tensors."""
    import torch

    longest = max(map(len, prompts))
    rows = [[padding_token] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
    mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return torch.tensor(rows), torch.tensor(mask)
