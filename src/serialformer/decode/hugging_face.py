"""The Hugging Face engine: transformers' own ``generate``, for whoever wants another program's word for it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from serialformer.decode.engine import Engine, Progress
from serialformer.errors import EngineError
from serialformer.transformer.checkpoint import save_transformer
from serialformer.transformer.transformer import Transformer


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
        return result


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
