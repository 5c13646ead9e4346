"""Edges: which part of a construction must hear which other, position by position.

The parts are called as in edge attribution: ``input`` is the embedding, ``a1.h0`` a head, ``m1`` the hidden units of a
layer, ``logits`` the unembedding. An edge ends in what a part reads: a head reads its query at the position that asks,
and its keys and values at the positions that it looks at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from serialformer.arrays import Bool
from serialformer.constructions.construction import NOTHING, LookUp
from serialformer.constructions.follow import NOWHERE, Followed, FollowedLayer

INPUT, LOGITS = "input", "logits"


@dataclass(frozen=True, kw_only=True, order=True)
class Edge:
    """One part heard by another.

    Attributes:
        source: who speaks.
        target: who listens.
        via: what the target reads: ``q``, ``k`` or ``v`` of a head; empty otherwise.
        position: where: of the source, and of what the target reads.
        reader: the position for which the target reads it; the same but for keys and values.
        field: the field that carries it.
    """

    source: str
    target: str
    via: str = ""
    position: int
    reader: int
    field: str

    @property
    def name(self) -> str:
        """As edge attribution writes it.

        >>> Edge(source="input", target="a0.h1", via="q", position=3, reader=3, field="read[1]").name
        'input->a0.h1<q>'
        """
        return f"{self.source}->{self.target}{f'<{self.via}>' if self.via else ''}"


Writers = dict[str, list[tuple[str, Bool[np.ndarray, " positions"]]]]
"""For each field who has written into it, and at which positions."""


def find_edges(followed: Followed, heads: Sequence[Sequence[int]], outputs: Iterable[int] | None = None) -> list[Edge]:
    """Every edge that what is written at some positions depends on, sorted.

    A head compares the key of each position up to its own. Where keys are decided by the position alone, only the one
    that is read is an edge: the others are the same for every prompt.

    Args:
        followed: the construction with a sequence.
        heads: for each layer and head the number of the look-up that it serves, as in ``Placement.heads``.
        outputs: the positions that write what is asked about; all that write if None.
    """
    construction = followed.construction
    last = len(construction.layers) - 1
    states = list(_writers(followed, heads))
    positions = range(followed.first_writer, followed.num_positions) if outputs is None else outputs
    found: set[Edge] = set()
    open_nodes = [(LOGITS, position) for position in positions]
    seen = set(open_nodes)
    while open_nodes:
        node, position = open_nodes.pop()
        if node == LOGITS:
            written = {name for table in construction.layers[last].tables for name in table.writes}
            edges = [
                Edge(source=f"m{last}", target=LOGITS, position=position, reader=position, field=name)
                for name in sorted(written)
            ]
        elif node.startswith("m"):
            edges = list(_unit_edges(followed, int(node[1:]), states[int(node[1:])][1], position))
        elif node == INPUT:
            continue
        else:
            layer, head = map(int, node[1:].split(".h"))
            look_up = construction.layers[layer].look_ups[heads[layer][head]]
            edges = list(_head_edges(followed, layer, node, look_up, states[layer][0], position))
        found.update(edges)
        for edge in edges:
            # A source speaks at its own position. A head that is heard at a position asked there.
            source = edge.source, edge.position
            if source not in seen:
                seen.add(source)
                open_nodes.append(source)
    return sorted(found)


def _writers(followed: Followed, heads: Sequence[Sequence[int]]) -> Iterator[tuple[Writers, Writers]]:
    """For each layer who has written into each field before it, and once its look-ups have brought theirs."""
    construction = followed.construction
    writers: Writers = {
        part.name: [(INPUT, followed.layers[0].before[part.name] != NOTHING)]
        for part in construction.fields
        if part.origin != "layers"
    }
    for index, (layer, happened) in enumerate(zip(construction.layers, followed.layers, strict=True)):
        before = {name: list(known) for name, known in writers.items()}
        for number, look_up in enumerate(layer.look_ups):
            serving = [head for head, served in enumerate(heads[index]) if served == number]
            for bring in look_up.brings:
                target = happened.reads[look_up.name]
                has = (target != NOWHERE) & (bring.arriving(happened.before[bring.source][target]) != NOTHING)
                writers.setdefault(bring.target, []).extend((f"a{index}.h{head}", has) for head in serving)
        brought = {name: list(known) for name, known in writers.items()}
        yield before, brought
        for table in layer.tables:
            for name in table.writes:
                writers.setdefault(name, []).append((f"m{index}", happened.fired[table.name] >= 0))
        for name in layer.clears:
            writers.setdefault(name, []).append((f"m{index}", happened.brought[name] != NOTHING))


def _at(writers: Mapping[str, Sequence[tuple[str, np.ndarray]]], name: str, position: int) -> Iterator[str]:
    """Who has written into a field at a position, each once."""
    yield from dict.fromkeys(source for source, mask in writers.get(name, ()) if mask[position])


def _unit_edges(followed: Followed, layer: int, writers: Writers, position: int) -> Iterator[Edge]:
    parts = followed.construction.layers[layer]
    for name in dict.fromkeys([*(name for table in parts.tables for name in table.reads), *parts.clears]):
        for source in _at(writers, name, position):
            yield Edge(source=source, target=f"m{layer}", position=position, reader=position, field=name)


def _head_edges(
    followed: Followed, layer: int, node: str, look_up: LookUp, writers: Writers, position: int
) -> Iterator[Edge]:
    happened: FollowedLayer = followed.layers[layer]
    target = int(happened.reads[look_up.name][position])
    if target == NOWHERE:
        return
    for clause in look_up.clauses:
        if clause.asked is not None:
            for source in _at(writers, clause.asked, position):
                yield Edge(source=source, target=node, via="q", position=position, reader=position, field=clause.asked)
        is_fixed = followed.construction.field_named[clause.key].origin == "position"
        for key in (target,) if is_fixed else range(position + 1):
            for source in _at(writers, clause.key, key):
                yield Edge(source=source, target=node, via="k", position=key, reader=position, field=clause.key)
    for bring in look_up.brings:
        for source in _at(writers, bring.source, target):
            yield Edge(source=source, target=node, via="v", position=target, reader=position, field=bring.source)
