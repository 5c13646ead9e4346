"""The second half of the proof for permutations that are composed symbol by symbol, by induction over the layers.

After the first layer each symbol's position has its own symbol as its value, and each position of the answer that of
the last permutation. Say that a position of slot i has image i of the product of the items from a to b. If for every
value v it fetches from the position of slot v that has image v of the product from a' to a - 1, and takes that as its
value, it has image i of the product from a' to b afterwards. Which position it fetches from is looked up for every
value that it may have, and must be one and only one up to its own; what the unit tables do is gone through for all
values.
"""

from __future__ import annotations

import numpy as np

from serialformer.arrays import Bool, Int64
from serialformer.constructions.claim import CompositionClaim
from serialformer.constructions.construction import NOTHING, Construction, ConstructionLayer, LookUp
from serialformer.constructions.interpret import Values, fields_to_tokens, fire_tables
from serialformer.errors import CompileError
from serialformer.proofs.induction import InductionError, position_keys
from serialformer.proofs.logits import Occurring

UNKNOWN = -1
"""Where a product begins that a position has no part in: that of a bracket."""


def check_composition_claim(construction: Construction, claim: CompositionClaim) -> Occurring:
    """Shows that a construction of any number of layers composes permutations.

    Returns:
        Which tokens occur where.

    Raises:
        InductionError: it does not; names the first position that breaks.
    """
    checker = _Checker(construction, claim)
    layers = construction.layers
    checker.check_gathering(layers[0], is_last=len(layers) == 1)
    for number, layer in enumerate(layers[1:], start=2):
        checker.check_step(layer, is_last=number == len(layers))
    missing = claim.num_items - claim.num_last
    answers = checker.begins[checker.num_prompt :]
    if (answers != missing).any():
        place = int(np.argmax(answers != missing))
        found = claim.num_items - int(answers[place])
        raise InductionError(
            f"the last {found} permutations are composed, not the last {claim.num_last}", checker.num_prompt + place
        )
    num_tokens = len(construction.vocabulary)
    anywhere, current, written = (np.zeros(num_tokens, dtype=bool) for _ in range(3))
    anywhere[:] = True
    written[: claim.degree] = True
    current[: claim.degree] = current[construction.end_token] = True
    return Occurring(anywhere=anywhere, current=current, written=written, filled=frozenset(["value", "pointer"]))


class _Checker:
    """What every position holds after the layers gone through so far.

    Attributes:
        may_hold: for each position and value whether it may hold it.
        points: for each position and value where it points; None before it does.
        begins: for each symbol's position, and those of the answer, the item at which its product begins.
    """

    def __init__(self, construction: Construction, claim: CompositionClaim) -> None:
        self.construction, self.claim = construction, claim
        self.num_values = len(construction.vocabulary)
        self.num_prompt = claim.item_width * claim.num_items
        self.num_positions = self.num_prompt + claim.degree
        self.positions = np.arange(self.num_positions)
        last = claim.first_slot + claim.degree
        fits = claim.first_slot >= 0 and last <= claim.item_width and claim.num_items >= 1
        if not fits or construction.num_positions < self.num_positions:
            raise InductionError("the prompt does not fit the positions", 0)
        part = construction.field_named["token"]
        if part.origin != "token" or not np.array_equal(part.of_token, np.arange(self.num_values)):
            raise InductionError("tokens do not hold themselves", 0)
        for name in ("value", "pointer", "fetched"):
            if name in construction.field_named and construction.field_named[name].origin != "layers":
                raise InductionError(f"{name} is not filled in by layers", 0)
        # Item and slot of symbols; the positions of the answer count as one more item.
        answers = self.positions >= self.num_prompt
        self.item = np.where(answers, claim.num_items - 1, self.positions // claim.item_width)
        slot = np.where(answers, self.positions - self.num_prompt + claim.first_slot, self.positions % claim.item_width)
        self.is_symbol = (slot >= claim.first_slot) & (slot < last)
        self.symbol = slot - claim.first_slot
        self.begins = np.where(self.is_symbol, self.item, UNKNOWN)
        self.may_hold = np.zeros((self.num_positions, self.num_values), dtype=bool)
        self.points: Int64[np.ndarray, "positions values"] | None = None

    def _place(self, item: np.ndarray, symbol: np.ndarray) -> np.ndarray:
        """The position of a symbol in the prompt."""
        return item * self.claim.item_width + self.claim.first_slot + symbol

    def _find(self, look_up: LookUp) -> Int64[np.ndarray, "positions values"]:
        """The position that is read from each position, for each value that it may hold; the number of positions where
        a value cannot stand.
        """
        shape, columns = (self.num_positions, self.num_values), []
        for clause in look_up.clauses:
            held: np.ndarray | None = None
            if clause.asked is not None:
                part = self.construction.field_named[clause.asked]
                if clause.asked == "pointer" and self.points is not None:
                    held = self.points
                elif part.origin == "position":
                    held = np.asarray(part.at(slice(0, self.num_positions)), dtype=np.int64)[:, None]
                else:
                    raise InductionError(f"look-up {look_up.name} asks for {clause.asked}", 0)
            columns.append(np.broadcast_to(clause.wanted(held), shape).ravel())
        if look_up.is_ranked:
            raise InductionError(f"look-up {look_up.name} weighs its clauses", 0)
        first, again = (
            found.reshape(shape)
            for found in position_keys(self.construction, look_up, self.num_positions).find(columns)
        )
        own = self.positions[:, None]
        wrong = (((first > own) | (again <= own)) & self.may_hold).any(axis=1)
        if wrong.any():
            raise InductionError(f"look-up {look_up.name} finds no one position", int(np.argmax(wrong)))
        return np.where(self.may_hold, first, self.num_positions)

    def _only(self, layer: ConstructionLayer, source: str, target: str) -> LookUp:
        """The one look-up of a layer, which must bring a field as it is."""
        if len(layer.look_ups) != 1:
            raise InductionError("a layer does not have one look-up", 0)
        (look_up,) = layer.look_ups
        brings = [(bring.source, bring.target, bring.of_value) for bring in look_up.brings]
        if brings != [(source, target, None)]:
            raise InductionError(f"look-up {look_up.name} does not bring {source} as it is", 0)
        return look_up

    def check_gathering(self, layer: ConstructionLayer, *, is_last: bool) -> None:
        """Each symbol's position takes its own symbol, and those of the answer take the last permutation's."""
        look_up = self._only(layer, "token", "value")
        # What is asked for is decided by the position, so one value stands for all.
        self.may_hold[:, 0] = True
        target = self._find(look_up)[:, 0]
        expected = np.where(self.positions < self.num_prompt, self.positions, self._place(self.item, self.symbol))
        wrong = target != expected
        if wrong.any():
            raise InductionError("a position takes another symbol than its own", int(np.argmax(wrong)))
        symbols = np.arange(self.num_values) < self.claim.degree
        brackets = ~symbols
        brackets[self.construction.end_token] = False
        self.may_hold = np.where(self.is_symbol[:, None], symbols, brackets)
        values = np.arange(self.num_values)
        self._fire(layer, {"value": values}, is_last=is_last, begins=None)

    def check_step(self, layer: ConstructionLayer, *, is_last: bool) -> None:
        """Each position fetches by its value, and takes what it fetches or keeps what it has."""
        look_up = self._only(layer, "value", "fetched")
        target = self._find(look_up)
        symbols, symbol = self.is_symbol, np.arange(self.claim.degree)
        # Where a symbol's position would have its product begin: all that it may fetch from must be one item's.
        here = target[symbols][:, : self.claim.degree]
        item = self.item[here[:, 0]]
        adjoins = (here == self._place(item[:, None], symbol)).all(axis=1) & (item == self.begins[symbols] - 1)
        reached = self.begins[here]
        adjoins &= (reached == reached[:, :1]).all(axis=1)
        begins = np.full(self.num_positions, UNKNOWN)
        begins[symbols] = np.where(adjoins, reached[:, 0], UNKNOWN)
        fetched = np.zeros_like(self.may_hold)
        for value in range(self.num_values):
            there = np.append(self.may_hold, np.zeros((1, self.num_values), dtype=bool), axis=0)[target[:, value]]
            fetched |= there
        own, other = (grid.ravel() for grid in np.indices((self.num_values, self.num_values)))
        self._fire(layer, {"value": own, "fetched": other}, is_last=is_last, begins=begins, fetched=fetched)

    def _fire(
        self,
        layer: ConstructionLayer,
        of_layers: dict[str, np.ndarray],
        *,
        is_last: bool,
        begins: np.ndarray | None,
        fetched: Bool[np.ndarray, "positions values"] | None = None,
    ) -> None:
        """Runs the unit tables for all values at every kind of position, and takes note of what positions hold then."""
        read = sorted({name for table in layer.tables for name in table.reads} - set(of_layers))
        for name in read:
            if self.construction.field_named[name].origin != "position":
                raise InductionError(f"a unit table reads {name}, which no claim is about", 0)
        decided = [
            np.asarray(self.construction.field_named[name].at(slice(0, self.num_positions)), dtype=np.int64)
            for name in read
        ]
        kinds = np.stack(decided, axis=1) if decided else np.zeros((self.num_positions, 0), dtype=np.int64)
        points = np.full((self.num_positions, self.num_values), NOTHING)
        for kind in np.unique(kinds, axis=0):
            here = (kinds == kind).all(axis=1)
            if is_last and not here[self.num_prompt :].any():
                continue  # only the positions of the answer write
            first = int(np.argmax(here)) if not is_last else self.num_prompt + int(np.argmax(here[self.num_prompt :]))
            rows = len(of_layers["value"])
            values: Values = {name: np.full(rows, value) for name, value in zip(read, kind.tolist(), strict=True)}
            # Any pointer will do: no unit reads it, and what is not cleared cannot be written.
            values["pointer"] = np.full(rows, NOTHING if self.points is None else 0)
            values["fetched"] = np.full(rows, NOTHING)
            values |= of_layers
            held, pointed = self._run(layer, values, first, is_last=is_last)
            if np.array_equal(held, values["value"]):
                takes = False
            elif "fetched" in of_layers and np.array_equal(held, values["fetched"]):
                takes = True
            else:
                raise InductionError("a position neither takes what it fetches nor keeps what it has", first)
            if takes:
                assert begins is not None and fetched is not None
                lost = here & self.is_symbol & (begins == UNKNOWN)
                if is_last:
                    lost[: self.num_prompt] = False
                if lost.any():
                    raise InductionError("a position takes what does not come just before", int(np.argmax(lost)))
                self.begins = np.where(here & self.is_symbol, begins, self.begins)
                self.may_hold = np.where(here[:, None], fetched, self.may_hold)
            if pointed is None:
                continue
            for value in range(self.num_values):
                of_value = pointed[held == value]
                if (of_value != of_value[0]).any():
                    raise InductionError("where a position points depends on more than its value", first)
                points[here, value] = of_value[0]
        self.points = points

    def _run(
        self, layer: ConstructionLayer, values: Values, position: int, *, is_last: bool
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The value and the pointer after a layer, for each case; of the last layer the token."""
        for table in layer.tables:
            if not is_last and not set(table.writes) <= {"value", "pointer"}:
                raise InductionError(f"table {table.name} writes what it should not", position)
        try:
            after, answers = fire_tables(layer, values, is_last)
        except CompileError as error:
            raise InductionError(error.message, position) from None
        if is_last:
            tokens = fields_to_tokens(self.construction, answers) if set(answers) == {"token"} else None
            if tokens is None:
                raise InductionError("what the last layer writes is not always a token", position)
            return tokens, None
        if (after["fetched"] != NOTHING).any() or (after["pointer"] == NOTHING).any():
            raise InductionError("what was fetched is not always cleared, or the pointer not written", position)
        return after["value"], after["pointer"]
