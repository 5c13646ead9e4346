"""The second half of the proof for iterated squaring without a chain: every prime, residue and number of squarings.

Only the first layer looks anything up, and only what tokens decide. So what ``=`` writes depends on the tokens that it
reads there, the prime and the residue, and on its own position. All of that is gone through, layer by layer.
"""

from __future__ import annotations

import numpy as np

from serialformer.constructions.claim import SquaringClaim
from serialformer.constructions.construction import NOTHING, Construction, LookUp
from serialformer.constructions.interpret import Values, fields_to_tokens, fire_tables
from serialformer.errors import CompileError
from serialformer.proofs.induction import InductionError, position_keys
from serialformer.proofs.logits import Occurring


def check_squaring_claim(construction: Construction, claim: SquaringClaim) -> Occurring:
    """Shows that a construction squares, for every prompt.

    Returns:
        Which tokens occur where.

    Raises:
        InductionError: it does not; names the first position that breaks.
    """
    num_positions, bound = claim.length + 3, construction.end_token
    if construction.num_positions < num_positions:
        raise InductionError("the prompt does not fit the positions", num_positions - 1)
    numbers = tuple(str(number) for number in range(bound))
    if construction.vocabulary[:bound] != numbers or "^2" not in construction.vocabulary[bound:]:
        raise InductionError("the vocabulary is not that of the task", 0)
    if not (len(claim.primes) and claim.primes.min() >= 2 and claim.primes.max() < bound):
        raise InductionError("the primes are no tokens", 0)
    for layer in construction.layers[1:]:
        if layer.look_ups:
            raise InductionError("a layer after the first one looks something up", 0)
    tokens = _prompt_tokens(claim)
    fetched: Values = {}
    for look_up in construction.layers[0].look_ups:
        _bring(construction, look_up, num_positions, tokens, fetched)
    expected = tokens["residue"]
    for num_squarings in range(1, claim.length + 1):
        if num_squarings <= claim.num_squarings:
            expected = expected * expected % tokens["prime"]
        written = _write(construction, num_squarings + 2, fetched, len(expected))
        if written is None or not np.array_equal(written, expected):
            raise InductionError("the construction writes another residue", num_squarings + 2)
    anywhere, current, written_tokens = (np.zeros(len(construction.vocabulary), dtype=bool) for _ in range(3))
    anywhere[:bound] = anywhere[bound:] = True
    current[construction.end_token] = True
    written_tokens[np.unique(tokens["residue"])] = True
    return Occurring(anywhere=anywhere, current=current, written=written_tokens)


def _prompt_tokens(claim: SquaringClaim) -> dict[str, np.ndarray]:
    """Every prime with every residue from 1 on: the tokens at positions 0 and 1."""
    return {
        "prime": np.repeat(claim.primes, claim.primes - 1),
        "residue": np.concatenate([np.arange(1, prime) for prime in claim.primes.tolist()]),
    }


def _bring(
    construction: Construction, look_up: LookUp, num_positions: int, tokens: dict[str, np.ndarray], fetched: Values
) -> None:
    """What a look-up brings to wherever ``=`` may stand, which must be the same, for each prime and residue."""
    columns, positions = [], np.arange(num_positions)
    for clause in look_up.clauses:
        held = None
        if clause.asked is not None:
            part = construction.field_named[clause.asked]
            if part.origin != "position":
                raise InductionError(f"look-up {look_up.name} asks for more than the position decides", 0)
            held = np.asarray(part.at(slice(0, num_positions)), dtype=np.int64)
        columns.append(np.broadcast_to(clause.wanted(held), positions.shape))
    if look_up.is_ranked:
        raise InductionError(f"look-up {look_up.name} weighs its clauses", 0)
    first, again = position_keys(construction, look_up, num_positions).find(columns)
    wrong = (first > positions) | (again <= positions)
    if wrong.any():
        raise InductionError(f"look-up {look_up.name} finds no one position", int(np.argmax(wrong)))
    targets = np.unique(first[3:])
    if len(targets) != 1 or targets[0] > 1:
        raise InductionError(f"look-up {look_up.name} reads neither the prime nor the residue", 3)
    token = tokens["prime" if targets[0] == 0 else "residue"]
    for bring in look_up.brings:
        source, target = construction.field_named[bring.source], construction.field_named[bring.target]
        if source.origin != "token" or target.origin != "layers" or bring.target in fetched:
            raise InductionError(f"look-up {look_up.name} brings more than a token's field into an empty one", 0)
        fetched[bring.target] = bring.arriving(source.of_token)[token]


def _write(construction: Construction, position: int, fetched: Values, num_cases: int) -> np.ndarray | None:
    """The token that ``=`` writes at a position, for each prime and residue; None if it is not always a token."""
    values: Values = {}
    for part in construction.fields:
        if part.origin == "token":
            values[part.name] = np.full(num_cases, part.of_token[construction.end_token])
        elif part.origin == "position":
            values[part.name] = np.full(num_cases, int(part.at(slice(position, position + 1))[0]))
        else:
            values[part.name] = fetched.get(part.name, np.full(num_cases, NOTHING))
    of_token = {part.name for part in construction.fields_of("token")}
    of_layers = {part.name for part in construction.fields_of("layers")}
    last = len(construction.layers) - 1
    for number, layer in enumerate(construction.layers):
        for table in layer.tables:
            if not set(table.writes) <= (of_token if number == last else of_layers):
                raise InductionError(f"table {table.name} writes what it should not", position)
        if not set(layer.clears) <= of_layers:
            raise InductionError("a layer clears what tokens or positions decide", position)
        try:
            values, answers = fire_tables(layer, values, number == last)
        except CompileError as error:
            raise InductionError(error.message, position) from None
    return fields_to_tokens(construction, answers) if set(answers) == of_token else None
