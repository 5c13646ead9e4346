"""Defects of the small engine that no case can find; docs/concepts/known-answers.md says why."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.engines.small_engine import Row, SmallEngine

UNDETECTABLE: dict[str, type[SmallEngine]] = {}
"""By what is wrong, in words."""


def undetectable(name: str) -> Callable[[type[SmallEngine]], type[SmallEngine]]:
    def register(engine: type[SmallEngine]) -> type[SmallEngine]:
        UNDETECTABLE[name] = engine
        return engine

    return register


@undetectable("cache: blocks are read in another order")
class _BlockOrder(SmallEngine):
    def attend(self, queries: np.ndarray, keys: np.ndarray, values: np.ndarray, visible: np.ndarray) -> np.ndarray:
        return super().attend(queries, keys[::-1], values[::-1], visible[:, ::-1])


@undetectable("norm: an epsilon a tenth as large")
class _SmallEpsilon(SmallEngine):
    @property
    def epsilon(self) -> float:
        return self.shape.norm_epsilon / 10


@undetectable("sums: scores are a third too large")
class _LargeScores(SmallEngine):
    def shares(self, queries: np.ndarray, keys: np.ndarray, visible: np.ndarray) -> np.ndarray:
        return super().shares(queries * np.float32(4 / 3), keys, visible)


@undetectable("sampling: logits of tokens that occurred are divided by 1.2")
class _Penalty(SmallEngine):
    def choose(self, row: Row, places: np.ndarray, logits: np.ndarray) -> np.ndarray:
        occurred = np.isin(np.arange(logits.shape[1]), row.tokens)
        return super().choose(row, places, np.where(occurred & (logits > 0), logits / np.float32(1.2), logits))


@undetectable("sampling: at temperature 1")
class _Samples(SmallEngine):
    def choose(self, row: Row, places: np.ndarray, logits: np.ndarray) -> np.ndarray:
        noise = np.random.default_rng(len(row.tokens)).gumbel(size=logits.shape)
        return super().choose(row, places, logits + noise)
