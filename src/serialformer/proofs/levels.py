"""The second half of the proof for circuits without a chain, by induction over the layers.

Every layer is read as a program: which position each look-up of a position reads, and which function of what it
brings the unit tables put in place of the position's own bit. These functions are brought to the form in which equal
functions are equal, and compared with the circuit's gates. If every layer computes every gate in its column, whatever
stood there before, then after l layers all gates of level l or less are right: what they read was right one layer
earlier. What the last layer writes is compared with the outputs' wires.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from serialformer.arrays import Bool, Int64, UInt64
from serialformer.constructions.claim import ColumnsClaim
from serialformer.constructions.construction import NOTHING, Construction, ConstructionLayer, LookUp
from serialformer.constructions.interpret import fields_to_tokens, fire_tables
from serialformer.errors import CompileError
from serialformer.proofs.canonical import canonical_functions
from serialformer.proofs.induction import InductionError, position_keys
from serialformer.proofs.logits import Occurring

IDENTITY = 0b10


def check_columns_claim(construction: Construction, claim: ColumnsClaim) -> Occurring:
    """Shows that a construction of any number of layers computes a circuit without a chain.

    Returns:
        Which tokens occur where.

    Raises:
        InductionError: it does not; names the first position that breaks.
    """
    num_inputs, num_gates, num_outputs = claim.num_inputs, len(claim.arity), len(claim.answers)
    first = num_inputs + num_gates
    num_positions = first + 1 + num_outputs
    if construction.num_positions < num_positions:
        raise InductionError("prompt and answer do not fit the positions", first)
    zero, one, end, filler = (construction.vocabulary.index(text) for text in ("0", "1", "=", "."))
    bit = _find_bit(construction, [zero, one, end, filler])
    layers: dict[int, _LayerProgram] = {}
    has_bit = np.ones(num_positions, dtype=bool)
    for layer in construction.layers[:-1]:
        if id(layer) not in layers:
            program = layers[id(layer)] = _LayerProgram(construction, layer, bit, num_positions)
            has_bit &= program.check_columns(claim)
    level = _levels(claim)
    last = _LayerProgram(construction, construction.layers[-1], bit, num_positions)
    for program in (*layers.values(), last):
        misses = ~has_bit[program.targets].all(axis=1)
        if misses.any():
            raise InductionError("what is read may have no bit", int(np.argmax(misses)))
    tokens = last.tokens()
    writers = np.arange(first, first + num_outputs)
    is_bit = (tokens[writers] == zero) | (tokens[writers] == one)
    if not is_bit.all():
        raise InductionError("what is written is not always a bit", first + int(np.argmin(is_bit.all(axis=1))))
    if not (tokens[first + num_outputs] == end).all():
        raise InductionError("the answer is not always ended", first + num_outputs)
    makes = canonical_rows(last.targets[writers], _to_tables(tokens[writers] == one))
    says = canonical_rows(claim.answers[:, None].astype(np.int64), np.full(num_outputs, IDENTITY, dtype=np.uint64))
    wrong = (makes != says).any(axis=1) & claim.proven
    if wrong.any():
        raise InductionError("the construction writes something else than its output", first + int(np.argmax(wrong)))
    deep = claim.proven & (level[claim.answers] >= len(construction.layers))
    if deep.any():
        place = int(np.argmax(deep))
        raise InductionError(
            f"an output on level {level[claim.answers[place]]} needs {level[claim.answers[place]] + 1} layers, and"
            f" there are {len(construction.layers)}",
            first + place,
        )
    anywhere, current, written = (np.zeros(len(construction.vocabulary), dtype=bool) for _ in range(3))
    anywhere[[zero, one, end, filler]] = True
    current[[zero, one, end] if num_outputs else [end]] = True
    written[[zero, one, end] if num_outputs else [end]] = True
    return Occurring(anywhere=anywhere, current=current, written=written, filled=frozenset([bit]))


def _find_bit(construction: Construction, tokens: list[int]) -> str:
    """The field of the token that look-ups bring; checks that it holds a bit for each token."""
    sources = {bring.source for layer in construction.layers for one in layer.look_ups for bring in one.brings}
    if len(sources) != 1:
        raise InductionError("look-ups bring more than one field", 0)
    (name,) = sources
    part = construction.field_named[name]
    if part.origin != "token" or part.num_values != 2 or part.of_token[tokens].tolist() != [0, 1, 0, 0]:
        raise InductionError(f"{name}, which look-ups bring, is not the token's bit", 0)
    return name


def _levels(claim: ColumnsClaim) -> Int64[np.ndarray, " wires"]:
    """The level of each wire, by what the claim says that it reads."""
    levels = [0] * claim.num_inputs
    for reads, arity in zip(claim.reads.tolist(), claim.arity.tolist(), strict=True):
        levels.append(1 + max((levels[wire] for wire in reads[:arity]), default=0))
    return np.array(levels, dtype=np.int64)


class _LayerProgram:
    """What a layer does at every position, for every combination of the bits that stand there and are fetched.

    Attributes:
        targets: the position that each look-up of each position reads.
    """

    def __init__(self, construction: Construction, layer: ConstructionLayer, bit: str, num_positions: int) -> None:
        self.construction, self.layer, self.bit, self.num_positions = construction, layer, bit, num_positions
        self.targets = np.stack(
            [find_targets(construction, look_up, num_positions) for look_up in layer.look_ups], axis=1
        )
        self.fetched = [self._fetched(number) for number in range(len(layer.look_ups))]
        if len(set(self.fetched)) != len(self.fetched):
            raise InductionError("two look-ups bring into one field", 0)
        read = dict.fromkeys(name for table in layer.tables for name in table.reads)
        of_position = [name for name in read if construction.field_named[name].origin == "position"]
        strange = set(read) - set(of_position) - set(self.fetched) - {bit}
        if strange:
            raise InductionError(f"a unit table reads {min(strange)}, which no claim is about", 0)
        rows = slice(0, num_positions)
        held = [np.asarray(construction.field_named[name].at(rows), dtype=np.int64) for name in of_position]
        kinds = np.stack(held, axis=1) if held else np.zeros((num_positions, 0), dtype=np.int64)
        kinds, self.kind, self.example = different_rows(kinds)
        # The bit that stood there counts as one more, after those that are fetched.
        self.bits = np.array(list(product((0, 1), repeat=len(self.fetched) + 1)), dtype=np.int64)[:, ::-1]
        self.values = {
            name: np.repeat(column, len(self.bits)) for name, column in zip(of_position, kinds.T, strict=True)
        }
        for name, column in zip([*self.fetched, bit], self.bits.T, strict=True):
            self.values[name] = np.tile(column, len(kinds))

    def _fetched(self, number: int) -> str:
        look_up = self.layer.look_ups[number]
        (bring,) = look_up.brings if len(look_up.brings) == 1 else (None,)
        if bring is None or bring.source != self.bit or bring.arriving(np.arange(2)).tolist() != [0, 1]:
            raise InductionError(f"look-up {look_up.name} does not bring a bit as it is", 0)
        if self.construction.field_named[bring.target].origin != "layers":
            raise InductionError(f"look-up {look_up.name} brings a bit to where something stands", 0)
        return bring.target

    def check_columns(self, claim: ColumnsClaim) -> Bool[np.ndarray, " positions"]:
        """Checks that the layer keeps inputs, computes each gate in its column, and clears what was fetched.

        Returns:
            For each position whether it has a bit afterwards, whatever it fetches.
        """
        for table in self.layer.tables:
            if not set(table.writes) <= {self.bit, *self.fetched}:
                raise InductionError(f"table {table.name} writes what it should not", 0)
        try:
            after, _ = fire_tables(self.layer, self.values, False)
        except CompileError as error:
            raise InductionError(error.message, 0) from None
        kept = np.logical_or.reduce([after[name] != NOTHING for name in self.fetched])
        if kept.any():
            raise InductionError("what was fetched is not always cleared", self._position(kept))
        held = after[self.bit].reshape(-1, len(self.bits))
        half = len(self.bits) // 2  # the bit that stood there is the most significant one
        differs = (held[:, :half] != held[:, half:]) | ((held[:, :half] != 0) & (held[:, :half] != 1))
        num_columns = claim.num_inputs + len(claim.arity)
        wrong = differs.any(axis=1)[self.kind[:num_columns]]
        if wrong.any():
            raise InductionError("what stood in a column makes a difference", int(np.argmax(wrong)))
        tables = _to_tables(held[:, :half] == 1)[self.kind[:num_columns]]
        makes = canonical_rows(self.targets[:num_columns], tables)
        inputs = np.arange(claim.num_inputs)[:, None]
        copies = np.full(claim.num_inputs, IDENTITY, dtype=np.uint64)
        says = np.concatenate(
            [canonical_rows(inputs, copies), canonical_rows(claim.reads.astype(np.int64), claim.table, claim.arity)]
        )
        wrong = (makes != says).any(axis=1)
        if wrong.any():
            position = int(np.argmax(wrong))
            what = "an input is not kept" if position < claim.num_inputs else "a column computes another gate"
            raise InductionError(what, position)
        return ((held == 0) | (held == 1)).all(axis=1)[self.kind]

    def tokens(self) -> Int64[np.ndarray, "positions combinations"]:
        """The token that the last layer writes at each position, for each combination of fetched bits."""
        for table in self.layer.tables:
            if self.bit in table.reads or table.replaced is not None:
                raise InductionError(f"table {table.name} depends on what stood at the position itself", 0)
        try:
            _, answers = fire_tables(self.layer, self.values, True)
        except CompileError as error:
            raise InductionError(error.message, 0) from None
        every = {part.name for part in self.construction.fields_of("token")}
        tokens = fields_to_tokens(self.construction, answers) if set(answers) == every else None
        if tokens is None:
            raise InductionError("what the last layer writes is not always a token", 0)
        return tokens.reshape(-1, len(self.bits))[self.kind, : len(self.bits) // 2]

    def _position(self, wrong: Bool[np.ndarray, " rows"]) -> int:
        """The first position of a row that is wrong."""
        return int(self.example[wrong.reshape(-1, len(self.bits)).any(axis=1)].min())


def find_targets(construction: Construction, look_up: LookUp, num_positions: int) -> Int64[np.ndarray, " positions"]:
    """The position that a look-up reads at each position, decided by the positions alone.

    Raises:
        InductionError: it finds none, or several; or what it asks for is not decided by the position.
    """
    positions, columns = np.arange(num_positions), []
    for clause in look_up.clauses:
        held = None
        if clause.asked is not None:
            part = construction.field_named[clause.asked]
            if part.origin != "position":
                raise InductionError(f"look-up {look_up.name} asks for more than the position decides", 0)
            held = np.asarray(part.at(slice(0, num_positions)), dtype=np.int64)
        columns.append(np.broadcast_to(clause.wanted(held), positions.shape))
    first, again = position_keys(construction, look_up, num_positions).find(columns)
    wrong = (first > positions) | (again <= positions)
    if wrong.any():
        raise InductionError(f"look-up {look_up.name} finds no one position", int(np.argmax(wrong)))
    return first


def different_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The different rows, for each row which of them it is, and where each of them stands first."""
    if not rows.shape[1]:
        return rows[:1], np.zeros(len(rows), dtype=np.int64), np.zeros(1, dtype=np.int64)
    different, first, which = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return different, which.reshape(-1), first


def _to_tables(holds: Bool[np.ndarray, "rows combinations"]) -> UInt64[np.ndarray, " rows"]:
    """Truth tables as numbers, combination 0 least significant."""
    places = np.arange(holds.shape[1], dtype=np.uint64)
    return np.bitwise_or.reduce(holds.astype(np.uint64) << places, axis=1)


def canonical_rows(
    reads: Int64[np.ndarray, "rows K"], table: UInt64[np.ndarray, " rows"], arity: np.ndarray | None = None
) -> Int64[np.ndarray, "rows 8"]:
    """Truth tables over distinct wires in order, of which each makes a difference: equal rows are equal functions."""
    arity = np.full(len(reads), reads.shape[1], dtype=np.uint8) if arity is None else arity
    sources, fan_in, canonical = canonical_functions(reads, arity, table)
    return np.concatenate(
        [sources.astype(np.int64), fan_in[:, None].astype(np.int64), canonical.view(np.int64)[:, None]], axis=1
    )
