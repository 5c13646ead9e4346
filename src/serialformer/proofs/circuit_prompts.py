"""The second half of the proof for circuits in the prompt: any circuit of m gates is evaluated, for one m after
another.

Which positions a construction reads may depend on the prompt here. For one m most of it does not: what is decided by
position, and by where ``=`` stands, is worked out for all positions at once. The rest is a function of one token, at
a position that is known, or of the token at a position that this one points to. So at each position that writes, what
its units see is a function of a few tokens; the claim says which, and all combinations that a circuit allows are gone
through.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from serialformer.arrays import Bool, Int64
from serialformer.constructions.claim import CircuitPromptClaim
from serialformer.constructions.construction import NOTHING, Construction, ConstructionLayer, LookUp
from serialformer.constructions.interpret import UNWRITTEN, fields_to_tokens, fire_tables
from serialformer.errors import CompileError
from serialformer.proofs.induction import OPEN, InductionError, Keys
from serialformer.proofs.logits import Occurring

SLOTS = 4
"""Tokens a gate: type, first input, second input, itself."""

TYPES = ("TRUE", "FALSE", "AND", "OR", "NOT")
TRUTHS = ("TRUE", "FALSE")

MAX_GATES = 1 << 12
"""Circuits of more gates are not gone through: the work grows with the square, to minutes at this size."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Known:
    """A field that does not depend on the prompt's tokens: its value at each position."""

    values: Int64[np.ndarray, " positions"]


@dataclass(frozen=True, kw_only=True, eq=False)
class _OfToken:
    """A field that is a function of one token: at which position, for each position, and the value of each token."""

    where: Int64[np.ndarray, " positions"]
    value: Int64[np.ndarray, " vocabulary"]


@dataclass(frozen=True, kw_only=True, eq=False)
class _OfPointed:
    """A field that is a function of the token at a position to which another token points.

    Attributes:
        where: for each position where the token stands that points.
        target: the position that each token points to.
        again: the next one that the same look-up would take, if it comes early enough.
        value: the value of each token there.
    """

    where: Int64[np.ndarray, " positions"]
    target: Int64[np.ndarray, " vocabulary"]
    again: Int64[np.ndarray, " vocabulary"]
    value: Int64[np.ndarray, " vocabulary"]


Fact = _Known | _OfToken | _OfPointed


class CircuitPrompts:
    """The claims of one construction, checked one after the other."""

    def __init__(self, construction: Construction) -> None:
        self.construction = construction
        self.token = {text: number for number, text in enumerate(construction.vocabulary)}
        ids: list[int] = []
        while (text := str(len(ids) + 1)) in self.token:
            ids.append(self.token[text])
        self.ids = np.array(ids, dtype=np.int64)
        self._checked: set[bytes] = set()

    def check(self, claim: CircuitPromptClaim) -> None:
        """Proves that every circuit of a number of gates is evaluated.

        Raises:
            InductionError: it is not; names the first position that breaks.
        """
        shape = _Shape(self.construction, self.token, self.ids[: claim.num_gates])
        facts = shape.run()
        last = self.construction.layers[-1]
        first = SLOTS * claim.num_gates
        for slot in range(SLOTS):
            positions = np.arange(first + slot, 2 * first, SLOTS)
            given = positions - first - (slot if slot == SLOTS - 1 else 0)
            self._check_positions(shape, facts, last, positions, given, slot)
        self._check_positions(shape, facts, last, np.array([2 * first]), np.array([first]), SLOTS)

    def occurring(self) -> Occurring:
        """Which tokens occur where, in circuits of any number of gates."""
        size = len(self.construction.vocabulary)
        anywhere, current = np.ones(size, dtype=bool), np.zeros(size, dtype=bool)
        for text, number in self.token.items():
            current[number] = text in {*TYPES, "NA", "="}
            anywhere[number] = current[number] or text.isdecimal()
        return Occurring(anywhere=anywhere, current=current, written=current)

    def _check_positions(
        self,
        shape: _Shape,
        facts: dict[str, Fact],
        layer: ConstructionLayer,
        positions: np.ndarray,
        given: np.ndarray,
        slot: int,
    ) -> None:
        """Checks the positions that write one slot of every gate; ``given`` is where the prompt's token stands."""
        read = sorted({name for table in layer.tables for name in table.reads})
        variables: dict[str, tuple[str, np.ndarray]] = {}
        constants = []
        for name in read:
            fact = facts[name]
            if isinstance(fact, _Known):
                values = fact.values[positions]
                if (values != values[0]).any():
                    raise InductionError(f"{name} is not the same for all gates", int(positions[0]))
                constants.append(int(values[0]))
                continue
            where = fact.where[positions]
            roles = (("own", positions), ("before", positions - 1), ("given", given))
            role = next((role for role, expected in roles if np.array_equal(where, expected)), None)
            if role is None:
                wrong = int(positions[np.argmax(where != given)])
                raise InductionError(f"{name} depends on another token than it should", wrong)
            if isinstance(fact, _OfPointed):
                shape.check_pointing(fact, positions, slot, role, name)
                role = "pointed"
            variables[name] = role, fact.value
            constants.append(NOTHING)
        key = repr((slot, read, constants, [(name, role) for name, (role, _) in variables.items()])).encode()
        if key in self._checked:
            return
        cases, expected = self._cases(slot)
        values = {name: np.full(len(expected), constant) for name, constant in zip(read, constants, strict=True)}
        for name, (role, value) in variables.items():
            values[name] = value[cases[role]]
        for part in self.construction.fields_of("token"):
            values.setdefault(part.name, part.of_token[cases["own"]])
        try:
            _, answers = fire_tables(layer, values, True)
            written = fields_to_tokens(self.construction, answers)
        except CompileError as error:
            raise InductionError(str(error), int(positions[0])) from None
        partial = any((answer == UNWRITTEN).any() for answer in answers.values())
        if written is None or partial or not np.array_equal(written, expected):
            raise InductionError("the units write another token than the circuit value problem says", int(positions[0]))
        self._checked.add(key)

    def _cases(self, slot: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """The tokens that units can see where a slot is written: own, before, given, pointed at; and what follows."""
        rows = [[self.token[text] for text in row] for row in self._texts(slot)]
        columns = np.array(rows, dtype=np.int64).T
        return dict(zip(("own", "before", "given", "pointed"), columns[:4], strict=True)), columns[4]

    def _texts(self, slot: int) -> Iterator[tuple[str, str, str, str, str]]:
        values, ids = (*TRUTHS, "NA"), [text for text in self.token if text.isdecimal()]
        if slot == 0:
            for own, before, given in product((*TRUTHS, "="), (*values, "="), TYPES):
                yield own, before, given, "=", given
        elif slot < SLOTS - 1:
            for own, before in product((*TYPES, "NA"), (*TYPES, "NA", "=")):
                yield own, before, "NA", "=", "NA"
                for given, pointed in product(ids, TRUTHS):
                    yield own, before, given, pointed, pointed
        elif slot == SLOTS - 1:
            for given in TRUTHS:
                yield "NA", "NA", given, "=", given
            for first in TRUTHS:
                yield "NA", first, "NOT", "=", TRUTHS[1 - TRUTHS.index(first)]
                for second in TRUTHS:
                    both, either = "FALSE" not in (first, second), "TRUE" in (first, second)
                    yield second, first, "AND", "=", "TRUE" if both else "FALSE"
                    yield second, first, "OR", "=", "TRUE" if either else "FALSE"
        else:
            for own, before in product(TRUTHS, values):
                yield own, before, "=", "=", "="


class _Shape:
    """What every position holds for circuits of one number of gates, layer by layer."""

    def __init__(self, construction: Construction, token: dict[str, int], ids: np.ndarray) -> None:
        self.construction, self.token, self.ids = construction, token, ids
        self.num_gates = num_gates = len(ids)
        self.num_positions = 2 * SLOTS * num_gates + 1
        if self.num_positions > construction.num_positions:
            raise InductionError("the chain does not fit the positions", SLOTS * num_gates)
        self.positions = np.arange(self.num_positions, dtype=np.int64)
        # The tokens that each kind of position may hold, and which kind each is.
        types, values, absent = (np.array([token[text] for text in texts]) for texts in (TYPES, TRUTHS, ("NA",)))
        inputs, end = np.append(ids, absent), np.array([token["="]])
        self.kind_tokens = [types, inputs, ids, end, types, np.append(values, absent), values]
        first = SLOTS * num_gates
        kind = np.array([0, 1, 1, 2])[self.positions % SLOTS]
        chain = self.positions[first + 1 :] - first - 1
        kind[first + 1 :] = np.array([4, 5, 5, 6])[chain % SLOTS]
        kind[first] = 3
        self.kind = kind

    def run(self) -> dict[str, Fact]:
        """What the units of the last layer see at each position."""
        construction = self.construction
        facts: dict[str, Fact] = {}
        for part in construction.fields:
            if part.origin == "token":
                facts[part.name] = _OfToken(where=self.positions, value=part.of_token.astype(np.int64))
            elif part.origin == "position":
                facts[part.name] = _Known(values=np.asarray(part.at(slice(0, self.num_positions)), dtype=np.int64))
            else:
                facts[part.name] = _Known(values=np.full(self.num_positions, NOTHING))
        for index, layer in enumerate(construction.layers):
            before = dict(facts)
            for look_up in layer.look_ups:
                self._bring(look_up, before, facts)
            if index < len(construction.layers) - 1 and layer.tables:
                self._fire(layer, facts)
        return facts

    def _fire(self, layer: ConstructionLayer, facts: dict[str, Fact]) -> None:
        """Runs the unit tables of a layer that is not the last; they may see only what is known."""
        values = {}
        for name in {name for table in layer.tables for name in (*table.reads, *table.writes)}:
            fact = facts[name]
            if not isinstance(fact, _Known):
                raise InductionError(f"units read {name}, which depends on the prompt", SLOTS * self.num_gates)
            values[name] = fact.values
        try:
            after, _ = fire_tables(layer, values, False)
        except CompileError as error:
            raise InductionError(str(error), SLOTS * self.num_gates) from None
        facts.update({name: _Known(values=after[name]) for name in values})

    def _bring(self, look_up: LookUp, before: dict[str, Fact], facts: dict[str, Fact]) -> None:
        """Adds what a look-up brings."""
        target, pointing = self._find(look_up, before)
        for bring in look_up.brings:
            if not (isinstance(held := facts[bring.target], _Known) and (held.values == NOTHING).all()):
                raise InductionError(f"{bring.target} holds a value that another joins", SLOTS * self.num_gates)
            source = before[bring.source]
            if isinstance(pointing, _OfPointed):
                if not isinstance(source, _OfToken) or not np.array_equal(source.where, self.positions):
                    raise InductionError(f"{bring.source} is no token's own", SLOTS * self.num_gates)
                facts[bring.target] = _OfPointed(**{**pointing.__dict__, "value": bring.arriving(source.value)})
            elif isinstance(source, _Known):
                facts[bring.target] = _Known(values=bring.arriving(source.values)[target])
            elif isinstance(source, _OfToken):
                brought = _OfToken(where=source.where[target], value=bring.arriving(source.value))
                facts[bring.target] = self._resolve(brought)
            else:
                raise InductionError(f"{bring.source} depends on two tokens", SLOTS * self.num_gates)

    def _resolve(self, fact: _OfToken) -> Fact:
        """A function of one token is known if all tokens that may stand there have one value."""
        single = np.array(
            [part[0] if (part == part[0]).all() else OPEN for part in map(fact.value.take, self.kind_tokens)]
        )
        values = single[self.kind[fact.where]]
        return fact if (values == OPEN).any() else _Known(values=values)

    def _find(
        self, look_up: LookUp, facts: dict[str, Fact]
    ) -> tuple[Int64[np.ndarray, " positions"], _OfPointed | None]:
        """The position that each position reads, or how that depends on a token."""
        if look_up.is_ranked:
            return self._find_ranked(look_up, facts), None
        first = SLOTS * self.num_gates
        columns = []
        for clause in look_up.clauses:
            key = facts[clause.key]
            if not isinstance(key, _Known):
                raise InductionError(
                    f"look-up {look_up.name} compares {clause.key}, which depends on the prompt", first
                )
            columns.append((key.values, self.construction.field_named[clause.key].num_values))
        keys = Keys(columns)
        asked = [None if clause.asked is None else facts[clause.asked] for clause in look_up.clauses]
        pointers = [fact for fact in asked if isinstance(fact, _OfToken)]
        if not pointers:
            wanted = [
                np.broadcast_to(clause.wanted(fact.values if isinstance(fact, _Known) else None), self.positions.shape)
                for clause, fact in zip(look_up.clauses, asked, strict=True)
            ]
            target, again = keys.find(wanted)
            bad = ((target > self.positions) | (again <= self.positions))[first:]
            if bad.any():
                raise InductionError(f"look-up {look_up.name} finds no one position", first + int(np.argmax(bad)))
            return np.minimum(target, self.positions), None
        where = pointers[0].where
        if any(not np.array_equal(pointer.where, where) for pointer in pointers):
            raise InductionError(f"look-up {look_up.name} asks for what two tokens say", first)
        wanted = []
        for clause, fact in zip(look_up.clauses, asked, strict=True):
            if isinstance(fact, _OfToken):
                wanted.append(clause.wanted(fact.value))
            elif fact is None:
                wanted.append(np.full(len(self.token), clause.constant))
            else:
                raise InductionError(f"look-up {look_up.name} mixes what positions and tokens say", first)
        target, again = keys.find(wanted)
        return self.positions, _OfPointed(where=where, target=target, again=again, value=target)

    def _find_ranked(self, look_up: LookUp, facts: dict[str, Fact]) -> Int64[np.ndarray, " positions"]:
        """Of a look-up with weights: for each position the one up to it that meets most."""
        first = SLOTS * self.num_gates
        weight = np.zeros(self.num_positions, dtype=np.int64)
        for clause in look_up.clauses:
            if clause.asked is not None:
                raise InductionError(f"look-up {look_up.name} does not ask for the same everywhere", first)
            weight += clause.weight * self._meets(facts[clause.key], clause.constant, look_up)
        most = np.maximum.accumulate(weight)
        target = np.zeros(self.num_positions, dtype=np.int64)
        for value in np.unique(weight):
            places, here = np.flatnonzero(weight == value), most == value
            count = np.cumsum(weight == value)
            if (count[here] != 1)[self.positions[here] >= first].any():
                raise InductionError(f"look-up {look_up.name} finds no one position", first)
            target[here] = places[0]
        return target

    def _meets(self, fact: Fact, wanted: int, look_up: LookUp) -> Bool[np.ndarray, " positions"]:
        """At which positions a field has a value, whatever token of its kind stands there."""
        if isinstance(fact, _Known):
            return fact.values == wanted
        if isinstance(fact, _OfToken) and np.array_equal(fact.where, self.positions):
            meets = [(fact.value[tokens] == wanted) for tokens in self.kind_tokens]
            if all(one.all() or not one.any() for one in meets):
                return np.array([bool(one.any()) for one in meets])[self.kind]
        raise InductionError(f"what look-up {look_up.name} finds depends on the prompt", SLOTS * self.num_gates)

    def check_pointing(self, fact: _OfPointed, positions: np.ndarray, slot: int, role: str, name: str) -> None:
        """Checks that ids point to the gate's value in the chain, and other tokens to ``=``."""
        first = SLOTS * self.num_gates
        if role != "given":
            raise InductionError(f"{name} is looked up by another token than it should", int(positions[0]))
        # Gate g, from 0, may read the gates before it: their ids are 1 to g.
        if 0 < slot < SLOTS - 1:
            ids = np.arange(1, len(positions))
            tokens = self.ids[: len(ids)]
            target, again = fact.target[tokens], np.minimum.accumulate(fact.again[tokens])
            # Position p of gate g sees ids up to g, whose values stand before it.
            wrong = (target != first + SLOTS * ids) | (again <= positions[1:])
            if wrong.any():
                raise InductionError(f"{name} is not the value of the input", int(positions[1:][np.argmax(wrong)]))
        others = np.array([self.token[text] for text in (*TYPES, "NA", "=")])
        wrong_target = (fact.target[others] != first) | (fact.again[others] <= positions[-1])
        if wrong_target.any():
            raise InductionError(f"{name} is looked up where there is no id", int(positions[0]))
