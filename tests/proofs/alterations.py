"""Constructions and weights with one part altered, for proofs that must refuse them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from serialformer.constructions.construction import Construction, Field, LookUp, UnitTable
from serialformer.transformer.transformer import Transformer, weights_to_transformer

Change = Mapping[str, Mapping[tuple[int, ...], float]]
"""The new numbers of each altered weight, by their place in it."""

EXTRA = Field(name="extra", num_values=2, origin="layers")
"""A field that no claim mentions."""


def alter_field(made: Construction, name: str, **changes: Any) -> Construction:
    """Replaces attributes of one field."""
    fields = tuple(replace(part, **changes) if part.name == name else part for part in made.fields)
    return replace(made, fields=fields)


def alter_value(made: Construction, name: str, place: int, value: int) -> Construction:
    """Replaces one value of a field: that of a token or a position."""
    part = made.field_named[name]
    size = made.num_positions if part.origin == "position" else len(made.vocabulary)
    values = np.array(part.at(slice(0, size)), dtype=np.int64)
    values[place] = value
    return alter_field(made, name, values=values)


def add_field(made: Construction, part: Field = EXTRA) -> Construction:
    """Adds a field."""
    return replace(made, fields=(*made.fields, part))


def alter_layer(made: Construction, index: int, **changes: Any) -> Construction:
    """Replaces attributes of one layer."""
    layers = list(made.layers)
    layers[index] = replace(layers[index], **changes)
    return replace(made, layers=tuple(layers))


def alter_look_up(made: Construction, index: int, number: int, **changes: Any) -> Construction:
    """Replaces attributes of one look-up."""
    look_ups = list(made.layers[index].look_ups)
    look_ups[number] = replace(look_ups[number], **changes)
    return alter_layer(made, index, look_ups=tuple(look_ups))


def alter_clause(made: Construction, index: int, number: int, place: int, **changes: Any) -> Construction:
    """Replaces fields of one clause of a look-up."""
    clauses = list(look_up_of(made, index, number).clauses)
    clauses[place] = replace(clauses[place], **changes)
    return alter_look_up(made, index, number, clauses=tuple(clauses))


def alter_bring(made: Construction, index: int, number: int, place: int, **changes: Any) -> Construction:
    """Replaces attributes of one field that a look-up brings."""
    brings = list(look_up_of(made, index, number).brings)
    brings[place] = replace(brings[place], **changes)
    return alter_look_up(made, index, number, brings=tuple(brings))


def look_up_of(made: Construction, index: int, number: int) -> LookUp:
    return made.layers[index].look_ups[number]


def alter_table(made: Construction, index: int, number: int, table: UnitTable) -> Construction:
    """Replaces one unit table."""
    tables = list(made.layers[index].tables)
    tables[number] = table
    return alter_layer(made, index, tables=tuple(tables))


def add_table(made: Construction, index: int, table: UnitTable) -> Construction:
    """Adds a unit table."""
    return alter_layer(made, index, tables=(*made.layers[index].tables, table))


def table_of(made: Construction, index: int, number: int) -> UnitTable:
    return made.layers[index].tables[number]


def reading(table: UnitTable, name: str, value: int = 0) -> UnitTable:
    """The table with one more field to watch."""
    column = np.full((table.num_units, 1, 2), value, dtype=np.int64)
    return replace(table, reads=(*table.reads, name), watched=np.concatenate([table.watched, column], axis=1))


def writing(table: UnitTable, name: str, value: int = 0) -> UnitTable:
    """The table with one more field to write."""
    column = np.full((table.num_units, 1), value, dtype=np.int64)
    return replace(table, writes=(*table.writes, name), written=np.concatenate([table.written, column], axis=1))


def alter_weight(transformer: Transformer, name: str, change: Callable[[np.ndarray], object]) -> Transformer:
    """The transformer with one weight changed in place."""
    weights = dict(transformer.named_weights())
    weights[name] = weights[name].copy()
    change(weights[name])
    return weights_to_transformer(transformer.architecture, weights)


def altered(transformer: Transformer, change: Change) -> Transformer:
    """The transformer with other numbers in some weights."""
    weights = dict(transformer.named_weights())
    for name, numbers in change.items():
        weights[name] = weights[name].copy()
        for place, number in numbers.items():
            weights[name][place] = number
    return weights_to_transformer(transformer.architecture, weights)
