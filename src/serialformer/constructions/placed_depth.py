"""Models without a chain in tokens that say where they stand.

Each position has a token for whatever can stand there: a bit of a circuit's input or the filler of a gate's column, the
items of a product or the symbols of its permutations, ``=``, and the tokens of the answer. Prompts of squarings and of
circuit values may be shorter, so that several of these can stand at one position. The text ends where no unit of the
last layer fires.
"""

from __future__ import annotations

import numpy as np

from serialformer.arrays import Bool
from serialformer.constructions.claim import (
    ColumnsClaim,
    CompositionClaim,
    ScanClaim,
    SquaringClaim,
    ValueProblemClaim,
)
from serialformer.constructions.construction import Construction
from serialformer.constructions.placed_tasks import check_number_of_tokens, end_by_default
from serialformer.constructions.placed_tokens import VOCABULARY_MULTIPLE, PlacedTokens, place_allowed
from serialformer.constructions.value_problem_depth import SLOTS
from serialformer.errors import CompileError

DepthClaim = ColumnsClaim | ScanClaim | CompositionClaim | SquaringClaim | ValueProblemClaim


def place_without_chain(construction: Construction) -> tuple[Construction, PlacedTokens]:
    """The construction whose answer ends where no unit fires, and its tokens.

    Args:
        construction: of a circuit or a task without a chain, with a position for each token of the answer.

    Raises:
        CompileError: it counts, or there would be too many tokens.

    >>> from serialformer.constructions.task_depth import task_depth_construction
    >>> from serialformer.tasks.registry import make_task
    >>> parity = task_depth_construction(make_task("parity"), 2, ends=True)
    >>> construction, tokens = place_without_chain(parity)
    >>> tokens.vocabulary[7:14]
    ('aao', 'aai', 'abo', 'abi', 'ace', 'ado', 'adi')
    """
    if construction.counts:
        raise CompileError(
            f"{construction.name} counts: its head takes the mean over all positions, and the mean is not proven for"
            " a Llama",
            hint="--by doubling takes more layers, or use --target gpt2",
        )
    claim = next(construction.claims())
    assert isinstance(claim, DepthClaim), construction.name
    allowed = standing_tokens(construction, claim)
    check_number_of_tokens(construction, int(allowed.sum()))
    placed = place_allowed(allowed, construction.end_token, VOCABULARY_MULTIPLE)
    return end_by_default(construction), placed


def standing_tokens(construction: Construction, claim: DepthClaim) -> Bool[np.ndarray, "positions vocabulary"]:
    """For each position and token whether a claim says that it can stand there, but for the end of the answer.

    Raises:
        CompileError: the construction has no positions for all of them.
    """
    end = construction.end_token
    allowed = np.zeros((construction.num_positions, len(construction.vocabulary)), dtype=bool)
    if isinstance(claim, SquaringClaim):
        return _tokens_of_squarings(allowed, claim, construction)
    if isinstance(claim, ValueProblemClaim):
        return _tokens_of_circuits(allowed, claim, construction)
    if isinstance(claim, ColumnsClaim):
        written = np.array([construction.vocabulary.index(text) for text in ("0", "1")])
        first = claim.num_inputs + len(claim.arity)
        answers = first + 1 + np.arange(len(claim.answers))
        allowed[np.ix_(np.arange(claim.num_inputs), written)] = True
        allowed[claim.num_inputs : first, construction.vocabulary.index(".")] = True
    elif isinstance(claim, ScanClaim):
        first = claim.num_items
        answers = np.array([first + 1])
        allowed[:first, claim.items] = True
        written = np.unique(claim.answer)
    else:
        first = claim.num_items * claim.item_width
        answers = first + 1 + np.arange(claim.degree)
        slot = np.arange(first) % claim.item_width
        is_symbol = (slot >= claim.first_slot) & (slot < claim.first_slot + claim.degree)
        written = np.arange(claim.degree)
        brackets = np.setdiff1d(np.arange(len(construction.vocabulary)), np.append(written, end))
        allowed[np.ix_(np.flatnonzero(is_symbol), written)] = True
        allowed[np.ix_(np.flatnonzero(~is_symbol), brackets)] = True
    if answers.max(initial=first) >= construction.num_positions:
        raise CompileError(f"{construction.name} has no position for the end of its answer")
    allowed[first, end] = True
    allowed[np.ix_(answers, written)] = True
    return allowed


def _tokens_of_squarings(
    allowed: Bool[np.ndarray, "positions vocabulary"], claim: SquaringClaim, construction: Construction
) -> Bool[np.ndarray, "positions vocabulary"]:
    """A prime, a residue, and from there on what prompts of different lengths have at a position."""
    if construction.num_positions < claim.length + 4:
        raise CompileError(f"{construction.name} has no position for the end of its answer")
    residues = np.arange(1, int(claim.primes.max()))
    allowed[0, claim.primes] = True
    allowed[1, residues] = True
    allowed[2 : claim.length + 2, construction.vocabulary.index("^2")] = True
    allowed[3 : claim.length + 3, construction.end_token] = True
    allowed[np.ix_(np.arange(4, claim.length + 4), residues)] = True
    return allowed


def _tokens_of_circuits(
    allowed: Bool[np.ndarray, "positions vocabulary"], claim: ValueProblemClaim, construction: Construction
) -> Bool[np.ndarray, "positions vocabulary"]:
    """Each gate has four tokens: its type, two inputs, which are earlier gates or none, and its number."""
    if construction.num_positions < SLOTS * claim.num_gates + 2:
        raise CompileError(f"{construction.name} has no position for the end of its answer")
    number = {text: token for token, text in enumerate(construction.vocabulary)}
    for gate in range(claim.num_gates):
        first = SLOTS * gate
        allowed[first, [number[text] for text in ("TRUE", "FALSE", "AND", "OR", "NOT")]] = True
        allowed[first + 1 : first + 3, [number["NA"], *(number[str(other)] for other in range(1, gate + 1))]] = True
        allowed[first + 3, number[str(gate + 1)]] = True
        allowed[first + SLOTS, construction.end_token] = True
        allowed[first + SLOTS + 1, [number["TRUE"], number["FALSE"]]] = True
    return allowed
