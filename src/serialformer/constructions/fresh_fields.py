"""Fresh fields: the same construction in which every layer writes into fields of its own, so that none is cleared.

Layers without a chain replace the content of a field again and again. A family whose hidden units cannot clear a field
realises this construction instead: what a layer would write in place of an old value goes into a new field, and later
layers read that one. The stream becomes wider by the fields that are overwritten, layer by layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from serialformer.constructions.construction import Clause, Construction, ConstructionLayer, Field, LookUp, UnitTable


@dataclass(frozen=True, kw_only=True, eq=False)
class FreshFields:
    """A construction that clears nothing.

    Attributes:
        construction: the same as another one, value for value, in fields that are written once.
        versions: for each field of the other one the fields that hold its values, in the order of the layers.
    """

    construction: Construction
    versions: Mapping[str, tuple[str, ...]]


def write_fresh(construction: Construction) -> FreshFields:
    """The same construction with a new field wherever a layer clears one.

    What the last layer writes, the fields of the next token, goes where it went.

    >>> from serialformer.constructions.task_depth import task_depth_construction
    >>> from serialformer.tasks.registry import make_task
    >>> fresh = write_fresh(task_depth_construction(make_task("parity"), 6))
    >>> fresh.versions["digit[0]"]
    ('digit[0]', 'digit[0] after layer 1', 'digit[0] after layer 2')
    >>> [layer.look_ups[0].brings[0].source for layer in fresh.construction.layers]
    ['digit[0]', 'digit[0] after layer 1', 'digit[0] after layer 2']
    """
    versions: dict[str, list[str]] = {part.name: [part.name] for part in construction.fields}
    newest = {name: name for name in versions}
    added: list[Field] = []
    layers: list[ConstructionLayer] = []
    for number, layer in enumerate(construction.layers, start=1):
        is_last = number == len(construction.layers)
        assert not (is_last and layer.clears), "the last layer writes the next token, and clears nothing"
        read = dict(newest)
        for name in layer.clears:
            newest[name] = f"{name} after layer {number}"
            versions[name].append(newest[name])
            part = construction.field_named[name]
            added.append(replace(part, name=newest[name], origin="layers", values=None))
        written = {name: name for name in newest} if is_last else newest
        layers.append(
            replace(
                layer,
                look_ups=tuple(_rename_look_up(look_up, read) for look_up in layer.look_ups),
                tables=tuple(_rename_table(table, read, written) for table in layer.tables),
                clears=(),
                tallies=tuple(
                    replace(tally, source=read[tally.source], target=read[tally.target]) for tally in layer.tallies
                ),
            )
        )
    if added:
        construction = replace(construction, fields=(*construction.fields, *added), layers=tuple(layers))
    return FreshFields(construction=construction, versions={name: tuple(names) for name, names in versions.items()})


def _rename_look_up(look_up: LookUp, read: Mapping[str, str]) -> LookUp:
    return replace(
        look_up,
        clauses=tuple(_rename_clause(clause, read) for clause in look_up.clauses),
        brings=tuple(replace(bring, source=read[bring.source], target=read[bring.target]) for bring in look_up.brings),
    )


def _rename_clause(clause: Clause, read: Mapping[str, str]) -> Clause:
    return replace(clause, key=read[clause.key], asked=None if clause.asked is None else read[clause.asked])


def _rename_table(table: UnitTable, read: Mapping[str, str], written: Mapping[str, str]) -> UnitTable:
    return replace(
        table,
        reads=tuple(read[name] for name in table.reads),
        writes=tuple(written[name] for name in table.writes),
    )
