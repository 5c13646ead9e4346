"""Placement: where a target put the parts of a construction in a transformer's weights.

It travels beside the construction as the second half of the witness that a proof checks against the weights. Nothing
in it is taken on trust.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from serialformer.arrays import Float64, Int8
from serialformer.constructions.construction import Construction
from serialformer.constructions.fresh_fields import write_fresh
from serialformer.constructions.placed_tokens import PlacedTokens

IDLE = -1
"""Instead of a look-up, of a head that serves none."""

ROWS_PER_BLOCK = 1 << 16


@dataclass(frozen=True, kw_only=True, eq=False)
class Placement:
    """Where the fields lie, in which codes, and which heads and units do what.

    Attributes:
        construction: what was placed.
        width: dimensions of the residual stream.
        deviation: the deviation that every norm before the last is to see.
        spans: the dimensions of each field.
        codes: for each field the code of each value.
        nothing: for each field its code where it holds nothing.
        answers: for each field what a unit adds, times ``answer_weight``, for each value that it writes.
        constant: what other dimensions hold before the first layer.
        constant_change: what the first attention's output bias adds to them.
        heads: for each layer of the transformer and each head the number of the look-up that it serves, or IDLE. Units
            follow the tables, in order.
        unit_output: what a unit gives where it fires.
        is_saturated: whether each unit is a pair, the second of which takes away what the first gives beyond
            ``unit_output``. The seconds of a table follow its firsts.
        answer_weight: how much an answer counts.
        default_weight: how much the default counts.
        steps: for each layer of the transformer which layer of the construction it is a part of: the look-ups of one
            may be spread over several, and the last of these has the units. If None there is one for each.
        placed: the tokens, if each says where it stands, and brings along what the position decides.
        one: the field that holds the same at every position, which linear maps without biases read instead.
        address: the field by which the unembedding tells at which position a token may be written.
        following: the field that the last layer's units put in the place of ``address``, if the unembedding is the
            token embedding.
        is_fresh: whether every layer writes into fields of its own: what is placed is ``write_fresh`` of the
            construction.
    """

    construction: Construction
    width: int
    deviation: int
    spans: Mapping[str, slice]
    codes: Mapping[str, Int8[np.ndarray, "values length"]]
    nothing: Mapping[str, Int8[np.ndarray, " length"]]
    answers: Mapping[str, Int8[np.ndarray, "values length"]]
    constant: Float64[np.ndarray, " width"]
    constant_change: Float64[np.ndarray, " width"]
    heads: tuple[tuple[int, ...], ...]
    unit_output: float
    answer_weight: float
    default_weight: float
    is_saturated: bool = False
    steps: tuple[int, ...] | None = None
    placed: PlacedTokens | None = None
    one: str = ""
    address: str = ""
    following: str = ""
    is_fresh: bool = False

    @property
    def steps_of_layers(self) -> tuple[int, ...]:
        """For each layer of the transformer the layer of the construction that it is a part of."""
        return tuple(range(len(self.construction.layers))) if self.steps is None else self.steps

    @cached_property
    def realised(self) -> Placement:
        """The placement of what the weights are to realise: of the construction itself, or of it in fresh fields."""
        if not self.is_fresh:
            return self
        return replace(self, construction=write_fresh(self.construction).construction, is_fresh=False)

    def rows(self, name: str, values: np.ndarray) -> Int8[np.ndarray, "rows length"]:
        """The codes of some values of a field; negative ones are nothing."""
        rows = self.codes[name][values]
        if (missing := values < 0).any():
            rows[missing] = self.nothing[name]
        return rows

    @cached_property
    def levels(self) -> Mapping[str, Float64[np.ndarray, " levels"]]:
        """For each field the different numbers that its codes hold: few, however many values there are."""
        found = {}
        for name, codes in self.codes.items():
            present = np.zeros(256, dtype=bool)
            for start in range(0, len(codes), ROWS_PER_BLOCK):
                present[np.ascontiguousarray(codes[start : start + ROWS_PER_BLOCK]).view(np.uint8)] = True
            found[name] = np.sort(np.flatnonzero(present).astype(np.uint8).view(np.int8)).astype(np.float64)
        return found

    @cached_property
    def magnitudes(self) -> Float64[np.ndarray, " width"]:
        """The largest magnitude that a code has in each dimension."""
        largest = np.zeros(self.width)
        for name, span in self.spans.items():
            codes = self.codes[name]
            bounds = np.maximum(codes.max(axis=0).astype(np.float64), -codes.min(axis=0).astype(np.float64))
            largest[span] = np.maximum(bounds, np.abs(self.nothing[name].astype(np.float64)))
        return largest

    @cached_property
    def largest_coordinate(self) -> float:
        """The largest magnitude that any dimension holds before the units of the last layer have written."""
        constants = np.abs(np.stack([self.constant, self.constant + self.constant_change]))
        return float(max(self.magnitudes.max(initial=0.0), constants.max(initial=0.0)))

    def dimensions(self, name: str) -> np.ndarray:
        span = self.spans[name]
        return np.arange(span.start, span.stop)
