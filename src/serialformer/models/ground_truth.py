"""Ground truth: what every head, hidden unit and direction of a model is for, and what each does in one transcript."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from serialformer.arrays import Float64
from serialformer.circuits.circuit import NO_WIRE
from serialformer.circuits.words import words_to_names
from serialformer.constructions.construction import LookUp
from serialformer.constructions.edges import Edge, find_edges
from serialformer.constructions.follow import NO_UNIT, NOWHERE, Followed, follow
from serialformer.constructions.placement import IDLE
from serialformer.constructions.stages import spread_over_layers
from serialformer.errors import InputError
from serialformer.models.circuit_words import CircuitWords
from serialformer.models.construction_of import construction_of
from serialformer.models.lower import construction_to_placement
from serialformer.models.model import Model
from serialformer.models.rotate import plain_architecture, reading_basis
from serialformer.models.table import Table
from serialformer.models.task_items import STRANGE, TaskItems
from serialformer.models.transcript import Transcript


@dataclass(frozen=True, kw_only=True, eq=False)
class GroundTruth:
    """What must happen inside a model while it writes one transcript. Every table has a row for each fact.

    Positions count the tokens of the prompt and of the chain from 0; the token at a position is what is read there, and
    the token after it what is written there. Layers and heads count from 0, hidden units within their layer.

    Attributes:
        model: whose parts these are.
        transcript: the sequence.
        followed: the model's construction, interpreted on that sequence.
        heads: for each layer and head the number of the look-up that it serves, among those of its layer, or IDLE.
        spans: for each field the dimensions of the residual stream that hold it.
        copies: how many hidden units each unit of a table is: two, where they are pairs.
    """

    model: Model
    transcript: Transcript
    followed: Followed
    heads: tuple[tuple[int, ...], ...]
    spans: Mapping[str, slice]
    copies: int = 1

    @cached_property
    def reads(self) -> Table:
        """For each position that writes, and each head, the position that it must read, and why.

        Columns: ``position``, ``token`` (what stands there), ``layer``, ``head``, ``look_up`` (its name), ``asks``
        (what the position that is read must hold), ``reads`` (that position), ``read_token`` (what stands there),
        ``brings`` (the fields that arrive, with their values), ``reason`` (the gate and the wire, for a circuit).
        """
        followed, tokens = self.followed, self._texts
        rows = []
        for position in range(followed.first_writer, followed.num_positions):
            for layer, happened in enumerate(followed.layers):
                look_ups = followed.construction.layers[layer].look_ups
                for head, number in enumerate(self.heads[layer]):
                    if number == IDLE:
                        continue
                    look_up = look_ups[number]
                    target = int(happened.reads[look_up.name][position])
                    if target == NOWHERE:
                        continue
                    rows.append(
                        (
                            *(position, tokens[position], layer, head, look_up.name),
                            *(self._asks(look_up, layer, position), target, tokens[target]),
                            *(self._brings(look_up, layer, position), self._reason(position, look_up, target)),
                        )
                    )
        names = ("position", "token", "layer", "head", "look_up", "asks", "reads", "read_token", "brings", "reason")
        return Table.of_rows("Reads", names, rows)

    @cached_property
    def units(self) -> Table:
        """For each position that writes, the hidden units that fire.

        Columns: ``position``, ``layer``, ``unit``, ``table`` (the unit table that it belongs to), ``name`` (when it
        fires and what it writes). Where units are pairs, both have a row. Units that clear a field have none: they are
        open everywhere.
        """
        followed, rows = self.followed, []
        for layer, happened in enumerate(followed.layers):
            first = self._first_unit
            for table in followed.construction.layers[layer].tables:
                fired = happened.fired[table.name]
                positions = np.flatnonzero(fired[followed.first_writer :] != NO_UNIT) + followed.first_writer
                for position in positions.tolist():
                    for copy in range(self.copies):
                        unit = first + copy * table.num_units + int(fired[position])
                        rows.append((position, layer, unit, table.name, self._unit_names[layer][unit]))
                first += self.copies * table.num_units
        return Table.of_rows("Units", ("position", "layer", "unit", "table", "name"), sorted(rows))

    @cached_property
    def fields(self) -> Table:
        """What each field of the residual stream holds at each position before every layer and after the last.

        Columns: ``layer`` (the number of layers after it is the number of layers), ``position``, ``field``, ``value``
        (its text). Fields that hold nothing have no row.
        """
        followed, rows = self.followed, []
        named = followed.construction.field_named
        states = [*(happened.before for happened in followed.layers), followed.layers[-1].after]
        for layer, values in enumerate(states):
            for name, column in values.items():
                rows += [
                    (layer, position, name, named[name].value_name(int(column[position])))
                    for position in np.flatnonzero(column >= 0).tolist()
                ]
        return Table.of_rows("Fields", ("layer", "position", "field", "value"), rows)

    @cached_property
    def directions(self) -> Table:
        """Every named direction of the residual stream: a dimension, or a mixture of dimensions (see ``basis``).

        Columns: ``dimension`` (the row of ``basis``), ``name``, ``field`` (empty where it serves no field), ``origin``
        (who decides the field: ``token``, ``position`` or ``layers``), ``values`` (how many values the field can hold).
        """
        names, realism = self.model.provenance.names, self.model.provenance.realism
        assert names is not None
        directions = realism.directions if realism is not None and realism.directions else names.directions
        named = self.followed.construction.field_named
        field_of = {
            dimension: field for field, span in self.spans.items() for dimension in range(span.start, span.stop)
        }
        rows = []
        for dimension, name in enumerate(directions):
            part = named.get(field_of.get(dimension, ""))
            facts = ("", "", 0) if part is None else (part.name, part.origin, part.num_values)
            rows.append((dimension, name, *facts))
        return Table.of_rows("Directions", ("dimension", "name", "field", "origin", "values"), rows)

    @cached_property
    def basis(self) -> Float64[np.ndarray, "directions width"]:
        """Each named direction as a vector: ``stream @ basis.T`` reads them all. Unit vectors in a plain model."""
        reading = reading_basis(self.model)
        return np.eye(self.model.transformer.architecture.width) if reading is None else reading.T

    def edges(self, outputs: Iterable[int] | None = None) -> Table:
        """The edges that what is written at some positions depends on; see ``constructions.edges``.

        Columns: ``edge`` (as edge attribution names it, such as ``a0.h1->m0``), ``source``, ``target``, ``via`` (``q``,
        ``k`` or ``v`` of a head), ``position`` (of the source, and of what the target reads), ``reader`` (the position
        for which it is read), ``field`` (what carries it).

        Args:
            outputs: positions that write; all of them if None.
        """
        found: list[Edge] = find_edges(self.followed, self.heads, outputs)
        names = ("edge", "source", "target", "via", "position", "reader", "field")
        return Table.of_rows(
            "Edges", names, [(edge.name, *(getattr(edge, name) for name in names[1:])) for edge in found]
        )

    @cached_property
    def _texts(self) -> tuple[str, ...]:
        return (*self.transcript.asked, *self.transcript.made)

    @cached_property
    def _unit_names(self) -> list[list[str]]:
        names = self.model.provenance.names
        assert names is not None
        return [list(names.unit_names(layer)) for layer in range(len(names.units))]

    @property
    def _first_unit(self) -> int:
        """The paper's target keeps its first hidden units for what is fetched."""
        return 0

    def _asks(self, look_up: LookUp, layer: int, position: int) -> str:
        named, values = self.followed.construction.field_named, self.followed.layers[layer].before
        if look_up.distance is not None:
            return f"stands {look_up.distance} positions back"
        parts = []
        for clause in look_up.clauses:
            own = None if clause.asked is None else values[clause.asked][position : position + 1]
            wanted = int(np.ravel(clause.wanted(own))[0])
            parts.append(f"{clause.key} is {named[clause.key].value_name(wanted)}")
        return " and ".join(parts)

    def _brings(self, look_up: LookUp, layer: int, position: int) -> str:
        named, values = self.followed.construction.field_named, self.followed.layers[layer].brought
        found = [(bring.target, int(values[bring.target][position])) for bring in look_up.brings]
        return ", ".join(f"{name} {named[name].value_name(value)}" for name, value in found if value >= 0)

    def _reason(self, position: int, look_up: LookUp, target: int) -> str:
        protocol = self.model.protocol
        token = position - self.followed.first_writer
        if not isinstance(protocol, CircuitWords) or token >= len(protocol.schedule.gate):
            return ""
        circuit, gate = protocol.circuit, int(protocol.schedule.gate[token])
        number = self._inputs.get(look_up.name, 0)
        if gate < 0:
            copied = int(protocol.schedule.wire[token])
            is_meant = number == 0 if look_up.distance is None else self._position(copied) == target
            return f"copies {self._wire_names[copied]}" if is_meant else ""
        wires = [int(wire) for wire in circuit.fan_in[gate] if wire != NO_WIRE]
        if look_up.distance is not None:
            places = [self._position(wire) for wire in wires]
            number = places.index(target) if target in places else len(wires)
        own = self._wire_names[circuit.num_inputs + gate]
        return f"input {number} of {own}: {self._wire_names[wires[number]]}" if number < len(wires) else ""

    @cached_property
    def _inputs(self) -> dict[str, int]:
        """Which input of a gate each look-up is for; a Llama makes each of them several times."""
        look_ups = [look_up for layer in self.followed.construction.layers for look_up in layer.look_ups]
        if self.model.placed is not None:
            num_inputs = len(construction_of(self.model).layers[0].look_ups)
            return {look_up.name: number % num_inputs for number, look_up in enumerate(look_ups)}
        return {
            look_up.name: number
            for layer in self.followed.construction.layers
            for number, look_up in enumerate(layer.look_ups)
        }

    def _position(self, wire: int) -> int:
        """Where the value of a wire stands."""
        words = self.model.words
        gate = wire - words.circuit.num_inputs
        return wire if gate < 0 else words.num_inputs + 1 + int(words.schedule.token_of_gate[gate])

    @cached_property
    def _wire_names(self) -> list[str]:
        words = self.model.words
        circuit = words.circuit
        names = [*words_to_names(words.inputs, circuit.num_inputs)]
        gates = circuit.gate_names or [""] * circuit.num_gates
        return names + [name or f"gate {number}" for number, name in enumerate(gates)]


def ground_truth(model: Model, transcript: Transcript) -> GroundTruth:
    """What must happen inside a model while it writes a transcript, from its construction and not from its weights.

    That the weights do just that is what ``certify`` proves.

    Args:
        model: compiled or constructed.
        transcript: of a run of the model.

    Raises:
        InputError: the model was trained, or the transcript is none of its own.

    >>> from serialformer import CircuitBuilder, compile
    >>> build = CircuitBuilder()
    >>> build.output("odd", build.xor(*build.inputs("a", 2)))
    >>> model = compile(build.circuit())
    >>> truth = ground_truth(model, model.run(a=0b10))
    >>> truth.reads["reads"].tolist()[:2], truth.reads["reason"].tolist()[:2]
    ([0, 1], ['input 0 of gate 0: a[0]', 'input 1 of gate 0: a[1]'])
    """
    construction = construction_of(model)
    if construction.counts:
        raise InputError(
            "counts over all positions, so that no head reads one of them",
            hint="construct it by doubling (--by doubling)",
        )
    if isinstance(model.protocol, CircuitWords) and model.protocol.packed is not None:
        raise InputError("has several gates in a token", hint="compile it with one (--gates-per-token 1)")
    placed = model.placed
    vocabulary = construction.vocabulary
    if placed is not None and isinstance(model.protocol, TaskItems):
        vocabulary = (*vocabulary, STRANGE)
    if transcript.vocabulary != vocabulary:
        raise InputError("is a transcript of another model: its vocabulary differs", where="transcript")
    placement = construction_to_placement(construction, plain_architecture(model), placed)
    heads = placement.heads
    if placed is not None:
        construction = placement.realised.construction
        if len(construction.layers) == 1:
            construction, heads = spread_over_layers(construction, heads)
    tokens = np.concatenate([transcript.prompt, transcript.chain]).astype(np.int64)
    if len(tokens) == construction.num_positions + 1:
        tokens = tokens[:-1]  # the last token is written, and no position reads it
    if len(tokens) > construction.num_positions:
        raise InputError(
            f"is a transcript of another model: {len(tokens)} tokens, over its {construction.num_positions} positions",
            where="transcript",
        )
    return GroundTruth(
        model=model,
        transcript=transcript,
        followed=follow(construction, tokens, len(transcript.prompt)),
        heads=heads,
        spans=placement.spans,
        copies=1 + placement.is_saturated,
    )


def truth_to_json(truth: GroundTruth) -> Mapping[str, Any]:
    """All tables, for a file: lists of columns by name."""
    tables = {"reads": truth.reads, "units": truth.units, "directions": truth.directions, "edges": truth.edges()}
    return {name: table.to_json() for name, table in tables.items()}
