"""The proof, in two halves: the weights realise a construction, and the construction does what its claims say.

``certify_construction`` has a construction as its witness (``realisation``, ``induction``). ``certify_chain`` has
none: for models of one layer over bits it finds in the weights which function each position writes, and compares that
with the circuit.

By induction over the chain. Every position holds one of two tokens: a bit of the prompt, ``=``, or a bit of the chain.
``reading`` proves, from the weights, which function of earlier bits each position writes, in whatever way a covered
runtime rounds: ``rounding`` for floats, exactly for the paper's arithmetic. That function is compared with what the
circuit says; both are brought to the form in which equal functions are equal. So if all tokens before a position are
right, the one it writes is.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from serialformer.architecture import Arithmetic
from serialformer.arrays import Float64, Int32, UInt8, UInt64
from serialformer.constructions.claim import (
    BitClaim,
    ColumnsClaim,
    CompositionClaim,
    CountClaim,
    PackedClaim,
    ScanClaim,
    SquaringClaim,
    TableClaim,
    ValueProblemClaim,
)
from serialformer.constructions.construction import Construction
from serialformer.constructions.fresh_fields import write_fresh
from serialformer.constructions.placement import Placement
from serialformer.errors import CheckpointError, CompileError
from serialformer.proofs.canonical import canonical_functions
from serialformer.proofs.certificate import Certificate, Failure, Lead, NormRange
from serialformer.proofs.circuit_prompts import MAX_GATES, SLOTS, CircuitPrompts
from serialformer.proofs.compositions import check_composition_claim
from serialformer.proofs.counting import certify_counting
from serialformer.proofs.float_reading import read_floats
from serialformer.proofs.induction import InductionError, Memory, check_consistent, check_table_claim
from serialformer.proofs.levels import check_columns_claim
from serialformer.proofs.logits import Occurring
from serialformer.proofs.packed import check_packed_claim
from serialformer.proofs.placed_embeddings import check_placed_claims
from serialformer.proofs.programs import check_bit_claim, check_prompt
from serialformer.proofs.reading import Reading
from serialformer.proofs.realisation import check_realisation
from serialformer.proofs.rounded_reading import read_rounded
from serialformer.proofs.rounded_realisation import check_rounded_realisation
from serialformer.proofs.rounding import Rounding, covered_rounding
from serialformer.proofs.scans import check_scan_claim
from serialformer.proofs.squarings import check_squaring_claim
from serialformer.proofs.stream import RealisationError
from serialformer.proofs.value_problems import check_value_problem_claim
from serialformer.transformer.precision import arithmetic_to_format
from serialformer.transformer.rotation import Rotation
from serialformer.transformer.transformer import Transformer

TOKENS_PER_BLOCK = 1 << 15


def certify_construction(
    transformer: Transformer,
    placement: Placement,
    *,
    rounding: Rounding | None = None,
    max_gates: int | None = None,
    rotation: Rotation | None = None,
) -> Certificate:
    """Proves that a model does what the claims of a construction say, with the construction as a witness.

    Args:
        transformer: a GPT-2 or a Llama.
        placement: the construction and where it lies in the weights; checked and never trusted.
        rounding: the runtimes to cover; unless given, those of the weights' own number format, and where that cannot be
            proven in 16 bits, those of them that store every result.
        max_gates: of an evaluator: all circuits of at most this many gates are checked; by default MAX_GATES.
        rotation: of a rotated model: by what its stream is multiplied; a witness, too.
    """
    construction, arithmetic = placement.construction, transformer.architecture.arithmetic
    if construction.counts:
        return certify_counting(transformer, construction, rounding=rounding)
    chosen = covered_rounding(transformer.architecture.dtype) if rounding is None else rounding
    candidates = [chosen]
    if rounding is None and chosen.storage != "float32":
        candidates.append(replace(chosen, always_stored=True))
    first = 0
    realisation, failure = None, None
    prompts = construction.prompts
    try:
        check_consistent(construction)
        occurring, first, prompts = check_claims(construction, MAX_GATES if max_gates is None else max_gates)
        if placement.placed is not None:
            check_placed_claims(construction, placement.placed)
            # The last token of an answer stands at a position, too, and the end is written there.
            anywhere, current = (part | occurring.written for part in (occurring.anywhere, occurring.current))
            occurring = replace(occurring, anywhere=anywhere, current=current)
        if placement.is_fresh:
            occurring = _in_fresh_fields(construction, occurring)
            placement = placement.realised
        if arithmetic is not None:
            for claim in construction.claims():
                if isinstance(claim, BitClaim):
                    check_prompt(construction, claim)
    except InductionError as error:
        failure = Failure(position=error.position, token=_token(construction, error.position), reason=str(error))
    except CompileError as error:  # two units of one table fire at once
        failure = Failure(position=0, token=-1, reason=error.message)
    if failure is None:
        for chosen in candidates:
            try:
                # What overflows or is no number fails a comparison, and so the proof.
                with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                    if arithmetic is None:
                        realisation = check_realisation(transformer, placement, occurring, chosen, rotation)
                    else:
                        realisation = check_rounded_realisation(transformer, placement, occurring)
                failure = None
                break
            except RealisationError as error:
                where = first if error.position is None else max(first, error.position)
                # Where prompts differ in length, the first position to write is in the longer ones.
                token = 0 if where == first else _token(construction, where)
                failure = Failure(position=where, token=token, reason=str(error))
    nothing = (0.0, 0.0)
    attention, logits = (nothing, nothing) if realisation is None else (realisation.attention, realisation.logits)
    return Certificate(
        failure=failure,
        prompts=prompts,
        num_chain_tokens=construction.num_chain_tokens,
        arithmetic=_covered(chosen) if arithmetic is None else _paper_covered(arithmetic),
        attention=Lead(exact=attention[0], rounded=attention[1], position=first),
        logits=Lead(exact=logits[0], rounded=logits[1], position=first),
        norms=tuple(
            NormRange(largest_mean=mean, least_deviation=least, largest_deviation=most)
            for mean, least, most in (() if realisation is None else realisation.norms)
        ),
        witness=True,
        logit_error=realisation.logit_error if realisation is not None and rotation is not None else None,
    )


def _in_fresh_fields(construction: Construction, occurring: Occurring) -> Occurring:
    """The same where every layer writes into fields of its own: what is filled is so in each of them."""
    versions = write_fresh(construction).versions
    return replace(occurring, filled=frozenset(new for name in occurring.filled for new in versions.get(name, ())))


def _covered(rounding: Rounding) -> dict[str, str]:
    return {
        "storage": rounding.storage,
        "accumulation": rounding.accumulation,
        "order_of_sums": "any",
        "results": "stored" if rounding.always_stored else "stored or wider",
    }


def _paper_covered(arithmetic: Arithmetic) -> dict[str, str]:
    return {"format": arithmetic_to_format(arithmetic).name, "order_of_sums": "left to right"}


def _token(construction: Construction, position: int) -> int:
    """The number of the chain token that a position writes."""
    return max(-1, position - (construction.num_positions - 1 - construction.num_chain_tokens))


def check_claims(construction: Construction, max_gates: int = MAX_GATES) -> tuple[Occurring, int, str]:
    """Shows that a construction does what all its claims say.

    Returns:
        Which tokens occur where, the first position that writes, and which prompts were covered.

    Raises:
        InductionError: it does not.
    """
    memory, found, firsts = Memory(), list[Occurring](), list[int]()
    prompts, circuits = construction.prompts, None
    goes_by_distance = any(look_up.distance is not None for layer in construction.layers for look_up in layer.look_ups)
    for claim in construction.claims():
        if goes_by_distance and not isinstance(claim, BitClaim):
            raise InductionError("only circuits have look-ups that go by a distance", 0)
        if isinstance(claim, BitClaim):
            found.append(check_bit_claim(construction, claim))
            firsts.append(claim.num_inputs)
        elif isinstance(claim, ColumnsClaim):
            found.append(check_columns_claim(construction, claim))
            firsts.append(claim.num_inputs + len(claim.arity))
        elif isinstance(claim, PackedClaim):
            found.append(check_packed_claim(construction, claim))
            firsts.append(claim.num_inputs)
        elif isinstance(claim, ScanClaim):
            found.append(check_scan_claim(construction, claim))
            firsts.append(claim.num_items)
        elif isinstance(claim, CompositionClaim):
            found.append(check_composition_claim(construction, claim))
            firsts.append(claim.num_items * claim.item_width)
        elif isinstance(claim, SquaringClaim):
            found.append(check_squaring_claim(construction, claim))
            firsts.append(3)
        elif isinstance(claim, ValueProblemClaim):
            found.append(check_value_problem_claim(construction, claim))
            firsts.append(SLOTS)
        elif isinstance(claim, TableClaim):
            found.append(check_table_claim(construction, claim, memory))
            firsts.append(claim.num_prompt - 1)
        elif isinstance(claim, CountClaim):
            raise InductionError("a sum is claimed, and nothing is counted", 0)
        elif claim.num_gates > max_gates:
            prompts = f"all circuits of up to {max_gates} gates; those of more are not gone through"
            break
        else:
            if circuits is None:
                circuits = CircuitPrompts(construction)
                found.append(circuits.occurring())
                firsts.append(SLOTS)
            circuits.check(claim)
    anywhere, current, written = (
        np.logical_or.reduce([getattr(one, part) for one in found]) for part in ("anywhere", "current", "written")
    )
    filled = frozenset.intersection(*(one.filled for one in found))
    return Occurring(anywhere=anywhere, current=current, written=written, filled=filled), min(firsts), prompts


def certify_chain(
    transformer: Transformer,
    *,
    num_inputs: int,
    reads: Int32[np.ndarray, "chain K"],
    arity: UInt8[np.ndarray, " chain"],
    table: UInt64[np.ndarray, " chain"],
    rounding: Rounding | None = None,
) -> Certificate:
    """Proves that a model writes a chain, or says where that breaks.

    Args:
        transformer: the model; its prompt is bits and an end mark, its chain is bits.
        num_inputs: bits of the prompt.
        reads: the positions of the bits that each chain token depends on.
        arity: how many of the columns of ``reads`` count.
        table: the truth table over them.
        rounding: the runtimes to cover; those of the weights' own number format unless told otherwise. Of no account
            for a model whose architecture has an arithmetic of its own.
    """
    num_chain_tokens, arithmetic = len(reads), transformer.architecture.arithmetic
    if arithmetic is not None:
        covered = _paper_covered(arithmetic)
    else:
        rounding = covered_rounding(transformer.architecture.dtype) if rounding is None else rounding
        covered = {"storage": rounding.storage, "accumulation": rounding.accumulation, "order_of_sums": "any"}
    try:
        if rounding is None or arithmetic is not None:
            reading = read_rounded(transformer, num_inputs=num_inputs, num_chain_tokens=num_chain_tokens)
        else:
            reading = read_floats(
                transformer, num_inputs=num_inputs, num_chain_tokens=num_chain_tokens, rounding=rounding
            )
    except CheckpointError as error:
        nothing = Lead(exact=0.0, rounded=0.0, position=num_inputs)
        return Certificate(
            failure=Failure(position=num_inputs, token=0, reason=error.message),
            prompts=f"all 2^{num_inputs}",
            num_chain_tokens=num_chain_tokens,
            arithmetic=covered,
            attention=nothing,
            logits=nothing,
            norms=(),
        )
    proven = num_chain_tokens + 1 if reading.failure is None else reading.failure.token
    return Certificate(
        failure=_first(reading.failure, _compare(reading, reads, arity, table)),
        prompts=f"all 2^{num_inputs}",
        num_chain_tokens=num_chain_tokens,
        arithmetic=covered,
        attention=_least(reading.gaps[:proven], num_inputs),
        logits=_least(reading.margins[:proven], num_inputs),
        norms=tuple(
            NormRange(largest_mean=float(mean), least_deviation=float(least), largest_deviation=float(most))
            for mean, least, most in reading.norms
            if most > 0
        ),
    )


def _least(leads: Float64[np.ndarray, "positions 2"], first: int) -> Lead:
    if not len(leads):
        return Lead(exact=0.0, rounded=0.0, position=first)
    exact, rounded = leads.min(axis=0)
    return Lead(exact=float(exact), rounded=float(rounded), position=first + int(leads[:, 1].argmin()))


def _compare(
    reading: Reading,
    reads: Int32[np.ndarray, "chain K"],
    arity: UInt8[np.ndarray, " chain"],
    table: UInt64[np.ndarray, " chain"],
) -> Failure | None:
    """The first chain token whose function is not the one it should be."""
    for start in range(0, len(reads), TOKENS_PER_BLOCK):
        rows = slice(start, min(start + TOKENS_PER_BLOCK, len(reads)))
        sources, fan_in, canonical = canonical_functions(reads[rows], arity[rows], table[rows])
        differs = (fan_in != reading.fan_in[rows]) | (canonical != reading.table[rows])
        differs |= (sources != reading.sources[rows]).any(axis=1)
        if differs.any():
            token = int(np.argmax(differs))
            says, does = (
                _describe(which[0][token], int(which[1][token]), int(which[2][token]))
                for which in (
                    (sources, fan_in, canonical),
                    (reading.sources[rows], reading.fan_in[rows], reading.table[rows]),
                )
            )
            reason = f"the weights write {does}, the circuit says {says}"
            return Failure(position=reading.num_inputs + start + token, token=start + token, reason=reason)
    return None


def _describe(sources: np.ndarray, fan_in: int, table: int) -> str:
    if fan_in == 0:
        return str(table)
    bits = format(table, f"0{1 << fan_in}b")
    return f"table {bits} of positions {', '.join(map(str, sources[:fan_in].tolist()))}"


def _first(one: Failure | None, other: Failure | None) -> Failure | None:
    """The failure at the earlier position; the first of two at one."""
    failures = [failure for failure in (one, other) if failure is not None]
    return min(failures, key=lambda failure: failure.position, default=None)
