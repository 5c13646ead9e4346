"""Construction: a transformer before it has weights, in the field's own terms and for no particular family.

The residual stream of a position is a set of *fields*. Each field holds one value out of a finite set, or nothing. A
field is decided by the token, decided by the position, or filled in by the layers. A layer has two parts:

1. *Look-ups*. Each look-up states what it asks for, clause by clause: a field of the position it wants to read, and
   the value that field must have. It reads the one position, up to and including the current one, that meets the
   clauses, and brings values of fields from there into fields here.
2. *Unit tables*. A table reads a few fields. Each of its units watches for certain values in all of them; where they
   are all present it writes values into other fields.

After the last layer the token whose fields hold what was written is the next token. ``interpret`` runs a construction
as it stands here, without weights. A target (``targets``) chooses codes for the values and turns it into a
checkpoint, and the proof (``proofs``) checks the one against the other. Nothing in this room knows a norm, a number
format or a family.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

from serialformer.arrays import Int64
from serialformer.constructions.claim import (
    BitClaim,
    CircuitPromptClaim,
    ColumnsClaim,
    CompositionClaim,
    CountClaim,
    PackedClaim,
    ScanClaim,
    SquaringClaim,
    TableClaim,
    ValueProblemClaim,
)
from serialformer.errors import CompileError

NOTHING = -1
"""The value of a field that holds nothing."""

Origin = Literal["token", "position", "layers"]

Claim = (
    BitClaim
    | TableClaim
    | ColumnsClaim
    | ScanClaim
    | CountClaim
    | PackedClaim
    | CompositionClaim
    | SquaringClaim
    | ValueProblemClaim
    | CircuitPromptClaim
)

PositionValues = Callable[[slice], np.ndarray]
"""Gives the values of a field at a range of positions, so that a million positions need not be held at once."""

MAX_UNITS = 1 << 18
"""Hidden units. With a width of 100 their weights take 0.2 GB in float32."""

MAX_POSITIONS = 1 << 15
"""Positions of a task's construction."""

MAX_CASES = 1 << 20
"""Every case of a claim is checked against the unit tables."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Field:
    """A part of the residual stream that holds one value.

    Attributes:
        name: what it is called in labels.
        num_values: its values are 0 to ``num_values - 1``, and NOTHING.
        origin: who decides its value: the token, the position, or the layers, which find NOTHING in it.
        values: for ``token`` the value for each token id; for ``position`` the value at each position, as an array or a
            function of a range of positions.
        value_names: texts for the values, for labels; their numbers if empty. Such a field chooses one of these
            names, the last of which stands for none of the others.
        companion_of: for a field that a target added to make up for another's square norm, that other field.
    """

    name: str
    num_values: int
    origin: Origin
    values: np.ndarray | PositionValues | None = None
    value_names: tuple[str, ...] = ()
    companion_of: str = ""

    def at(self, rows: slice) -> np.ndarray:
        """The values of a field that is decided by the position, at a range of positions."""
        assert self.values is not None
        return self.values(rows) if callable(self.values) else self.values[rows]

    @property
    def of_token(self) -> np.ndarray:
        """The value of a field that is decided by the token, for each token id."""
        assert isinstance(self.values, np.ndarray)
        return self.values

    def value_name(self, value: int) -> str:
        return self.value_names[value] if self.value_names and value >= 0 else str(value)


@dataclass(frozen=True, kw_only=True)
class Clause:
    """One condition on the position that a look-up reads.

    Attributes:
        key: the field of that position.
        asked: a field of the current position that decides which value is asked for; None for a fixed one.
        of_value: for each value of ``asked`` the value of ``key`` that is asked for; None for the same value.
        constant: the value that is asked for where ``asked`` is None.
        weight: how much it counts; see ``LookUp``.
    """

    key: str
    asked: str | None = None
    of_value: tuple[int, ...] | None = None
    constant: int = NOTHING
    weight: int = 1

    def wanted(self, own: np.ndarray | None) -> np.ndarray:
        """The value of ``key`` that the head looks for, given the values of ``asked``."""
        if self.asked is None:
            return np.array(self.constant)
        assert own is not None
        return own if self.of_value is None else np.append(np.array(self.of_value), NOTHING)[own]


@dataclass(frozen=True, kw_only=True)
class Bring:
    """What a look-up brings: a field of the position that it reads into a field of the current one.

    Attributes:
        source: the field there.
        target: the field here, which holds NOTHING unless the source does.
        of_value: for each value of ``source`` the value that arrives (NOTHING allowed); None for the same value.
    """

    source: str
    target: str
    of_value: tuple[int, ...] | None = None

    def arriving(self, values: np.ndarray) -> np.ndarray:
        """The values that arrive, given the values of ``source``."""
        return values if self.of_value is None else np.append(np.array(self.of_value), NOTHING)[values]


@dataclass(frozen=True, kw_only=True)
class LookUp:
    """Reads one position.

    If all clauses have the same weight, the position that is read meets all of them. Otherwise it is the one for
    which the clauses that it meets weigh most. Either way there must be exactly one such position up to the current
    one, unless nothing is written at the current position.

    Attributes:
        name: what it is called in labels.
        clauses: what is asked for.
        brings: what is brought.
        copies: over how many heads a target spreads what is brought.
        distance: if given, it reads the position that many before the current one, and there are no clauses.
    """

    name: str
    clauses: tuple[Clause, ...]
    brings: tuple[Bring, ...]
    copies: int = 1
    distance: int | None = None

    @property
    def is_ranked(self) -> bool:
        """Whether the clauses differ in weight."""
        return len({clause.weight for clause in self.clauses}) > 1


@dataclass(frozen=True, kw_only=True, eq=False)
class UnitTable:
    """Hidden units that read the same fields and write into the same fields. At most one of them fires.

    Attributes:
        name: what it is called in labels.
        reads: the fields that are read.
        watched: for each unit and field the two values it watches for, perhaps the same one twice.
        writes: the fields that are written.
        written: for each unit the value it writes into each of them.
        replaced: for each unit the value that stood there before and is taken away; None where the target makes the new
            value outweigh the old one, which only a token's fields in the last layer allow.
    """

    name: str
    reads: tuple[str, ...]
    watched: Int64[np.ndarray, "units reads two"]
    writes: tuple[str, ...]
    written: Int64[np.ndarray, "units writes"]
    replaced: Int64[np.ndarray, "units writes"] | None = None

    @property
    def num_units(self) -> int:
        return len(self.watched)

    @cached_property
    def index(self) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
        """For finding the unit that fires: sorted keys, the unit of each, and the sizes by which keys are made.

        Raises:
            CompileError: two units fire for the same values.
        """
        sizes = tuple(int(size) + 1 for size in self.watched.max(axis=(0, 2), initial=0))
        # A unit watches for one value or two in each field: the products of these, the same where the two are.
        keys = np.zeros((self.num_units, 1), dtype=np.int64)
        for place, size in enumerate(sizes):
            keys = (keys[:, :, None] * size + self.watched[:, place][:, None, :]).reshape(self.num_units, -1)
        units = np.repeat(np.arange(self.num_units), keys.shape[1])
        order = np.argsort(keys.ravel(), kind="stable")
        keys, units = keys.ravel()[order], units[order]
        same = keys[1:] == keys[:-1]
        if (same & (units[1:] != units[:-1])).any():
            raise CompileError(f"two units of table {self.name} fire for the same values")
        kept = np.append(True, ~same)[: len(keys)]
        return keys[kept], units[kept], sizes


def exact_table(
    name: str,
    reads: Sequence[str],
    watched: np.ndarray | Sequence[Sequence[int | np.integer]],
    writes: Sequence[str],
    written: np.ndarray | Sequence[Sequence[int | np.integer]],
) -> UnitTable:
    """A table whose units each watch for one value a field.

    Args:
        name: of the table.
        reads: the fields that are read.
        watched: for each unit the value in each of them.
        writes: the fields that are written.
        written: for each unit the value in each of them.
    """
    values = np.asarray(watched, dtype=np.int64).reshape(-1, len(reads))
    return UnitTable(
        name=name,
        reads=tuple(reads),
        watched=np.stack([values, values], axis=2),
        writes=tuple(writes),
        written=np.asarray(written, dtype=np.int64).reshape(len(values), len(writes)),
    )


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Adds up what a field holds at all positions up to the current one; where it holds nothing, that adds 0.

    Attributes:
        source: the field whose values are added.
        target: the field here that the sum goes into.
    """

    source: str
    target: str


@dataclass(frozen=True, kw_only=True, eq=False)
class ConstructionLayer:
    """Look-ups, which see the fields as they are before the layer, then unit tables, which see what was brought.

    Attributes:
        look_ups: what is fetched.
        tables: what is written.
        clears: fields whose values are taken away when the units have seen them, so that units may write new ones.
        tallies: what is added up over all positions.
    """

    look_ups: tuple[LookUp, ...]
    tables: tuple[UnitTable, ...] = ()
    clears: tuple[str, ...] = ()
    tallies: tuple[Tally, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Construction:
    """A transformer before it has weights.

    Attributes:
        name: what it computes, for messages.
        vocabulary: the text of each token.
        end_token: the id of ``=``.
        num_positions: the length of its context.
        fields: all fields; those of tokens, then of positions, then of layers.
        layers: in order.
        prompts: which prompts the claims are about, in words.
        num_chain_tokens: the most tokens that it writes before ``=``.
        claims: gives the claim for each shape of prompt: what each position writes.
        default: what is written into fields of the token where no unit writes; empty if some unit always does.
    """

    name: str
    vocabulary: tuple[str, ...]
    end_token: int
    num_positions: int
    fields: tuple[Field, ...]
    layers: tuple[ConstructionLayer, ...]
    prompts: str
    num_chain_tokens: int
    claims: Callable[[], Iterator[Claim]]
    default: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks that every name refers to a field; a mistake here is ours."""
        names = set(self.field_named)
        assert len(names) == len(self.fields), "two fields have one name"
        for layer in self.layers:
            for look_up in layer.look_ups:
                for clause in look_up.clauses:
                    assert clause.key in names and (clause.asked is None or clause.asked in names), look_up
                for bring in look_up.brings:
                    assert bring.source in names and bring.target in names, look_up
            for table in layer.tables:
                assert {*table.reads, *table.writes} <= names, table.name
                assert table.watched.shape == (table.num_units, len(table.reads), 2), table.name
                assert table.written.shape == (table.num_units, len(table.writes)), table.name
                assert table.replaced is None or set(layer.clears).isdisjoint(table.writes), table.name
            assert set(layer.clears) <= names, layer.clears
            assert {name for tally in layer.tallies for name in (tally.source, tally.target)} <= names, layer.tallies

    @cached_property
    def field_named(self) -> Mapping[str, Field]:
        return {part.name: part for part in self.fields}

    def fields_of(self, origin: Origin) -> tuple[Field, ...]:
        return tuple(part for part in self.fields if part.origin == origin)

    @property
    def counts(self) -> bool:
        """Whether some layer adds up what all positions hold."""
        return any(layer.tallies for layer in self.layers)

    @property
    def num_units(self) -> int:
        """Hidden units of all layers."""
        return sum(table.num_units for layer in self.layers for table in layer.tables)

    @cached_property
    def token_codes(self) -> Int64[np.ndarray, "vocabulary fields"]:
        """For each token the values of all fields that the token decides."""
        return np.stack([part.of_token for part in self.fields_of("token")], axis=1).astype(np.int64)


def check_sizes(name: str, num_units: int, num_positions: int, num_cases: int = 0) -> None:
    """Refuses, before anything is made, what memory or the proof would not hold.

    Raises:
        CompileError: says what is too large.
    """
    if num_units > MAX_UNITS:
        raise CompileError(
            f"{name} takes {num_units:,} hidden units, over {MAX_UNITS:,}", hint="choose smaller parameters"
        )
    if num_positions > MAX_POSITIONS:
        raise CompileError(
            f"{name} takes {num_positions:,} positions, over {MAX_POSITIONS:,}", hint="choose a smaller length"
        )
    if num_cases > MAX_CASES:
        raise CompileError(
            f"{name} has {num_cases:,} pairs of a state and a symbol to check, over {MAX_CASES:,}",
            hint="choose smaller parameters",
        )
