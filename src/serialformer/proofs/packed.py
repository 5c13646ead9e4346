"""The second half of the proof for circuits whose chain tokens carry several bits, by induction over tokens.

Every slot is read as a program: which positions its look-ups read in the first layer, and which function of the bits
that they brought, and of the values within the token, its units make in each layer. Each such function must depend on
two bits at most. These are wires, by what the claim says that tokens hold, so that it can be compared with the gate's.
A wire of an earlier token is right by induction over the tokens. A wire of the same token is right after a layer if
all that its gate reads within the token was right before that layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from serialformer.arrays import Bool, Int64, UInt64
from serialformer.constructions.claim import PackedClaim
from serialformer.constructions.construction import NOTHING, Construction, ConstructionLayer, UnitTable
from serialformer.constructions.interpret import Values, fields_to_tokens, fire_tables
from serialformer.errors import CompileError
from serialformer.proofs.induction import InductionError
from serialformer.proofs.levels import canonical_rows, different_rows, find_targets
from serialformer.proofs.logits import Occurring

EMPTY = -1
"""In a claim: no wire, the bit is 0."""

ROWS_PER_BLOCK = 1 << 18

MAX_SUPPORT = 2
"""The most bits that a slot may depend on."""


def check_packed_claim(construction: Construction, claim: PackedClaim) -> Occurring:
    """Shows that a construction of any number of layers writes a circuit's chain, several bits a token.

    Returns:
        Which tokens occur where.

    Raises:
        InductionError: it does not; names the first position that breaks.
    """
    num_tokens, first = len(claim.wire), claim.num_inputs
    if construction.num_positions < first + 1 + num_tokens:
        raise InductionError("the chain does not fit the positions", first)
    _check_answers(claim)
    machine = _Machine(construction, claim)
    held = _held_wires(claim)
    functions: dict[tuple[int, bool], _LayerFunctions] = {}
    right = np.zeros(claim.wire.shape, dtype=bool)
    for number, layer in enumerate(construction.layers):
        key = id(layer.tables), number == len(construction.layers) - 1
        if key not in functions:
            functions[key] = machine.functions(layer, is_last=key[1])
            _check_functions(claim, machine, functions[key], held)
        right = _right_after(functions[key], right, machine.num_fetched)
    if not right.all():
        token = int(np.argmin(right.all(axis=1)))
        raise InductionError(
            f"gates of a token depend on one another through more than {len(construction.layers)} levels", first + token
        )
    symbols = machine.symbols
    anywhere, current, written = (np.zeros(len(construction.vocabulary), dtype=bool) for _ in range(3))
    zero, one, end = (construction.vocabulary.index(text) for text in ("0", "1", "="))
    anywhere[[zero, one, end]] = current[end] = written[end] = True
    anywhere[symbols] = current[symbols] = written[symbols] = True
    return Occurring(anywhere=anywhere, current=current, written=written, filled=frozenset(machine.inner))


def _check_answers(claim: PackedClaim) -> None:
    """Checks that the last tokens hold the outputs."""
    last = claim.wire[len(claim.wire) - claim.num_answer_tokens :].reshape(-1)
    number = len(claim.answers)
    if len(last) < number or not np.array_equal(last[:number], claim.answers) or (last[number:] != EMPTY).any():
        raise InductionError("the last tokens are not the outputs", claim.num_inputs)


def _held_wires(claim: PackedClaim) -> Int64[np.ndarray, "positions slots"]:
    """Which wire each bit of the token at each position is; EMPTY where it is 0."""
    num_tokens, num_slots = claim.wire.shape
    held = np.full((claim.num_inputs + 1 + num_tokens, num_slots), EMPTY, dtype=np.int64)
    held[: claim.num_inputs, 0] = np.arange(claim.num_inputs)
    held[claim.num_inputs + 1 :] = claim.wire
    return held


@dataclass(frozen=True, kw_only=True, eq=False)
class _LayerFunctions:
    """The value of each slot after a layer, at every position that writes a token of the chain.

    Attributes:
        support: which of the slot's bits it depends on, by their numbers; -1 for none.
        table: the truth table over them.
    """

    support: Int64[np.ndarray, "chain slots two"]
    table: UInt64[np.ndarray, "chain slots"]


class _Machine:
    """A construction as a program over bits.

    The bits of a slot have numbers: side times ``num_slots`` plus the place of a bit for what its look-ups bring, then
    the values within the token.

    Attributes:
        targets: the position that each look-up of each slot reads, at every position that writes.
        num_fetched: how many bits a slot may fetch; values within the token have the numbers that follow.
        inner: the fields of the values within a token.
        symbols: the tokens that a chain may hold.
    """

    def __init__(self, construction: Construction, claim: PackedClaim) -> None:
        self.construction, self.claim = construction, claim
        self.num_tokens, self.num_slots = claim.wire.shape
        self.first = claim.num_inputs
        self.num_positions = self.first + 1 + self.num_tokens
        self.bits = [f"bit[{slot}]" for slot in range(self.num_slots)]
        self.writers = slice(self.first, self.first + self.num_tokens)
        self.symbols = self._find_symbols()
        layers = construction.layers
        self.inner = [name for name in dict.fromkeys(name for layer in layers for name in layer.clears)]
        if len(layers) > 1 and len(self.inner) != self.num_slots:
            raise InductionError("there is not one value within the token for each slot", 0)
        for name in self.inner:
            part = construction.field_named[name]
            if part.origin != "token" or part.num_values != 2 or part.of_token.any():
                raise InductionError(f"{name} does not begin as 0", 0)
        if any(layer.look_ups for layer in layers[1:]) or any(layer.tallies for layer in layers):
            raise InductionError("a later layer fetches something", 0)
        if any(set(layer.clears) != set(self.inner) for layer in layers[:-1]) or layers[-1].clears:
            raise InductionError("a layer does not renew all values within the token", 0)
        self.fetched: dict[str, tuple[int, int]] = {}
        self.targets = self._find_targets(layers[0])
        self.num_fetched = self.targets.shape[1] * self.num_slots

    def _find_symbols(self) -> Int64[np.ndarray, " symbols"]:
        """The token of each combination of bits; checks what the prompt's tokens hold."""
        construction = self.construction
        vocabulary, fields = construction.vocabulary, construction.field_named
        if any(name not in fields or fields[name].origin != "token" for name in self.bits):
            raise InductionError("tokens do not hold a bit for each slot", 0)
        held = np.stack([fields[name].of_token for name in self.bits], axis=1)
        zero, one, end = (vocabulary.index(text) for text in ("0", "1", "="))
        expected = np.zeros((3, self.num_slots), dtype=np.int64)
        expected[1, 0] = 1
        if not np.array_equal(held[[zero, one, end]], expected):
            raise InductionError("the prompt's tokens do not hold their bits", 0)
        combinations = list(product((0, 1), repeat=self.num_slots))
        symbols = np.array([vocabulary.index("".join(map(str, bits))) for bits in combinations], dtype=np.int64)
        if not np.array_equal(held[symbols], np.array(combinations)):
            raise InductionError("a symbol does not hold its bits", 0)
        return symbols

    def _find_targets(self, layer: ConstructionLayer) -> Int64[np.ndarray, "chain look_ups"]:
        """Where each look-up reads; takes note of what it brings."""
        construction, columns = self.construction, []
        if not layer.look_ups:
            raise InductionError("the first layer fetches nothing", self.first)
        for number, look_up in enumerate(layer.look_ups):
            columns.append(find_targets(construction, look_up, self.num_positions)[self.writers])
            for bring in look_up.brings:
                if bring.source not in self.bits or bring.of_value is not None or bring.target in self.fetched:
                    raise InductionError(f"look-up {look_up.name} does not bring bits as they are", self.first)
                if construction.field_named[bring.target].origin != "layers":
                    raise InductionError(f"look-up {look_up.name} brings a bit to where something stands", self.first)
                self.fetched[bring.target] = number, self.bits.index(bring.source)
        return np.stack(columns, axis=1)

    def functions(self, layer: ConstructionLayer, *, is_last: bool) -> _LayerFunctions:
        """The value of each slot after a layer; checks that the last one writes tokens of just these bits."""
        written = self.bits if is_last else self.inner
        of_slots = [table for table in layer.tables if set(table.writes) & set(written)]
        others = [table for table in layer.tables if not set(table.writes) & set(written)]
        if any(len(table.writes) != 1 or table.replaced is not None for table in of_slots):
            raise InductionError("a table does not write one slot", 0)
        if others and not is_last:
            raise InductionError(f"table {others[0].name} writes what it should not", 0)
        slots = []
        for slot, name in enumerate(written):
            tables = tuple(table for table in of_slots if table.writes == (name,))
            slots.append(self._functions_of_slot(slot, name, tables, is_last=is_last))
        supports, tables_of = (np.stack(parts, axis=1) for parts in zip(*slots, strict=True))
        if is_last:
            self._check_marks(others)
            if tables_of[-1].any():  # what depends on a bit is not always 0
                raise InductionError("the chain is not ended", self.first + self.num_tokens)
        return _LayerFunctions(support=supports[self.writers], table=tables_of[self.writers])

    def _functions_of_slot(
        self, slot: int, name: str, tables: tuple[UnitTable, ...], *, is_last: bool
    ) -> tuple[Int64[np.ndarray, "positions support"], UInt64[np.ndarray, " positions"]]:
        """Runs the units of one slot for all bits that it may see, at all positions that differ."""
        construction = self.construction
        read = dict.fromkeys(one for table in tables for one in table.reads)
        of_position = [one for one in read if construction.field_named[one].origin == "position"]
        seen = [one for one in read if one in self.fetched or one in self.inner]
        strange = set(read) - set(of_position) - set(seen)
        if strange:
            raise InductionError(f"a unit table reads {min(strange)}, which no claim is about", self.first)
        rows = slice(0, self.num_positions)
        held = [np.asarray(construction.field_named[one].at(rows), dtype=np.int64) for one in of_position]
        kinds = np.stack(held, axis=1) if held else np.zeros((self.num_positions, 0), dtype=np.int64)
        kinds, kind, example = different_rows(kinds)
        bits = np.array(list(product((0, 1), repeat=len(seen))), dtype=np.int64)[:, ::-1]
        supports = np.full((len(kinds), MAX_SUPPORT), -1, dtype=np.int64)
        truths = np.zeros(len(kinds), dtype=np.uint64)
        step = max(1, ROWS_PER_BLOCK // len(bits))
        alone = ConstructionLayer(look_ups=(), tables=tables, clears=() if is_last else (name,))
        for start in range(0, len(kinds), step):
            block = kinds[start : start + step]
            values: Values = {
                one: np.repeat(column, len(bits)) for one, column in zip(of_position, block.T, strict=True)
            }
            values |= {one: np.tile(column, len(block)) for one, column in zip(seen, bits.T, strict=True)}
            nothing = np.full(len(block) * len(bits), NOTHING)
            values.setdefault(name, nothing)
            try:
                after, answers = fire_tables(alone, values, is_last)
            except CompileError as error:
                raise InductionError(error.message, self.first) from None
            result = (answers if is_last else after).get(name, nothing).reshape(len(block), len(bits))
            for number, row in enumerate(result, start=start):
                if ((row != 0) & (row != 1)).any():
                    raise InductionError(f"slot {slot} does not always hold a bit", example[number])
                support, truths[number] = _support(row, len(seen))
                if len(support) > MAX_SUPPORT:
                    raise InductionError(f"slot {slot} depends on {len(support)} bits", example[number])
                supports[number, : len(support)] = support
        numbers = np.array([self._number(one) for one in seen] + [-1], dtype=np.int64)
        return numbers[supports[kind]], truths[kind]

    def _number(self, name: str) -> int:
        """The number of a bit: look-ups times slots first, then the values within the token."""
        if name in self.fetched:
            look_up, bit = self.fetched[name]
            return look_up * self.num_slots + bit
        return self.num_fetched + self.inner.index(name)

    def _check_marks(self, tables: list[UnitTable]) -> None:
        """Checks that, whatever the bits are, a symbol is written, and ``=`` in the end."""
        construction = self.construction
        rows = slice(self.first, self.first + self.num_tokens + 1)
        read = dict.fromkeys(name for table in tables for name in table.reads)
        if any(construction.field_named[name].origin != "position" for name in read):
            raise InductionError("which kind of token is written depends on more than the position", self.first)
        values: Values = {name: np.asarray(construction.field_named[name].at(rows), dtype=np.int64) for name in read}
        layer = ConstructionLayer(look_ups=(), tables=tuple(tables))
        try:
            _, answers = fire_tables(layer, values, True)
        except CompileError as error:
            raise InductionError(error.message, self.first) from None
        every = {part.name for part in construction.fields_of("token")} - set(self.inner)
        if {*answers, *self.bits} != every:
            raise InductionError("what the last layer writes is not a whole token", self.first)
        for number, token in enumerate(self.symbols.tolist()):
            bits = {name: np.full(self.num_tokens, number >> place & 1)
                    for place, name in enumerate(reversed(self.bits))}  # fmt: skip
            symbols = {name: column[:-1] for name, column in answers.items()}
            made = fields_to_tokens(construction, {**symbols, **bits})
            if made is None or (made != token).any():
                raise InductionError("what is written is not always a symbol", self.first)
        zeros = {name: np.zeros(1, dtype=np.int64) for name in self.bits}
        end = fields_to_tokens(construction, {**{name: column[-1:] for name, column in answers.items()}, **zeros})
        if end is None or int(end[0]) != construction.end_token:
            raise InductionError("the chain is not ended", self.first + self.num_tokens)


def _support(row: Int64[np.ndarray, " combinations"], num_bits: int) -> tuple[list[int], int]:
    """The bits that a function depends on, and its truth table over them, the first least significant."""
    cube = row.reshape((2,) * num_bits)  # the last axis is bit 0
    support = [bit for bit in range(num_bits) if (np.diff(cube, axis=num_bits - 1 - bit) != 0).any()]
    truth = 0
    if len(support) <= MAX_SUPPORT:
        for number in range(1 << len(support)):
            place = sum((number >> order & 1) << bit for order, bit in enumerate(support))
            truth |= int(row[place]) << number
    return support, truth


def _check_functions(
    claim: PackedClaim, machine: _Machine, made: _LayerFunctions, held: Int64[np.ndarray, "positions slots"]
) -> None:
    """Compares each slot after a layer with the wire that it is to hold."""
    known = np.zeros(claim.num_inputs + len(claim.arity), dtype=bool)
    known[: claim.num_inputs] = True
    for token, wires in enumerate(claim.wire):
        for slot in range(len(wires)):
            _check_slot(claim, machine, made, held, known, token, slot)
        known[wires[wires != EMPTY]] = True


def _check_slot(
    claim: PackedClaim,
    machine: _Machine,
    made: _LayerFunctions,
    held: np.ndarray,
    known: np.ndarray,
    token: int,
    slot: int,
) -> None:
    """Compares one slot: a copy of a wire that earlier tokens hold, the gate itself, or 0."""
    wire, position = int(claim.wire[token, slot]), machine.first + token
    reads = []
    truth, arity = int(made.table[token, slot]), 0
    for number in made.support[token, slot].tolist():
        if number < 0:
            continue
        if number < machine.num_fetched:
            look_up, bit = divmod(number, claim.wire.shape[1])
            source = int(held[machine.targets[token, look_up], bit])
        else:
            source = int(claim.wire[token, number - machine.num_fetched])
        reads.append(source)
        arity += 1
    # A bit that is always 0 takes half of the table away.
    for place in reversed(range(arity)):
        if reads[place] == EMPTY:
            truth = sum((truth >> _insert_zero(index, place) & 1) << index for index in range(1 << (arity - 1)))
            del reads[place]
            arity -= 1
    if wire == EMPTY:
        says: tuple[list[int], int] = ([], 0)
    elif known[wire]:
        says = ([wire], 0b10)
    else:
        gate = wire - claim.num_inputs
        says = (claim.reads[gate, : claim.arity[gate]].tolist(), int(claim.table[gate]))
    if not np.array_equal(_canonical(reads, truth), _canonical(*says)):
        raise InductionError(f"slot {slot} of a token holds another function", position)


def _insert_zero(index: int, place: int) -> int:
    return (index >> place << place + 1) | index & (1 << place) - 1


def _canonical(reads: list[int], table: int) -> Int64[np.ndarray, " 8"]:
    columns = np.zeros((1, max(1, len(reads))), dtype=np.int64)
    columns[0, : len(reads)] = reads
    truth: UInt64[np.ndarray, " 1"] = np.array([table], dtype=np.uint64)
    return canonical_rows(columns, truth, np.array([len(reads)], dtype=np.uint8))[0]


def _right_after(
    made: _LayerFunctions, right: Bool[np.ndarray, "chain slots"], num_fetched: int
) -> Bool[np.ndarray, "chain slots"]:
    """Which slots are right after a layer: those that read no slot of their token that was wrong before it."""
    inside = np.where(made.support >= num_fetched, made.support - num_fetched, -1)
    rows = np.arange(len(right))[:, None, None]
    return np.asarray((right[rows, inside] | (inside < 0)).all(axis=2))
