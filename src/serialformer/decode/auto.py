"""The engine ``auto``: dense decoding while that is sooner done than compiling what the indexed engine needs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from serialformer.arrays import Int64
from serialformer.decode.dense import DenseEngine
from serialformer.decode.engine import Engine, make_engine
from serialformer.loops import WorkLimit
from serialformer.transformer.transformer import Transformer

OPERATIONS_PER_STEP = 200_000
"""How many multiplications numpy could do in the time that calling it takes, for one token and one layer."""

dense_work = WorkLimit(1_500_000_000)
"""In multiplications: a second or two, which is what numba and the loops of the indexed engine take to load.

It is one limit for all models of a process. Beyond it every sequence is decoded by the indexed engine.
"""


class AutoEngine(Engine):
    """Decodes each batch by the dense engine or by the indexed one, whichever is expected to be done first.

    Attributes:
        name: of the engine, or the engines, that decoded the last batch.
        indexed: the indexed engine, made when it is first asked for.
    """

    name = "auto"

    def __init__(self, transformer: Transformer) -> None:
        super().__init__(transformer.architecture)
        self._transformer = transformer

    def stream(
        self, prompts: Int64[np.ndarray, "rows prompt"], num_tokens: int
    ) -> Iterator[Int64[np.ndarray, "rows new"]]:
        """Yields blocks of new tokens of every row."""
        num_tokens = self.num_tokens_that_fit(prompts, num_tokens)
        chosen = self.indexed if self._is_large(*prompts.shape, num_tokens=num_tokens) else self._dense
        self.name = chosen.name
        for block in chosen.stream(prompts, num_tokens):
            self.name = chosen.name
            yield block

    @cached_property
    def indexed(self) -> Engine:
        """The indexed engine, which does not announce the dense one."""
        engine = make_engine("indexed", self._transformer)
        engine.announces = False
        return engine

    @cached_property
    def _dense(self) -> Engine:
        return DenseEngine(self._transformer)

    def _is_large(self, rows: int, prompt_length: int, *, num_tokens: int) -> bool:
        """Whether enough has been decoded densely that the indexed engine should decode this."""
        if "indexed" in vars(self):
            return True
        shape = self.architecture
        num_read = prompt_length + num_tokens
        per_token = shape.num_layers * (4 * shape.width**2 + 2 * shape.width * shape.hidden_width)
        per_token += len(shape.vocabulary) * shape.width
        attention = shape.num_layers * shape.width * num_read**2
        steps = (num_tokens + 1) * shape.num_layers * OPERATIONS_PER_STEP
        return not dense_work.allows(rows * (num_read * per_token + attention) + steps)
