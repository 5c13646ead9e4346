"""The names of directions, heads and hidden units, which travel with the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from serialformer.architecture import Architecture
from serialformer.constructions.construction import Construction, LookUp, UnitTable
from serialformer.constructions.placement import IDLE
from serialformer.targets.counting import CountingLayout
from serialformer.targets.layout import Layout
from serialformer.targets.llama_layout import LlamaLayout
from serialformer.targets.paper_layout import PaperLayout
from serialformer.transformer.names import UNUSED, Names, UnitRange

MAX_NAMED_UNITS = 4096
"""Where a layer has more hidden units than this, the units of one table share one name."""


def layout_to_names(layout: Layout | CountingLayout | LlamaLayout | PaperLayout, architecture: Architecture) -> Names:
    """The names of a model's parts: heads by what they bring, units by what they watch for and what they write.

    >>> from serialformer.constructions.tasks import task_construction
    >>> from serialformer.targets.gpt2 import construction_to_gpt2
    >>> from serialformer.tasks.registry import make_task
    >>> construction = task_construction(make_task("parity"), 4)
    >>> transformer, layout = construction_to_gpt2(construction, dtype="float32", activation="gelu_new")
    >>> names = layout_to_names(layout, transformer.architecture)
    >>> names.heads, names.units[0][0].name
    ((('symbol[0]',),), 'mode is 0 and digit[0] is 0 and symbol[0] is 0: writes digit[0] 0, equals 0')
    """
    if isinstance(layout, CountingLayout):
        return layout.names(architecture)
    construction = layout.construction
    first = layout.start.first_units if isinstance(layout, PaperLayout) else ()
    heads: list[tuple[str, ...]] = []
    units: list[tuple[UnitRange, ...]] = []
    if isinstance(layout, LlamaLayout):
        for index, served in enumerate(layout.heads):
            look_ups = construction.layers[layout.steps[index]].look_ups
            heads.append(tuple(_served_name(look_ups, served, head) for head in range(len(served))))
            parts = list(_unit_ranges(construction, layout.tables(index), is_saturated=layout.is_saturated))
            if index == architecture.num_layers - 1 and layout.following:
                parts.append(UnitRange(name=f"puts {layout.following} into {layout.address}", count=layout.num_moving))
            units.append(_with_unused(parts, architecture))
        return Names(directions=layout.directions(), heads=tuple(heads), units=tuple(units))
    for layer in construction.layers:
        named = [name for look_up in layer.look_ups for name in _head_names(look_up)]
        heads.append((*named, *[UNUSED] * (architecture.num_heads - len(named))))
        parts = [UnitRange(name=name) for name in first]
        is_saturated = isinstance(layout, Layout) and layout.is_saturated
        parts += _unit_ranges(construction, layer.tables, is_saturated=is_saturated)
        parts += [UnitRange(name=f"clears {name}", count=layout.num_clearing(name)) for name in layer.clears]
        units.append(_with_unused(parts, architecture))
    return Names(directions=layout.directions(), heads=tuple(heads), units=tuple(units))


def _with_unused(parts: Sequence[UnitRange], architecture: Architecture) -> tuple[UnitRange, ...]:
    """The units of a layer, those that are not used among them."""
    rest = architecture.hidden_width - sum(part.count for part in parts)
    return (*parts, *((UnitRange(name=UNUSED, count=rest),) if rest else ()))


def _served_name(look_ups: Sequence[LookUp], served: Sequence[int], head: int) -> str:
    """The name of a head by what it brings; several heads may bring a part of it each."""
    if served[head] == IDLE:
        return UNUSED
    brought = ", ".join(bring.target for bring in look_ups[served[head]].brings)
    mine = [other for other, number in enumerate(served) if number == served[head]]
    return brought if len(mine) == 1 else f"{brought} (part {mine.index(head)})"


def _head_names(look_up: LookUp) -> list[str]:
    brought = ", ".join(bring.target for bring in look_up.brings)
    return [brought] if look_up.copies == 1 else [f"{brought} (part {part})" for part in range(look_up.copies)]


def _unit_ranges(construction: Construction, tables: Sequence[UnitTable], *, is_saturated: bool) -> Iterator[UnitRange]:
    copies = 1 + is_saturated
    if copies * sum(table.num_units for table in tables) > MAX_NAMED_UNITS:
        for table in tables:
            yield UnitRange(name=f"table {table.name}", count=copies * table.num_units)
        return
    for table in tables:
        named = list(_unit_names(construction, table))
        yield from (UnitRange(name=name) for name in named)
        if is_saturated:
            yield from (UnitRange(name=f"{name} (no more than this)") for name in named)


def _unit_names(construction: Construction, table: UnitTable) -> Iterator[str]:
    fields = construction.field_named
    for watched, written in zip(table.watched.tolist(), table.written.tolist(), strict=True):
        reads = []
        for name, pair in zip(table.reads, watched, strict=True):
            values = [fields[name].value_name(value) for value in dict.fromkeys(pair)]
            reads.append(f"{name} is {' or '.join(values)}")
        writes = [f"{name} {fields[name].value_name(value)}" for name, value in zip(table.writes, written, strict=True)]
        yield f"{' and '.join(reads)}: writes {', '.join(writes)}"
