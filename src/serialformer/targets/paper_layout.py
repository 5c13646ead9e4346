"""The residual stream of the paper's own transformer, with a chain and without: what lies where, in which codes.

First come the dimensions that tokens decide and a constant 1, in an order and in codes that differ between the two
(``StreamStart``). The fields follow, what look-ups bring before what positions decide. A field that look-ups compare
holds a sign code, of ceil(log2(positions)) dimensions; any other is one dimension, 1 or -1, or 0 where it holds
nothing. Heads are twice as wide as these codes, and padding fills the stream up to what the heads need.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from serialformer.arrays import Float32, Int8
from serialformer.constructions.construction import NOTHING, Construction
from serialformer.constructions.placement import Placement
from serialformer.targets.sign_codes import code_length, sign_codes


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamStart:
    """The first dimensions of the stream, and what follows from them.

    Attributes:
        labels: of the dimensions.
        one: the dimension of the constant 1.
        starts: the first dimension of each field that tokens decide.
        codes: the codes of these fields.
        source: the field that heads bring, and what they bring of each of its values (None: the value).
        value: the dimensions whose sum is the bit that a head brings, as a sign, each times 1 or -1.
        unit_output: what a hidden unit gives where it fires.
        first_units: the names of the hidden units that come before those of tables.
    """

    labels: tuple[str, ...]
    one: int
    starts: Mapping[str, int]
    codes: Mapping[str, Int8[np.ndarray, "values length"]]
    source: tuple[str, tuple[int, ...] | None]
    value: Mapping[int, int]
    unit_output: float
    first_units: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class PaperLayout:
    """Where each field of a construction lies.

    Attributes:
        construction: what is laid out.
        start: the first dimensions.
        starts: the first dimension of each field.
        code_length: signs of an id.
        num_heads: bits fetched; 1 or 2.
        width: all dimensions: a head is 2 ``code_length`` wide, and all heads together are as wide as the stream.
    """

    construction: Construction
    start: StreamStart
    starts: Mapping[str, int]
    code_length: int
    num_heads: int
    width: int

    def directions(self) -> tuple[str, ...]:
        """A label for each dimension."""
        labels, ids = list(self.start.labels), compared_fields(self.construction)
        for name in self.starts:
            if name not in self.start.starts:
                labels += [f"{name}.{index}" for index in range(self.code_length)] if name in ids else [name]
        return (*labels, *(f"padding.{index}" for index in range(self.width - len(labels))))

    def num_clearing(self, name: str) -> int:
        """How many units clear a field: a token's bit is 0 or 1, what is fetched 1 or -1."""
        return 1 if name in self.start.starts else 2

    def token_rows(self) -> Float32[np.ndarray, "vocabulary width"]:
        """What tokens add to the stream."""
        rows = np.zeros((len(self.construction.vocabulary), self.width), dtype=np.float32)
        for name, codes in self.start.codes.items():
            values, first = self.construction.field_named[name].of_token, self.starts[name]
            rows[:, first : first + codes.shape[1]] = np.where((values == NOTHING)[:, None], 0, codes[values])
        return rows

    def position_rows(self) -> Float32[np.ndarray, "positions width"]:
        """What positions add to the stream."""
        construction, ids = self.construction, compared_fields(self.construction)
        rows = np.zeros((construction.num_positions, self.width), dtype=np.float32)
        rows[:, self.start.one] = 1
        for part in construction.fields_of("position"):
            first, values = self.starts[part.name], part.at(slice(0, construction.num_positions))
            if part.name in ids:
                rows[:, first : first + self.code_length] = sign_codes(values, self.code_length)
            else:
                rows[:, first] = np.where(values == NOTHING, 0, 2.0 * values - 1)
        return rows


def compared_fields(construction: Construction) -> set[str]:
    """The fields that look-ups compare."""
    clauses = [clause for look_up in construction.layers[0].look_ups for clause in look_up.clauses]
    return {clause.key for clause in clauses} | {clause.asked for clause in clauses if clause.asked is not None}


def lay_out_stream(construction: Construction, start: StreamStart) -> PaperLayout:
    """The narrowest layout: what the fields take, or four times a code for two heads, if that is more."""
    length, num_heads = code_length(construction.num_positions), len(construction.layers[0].look_ups)
    starts, used, ids = dict(start.starts), len(start.labels), compared_fields(construction)
    for part in (*construction.fields_of("layers"), *construction.fields_of("position")):
        starts[part.name] = used
        used += length if part.name in ids else 1
    return PaperLayout(
        construction=construction,
        start=start,
        starts=starts,
        code_length=length,
        num_heads=num_heads,
        width=num_heads * max(2 * length, -(-used // num_heads)),
    )


def paper_to_placement(layout: PaperLayout) -> Placement:
    """The witness for the proof: what lies where, in which codes."""
    construction, start, ids = layout.construction, layout.start, compared_fields(layout.construction)
    codes, of_ids = dict(start.codes), dict[int, np.ndarray]()
    for name in layout.starts:
        if name in ids:
            num_values = construction.field_named[name].num_values
            if num_values not in of_ids:
                of_ids[num_values] = sign_codes(np.arange(num_values), layout.code_length)
            codes[name] = of_ids[num_values]
        elif name not in start.starts:
            codes[name] = np.array([[-1], [1]], dtype=np.int8)
    constant = np.zeros(layout.width)
    constant[start.one] = 1
    return Placement(
        construction=construction,
        width=layout.width,
        deviation=1,
        spans={name: slice(first, first + codes[name].shape[1]) for name, first in layout.starts.items()},
        codes=codes,
        nothing={name: np.zeros(rows.shape[1], dtype=np.int8) for name, rows in codes.items()},
        answers=codes,
        constant=constant,
        constant_change=np.zeros(layout.width),
        heads=(tuple(range(layout.num_heads)),) * len(construction.layers),
        unit_output=start.unit_output,
        answer_weight=start.unit_output,
        default_weight=start.unit_output,
    )
