"""What a decoding engine is, and which there are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from serialformer.architecture import Architecture
from serialformer.arrays import Int64
from serialformer.errors import EngineError
from serialformer.transformer.transformer import Transformer

Progress = Callable[[int], None]
"""Called with the number of tokens made since the last call."""

CACHE_BYTES = 1 << 28
"""How much memory the keys and values of the rows that are decoded together may take."""

MAX_ROWS = 4096


class Engine(ABC):
    """Greedy decoding of one transformer: the next token is the one with the largest logit, the first of equals.

    A row that has made the end token keeps making it; decoding stops when every row has, or at ``num_tokens``.

    Attributes:
        name: of the engine, or the engines, that made the tokens of the last call.
        announces: whether an engine that leaves something to another engine prints so, once and to standard error;
            not where the engine was chosen by ``auto``.
    """

    name: str
    announces: bool = True

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture

    @abstractmethod
    def stream(
        self, prompts: Int64[np.ndarray, "rows prompt"], num_tokens: int
    ) -> Iterator[Int64[np.ndarray, "rows new"]]:
        """Yields blocks of one or more new tokens of every row, at most ``num_tokens`` in all."""

    def generate(
        self, prompts: Int64[np.ndarray, "rows prompt"], num_tokens: int, progress: Progress | None = None
    ) -> Int64[np.ndarray, "rows tokens"]:
        """The tokens after the prompts, all rows padded to one length with the end token."""
        blocks = [np.empty((len(prompts), 0), dtype=np.int64)]
        for tokens in self.stream(prompts, num_tokens):
            blocks.append(tokens)
            if progress is not None:
                progress(tokens.shape[1])
        return np.concatenate(blocks, axis=1)

    def final_tokens(
        self, prompts: Int64[np.ndarray, "rows prompt"], num_tokens: int, count: int
    ) -> Int64[np.ndarray, "rows last"]:
        """The last ``count`` of the tokens that ``generate`` gives, for engines that need not keep the others."""
        made = self.generate(prompts, num_tokens)
        return made[:, max(0, made.shape[1] - count) :]

    def rows_at_once(self, num_tokens: int) -> int:
        """How many rows of this length, prompt included, to decode together: as many as CACHE_BYTES hold."""
        row_bytes = 8 * self.architecture.width * self.architecture.num_layers * max(1, num_tokens)
        return max(1, min(MAX_ROWS, CACHE_BYTES // row_bytes))

    def num_tokens_that_fit(self, prompts: Int64[np.ndarray, "rows prompt"], num_tokens: int) -> int:
        """How many tokens can be made: the last is made but not read, so it needs no position."""
        if prompts.shape[1] < 1:
            raise EngineError("an empty prompt has no next token")
        room = self.architecture.num_positions + 1 - prompts.shape[1]
        return min(num_tokens, room) if len(prompts) and room > 0 else 0


MAX_INDEXED_LAYERS = 3
"""The errors that the indexed engine bounds grow from layer to layer; in deeper models it soon proves nothing."""

ENGINE_NAMES = ("auto", "dense", "indexed", "sliced", "hf")


def make_engine(name: str, transformer: Transformer, directory: Path | None = None) -> Engine:
    """The engine of this name for a transformer.

    Args:
        name: ``dense`` is ours, in numpy; ``indexed`` looks attention up instead of scanning the context; ``sliced``
            runs 64 inputs a machine word; ``hf`` is Hugging Face transformers; ``auto`` is ``dense`` where there is
            little to do or more than MAX_INDEXED_LAYERS layers, and ``indexed`` otherwise. Of a model that no stock
            runtime knows there is only ``dense``, in the model's own arithmetic, and ``auto`` is that. A Llama has no
            ``sliced``.
        transformer: the model.
        directory: where the model lies as a checkpoint, if it does; ``hf`` loads it from there.

    Raises:
        EngineError: no such engine, what it needs is not installed, or it does not take this model.
    """
    architecture = transformer.architecture
    if name == "sliced" and architecture.is_stock and not architecture.is_gpt2:
        raise EngineError("engine sliced runs GPT-2s only; this model is a Llama", hint="--engine indexed runs it")
    if name in ENGINE_NAMES and not architecture.is_stock:
        if name not in ("auto", "dense"):
            differs = [] if architecture.norm == "layer_norm" else ["has no layer norm"]
            differs += [] if architecture.scaled_scores else ["does not scale its scores"]
            differs += [] if architecture.arithmetic is None else ["rounds every operation"]
            differs += ["has a relative bias"] if architecture.relative_bias else []
            raise EngineError(
                f"engine {name} runs stock models only; this model {', '.join(differs)}", hint="--engine dense runs it"
            )
        if architecture.arithmetic is not None:
            from serialformer.decode.rounded import RoundedEngine

            return RoundedEngine(transformer)
        name = "dense"
    if name == "auto" and architecture.num_layers > MAX_INDEXED_LAYERS:
        name = "dense"
    if name == "auto":
        from serialformer.decode.auto import AutoEngine

        return AutoEngine(transformer)
    if name == "indexed" and not architecture.is_gpt2:
        from serialformer.decode.token_index import TokenIndexEngine

        return TokenIndexEngine(transformer)
    if name == "indexed":
        from serialformer.decode.indexed import IndexedEngine

        return IndexedEngine(transformer)
    if name == "sliced":
        from serialformer.decode.sliced import SlicedEngine

        return SlicedEngine(transformer)
    if name == "dense":
        from serialformer.decode.dense import DenseEngine

        return DenseEngine(transformer)
    if name == "hf":
        from serialformer.decode.hugging_face import HuggingFaceEngine

        return HuggingFaceEngine(transformer, directory)
    raise EngineError(f"no engine {name!r}", hint=f"one of {', '.join(ENGINE_NAMES)}")
