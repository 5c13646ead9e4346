"""Layout: where each field of a construction lies in the residual stream of a GPT-2, and in which code.

Every layer norm is to be the identity, up to its epsilon: the stream has mean 0 and one square norm at every position
where something is read, whatever its fields hold. There are three ways to see to that.

*tight*, for circuits: all codes have sum 0; constant whole numbers, the *ballast*, fill the square norm up to 4 a
dimension, which takes the fewest dimensions. A field that holds nothing holds (1, 1) or (-1, -1), by turns.

*even*, for tasks: the same with a square norm of 16 a dimension and always five numbers, and units may watch for two
values at once. Fields that may hold nothing are 0 there, and a companion field makes up for the square norm.

*signs*, for several layers: every coordinate is +1 or -1 at every position in every layer. Constant signs fill the
width up to what the heads need.

*saturated*, where one field is written in several layers: signs, and each hidden unit is a pair. What the two give
together is flat where they fire, so that what a number format loses in one layer does not grow in the next.

In the first two, what heads bring adds to the square norm, and the ballast gives up as much in attention's output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import isqrt
from typing import Literal

import numpy as np

from serialformer.constructions.construction import (
    NOTHING,
    Bring,
    Construction,
    ConstructionLayer,
    Field,
    UnitTable,
)
from serialformer.errors import CompileError
from serialformer.targets.codings import (
    Coding,
    bit_coding,
    choice_coding,
    number_coding,
    position_coding,
    spread_coding,
    weight_coding,
)
from serialformer.targets.fields import FieldLayout

Packing = Literal["tight", "even", "signs", "saturated"]

DEVIATIONS: Mapping[Packing, int] = {"tight": 2, "even": 4, "signs": 1, "saturated": 1}
"""The standard deviation of the residual stream."""

LEAST_SHARE = 4
"""How many times as wide as its overwritten fields a stream is, at least.

What they err by moves the layer norm, in proportion to their share of the width, and with it all others.
"""

NUM_EVEN_BALLAST = 5
"""This many integers with sum 0 can have any even square norm: the form of the lattice A4 is universal."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout(FieldLayout):
    """The residual stream of a GPT-2.

    Attributes:
        packing: how it keeps layer norms neutral.
        ballast: the dimensions of the ballast.
        ballast_before: what they hold before attention.
        ballast_after: what they hold after it.
        num_filled: the number of last dimensions that hold the deviation and its negative by turns, which changes
            neither mean nor variance; heads are as wide as asked for then.
    """

    packing: Packing
    ballast: slice
    ballast_before: tuple[int, ...]
    ballast_after: tuple[int, ...]
    num_filled: int = 0

    @property
    def filling(self) -> np.ndarray:
        """What the last dimensions hold, those that widen heads."""
        return self.deviation * (1 - 2 * (np.arange(self.num_filled) % 2))

    @property
    def deviation(self) -> int:
        return DEVIATIONS[self.packing]

    @property
    def is_signs(self) -> bool:
        """Whether every coordinate is +1 or -1."""
        return self.packing in ("signs", "saturated")

    @property
    def is_saturated(self) -> bool:
        """Whether each hidden unit is a pair."""
        return self.packing == "saturated"

    def num_hidden_units(self, layer: ConstructionLayer) -> int:
        """The number of hidden units in a layer: those of its tables, then one for each carrier that it clears."""
        of_tables = (1 + self.is_saturated) * sum(table.num_units for table in layer.tables)
        return of_tables + sum(map(self.num_clearing, layer.clears))

    def num_clearing(self, name: str) -> int:
        """How many units clear a field."""
        return len(self.codings[name].carriers)

    def directions(self) -> tuple[str, ...]:
        """A label for each dimension."""
        labels = self.field_labels()
        first = self.ballast.start
        labels[self.ballast] = [f"ballast.{index - first}" for index in range(first, self.ballast.stop)]
        used = sum(coding.length for coding in self.codings.values()) + self.ballast.stop - first
        return (*labels[:used], *(f"padding.{index}" for index in range(self.width - used)))


def choose_packing(construction: Construction) -> Packing:
    """Signs for several layers, saturated where a field is written in more than one of them or cleared; tight where
    ``=`` is written unless a unit fires; otherwise even.
    """
    # What the last layer writes is the answer, which no layer reads.
    written = [{name for table in layer.tables for name in table.writes} for layer in construction.layers[:-1]]
    is_written_again = sum(map(len, written)) > len(set().union(*written))
    if is_written_again or any(layer.clears for layer in construction.layers):
        return "saturated"
    if len(construction.layers) > 1:
        return "signs"
    return "tight" if construction.default else "even"


def lay_out(construction: Construction, packing: Packing | None = None, *, head_width: int | None = None) -> Layout:
    """Chooses codes and places for all fields.

    Args:
        construction: what is laid out.
        packing: how; by default as ``choose_packing`` says.
        head_width: how wide heads are to be; as wide as they have to be if None.

    Raises:
        CompileError: heads of that width are too narrow.

    >>> from serialformer.constructions.tasks import task_construction
    >>> from serialformer.tasks.registry import make_task
    >>> lay_out(task_construction(make_task("parity"), 2)).directions()[:3]
    ('equals.0', 'equals.1', 'digit[0].0')
    """
    packing = choose_packing(construction) if packing is None else packing
    if packing == "even":
        construction = add_companions(construction)
    codings = _choose_codings(construction, packing)
    num_heads = max(sum(look_up.copies for look_up in layer.look_ups) for layer in construction.layers)
    if packing in ("signs", "saturated"):
        num_heads = max(2, num_heads)
    if packing == "tight":
        parity = None if head_width is None else num_heads * head_width % 2
        before, after, width = _tight_ballast(construction, codings, num_heads, parity)
    elif packing == "even":
        before, after, width = _even_ballast(construction, codings, num_heads)
    else:
        bare = sum(coding.length for coding in codings.values())
        cleared = {name for layer in construction.layers for name in layer.clears}
        width = max(bare, LEAST_SHARE * sum(codings[name].length for name in cleared))
        width += -width % (2 * num_heads)
        before = after = (1, -1) * ((width - bare) // 2)
    whole = width if head_width is None else num_heads * head_width
    if whole < width or (whole - width) % 2:
        raise CompileError(
            f"heads of width {head_width} are too narrow, or their {whole} dimensions cannot be filled in pairs",
            hint=f"this takes heads of width {-(-width // num_heads)} or more",
        )
    starts, used = {}, 0
    ballast = slice(0, 0)
    num_token_fields = len(construction.fields_of("token"))
    for number, (name, coding) in enumerate(codings.items()):
        if packing == "tight" and number == num_token_fields:
            ballast = slice(used, used + len(before))
            used = ballast.stop
        starts[name] = used
        used += coding.length
    if packing != "tight":
        ballast = slice(used, used + len(before))
    return Layout(
        packing=packing,
        construction=construction,
        codings=codings,
        starts=starts,
        ballast=ballast,
        ballast_before=before,
        ballast_after=after,
        num_heads=num_heads,
        width=whole,
        num_filled=whole - width,
    )


def _in_order(construction: Construction, packing: Packing) -> Sequence[Field]:
    token, position, layers = (construction.fields_of(origin) for origin in ("token", "position", "layers"))
    return (*token, *layers, *position) if packing == "tight" else (*token, *position, *layers)


def _choose_codings(construction: Construction, packing: Packing) -> dict[str, Coding]:
    """The coding of each field, in the order in which they lie."""
    codings: dict[str, Coding] = {}
    num_positional = 0
    for part in _in_order(construction, packing):
        if packing in ("signs", "saturated"):
            is_choice = bool(part.value_names)
            codings[part.name] = choice_coding(part.value_names[:-1]) if is_choice else number_coding(part.num_values)
        elif packing == "tight" and part.origin == "token":
            codings[part.name] = bit_coding()
        elif packing == "tight":
            # Where a position has no truth table, its entries hold (-1, -1) or (1, 1), half of them each.
            nothing = 0
            if part.origin == "position":
                nothing, num_positional = (1 if num_positional % 2 else -1), num_positional + 1
            codings[part.name] = position_coding(part.num_values, signed_labels=part.num_values == 2, nothing=nothing)
        elif part.companion_of:
            codings[part.name] = weight_coding(codings[part.companion_of].square_norm)
        elif part.origin == "token" and (part.of_token == NOTHING).any():
            codings[part.name] = spread_coding(part.num_values)
        else:
            codings[part.name] = position_coding(part.num_values)
    return codings


# --- ballast


def balanced(square: int, count: int) -> tuple[int, ...] | None:
    """``count`` whole numbers in ascending order with sum 0 and this square norm, or None.

    >>> balanced(6, 3), balanced(10, 2)
    ((-2, 1, 1), None)
    """
    return _balanced(0, square, count, -isqrt(max(0, square)))


@cache
def _balanced(total: int, square: int, count: int, least: int) -> tuple[int, ...] | None:
    """The like with any sum, and no number below ``least``."""
    if square < 0 or total * total > count * square:
        return None
    if count == 0:
        return () if total == square == 0 else None
    for first in range(least, isqrt(square) + 1):
        rest = _balanced(total - first, square - first * first, count - 1, first)
        if rest is not None:
            return (first, *rest)
    return None


def _square_norms(construction: Construction, codings: Mapping[str, Coding]) -> tuple[int, int]:
    """The square norm of what token and position decide, and of what look-ups bring."""
    of_token = sum(
        np.square(codings[part.name].rows(part.of_token).astype(np.int64)).sum(axis=1)
        for part in construction.fields_of("token")
    )
    token_norm = int(np.max(of_token))
    own = token_norm + sum(codings[part.name].square_norm for part in construction.fields_of("position"))
    brought = 0
    for look_up in construction.layers[0].look_ups:
        sources = {bring.source for bring in look_up.brings}
        norms = {codings[bring.target].square_norm for bring in look_up.brings if bring.of_value is not None}
        if norms:  # the values are translated on the way
            brought += sum(norms)
        else:
            brought += int(
                np.max(
                    sum(
                        np.square(codings[part.name].rows(part.of_token).astype(np.int64)).sum(axis=1)
                        for part in construction.fields_of("token")
                        if part.name in sources
                    )
                )
            )
    return own, brought


def _tight_ballast(
    construction: Construction, codings: Mapping[str, Coding], num_heads: int, parity: int | None
) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """The fewest whole numbers that fill the square norm up, before attention and after it, and the width.

    The width is odd or even as ``parity`` says, if it says so and may.
    """
    own, brought = _square_norms(construction, codings)
    bare = sum(coding.length for coding in codings.values())
    width = num_heads * -(-bare // num_heads)
    while True:
        rest = DEVIATIONS["tight"] ** 2 * width - own
        is_skipped = parity is not None and num_heads % 2 == 1 and width % 2 != parity
        for count in range(2, 0 if is_skipped else width - bare + 1):
            before, after = balanced(rest, count), balanced(rest - brought, count)
            if before is not None and after is not None:
                return before, after, width
        width += num_heads


def _even_ballast(
    construction: Construction, codings: Mapping[str, Coding], num_heads: int
) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Five whole numbers that fill the square norm up, and the width: all fields, or what the heads need if more."""
    own, brought = _square_norms(construction, codings)
    head_width = max(
        max(
            sum(codings[clause.key].length for clause in look_up.clauses),
            -(-sum(codings[bring.source].length for bring in look_up.brings) // look_up.copies),
        )
        for layer in construction.layers
        for look_up in layer.look_ups
    )
    used = sum(coding.length for coding in codings.values()) + NUM_EVEN_BALLAST
    width = num_heads * max(head_width, -(-used // num_heads))
    rest = DEVIATIONS["even"] ** 2 * width - own
    before, after = balanced(rest, NUM_EVEN_BALLAST), balanced(rest - brought, NUM_EVEN_BALLAST)
    assert before is not None and after is not None  # an even number that is not negative
    return before, after, width


# --- companions


def add_companions(construction: Construction) -> Construction:
    """Adds to every token field that may hold nothing a companion, which makes up for its square norm.

    The companion is brought and written along with the field, brought into a field of its own.
    """
    layer = construction.layers[0]
    token_fields, layer_fields = list(construction.fields_of("token")), list(construction.fields_of("layers"))
    look_ups, tables = list(layer.look_ups), list(layer.tables)
    for part in construction.fields_of("token"):
        if not (part.of_token == NOTHING).any():
            continue
        values = (part.of_token == NOTHING).astype(np.int64)
        companion = Field(
            name=f"{part.name} weight", num_values=2, origin="token", values=values, companion_of=part.name
        )
        token_fields.insert(token_fields.index(part) + 1, companion)
        for number, look_up in enumerate(look_ups):
            if all(bring.source != part.name for bring in look_up.brings):
                continue
            brought = Field(name=f"brought {companion.name}", num_values=2, origin="layers", companion_of=part.name)
            later = {bring.target for other in look_ups[number + 1 :] for bring in other.brings}
            place = next((i for i, field in enumerate(layer_fields) if field.name in later), len(layer_fields))
            layer_fields.insert(place, brought)
            look_ups[number] = replace(
                look_up, brings=(*look_up.brings, Bring(source=companion.name, target=brought.name))
            )
        tables = [_write_companion(table, part.name, companion.name) for table in tables]
    return replace(
        construction,
        fields=(*token_fields, *construction.fields_of("position"), *layer_fields),
        layers=(replace(layer, look_ups=tuple(look_ups), tables=tuple(tables)),),
    )


def _write_companion(table: UnitTable, name: str, companion: str) -> UnitTable:
    if name not in table.writes:
        return table
    is_nothing = table.written[:, table.writes.index(name)] == NOTHING
    return replace(
        table,
        writes=(*table.writes, companion),
        written=np.concatenate([table.written, is_nothing[:, None].astype(np.int64)], axis=1),
    )
