"""The second half of the proof for products without a chain, by induction over the layers.

Position p begins with the product of the items from p to p. If in a layer it fetches what stands at a position q with
the product of the items from a to p' and has that from p' + 1 to p itself, it has that from a to p afterwards: that is
one look at the positions. That the unit tables multiply is gone through for all pairs of elements. As the product is
associative, which is checked, it does not matter in which order a product has been made.
"""

from __future__ import annotations

import numpy as np

from serialformer.arrays import Int64
from serialformer.constructions.claim import ScanClaim
from serialformer.constructions.construction import NOTHING, Construction, ConstructionLayer
from serialformer.constructions.interpret import Values, fields_to_tokens, fire_tables
from serialformer.errors import CompileError
from serialformer.proofs.induction import InductionError, position_keys
from serialformer.proofs.logits import Occurring

PAIRS_PER_BLOCK = 1 << 16


def check_scan_claim(construction: Construction, claim: ScanClaim) -> Occurring:
    """Shows that a construction of any number of layers multiplies.

    Returns:
        Which tokens occur where.

    Raises:
        InductionError: it does not; names the first position that breaks.
    """
    last_position = claim.num_items
    if construction.num_positions < last_position + 1:
        raise InductionError("the prompt does not fit the positions", last_position)
    _check_product(claim)
    fields = construction.field_named
    if any(fields[name].origin != "token" for name in claim.carried):
        raise InductionError("what is carried is not decided by tokens", 0)
    of_token = np.stack([fields[name].of_token for name in claim.carried], axis=1)
    begin = np.append(claim.codes[claim.element], claim.codes[:1], axis=0)
    tokens = np.append(claim.items, construction.end_token)
    if not np.array_equal(of_token[tokens], begin):
        raise InductionError("a token does not hold its element", 0)
    # Where each position's product begins. ``=`` is the last item, and the identity.
    first = np.arange(last_position + 1)
    for number, layer in enumerate(construction.layers):
        is_last = number == len(construction.layers) - 1
        first = _check_layer(construction, claim, layer, first, is_last=is_last)
    missing = claim.num_items - claim.num_last
    if first[last_position] > missing:
        found = claim.num_items - int(first[last_position])
        raise InductionError(f"the last {found} items are multiplied, not the last {claim.num_last}", last_position)
    if first[last_position] < missing:
        raise InductionError("more items are multiplied than the claim says", last_position)
    anywhere, current, written = (np.zeros(len(construction.vocabulary), dtype=bool) for _ in range(3))
    anywhere[tokens], current[construction.end_token] = True, True
    written[claim.answer] = True
    return Occurring(anywhere=anywhere, current=current, written=written, filled=frozenset(claim.carried))


def _check_product(claim: ScanClaim) -> None:
    """Checks that the claim's product is associative and that element 0 is the identity.

    It suffices that (a b) c = a (b c) for every b of a set that generates the elements (Light's test).
    """
    product = claim.product
    every = np.arange(len(product))
    if not (np.array_equal(product[0], every) and np.array_equal(product[:, 0], every)):
        raise InductionError("element 0 is not the identity", 0)
    if len(np.unique(claim.codes, axis=0)) != len(claim.codes):
        raise InductionError("two elements are held by the same values", 0)
    reached, generators = np.zeros(len(product), dtype=bool), list[int]()
    reached[0] = True
    for element in np.unique(claim.element).tolist():
        if reached[element]:
            continue
        generators.append(element)
        new = np.array([element])
        while len(new):
            reached[new] = True
            found = np.unique(
                np.concatenate([product[new][:, generators].ravel(), product[reached][:, generators].ravel()])
            )
            new = found[~reached[found]]
    if not reached.all():
        raise InductionError("some element is no product of items", 0)
    for element in generators:
        if not np.array_equal(product[product[:, element]], product[:, product[element]]):
            raise InductionError("the product is not associative", 0)


def _check_layer(
    construction: Construction, claim: ScanClaim, layer: ConstructionLayer, first: np.ndarray, *, is_last: bool
) -> Int64[np.ndarray, " positions"]:
    """Checks one layer; returns where each position's product begins afterwards."""
    if len(layer.look_ups) != 1:
        raise InductionError("a layer does not have one look-up", 0)
    (look_up,) = layer.look_ups
    num_positions = len(first)
    positions, rows, columns = np.arange(num_positions), slice(0, num_positions), []
    for clause in look_up.clauses:
        held = None
        if clause.asked is not None:
            part = construction.field_named[clause.asked]
            if part.origin != "position":
                raise InductionError(f"look-up {look_up.name} asks for more than the position decides", 0)
            held = np.asarray(part.at(rows), dtype=np.int64)
        columns.append(np.broadcast_to(clause.wanted(held), positions.shape))
    target, again = position_keys(construction, look_up, num_positions).find(columns)
    wrong = (target > positions) | (again <= positions)
    if wrong.any():
        raise InductionError(f"look-up {look_up.name} finds no one position", int(np.argmax(wrong)))
    brought = {bring.source: bring for bring in look_up.brings}
    if set(brought) != set(claim.carried) or any(bring.of_value is not None for bring in look_up.brings):
        raise InductionError(f"look-up {look_up.name} does not bring an element as it is", 0)
    left = [brought[name].target for name in claim.carried]
    if len(set(left)) != len(left) or any(construction.field_named[name].origin != "layers" for name in left):
        raise InductionError(f"look-up {look_up.name} brings an element to where something stands", 0)
    read = dict.fromkeys(name for table in layer.tables for name in table.reads)
    of_position = [name for name in read if construction.field_named[name].origin == "position"]
    strange = set(read) - set(of_position) - set(left) - set(claim.carried)
    if strange:
        raise InductionError(f"a unit table reads {min(strange)}, which no claim is about", 0)
    decided = [np.asarray(construction.field_named[name].at(rows), dtype=np.int64) for name in of_position]
    kinds = np.stack(decided, axis=1) if decided else np.zeros((num_positions, 0), dtype=np.int64)
    after = first.copy()
    for kind in np.unique(kinds, axis=0):
        here = (kinds == kind).all(axis=1)
        if is_last and not here[-1]:
            continue  # only the last position writes
        keeps, joins = _try_kind(
            construction, claim, layer, left, dict(zip(of_position, kind.tolist(), strict=True)), is_last
        )
        adjoins = joins & here & (first[positions] > 0)
        adjoins &= target == first - 1
        if not (adjoins | ~here | keeps).all():
            where = here & ~adjoins & (not keeps)
            reason = "multiplies by what does not come just before" if joins else "neither multiplies nor keeps"
            raise InductionError(f"a position {reason}", int(np.argmax(where)))
        after = np.where(adjoins, first[target], after)
    return after


def _try_kind(
    construction: Construction,
    claim: ScanClaim,
    layer: ConstructionLayer,
    left: list[str],
    of_position: dict[str, int],
    is_last: bool,
) -> tuple[bool, bool]:
    """Whether the unit tables keep the position's own element, and whether they multiply, for all pairs of elements."""
    number = len(claim.product)
    keeps = joins = True
    for start in range(0, number**2, PAIRS_PER_BLOCK):
        pair = np.arange(start, min(start + PAIRS_PER_BLOCK, number**2))
        one, other = pair // number, pair % number
        values: Values = {name: np.full(len(pair), value) for name, value in of_position.items()}
        for place, (name, target) in enumerate(zip(claim.carried, left, strict=True)):
            values[target], values[name] = claim.codes[one, place], claim.codes[other, place]
        try:
            after, answers = fire_tables(layer, values, is_last)
        except CompileError as error:
            raise InductionError(error.message, 0) from None
        if is_last:
            tokens = _to_tokens(construction, answers)
            keeps &= np.array_equal(tokens, claim.answer[other])
            joins &= np.array_equal(tokens, claim.answer[claim.product[one, other]])
            continue
        if any(not set(table.writes) <= set(claim.carried) for table in layer.tables):
            raise InductionError("a table writes what it should not", 0)
        if not all((after[name] == NOTHING).all() for name in left):
            raise InductionError("what was fetched is not always cleared", 0)
        held = np.stack([after[name] for name in claim.carried], axis=1)
        keeps &= np.array_equal(held, claim.codes[other])
        joins &= np.array_equal(held, claim.codes[claim.product[one, other]])
    return keeps, joins


def _to_tokens(construction: Construction, answers: Values) -> np.ndarray:
    every = {part.name for part in construction.fields_of("token")}
    tokens = fields_to_tokens(construction, answers) if set(answers) == every else None
    if tokens is None:
        raise InductionError("what the last layer writes is not always a token", construction.num_positions - 1)
    return tokens
