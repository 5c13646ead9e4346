"""Sessions with engines of the zoo: what a run is tested with, because what is wrong there is known."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from serialformer.engines.adapters.adapter import Options, Refusal, Value
from serialformer.engines.session import Breakdown, Session
from tests.engines.small_engine import SmallEngine


class ZooSession(Session):
    """A small engine, sound or not according to the configuration and the model.

    Args:
        choose: the engine for a directory and a configuration.
        options: what can be configured.
        scores: whether it scores sequences.
    """

    name = "zoo"

    def __init__(
        self,
        choose: Callable[[Path, Options], SmallEngine],
        options: dict[str, tuple[Value, ...]] | None = None,
        *,
        scores: bool = True,
    ) -> None:
        self.versions = {"zoo": "1"}
        self.options = options or {"cache": ("on", "off")}
        self._choose = choose
        self._scores = scores

    def open(self, directory: Path, options: Options) -> dict[str, str]:
        self._engine = self._choose(directory, options)
        self._engine.open(directory)
        return {"dtype": str(options.get("dtype", "float32"))}

    def generate(self, prompts: Sequence[Sequence[int]], num_tokens: int, draft: Path | None) -> list[list[int]]:
        other = None
        if draft is not None:
            other = SmallEngine()
            other.open(draft)
        try:
            return self._engine.generate(prompts, num_tokens, other)
        except IndexError as error:
            raise Breakdown("error", f"IndexError: {error}", "last words") from None

    def score(self, tokens: Sequence[int]) -> list[int]:
        if not self._scores:
            raise Refusal("does not score sequences")
        return self._engine.score(tokens)

    def script(self, options: Options) -> str:
        root = Path(__file__).parents[2]
        return f"""
import sys
sys.path[:0] = [{os.fspath(root)!r}, {os.fspath(root / "src")!r}]
from serialformer.transformer.checkpoint import load_transformer
from tests.engines.zoo import DEFECTS

def open_engine(directory):
    engine = DEFECTS["positions: one late while decoding"]()
    engine.set_model(load_transformer(Path(directory)))
    return engine.generate
"""
