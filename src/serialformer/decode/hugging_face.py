"""The Hugging Face engine: transformers' own ``generate``, for whoever wants another program's word for it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from serialformer.arrays import Bool, Int64
from serialformer.decode.engine import Engine, Progress
from serialformer.errors import EngineError
from serialformer.transformer.checkpoint import save_transformer
from serialformer.transformer.transformer import Transformer

TOKENS_PER_CHUNK = 512
"""How many tokens of a row are read at once when a chain is confirmed: a row's mask is this by context."""

TOKENS_PER_PASS = 1 << 16
"""How many tokens of all rows together are read at once: what a pass keeps grows with it."""

MIN_TOKENS_PER_ROW = 16
"""Passes are never shorter than this, however many rows there are."""

ROUNDING_STEPS = 8
"""Two largest logits are a close call if they differ by at most this many rounding steps, relative to their size."""

LEAST_MARGIN = 1e-3
"""And so are those within this of each other: sums in another order may differ by many steps of float32."""


class HuggingFaceEngine(Engine):
    """Loads the checkpoint with ``AutoModelForCausalLM`` and calls ``generate``; needs the extra ``torch``."""

    name = "hf"

    def __init__(self, transformer: Transformer, directory: Path | None = None) -> None:
        super().__init__(transformer.architecture)
        try:
            import torch
            from transformers import AutoModelForCausalLM
            from transformers.utils import logging
        except ImportError as error:
            raise EngineError(
                f"engine hf needs {error.name}", hint="pip install 'serialformer[torch]', or use --engine dense"
            ) from None
        logging.disable_progress_bar()
        self._torch = torch
        if directory is not None:
            self._model: Any = AutoModelForCausalLM.from_pretrained(directory)
        else:
            with tempfile.TemporaryDirectory() as temporary:
                save_transformer(transformer, Path(temporary), num_new_tokens=1)
                self._model = AutoModelForCausalLM.from_pretrained(temporary)
        self._model.eval()

    def stream(
        self, prompts: Int64[np.ndarray, "rows prompt"], num_tokens: int
    ) -> Iterator[Int64[np.ndarray, "rows new"]]:
        """The tokens of ``generate``, in one block, once it is done."""
        yield self.generate(prompts, num_tokens)

    def generate(
        self, prompts: Int64[np.ndarray, "rows prompt"], num_tokens: int, progress: Progress | None = None
    ) -> Int64[np.ndarray, "rows tokens"]:
        """What transformers generates greedily, in the number format of the checkpoint."""
        num_tokens = self.num_tokens_that_fit(prompts, num_tokens)
        if num_tokens == 0:
            return np.empty((len(prompts), 0), dtype=np.int64)
        tokens = self._torch.from_numpy(np.ascontiguousarray(prompts))
        streamer = None if progress is None else _Counter(progress)
        made = self._model.generate(
            tokens,
            attention_mask=self._torch.ones_like(tokens),
            do_sample=False,
            max_new_tokens=num_tokens,
            streamer=streamer if len(prompts) == 1 else None,
        )
        result: Int64[np.ndarray, "rows tokens"] = made[:, prompts.shape[1] :].numpy()
        end = self.architecture.end_token
        # After the end of a row transformers fills it up with the padding token.
        ended = np.cumsum(result == end, axis=1) - (result == end) > 0
        return np.where(ended, end, result)

    def confirm(
        self,
        prompts: Int64[np.ndarray, "rows prompt"],
        chains: Int64[np.ndarray, "rows chain"],
        progress: Progress | None = None,
    ) -> Int64[np.ndarray, "rows chain"]:
        """What ``generate`` makes after the prompts, found fast where it is what another engine proposes.

        The stock model reads prompt and proposed chain in chunks, and says the next token after every prefix. Where
        that is the proposed token each time, greedy decoding takes the same steps and makes the same chain. A row
        where a token differs is decoded by ``generate`` instead, and so is one with a close call: two logits so close
        that reading many tokens at once could round to another order than reading one by one.

        Args:
            prompts: token ids.
            chains: the proposed tokens, padded with the end token after the first of them.
            progress: called with the number of tokens read of each chain.

        Returns:
            As many tokens as proposed, padded with the end token.

        Raises:
            EngineError: the chains are longer than the positions allow.
        """
        num_tokens = chains.shape[1]
        if len(chains) == 0 or num_tokens == 0:
            return np.empty(chains.shape, dtype=np.int64)
        if self.num_tokens_that_fit(prompts, num_tokens) < num_tokens:
            raise EngineError(
                f"a prompt of {prompts.shape[1]} and a chain of {num_tokens} tokens do not fit"
                f" {self.architecture.num_positions} positions"
            )
        end = self.architecture.end_token
        made, close = self._read_chains(prompts, chains, progress)
        # After an end token nothing is decoded, whatever the model would say there.
        ended = np.cumsum(chains == end, axis=1) - (chains == end) > 0
        doubtful = (((made != chains) | close) & ~ended).any(axis=1) | ((chains != end) & ended).any(axis=1)
        confirmed = np.where(ended, end, made)
        if doubtful.any():
            decoded = self.generate(prompts[doubtful], num_tokens)
            confirmed[doubtful] = np.pad(decoded, ((0, 0), (0, num_tokens - decoded.shape[1])), constant_values=end)
        return confirmed

    def _read_chains(
        self,
        prompts: Int64[np.ndarray, "rows prompt"],
        chains: Int64[np.ndarray, "rows chain"],
        progress: Progress | None,
    ) -> tuple[Int64[np.ndarray, "rows chain"], Bool[np.ndarray, "rows chain"]]:
        """The arg max after the prompt and each shorter prefix of its chain, and whether it is a close call."""
        torch = self._torch
        rows, first = len(prompts), prompts.shape[1] - 1  # the arg max at position ``first`` is the first chain token
        # The last token of a chain is made and not read.
        tokens = torch.from_numpy(np.concatenate([prompts, chains[:, :-1]], axis=1))
        made, close = np.empty(chains.shape, dtype=np.int64), np.empty(chains.shape, dtype=bool)
        chunk = min(TOKENS_PER_CHUNK, max(MIN_TOKENS_PER_ROW, TOKENS_PER_PASS // rows))
        least = max(LEAST_MARGIN, ROUNDING_STEPS * torch.finfo(self._model.dtype).eps)
        cache = None
        with torch.no_grad():
            for start in range(0, tokens.shape[1], chunk):
                stop = min(start + chunk, tokens.shape[1])
                read = self._model(tokens[:, start:stop], past_key_values=cache, use_cache=True)
                cache = read.past_key_values
                skipped = max(0, first - start)
                logits = read.logits[:, skipped:].float()
                if logits.shape[1] == 0:
                    continue
                block = slice(start + skipped - first, stop - first)
                made[:, block] = logits.argmax(dim=-1).numpy()
                two = logits.topk(min(2, logits.shape[-1]), dim=-1).values
                size = logits.abs().amax(dim=-1)
                close[:, block] = (~(two[..., 0] - two[..., -1] > least * size)).numpy()
                if progress is not None:
                    progress(block.stop - block.start)
        return made, close


class _Counter:
    """What ``generate`` takes for a streamer: counts tokens. The first call brings the prompt."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._prompt_seen = False

    def put(self, tokens: Any) -> None:
        if self._prompt_seen:
            self._progress(1)
        self._prompt_seen = True

    def end(self) -> None:
        """Nothing to close."""
