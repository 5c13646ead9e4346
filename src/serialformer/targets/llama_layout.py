"""Layout of a Llama: where each field of a construction lies in the residual stream, and in which code.

There is no embedding of positions: a token says where it stands (``constructions.placed_tokens``) and brings along what
the position decides. Every norm is to be the identity: the stream has one square norm at every position and in every
layer, 4 a dimension. RMS norm takes no mean, so a bit is one sign, not a pair. What heads fill in takes the place of
something as large, and four whole numbers, the *ballast*, fill up what is missing: any number is a sum of four squares.
One dimension holds the same at every position; maps without biases read it instead.

Where the unembedding is the token embedding, a position also holds the name of the next one, for the last layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from math import isqrt

import numpy as np

from serialformer.architecture import Addressing, Architecture, Shape
from serialformer.arrays import Int64
from serialformer.constructions.claim import TableClaim
from serialformer.constructions.construction import (
    NOTHING,
    Construction,
    Field,
    UnitTable,
)
from serialformer.constructions.fresh_fields import write_fresh
from serialformer.constructions.placed_tasks import repeat_claim
from serialformer.constructions.placed_tokens import PlacedTokens
from serialformer.constructions.placement import IDLE
from serialformer.constructions.program import VOCABULARY
from serialformer.errors import CompileError
from serialformer.targets.codings import Coding, binary_coding, number_rows_coding, position_coding, sign_coding
from serialformer.targets.fields import FieldLayout

DEVIATION = 2
ONE, BALLAST, FOLLOWING, PLACE = "one", "ballast", "following", "place"
ONE_VALUE = 2

MAX_LOOK_UPS = 6
"""The proof goes through every combination of the bits that look-ups bring."""

DEFAULT_HEAD_WIDTH, DEFAULT_KEY_HEADS, DEFAULT_LAYERS, DEFAULT_SPARE_POSITIONS = 64, 2, 2, 16
QUERIES_PER_KEY = 2
WIDTH_MULTIPLE = 64
ROTARY_BASE = 1e30
"""Where heads find positions by their names."""

NAME = "name"
"""The field that names a position."""

SLOWEST_PAIR_SHARE = 3 / 8
"""Of the pairs of dimensions that a head rotates, this share, the fastest, hold no codes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LlamaLayout(FieldLayout):
    """The residual stream of a Llama.

    Attributes:
        placed: its tokens.
        head_width: the width of a head.
        key_heads: heads with keys and values of their own.
        heads: for each layer and head the number of the look-up that it serves, or IDLE.
        address: the field that names a position.
        following: the field that names the position after it, if the unembedding is the token embedding.
        columns: for each layer and head with keys of its own the columns of the head that hold codes, in order.
        spare_positions: positions of the context beyond those that are needed.
        claimed: what is realised; the construction that is laid out has the same in fields that are written once.
    """

    placed: PlacedTokens
    head_width: int
    key_heads: int
    heads: tuple[tuple[int, ...], ...]
    address: str
    following: str
    columns: Int64[np.ndarray, "layers key_heads codes"]
    spare_positions: int
    claimed: Construction

    @property
    def steps(self) -> tuple[int, ...]:
        """For each layer of the transformer which layer of the construction it is a part of."""
        several = len(self.construction.layers) > 1
        return tuple(range(len(self.heads))) if several else (0,) * len(self.heads)

    @property
    def is_saturated(self) -> bool:
        """Whether each hidden unit is a pair, so that what one layer errs by does not grow in the next."""
        return len(self.construction.layers) > 1

    def tables(self, index: int) -> tuple[UnitTable, ...]:
        """The unit tables of a layer of the transformer: those of a step are in the last layer of it."""
        step = self.steps[index]
        return () if step in self.steps[index + 1 :] else self.construction.layers[step].tables

    @property
    def num_moving(self) -> int:
        """How many hidden units put the name of the next position in the place of the position's own."""
        return self.codings[self.address].length if self.following else 0

    def directions(self) -> tuple[str, ...]:
        """A label for each dimension."""
        return tuple(self.field_labels())


def lay_out_llama(construction: Construction, placed: PlacedTokens, shape: Shape) -> LlamaLayout:
    """Chooses codes and places for all fields, and a shape that holds them.

    Args:
        construction: whose positions have names of their own; of several layers if it has no chain.
        placed: the tokens.
        shape: what is asked for.

    Raises:
        CompileError: the shape cannot hold it.
    """
    head_width = DEFAULT_HEAD_WIDTH if shape.head_width is None else shape.head_width
    key_heads = DEFAULT_KEY_HEADS if shape.key_heads is None else shape.key_heads
    num_steps = len(construction.layers)
    num_layers = max(DEFAULT_LAYERS, num_steps) if shape.layers is None else shape.layers
    if min(head_width, key_heads, num_layers) < 1 or head_width % 2:
        raise CompileError(
            f"expected an even head width and positive numbers of heads and layers, found {head_width}, {key_heads}"
            f" and {num_layers}"
        )
    if num_steps > 1 and num_layers != num_steps:
        raise CompileError(f"expected {num_steps} layers, as many as {construction.name} has, found {num_layers}")
    num_look_ups = len(construction.layers[0].look_ups)
    if num_steps == 1:
        construction = repeat_look_ups(construction, max(1, min(num_layers, MAX_LOOK_UPS // num_look_ups)))
    names = construction.field_named.get(NAME)
    address = NAME if names is not None and names.num_values == construction.num_positions else PLACE
    if address == PLACE:
        construction = _add_place(construction, PLACE, 0)
    if shape.tied:
        construction = _add_place(construction, FOLLOWING, 1)
    claimed, construction = construction, write_fresh(construction).construction
    stages = [list(range(len(layer.look_ups))) for layer in construction.layers]
    if num_steps == 1:
        stages = _spread(len(stages[0]), num_look_ups, num_layers)
    widest = max(len(stage) for stage in stages)
    queries = max(QUERIES_PER_KEY, -(-widest // key_heads))
    num_heads = key_heads * queries
    codings = _choose_codings(construction)
    missing = _missing_squares(construction, codings)
    bare = sum(coding.length for coding in codings.values()) + 1 + 4
    width = shape.hidden
    if width is None:
        width = max(num_heads * head_width, bare + -bare % WIDTH_MULTIPLE)
        while DEVIATION**2 * width < missing.largest or width % num_heads:
            width += WIDTH_MULTIPLE
    if width < bare or DEVIATION**2 * width < missing.largest or width % num_heads:
        raise CompileError(
            f"hidden {width} does not hold {bare} dimensions of square norm {missing.largest}, in {num_heads} heads",
            hint=f"a multiple of {num_heads} from {max(bare, -(-missing.largest // DEVIATION**2))} on",
        )
    claimed, ballast = _add_fillers(claimed, missing, DEVIATION**2 * width)
    construction = write_fresh(claimed).construction
    codings |= {ONE: number_rows_coding(np.array([[ONE_VALUE]])), BALLAST: number_rows_coding(ballast)}
    starts, used = {}, 0
    for name, coding in codings.items():
        starts[name], used = used, used + coding.length
    return LlamaLayout(
        construction=construction,
        codings=codings,
        starts=starts,
        num_heads=num_heads,
        width=width,
        placed=placed,
        head_width=head_width,
        key_heads=key_heads,
        heads=tuple(
            tuple(stage[head % len(stage)] if stage else IDLE for head in range(num_heads)) for stage in stages
        ),
        address=address,
        following=FOLLOWING if shape.tied else "",
        columns=_code_columns(construction, codings, head_width, (num_layers, key_heads)),
        spare_positions=DEFAULT_SPARE_POSITIONS if shape.spare_positions is None else shape.spare_positions,
        claimed=claimed,
    )


# --- look-ups


def addressing_of(architecture: Architecture) -> Addressing:
    """How the heads of a compiled Llama address positions; a guess for other Llamas."""
    if architecture.window is not None:
        return "window"
    return "names" if architecture.rotary_base == ROTARY_BASE else "distances"


def repeat_look_ups(construction: Construction, times: int) -> Construction:
    """Repeats every look-up into separate fields; units fire only if all copies agree.

    So a model uses the keys and values of several layers, and a mistake in any of them shows.
    """
    if times == 1:
        return construction
    (layer,) = construction.layers
    look_ups = list(layer.look_ups)
    again: dict[str, list[str]] = {bring.target: [] for look_up in look_ups for bring in look_up.brings}
    fields = list(construction.fields)
    for number in range(1, times):
        for look_up in layer.look_ups:
            brings = []
            for bring in look_up.brings:
                name = f"{bring.target} in layer {number}"
                fields.append(replace(construction.field_named[bring.target], name=name))
                again[bring.target].append(name)
                brings.append(replace(bring, target=name))
            look_ups.append(replace(look_up, name=f"{look_up.name} in layer {number}", brings=tuple(brings)))
    tables = tuple(_watch_again(table, again) for table in layer.tables)
    return replace(
        construction,
        fields=tuple(fields),
        layers=(replace(layer, look_ups=tuple(look_ups), tables=tables),),
        claims=lambda: (
            repeat_claim(claim, times) if isinstance(claim, TableClaim) else claim for claim in construction.claims()
        ),
    )


def _watch_again(table: UnitTable, again: dict[str, list[str]]) -> UnitTable:
    """The table over all copies of what it reads."""
    reads, places = [], []
    for place, name in enumerate(table.reads):
        for copy in (name, *again.get(name, ())):
            reads.append(copy)
            places.append(place)
    return replace(table, reads=tuple(reads), watched=table.watched[:, places])


def _spread(num_look_ups: int, num_different: int, num_layers: int) -> list[list[int]]:
    """For each layer the numbers of its look-ups: each repetition has a layer, or each layer a share of them."""
    stages: list[list[int]] = [[] for _ in range(num_layers)]
    used = min(num_layers, num_different)
    for number in range(num_look_ups):
        repeated = num_look_ups > num_different
        stages[number // num_different if repeated else number * used // num_different].append(number)
    return stages


def _code_columns(
    construction: Construction, codings: dict[str, Coding], head_width: int, counts: tuple[int, int]
) -> Int64[np.ndarray, "layers key_heads codes"]:
    """The columns of each head that hold codes: in the slowest pairs, and in another order in each head and layer."""
    num_layers, key_heads = counts
    needed = max(
        (
            sum(codings[clause.key].length for clause in look_up.clauses)
            for layer in construction.layers
            for look_up in layer.look_ups
        ),
        default=0,
    )
    if needed == 0:
        return np.zeros((num_layers, key_heads, 0), dtype=np.int64)
    num_pairs = head_width // 2
    slow = np.arange(int(num_pairs * SLOWEST_PAIR_SHARE), num_pairs)[::-1]
    half = -(-needed // 2)
    if half > len(slow):
        raise CompileError(
            f"heads of width {head_width} do not hold codes of length {needed}", hint="ask for wider heads"
        )
    chosen = np.stack([np.roll(slow, -half * number)[:half] for number in range(num_layers * key_heads)])
    pairs = np.stack([chosen, chosen + num_pairs], axis=2).reshape(num_layers, key_heads, -1)
    return pairs[:, :, :needed]


# --- codes and square norms


def _choose_codings(construction: Construction) -> dict[str, Coding]:
    """The coding of each field, in the order in which they lie: a sign for a bit, and position codes for the rest.

    With several layers what no look-up compares is signs, one for each bit of its value: errors of large codes move
    the norm more, and with it everything.
    """
    look_ups = [look_up for layer in construction.layers for look_up in layer.look_ups]
    clauses = [clause for look_up in look_ups for clause in look_up.clauses]
    compared = {NAME, PLACE, FOLLOWING} | {clause.key for clause in clauses} | {clause.asked for clause in clauses}
    is_deep = len(construction.layers) > 1
    brings = [bring for look_up in look_ups for bring in look_up.brings if is_deep]
    # What is brought keeps its code.
    while (
        more := {
            name
            for bring in brings
            for name in (bring.source, bring.target)
            if not compared.isdisjoint((bring.source, bring.target))
        }
        - compared
    ):
        compared |= more
    codings = {}
    for part in construction.fields:
        if part.origin == "token" and construction.vocabulary == VOCABULARY:
            # Of a circuit: the end mark reads as 0.
            codings[part.name] = sign_coding((-1, 1, -1))
        elif part.num_values == 2 and part.name not in compared:
            codings[part.name] = sign_coding((-1, 1), nothing=-1 if part.origin == "layers" else 0)
        elif part.origin == "layers" or (is_deep and part.name not in compared):
            coding = position_coding(part.num_values)
            if is_deep and part.name not in compared:
                coding = binary_coding(part.num_values)
            # Where layers will fill it in, something as large as what will stand there.
            codings[part.name] = replace(coding, nothing=coding.codes[0]) if part.origin == "layers" else coding
        else:
            codings[part.name] = position_coding(part.num_values)
    return codings


@dataclass(frozen=True, kw_only=True, eq=False)
class _Missing:
    """How much of the square norm each position has without its ballast.

    Attributes:
        at: the square norms at a range of positions.
        largest: the largest of them.
        different: the different ones, ascending.
    """

    at: Callable[[slice], np.ndarray]
    largest: int
    different: Int64[np.ndarray, " _"]


def _missing_squares(construction: Construction, codings: dict[str, Coding]) -> _Missing:
    fixed = ONE_VALUE**2 + sum(
        codings[part.name].square_norm for part in construction.fields if part.origin != "position"
    )
    positional = [(part, codings[part.name].square_norm) for part in construction.fields_of("position")]

    def at(rows: slice) -> np.ndarray:
        total = np.full(rows.stop - rows.start, fixed, dtype=np.int64)
        for part, square in positional:
            total += np.where(part.at(rows) == NOTHING, 0, square)
        return total

    different = np.unique(at(slice(0, construction.num_positions)))
    return _Missing(at=at, largest=int(different[-1]), different=different)


def _add_place(construction: Construction, name: str, later: int) -> Construction:
    """Adds a field that names a position, or the next one; the first position follows the last one."""
    num_positions = construction.num_positions

    def places(rows: slice) -> np.ndarray:
        return np.arange(rows.start + later, rows.stop + later, dtype=np.int32) % num_positions

    part = Field(name=name, num_values=num_positions, origin="position", values=places)
    return replace(construction, fields=(*construction.fields, part))


def _add_fillers(construction: Construction, missing: _Missing, square: int) -> tuple[Construction, np.ndarray]:
    """Adds the constant field and the ballast, whose values are the different square norms; and the ballast's codes."""

    def ballast_at(rows: slice) -> np.ndarray:
        return np.searchsorted(missing.different, missing.at(rows)).astype(np.int64)

    def ones(rows: slice) -> np.ndarray:
        return np.zeros(rows.stop - rows.start, dtype=np.int64)

    fillers = (
        Field(name=ONE, num_values=1, origin="position", values=ones),
        Field(name=BALLAST, num_values=len(missing.different), origin="position", values=ballast_at),
    )
    codes = np.array([four_squares(square - own) for own in missing.different.tolist()])
    if codes.max() > np.iinfo(np.int8).max:
        raise CompileError(f"hidden {square // DEVIATION**2} is more than its four numbers can fill up")
    return replace(construction, fields=(*construction.fields, *fillers)), codes


@cache
def four_squares(number: int) -> tuple[int, int, int, int]:
    """Four whole numbers whose squares add up to a number; as even as they can be.

    >>> four_squares(310)
    (11, 11, 8, 2)
    """
    for first in range(-(-isqrt(number) // 2), isqrt(number) + 1):
        for second in range(min(first, isqrt(number - first**2)) + 1)[::-1]:
            rest = number - first**2 - second**2
            for third in range(min(second, isqrt(rest)) + 1)[::-1]:
                fourth = isqrt(rest - third**2)
                if fourth**2 == rest - third**2 and fourth <= third:
                    return first, second, third, fourth
    raise AssertionError("every number is a sum of four squares")
