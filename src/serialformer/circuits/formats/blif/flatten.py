"""Flattens a BLIF hierarchy: each instance becomes the gates of its model on separate nets."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from serialformer.arrays import Bool, Int
from serialformer.circuits.circuit import NO_WIRE
from serialformer.circuits.formats.blif.latch_lines import FREE, LatchLines, find_clock
from serialformer.circuits.formats.blif.models import Model
from serialformer.circuits.formats.latches import Latches
from serialformer.circuits.formats.netlist import MAX_WIRES, Netlist
from serialformer.circuits.formats.statements import Statements, near_hint, shorten
from serialformer.circuits.name_table import NameTable

BYTES_PER_GATE = 400
"""What a flattened gate costs at the most crowded moment, its name aside: nets, arrays in file order and in order."""

BYTES_PER_NET = 64
"""What a net of an instance costs, and an instance."""


def flattened_limit() -> int:
    """How many bytes a flattened hierarchy may take: half of this machine's memory."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, OSError, ValueError):
        return 4 << 30


@dataclass(frozen=True, kw_only=True, eq=False)
class _Batch:
    """All instances of one model, put in place together.

    Attributes:
        model: the model.
        prefixes: what each instance puts in front of its nets' names.
        nets: for each instance the flat net of each of the model's nets.
    """

    model: Model
    prefixes: list[str]
    nets: Int[np.ndarray, "instances nets"]


@dataclass(frozen=True, kw_only=True, eq=False)
class FlatDesign:
    """A hierarchy put in place.

    Attributes:
        netlist: its gates; the nets of each batch follow those of the batch before.
        lines: the line of each gate.
    """

    netlist: Netlist
    lines: Int[np.ndarray, " gates"]
    _statements: Statements
    _batches: list[_Batch]
    _texts: Sequence[str]

    def gate_names(self) -> NameTable:
        """A name for each gate, "" for those that the file does not name."""
        tables = []
        for batch in self._batches:
            model = batch.model
            # One more entry, for nets without a name: a number that no token has.
            token = np.append(model.net_token, np.iinfo(np.int32).max)
            token = token[np.minimum(model.driven, len(model.net_token))]
            own = self._statements.names(token)
            # Names that stand only after a = in the file are no tokens of it.
            added = np.flatnonzero((token >= self._statements.num_distinct) & (token < np.iinfo(np.int32).max))
            if len(added) or batch.prefixes != [""]:
                texts = list(own)
                for gate in added.tolist():
                    texts[gate] = self._texts[int(token[gate])]
                own = NameTable.from_strings(
                    prefix + text if text else "" for prefix in batch.prefixes for text in texts
                )
            tables.append(own)
        return NameTable.concatenate(tables)

    def latches(self) -> Latches:
        """All latches on the flat nets, each called what it drives in its own model.

        Raises:
            FormatError: they do not share one clock.
        """
        latches, names = self._latch_lines()
        find_clock(latches, self.netlist.driven, self._statements, names)
        return Latches(
            names=names,
            driven=latches.driven,
            read=latches.read,
            initial=[value if value != FREE else None for value in latches.initial.tolist()],
            lines=latches.lines,
        )

    def is_needed_input(self) -> Bool[np.ndarray, " inputs"]:
        """Which inputs remain without a clock that only latches read."""
        latches, names = self._latch_lines()
        clock = find_clock(latches, self.netlist.driven, self._statements, names)
        netlist = self.netlist
        is_read = (latches.read == clock).any() or (netlist.outputs == clock).any() or (netlist.fan_in == clock).any()
        return (netlist.inputs != clock) | bool(is_read)

    def _latch_lines(self) -> tuple[LatchLines, list[str]]:
        """The latches of all batches on the flat nets, and their names."""
        names: list[str] = []
        columns: list[np.ndarray] = []
        for batch in self._batches:
            own, count = batch.model.latches, len(batch.nets)
            texts = [self._texts[token] for token in batch.model.net_token[own.driven].tolist()]
            names += [prefix + text for prefix in batch.prefixes for text in texts]
            nets = np.concatenate(
                [batch.nets, np.full((count, 1), NO_WIRE, dtype=np.int32)], axis=1
            )  # NO_CONTROL stays
            placed = [nets[:, side].ravel() for side in (own.read, own.driven, own.controls)]
            placed += [np.tile(side, count) for side in (own.falling, own.initial, own.lines)]
            columns.append(np.stack(placed))
        joined = np.concatenate(columns, axis=1)
        fields = ("read", "driven", "controls", "falling", "initial", "lines")
        return LatchLines(**dict(zip(fields, joined, strict=True))), names

    def net_name(self, net: int) -> str:
        """What a net is called: its own name after those of the instances that it is in."""
        top = self._batches[0].model
        if net < len(top.net_token):  # the top's nets come first, under their own numbers
            return self._texts[int(top.net_token[net])]
        for batch in self._batches[1:]:
            instance, place = np.nonzero(batch.nets == net)
            if len(place) and place[0] < len(batch.model.net_token):
                return batch.prefixes[int(instance[0])] + self._texts[int(batch.model.net_token[place[0]])]
        return ""


def flatten(
    statements: Statements, models: Sequence[Model], texts: Sequence[str], *, limit: int | None = None
) -> FlatDesign:
    """The first model with everything below it put in place, in time linear in the result.

    Net n of the k-th instance of model m in its parent is called ``m.k/n`` there, and so on for each level.

    Args:
        statements: the file, for messages.
        models: its models.
        texts: the names of nets by number.
        limit: how many bytes the result may take; default ``flattened_limit()``.

    Raises:
        FormatError: an instance names no model or no port, a model contains itself, or the result would be too large.
    """
    by_name = {model.name: model for model in models}
    order = _parents_first(statements, by_name, models[0])
    connections = _connect(statements, by_name, order, texts)
    _refuse_blow_up(statements, order, texts, flattened_limit() if limit is None else limit)

    prefixes: dict[str, list[str]] = {model.name: [] for model in order}
    ports: dict[str, list[np.ndarray]] = {model.name: [] for model in order}
    prefixes[order[0].name] = [""]
    ports[order[0].name] = [np.full((1, len(order[0].port_nets)), NO_WIRE, dtype=np.int32)]
    batches: list[_Batch] = []
    num_nets = 0
    for model in order:
        connected = np.concatenate(ports.pop(model.name))
        nets = np.full((len(connected), model.num_nets), NO_WIRE, dtype=np.int32)
        nets[:, model.port_nets] = connected
        own = nets == NO_WIRE
        count = int(np.count_nonzero(own))
        nets[own] = np.arange(num_nets, num_nets + count, dtype=np.int32)
        num_nets += count
        batches.append(_Batch(model=model, prefixes=prefixes.pop(model.name), nets=nets))
        if not model.instances:
            continue
        # One more column stands for a port that is not connected: the child then has a net of its own.
        padded = np.concatenate([nets, np.full((len(nets), 1), NO_WIRE, dtype=np.int32)], axis=1)
        for child, instances in model.instances.items():
            actuals = padded[:, connections[model.name, child]]
            ports[child].append(actuals.reshape(len(nets) * len(instances), actuals.shape[2]))
            numbers = range(1, len(instances) + 1)
            prefixes[child] += [f"{prefix}{child}.{number}/" for prefix in batches[-1].prefixes for number in numbers]
    netlist, lines = _join(batches, num_nets)
    return FlatDesign(netlist=netlist, lines=lines, _statements=statements, _batches=batches, _texts=texts)


def _join(batches: list[_Batch], num_nets: int) -> tuple[Netlist, Int[np.ndarray, " gates"]]:
    """All gates on the flat nets, and the line of each."""
    top = batches[0]
    if len(batches) == 1:  # its nets keep their numbers
        alone = top.model
        netlist = Netlist(
            num_nets=num_nets,
            inputs=alone.inputs,
            outputs=alone.outputs,
            driven=alone.driven,
            fan_in=alone.fan_in,
            arity=alone.arity,
            table=alone.table,
        )
        return netlist, alone.lines
    columns = max(batch.model.fan_in.shape[1] for batch in batches)
    fan_in, driven = [], []
    for batch in batches:
        model, count = batch.model, len(batch.nets)
        nets = np.concatenate([batch.nets, np.full((count, 1), NO_WIRE, dtype=np.int32)], axis=1)  # NO_WIRE stays
        padded = np.full((len(model.driven), columns), NO_WIRE, dtype=np.int32)
        padded[:, : model.fan_in.shape[1]] = model.fan_in
        fan_in.append(nets[:, padded].reshape(count * len(padded), columns))
        driven.append(nets[:, model.driven].ravel())
    netlist = Netlist(
        num_nets=num_nets,
        inputs=top.nets[0, top.model.inputs],
        outputs=top.nets[0, top.model.outputs],
        driven=np.concatenate(driven),
        fan_in=np.concatenate(fan_in),
        arity=np.concatenate([np.tile(batch.model.arity, len(batch.nets)) for batch in batches]),
        table=np.concatenate([np.tile(batch.model.table, len(batch.nets)) for batch in batches]),
    )
    lines = np.concatenate([np.tile(batch.model.lines, len(batch.nets)) for batch in batches])
    return netlist, lines


def _parents_first(statements: Statements, by_name: dict[str, Model], top: Model) -> list[Model]:
    """The models that the top needs, each before those that it instantiates."""
    finished: list[Model] = []
    state = {top.name: 1}  # 1: on the path from the top, 2: finished
    path = [(top, iter(top.instances.items()))]
    while path:
        model, children = path[-1]
        child_name, instances = next(children, (None, None))
        if child_name is None or instances is None:
            state[model.name] = 2
            finished.append(model)
            path.pop()
            continue
        line = instances[0].line
        child = by_name.get(child_name)
        if child is None or child.is_black_box:
            known = [name for name, other in by_name.items() if not other.is_black_box]
            missing = "is not in this file" if child is None else "is a black box: its inside is not in this file"
            hint = near_hint(child_name, known, otherwise="add the model, or flatten the design before writing it")
            raise statements.error(line, f"model {shorten(child_name)} {missing}", hint=hint)
        if state.get(child_name) == 1:
            names = [other.name for other, _ in path]
            cycle = " -> ".join(names[names.index(child_name) :][:8])
            raise statements.error(
                line,
                f"model {shorten(child_name)} contains itself: {cycle} -> {child_name}"[:400],
                hint="a hierarchy is a tree",
            )
        if child_name not in state:
            state[child_name] = 1
            path.append((child, iter(child.instances.items())))
    return finished[::-1]


def _connect(
    statements: Statements, by_name: dict[str, Model], order: list[Model], texts: Sequence[str]
) -> dict[tuple[str, str], Int[np.ndarray, "instances ports"]]:
    """For each model and each model in it: the parent's net at each port of each instance, or ``NO_WIRE``."""
    result = {}
    places: dict[str, dict[str, int]] = {}
    for model in order:
        tokens = model.net_token[model.port_nets].tolist()
        places[model.name] = {texts[token]: place for place, token in enumerate(tokens)}
    for model in order:
        for child, instances in model.instances.items():
            table = np.full((len(instances), len(places[child])), NO_WIRE, dtype=np.int64)
            for row, instance in enumerate(instances):
                for formal, actual in instance.actuals.items():
                    place = places[child].get(formal)
                    if place is None:
                        known = ", ".join(list(places[child])[:12]) or "none"
                        raise statements.error(
                            instance.line,
                            f"model {shorten(child)} has no port {shorten(formal)}",
                            hint=near_hint(formal, places[child], otherwise=f"its ports are: {known}"),
                        )
                    table[row, place] = actual
            result[model.name, child] = table
    return result


def _refuse_blow_up(statements: Statements, order: list[Model], texts: Sequence[str], limit: int) -> None:
    """Counts gates and bytes of the flat design before anything of it exists."""
    if len(order) == 1:
        return  # as large as the file
    copies = dict.fromkeys((model.name for model in order), 0)
    prefix_bytes = dict(copies)
    num_nets = 0
    copies[order[0].name] = 1
    num_gates = num_bytes = 0
    for model in order:
        count, prefixes = copies[model.name], prefix_bytes[model.name]
        gates = len(model.driven)
        num_gates += count * gates
        num_bytes += count * len(model.latches.lines) * BYTES_PER_GATE
        num_nets += count * model.num_nets
        num_bytes += count * (gates * BYTES_PER_GATE + model.num_nets * BYTES_PER_NET + BYTES_PER_NET) + prefixes * (
            gates + 1
        )
        named = model.driven[model.driven < len(model.net_token)]
        num_bytes += count * sum(len(texts[token]) for token in model.net_token[named].tolist())
        for child, instances in model.instances.items():
            copies[child] += count * len(instances)
            prefix_bytes[child] += len(instances) * (prefixes + count * (len(child) + len(str(len(instances))) + 2))
    if num_bytes > limit or max(num_gates, num_nets) > MAX_WIRES:
        raise statements.error(
            order[0].line,
            f"flattening model {shorten(order[0].name)} makes {num_gates:,} gates, which take"
            f" {num_bytes / 2**30:,.1f} GiB; the limit is {limit / 2**30:,.1f} GiB",
            hint="the limit is half of this machine's memory; read a smaller model",
        )
