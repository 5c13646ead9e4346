"""Following: what a construction does at every position of a sequence that is already there.

``interpret`` writes tokens; this says how each came about: which position every look-up reads and why, which unit of
every table fires, what each field holds before and after each layer, and which parts put it there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from serialformer.arrays import Bool, Int64
from serialformer.constructions.construction import NOTHING, Construction, ConstructionLayer, LookUp
from serialformer.constructions.interpret import fire_tables, match_units

NOWHERE = -1
"""The position of a look-up that finds none, or more than one."""

NO_UNIT = -1
"""The unit of a table of which none fires."""

QUERIES_PER_BLOCK = 512
"""The number of positions whose look-ups are worked out together; each is a row with a column for each position."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FollowedLayer:
    """What one layer does, position by position.

    Attributes:
        before: for each field its value at each position before the layer; NOTHING where it holds none.
        reads: for each look-up the position that it reads at each position; NOWHERE where it finds none or several.
        brought: for each field its value at each position once the look-ups have brought theirs.
        fired: for each table the unit that fires at each position; NO_UNIT where none does.
        after: for each field its value at each position after the layer.
    """

    before: Mapping[str, Int64[np.ndarray, " positions"]]
    reads: Mapping[str, Int64[np.ndarray, " positions"]]
    brought: Mapping[str, Int64[np.ndarray, " positions"]]
    fired: Mapping[str, Int64[np.ndarray, " positions"]]
    after: Mapping[str, Int64[np.ndarray, " positions"]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Followed:
    """A construction and what it does with one sequence.

    Attributes:
        construction: which one.
        tokens: the sequence.
        layers: what each layer does.
        first_writer: the first position that writes a token: the end of the prompt. Look-ups of positions before it
            may find nothing, and nobody reads what comes of that.
    """

    construction: Construction
    tokens: Int64[np.ndarray, " positions"]
    layers: tuple[FollowedLayer, ...] = field(repr=False)
    first_writer: int

    @property
    def num_positions(self) -> int:
        return len(self.tokens)


def follow(construction: Construction, tokens: Int64[np.ndarray, " positions"], num_prompt_tokens: int) -> Followed:
    """What a construction does at every position of a sequence, each token taken as it stands.

    Time and memory of the look-ups grow with the square of the number of positions.

    Args:
        construction: what to follow.
        tokens: token ids of the prompt and of what was written after it.
        num_prompt_tokens: how many of them are the prompt.

    >>> from serialformer.constructions.tasks import task_construction
    >>> from serialformer.tasks.registry import make_task
    >>> followed = follow(task_construction(make_task("parity"), 3), np.array([1, 0, 1, 2, 1, 1, 0]), 4)
    >>> {name: reads[3:].tolist() for name, reads in followed.layers[0].reads.items()}
    {'symbol': [0, 1, 2, 0]}
    """
    positions = slice(0, len(tokens))
    values: dict[str, np.ndarray] = {}
    for part in construction.fields:
        if part.origin == "token":
            values[part.name] = part.of_token[tokens].astype(np.int64)
        elif part.origin == "position":
            values[part.name] = part.at(positions).astype(np.int64)
        else:
            values[part.name] = np.full(len(tokens), NOTHING, dtype=np.int64)
    layers = []
    for index, layer in enumerate(construction.layers):
        followed = _follow_layer(layer, values, is_last=index == len(construction.layers) - 1)
        layers.append(followed)
        values = dict(followed.after)
    return Followed(construction=construction, tokens=tokens, layers=tuple(layers), first_writer=num_prompt_tokens - 1)


def _follow_layer(layer: ConstructionLayer, values: dict[str, np.ndarray], *, is_last: bool) -> FollowedLayer:
    reads, brought = {}, dict(values)
    for look_up in layer.look_ups:
        target = reads[look_up.name] = find_positions(look_up, values)
        for bring in look_up.brings:
            arriving = np.where(target == NOWHERE, NOTHING, bring.arriving(values[bring.source][target]))
            held = brought[bring.target]
            brought[bring.target] = np.where(arriving == NOTHING, held, arriving).astype(np.int64)
    for tally in layer.tallies:
        brought[tally.target] = np.cumsum(np.maximum(values[tally.source], 0))
    fired = {}
    for table in layer.tables:
        rows, units = match_units(table, brought)
        fired[table.name] = np.full(len(next(iter(values.values()))), NO_UNIT, dtype=np.int64)
        fired[table.name][rows] = units
    after, _ = fire_tables(layer, brought, is_last)
    return FollowedLayer(before=values, reads=reads, brought=brought, fired=fired, after=after)


def find_positions(look_up: LookUp, values: Mapping[str, np.ndarray]) -> Int64[np.ndarray, " positions"]:
    """For each position the one position up to it that a look-up reads; NOWHERE where there is none, or several."""
    if look_up.distance is not None:
        positions = np.arange(len(next(iter(values.values()))))
        return np.where(positions < look_up.distance, NOWHERE, positions - look_up.distance)
    length = len(values[look_up.clauses[0].key])
    found = np.empty(length, dtype=np.int64)
    weight = sum(clause.weight for clause in look_up.clauses)
    for start in range(0, length, QUERIES_PER_BLOCK):
        block = np.arange(start, min(start + QUERIES_PER_BLOCK, length))
        totals = np.zeros((len(block), length), dtype=np.int64)
        for clause in look_up.clauses:
            wanted = clause.wanted(None if clause.asked is None else values[clause.asked][block])
            totals += clause.weight * (values[clause.key] == np.broadcast_to(wanted, len(block))[:, None])
        totals[np.arange(length) > block[:, None]] = -1
        best = totals.max(axis=1)
        is_one: Bool[np.ndarray, " block"] = (totals == best[:, None]).sum(axis=1) == 1
        if not look_up.is_ranked:
            is_one &= best == weight
        found[block] = np.where(is_one, totals.argmax(axis=1), NOWHERE)
    return found
