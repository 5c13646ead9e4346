"""Engines whose shortcut holds only where it is proven: another engine decodes the rest."""

from __future__ import annotations

import sys
from typing import ClassVar

from serialformer.architecture import Architecture
from serialformer.decode.engine import Engine


class FallBackEngine(Engine):
    """An engine with a shortcut, and another engine for what the shortcut cannot do.

    Attributes:
        name: of the engine that made the tokens of the last call; of both (``indexed and dense``) if each made some.
        refusal: why the other engine decoded (the rest of) the last sequence, or "".
    """

    own_name: ClassVar[str]
    other_name: ClassVar[str] = "dense"

    def __init__(self, architecture: Architecture) -> None:
        super().__init__(architecture)
        self.name = self.own_name
        self.refusal = ""
        self._has_announced = False
        self._used: set[str] = set()

    def _begin(self) -> None:
        """Forgets the last call."""
        self.refusal, self.name = "", self.own_name
        self._used.clear()

    def _use(self, name: str) -> None:
        """Notes which engine makes the next tokens."""
        self._used.add(name)
        self.name = " and ".join(one for one in (self.own_name, self.other_name) if one in self._used)

    def _refuse(self, why: str) -> None:
        """Notes why the other engine continues."""
        self.refusal = why
        if self.announces and not self._has_announced:
            self._has_announced = True
            print(f"{self.own_name} engine: {why}; the {self.other_name} engine continues", file=sys.stderr)
