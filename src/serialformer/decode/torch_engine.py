"""The torch engine: a module decodes with a key-value cache, where it is: while it trains, or on a GPU."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from serialformer.arrays import Int64
from serialformer.decode.engine import Engine
from serialformer.transformer.module import Cache, TransformerModule


class TorchEngine(Engine):
    """Decodes with a torch module, in the number format of its parameters."""

    name = "torch"

    def __init__(self, module: TransformerModule) -> None:
        super().__init__(module.architecture)
        self._module = module

    def stream(
        self, prompts: Int64[np.ndarray, "rows prompt"], num_tokens: int
    ) -> Iterator[Int64[np.ndarray, "rows new"]]:
        """Yields the next token of every row, one at a time."""
        num_tokens = self.num_tokens_that_fit(prompts, num_tokens)
        if num_tokens == 0:
            return
        module, end = self._module, self.architecture.end_token
        tokens = torch.from_numpy(prompts).to(module.device)
        like = next(iter(module.parameters()))
        with torch.no_grad():
            cache = Cache(self.architecture, len(prompts), prompts.shape[1] + num_tokens - 1, like)
            ended = torch.zeros(len(prompts), dtype=torch.bool, device=module.device)
            for step in range(num_tokens):
                logits = module(tokens, slice(tokens.shape[1] - 1, None), cache)
                tokens = logits.argmax(dim=-1).masked_fill(ended[:, None], end)
                yield tokens.cpu().numpy()
                ended |= tokens[:, 0] == end
                if step == num_tokens - 1 or bool(ended.all()):
                    return
