"""Fields in the residual stream: which dimensions each field of a construction has, and in which code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from serialformer.constructions.construction import Construction
from serialformer.targets.codings import Coding


@dataclass(frozen=True, kw_only=True, eq=False)
class FieldLayout:
    """Where fields lie in a residual stream.

    Attributes:
        construction: what is laid out; with fields of the target's own, if it added some.
        codings: of each field.
        starts: the first dimension of each field.
        num_heads: heads a layer.
        width: all dimensions, padding included.
    """

    construction: Construction
    codings: Mapping[str, Coding]
    starts: Mapping[str, int]
    num_heads: int
    width: int

    def span(self, name: str) -> slice:
        """The dimensions of a field."""
        return slice(self.starts[name], self.starts[name] + self.codings[name].length)

    def carriers(self, name: str) -> np.ndarray:
        """The dimensions of a field that heads read."""
        return self.starts[name] + self.codings[name].carriers

    def watched(self, name: str) -> np.ndarray:
        """The dimensions of a field that hidden units read."""
        return self.starts[name] + self.codings[name].watched

    def field_labels(self) -> list[str]:
        """A label for each dimension; for those of no field, that they fill up."""
        labels = [f"padding.{index}" for index in range(self.width)]
        for name, coding in self.codings.items():
            labels[self.span(name)] = [label.format(field=name) for label in coding.labels]
        return labels
