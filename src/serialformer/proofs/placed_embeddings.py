"""The embedding of a transformer whose tokens say where they stand, checked against what position and token decide."""

from __future__ import annotations

import numpy as np

from serialformer.constructions.claim import BitClaim, TableClaim
from serialformer.constructions.construction import NOTHING, Construction
from serialformer.constructions.placed_depth import DepthClaim, standing_tokens
from serialformer.constructions.placed_tasks import claimed_tokens
from serialformer.constructions.placed_tokens import ABSENT, SPECIAL, PlacedTokens
from serialformer.constructions.placement import Placement
from serialformer.errors import CompileError
from serialformer.proofs.induction import InductionError
from serialformer.proofs.stream import RealisationError, Stream, values_at
from serialformer.transformer.transformer import Transformer

POSITIONS_PER_BLOCK = 1 << 14


def check_placed_claims(construction: Construction, placed: PlacedTokens) -> None:
    """Shows that there is a token for each that a claim says can stand at a position, and one for each only.

    Raises:
        InductionError: there is not; names the first position.
    """
    present = placed.ids != ABSENT
    tokens = placed.ids[present]
    if len(np.unique(tokens)) < len(tokens) or tokens.min(initial=len(SPECIAL)) < len(SPECIAL):
        raise InductionError("two tokens are one", 0)
    if tokens.max(initial=0) >= placed.num_tokens:
        raise InductionError("a token is not in the vocabulary", 0)
    _check_end(construction)
    for claim in construction.claims():
        if isinstance(claim, TableClaim):
            needed = claimed_tokens(construction, claim)
        elif isinstance(claim, BitClaim):
            zero, one = (construction.vocabulary.index(text) for text in ("0", "1"))
            needed = np.zeros((construction.num_positions, len(construction.vocabulary)), dtype=bool)
            needed[:, [zero, one]] = True
            needed[claim.num_inputs] = False
            needed[claim.num_inputs, construction.end_token] = True
        elif isinstance(claim, DepthClaim):
            try:
                needed = standing_tokens(construction, claim)
            except CompileError as error:
                raise InductionError(error.message, construction.num_positions - 1) from None
            _check_end_of_answer(construction, needed[-1])
        else:
            raise InductionError("only prompts of one layout have tokens that say where they stand", 0)
        missing = (needed & ~present).any(axis=1)
        if missing.any():
            raise InductionError("there is no token for what can stand there", int(np.argmax(missing)))


def _check_end(construction: Construction) -> None:
    """Shows that the end of a chain is written where no unit writes, and nowhere else.

    The token that ends a text has no position and so no unembedding like others.
    """
    tables = construction.layers[-1].tables
    for part in construction.fields_of("token"):
        end = int(part.of_token[construction.end_token])
        written = [table.written[:, table.writes.index(part.name)] for table in tables if part.name in table.writes]
        if construction.default.get(part.name) != end:
            raise InductionError("the default is not the end of the chain", 0)
        if all((values != end).all() for values in written):
            return
    raise InductionError("units may write the end of the chain, which must stand where none writes", 0)


def _check_end_of_answer(construction: Construction, answers: np.ndarray) -> None:
    """Shows that at the last position, where the last token of an answer stands, no unit writes: the text ends there.

    Every table must read a field for which no unit watches there: one that the position decides, or one that the token
    decides, and no layer changes.

    Args:
        construction: of several layers, perhaps.
        answers: for each token whether it can stand at the last position.
    """
    last = construction.num_positions - 1
    changed = {name for layer in construction.layers[:-1] for name in layer.clears}
    changed |= {name for layer in construction.layers[:-1] for table in layer.tables for name in table.writes}
    for table in construction.layers[-1].tables:
        for place, name in enumerate(table.reads):
            part = construction.field_named[name]
            held = np.zeros(0)
            if part.origin == "position":
                held = part.at(slice(last, last + 1))
            elif part.origin == "token" and name not in changed:
                held = part.of_token[answers]
            if len(held) and not np.isin(held, table.watched[:, place]).any():
                break
        else:
            raise InductionError(f"a unit of table {table.name} may write after the end of the answer", last)


def check_placed_embeddings(transformer: Transformer, placement: Placement, allowed: np.ndarray) -> Stream:
    """Checks that each token holds the codes of what it and its position decide, exactly."""
    construction, placed = placement.construction, placement.placed
    assert placed is not None
    embedding = transformer.token_embedding
    of_token = np.zeros((placed.num_plain, placement.width), dtype=np.float32)
    for part in construction.fields_of("token"):
        of_token[:, placement.spans[part.name]] = placement.rows(part.name, part.of_token)
    constant = placement.constant.astype(np.float32)
    for part in construction.fields_of("layers"):
        constant[placement.spans[part.name]] = placement.nothing[part.name]
    may_be_nothing = {part.name: part.origin != "position" for part in construction.fields}
    for part in construction.fields_of("token"):
        may_be_nothing[part.name] = bool((part.of_token[allowed] == NOTHING).any())
    token_squares = np.square(of_token.astype(np.float64)).sum(axis=1)
    low, high = np.inf, -np.inf
    for start in range(0, construction.num_positions, POSITIONS_PER_BLOCK):
        rows = slice(start, min(start + POSITIONS_PER_BLOCK, construction.num_positions))
        block = np.tile(constant, (rows.stop - rows.start, 1))
        for part in construction.fields_of("position"):
            values = values_at(part, rows)
            may_be_nothing[part.name] |= bool((values < 0).any())
            block[:, placement.spans[part.name]] = placement.rows(part.name, values)
        squares = np.square(block.astype(np.float64)).sum(axis=1)
        for plain in range(placed.num_plain):
            ids = placed.ids[rows, plain]
            here = ids != ABSENT
            if not here.any():
                continue
            found = embedding[ids[here]].astype(np.float32)
            wrong = (found != block[here] + of_token[plain]).any(axis=1)
            if wrong.any():
                where = start + int(np.flatnonzero(here)[np.argmax(wrong)])
                text = construction.vocabulary[plain]
                raise RealisationError(f"the embedding of {text!r} at position {where} is not the code of its fields",
                                       where)  # fmt: skip
            if allowed[plain]:
                low = min(low, float(squares[here].min() + token_squares[plain]))
                high = max(high, float(squares[here].max() + token_squares[plain]))
    return Stream(
        placement=placement,
        allowed=allowed,
        error=np.zeros(placement.width),
        stored=np.zeros(placement.width),
        may_be_nothing=may_be_nothing,
        own=np.array([[0.0, low], [0.0, high]]),
        takes_mean=False,
    )
