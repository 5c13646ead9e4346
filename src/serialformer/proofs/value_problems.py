"""The second half of the proof for the circuit value problem without a chain, for all circuits at once.

The prompt is a circuit in topological order: an input's number is smaller than the gate's own. Three things are shown.
In the first layer each gate's host, and ``=``, has the type of its gate and the numbers of its inputs, whatever they
are. In each later layer what a number asks for is met by one position up to the current one, the host of the gate with
that number. And the unit tables compute the value of each kind of gate for each pair of bits. Then after l layers a
host has the value of its gate after l rounds, by induction over l.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from serialformer.constructions.claim import ValueProblemClaim
from serialformer.constructions.construction import NOTHING, Construction, ConstructionLayer, LookUp
from serialformer.constructions.interpret import Values, fields_to_tokens, fire_tables
from serialformer.errors import CompileError
from serialformer.proofs.induction import InductionError, position_keys
from serialformer.proofs.logits import Occurring

SLOTS = 4
KINDS = ("TRUE", "FALSE", "AND", "OR", "NOT", "NA", "=")
TRUE, FALSE, AND, OR, NOT = range(5)
GATES = range(5)


def _value(kind: int, left: int, right: int) -> int:
    """A gate's value, as the task defines it."""
    return (
        (kind == TRUE)
        or (kind == AND and left and right)
        or (kind == OR and (left or right))
        or (kind == NOT and not left)
    )


def check_value_problem_claim(construction: Construction, claim: ValueProblemClaim) -> Occurring:
    """Proves that a construction evaluates all circuits of up to a number of gates, within a number of rounds.

    Returns:
        Which tokens occur where.

    Raises:
        InductionError: it does not; names the first position that breaks.
    """
    checker = _Checker(construction, claim)
    layers = construction.layers
    if len(layers) != claim.num_layers:
        raise InductionError(f"there are {len(layers)} layers, not {claim.num_layers}", 0)
    checker.check_gathering(layers[0])
    if len(layers) == 1:
        checker.check_answer(layers[0], rounds=1)
    else:
        checker.check_constants(layers[0])
        checked: set[int] = set()
        for layer in layers[1:-1]:
            if id(layer) not in checked:
                checked.add(id(layer))
                checker.check_fetching(layer)
                checker.check_round(layer)
        checker.check_fetching(layers[-1])
        checker.check_answer(layers[-1], rounds=2)
    num_tokens = len(construction.vocabulary)
    current, written = np.zeros(num_tokens, dtype=bool), np.zeros(num_tokens, dtype=bool)
    current[construction.end_token] = True
    written[[construction.vocabulary.index(text) for text in ("TRUE", "FALSE")]] = True
    return Occurring(
        anywhere=np.ones(num_tokens, dtype=bool), current=current, written=written, filled=frozenset(["value"])
    )


class _Checker:
    def __init__(self, construction: Construction, claim: ValueProblemClaim) -> None:
        self.construction, self.num_gates = construction, claim.num_gates
        self.num_positions = SLOTS * claim.num_gates + 1
        expected = (*map(str, range(1, claim.num_gates + 1)), *KINDS)
        if construction.vocabulary != expected or construction.num_positions < self.num_positions:
            raise InductionError("vocabulary or positions are not those of the task", 0)
        fields = construction.field_named
        for name in ("gate", "first", "second", "value", "left", "right"):
            if name in fields and fields[name].origin != "layers":
                raise InductionError(f"{name} is not filled in by layers", 0)
        if any(fields[name].origin != "token" for name in ("kind", "number")):
            raise InductionError("tokens do not hold their kinds and numbers", 0)
        kinds, numbers = fields["kind"].of_token, fields["number"].of_token
        of_numbers = np.arange(claim.num_gates)
        holds = np.array_equal(kinds[claim.num_gates :], np.arange(len(KINDS)))
        holds &= bool((kinds[: claim.num_gates] == len(KINDS)).all()) and fields["kind"].num_values == len(KINDS) + 1
        holds &= np.array_equal(numbers[of_numbers], 1 + of_numbers) and not numbers[claim.num_gates :].any()
        if not holds:
            raise InductionError("tokens do not hold their kinds and numbers", 0)

    def _find(self, look_up: LookUp) -> np.ndarray:
        """The position that a look-up reads from each position; it asks for what positions decide."""
        columns, positions = [], np.arange(self.num_positions)
        for clause in look_up.clauses:
            part = self.construction.field_named[clause.asked or clause.key]
            if clause.asked is None or part.origin != "position":
                raise InductionError(f"look-up {look_up.name} asks for more than the position decides", 0)
            columns.append(clause.wanted(np.asarray(part.at(slice(0, self.num_positions)), dtype=np.int64)))
        first, again = position_keys(self.construction, look_up, self.num_positions).find(columns)
        wrong = (first > positions) | (again <= positions)
        if wrong.any():
            raise InductionError(f"look-up {look_up.name} finds no one position", int(np.argmax(wrong)))
        return first

    def check_gathering(self, layer: ConstructionLayer) -> None:
        """Each host, and each ``=``, has the type and the inputs' numbers of its gate."""
        brings = {}
        for look_up in layer.look_ups:
            (bring,) = look_up.brings if len(look_up.brings) == 1 else (None,)
            if bring is None or bring.of_value is not None or bring.target in brings:
                raise InductionError(f"look-up {look_up.name} does not bring one field as it is", 0)
            brings[bring.target] = (bring.source, self._find(look_up))
        expected = {"gate": ("kind", 0), "first": ("number", 1), "second": ("number", 2)}
        if {target: source for target, (source, _) in brings.items()} != {
            target: source for target, (source, _) in expected.items()
        }:
            raise InductionError("the first layer does not fetch type and inputs", 0)
        gates = np.arange(self.num_gates)
        for target, (_, slot) in expected.items():
            found = brings[target][1]
            for reader in (SLOTS * gates + 3, SLOTS * gates + 4):
                wrong = found[reader] != SLOTS * gates + slot
                if wrong.any():
                    raise InductionError(f"{target} is fetched from elsewhere", int(reader[np.argmax(wrong)]))
            # Elsewhere it must be a token whose number, if it has one, is that of a gate before: no gate's own number.
            elsewhere = np.setdiff1d(
                np.arange(self.num_positions), np.concatenate([SLOTS * gates + 3, SLOTS * gates + 4])
            )
            if target != "gate" and (found[elsewhere] % SLOTS == SLOTS - 1).any():
                raise InductionError(f"{target} may be the number of a later gate", int(elsewhere[0]))

    def check_fetching(self, layer: ConstructionLayer) -> None:
        """What a number asks for is met by the host of its gate; no number by position 0."""
        sought = {}
        for look_up in layer.look_ups:
            is_plain = len(look_up.brings) == 1 and len(look_up.clauses) == 1
            if not is_plain or look_up.brings[0].of_value is not None or look_up.brings[0].source != "value":
                raise InductionError(f"look-up {look_up.name} does not bring one value as it is", 0)
            (clause,), (bring,) = look_up.clauses, look_up.brings
            if clause.asked is None or clause.of_value is not None:
                raise InductionError(f"look-up {look_up.name} does not ask for a number", 0)
            sought[bring.target] = clause.asked
            keys = position_keys(self.construction, look_up, self.num_positions)
            first, again = keys.find([np.arange(self.num_gates + 1)])
            hosts = np.append(0, SLOTS * np.arange(self.num_gates) + 3)
            if not np.array_equal(first, hosts) or (again < self.num_positions).any():
                raise InductionError(f"look-up {look_up.name} does not find the hosts of gates", 0)
        if sought != {"left": "first", "right": "second"}:
            raise InductionError("a layer does not fetch the values of both inputs", 0)

    def check_constants(self, layer: ConstructionLayer) -> None:
        """After the first layer hosts have a value: that of the constant TRUE is 1."""
        values: Values = {"gate": np.arange(len(KINDS) + 1)}
        for name in ("value", "left", "right", "first", "second"):
            values[name] = np.full(len(KINDS) + 1, NOTHING)
        after = self._fire(layer, values, ("gate",), ("value",))
        if layer.clears or not np.array_equal(after["value"], (values["gate"] == TRUE).astype(np.int64)):
            raise InductionError("the first layer does not give constants their values", 3)

    def check_round(self, layer: ConstructionLayer) -> None:
        """The tables put the gate's value in place of what stood there, and clear what was fetched."""
        values, expected = self._cases()
        values["value"] = np.tile([0, 1], len(expected))
        for name in ("gate", "left", "right"):
            values[name] = np.repeat(values[name], 2)
        after = self._fire(layer, values, ("gate", "left", "right"), ("value",))
        if sorted(layer.clears) != ["left", "right", "value"]:
            raise InductionError("a layer does not clear what was fetched", 3)
        if not np.array_equal(after["value"], np.repeat(expected, 2)):
            raise InductionError("a layer does not evaluate gates", 3)

    def check_answer(self, layer: ConstructionLayer, rounds: int) -> None:
        """The last layer writes the value of the last gate as a token."""
        if rounds == 1:
            values: Values = {"gate": np.arange(len(KINDS) + 1)}
            expected = (values["gate"] == TRUE).astype(np.int64)
        else:
            values, expected = self._cases()
        # Only "=" writes what counts.
        values["kind"] = np.full(len(expected), KINDS.index("="))
        reads = {name for table in layer.tables for name in table.reads}
        if not reads <= set(values):
            raise InductionError("the last layer depends on something else than the gate and its inputs", 4)
        try:
            _, answers = fire_tables(layer, values, True)
        except CompileError as error:
            raise InductionError(error.message, 4) from None
        tokens = fields_to_tokens(self.construction, answers) if set(answers) == {"kind", "number"} else None
        of_value = np.array([self.construction.vocabulary.index(text) for text in ("FALSE", "TRUE")])
        if tokens is None or not np.array_equal(tokens, of_value[expected]):
            raise InductionError("the last layer does not write the value of the last gate", 4)

    def _cases(self) -> tuple[Values, np.ndarray]:
        cases = np.array(list(product(range(len(KINDS) + 1), (0, 1), (0, 1))), dtype=np.int64)
        expected = np.array([int(bool(_value(*case))) for case in cases.tolist()])
        return {"gate": cases[:, 0], "left": cases[:, 1], "right": cases[:, 2]}, expected

    def _fire(
        self, layer: ConstructionLayer, values: Values, reads: tuple[str, ...], writes: tuple[str, ...]
    ) -> Values:
        for table in layer.tables:
            if not (set(table.reads) <= set(reads) and set(table.writes) <= set(writes)):
                raise InductionError(f"table {table.name} reads or writes what it should not", 3)
        try:
            return fire_tables(layer, values, False)[0]
        except CompileError as error:
            raise InductionError(error.message, 3) from None
