"""The proof: what the weights write is brought to one form with what the circuit says, and compared.

By induction over the chain. Every position holds one of two tokens: a bit of the prompt, ``=``, or a bit of the chain.
``reading`` proves, from the weights, which function of earlier bits each position writes, in whatever way a covered
runtime rounds: ``rounding`` for floats, exactly for the paper's arithmetic. That function is compared with what the
circuit says; both are brought to the form in which equal functions are equal. So if all tokens before a position are
right, the one it writes is.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int32, UInt8, UInt64

from serialformer.errors import CheckpointError
from serialformer.proofs.certificate import Certificate, Failure, Lead, NormRange
from serialformer.proofs.float_reading import read_floats
from serialformer.proofs.reading import Reading
from serialformer.proofs.rounded_reading import read_rounded
from serialformer.proofs.rounding import Rounding, covered_rounding
from serialformer.proofs.token_kernels import MAX_FAN_IN, canonical_tables
from serialformer.transformer.precision import arithmetic_to_format
from serialformer.transformer.transformer import Transformer

TOKENS_A_BLOCK = 1 << 15


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
        covered = {"format": arithmetic_to_format(arithmetic).name, "order_of_sums": "left to right"}
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
            num_inputs=num_inputs,
            num_chain_tokens=num_chain_tokens,
            arithmetic=covered,
            attention=nothing,
            logits=nothing,
            norms=(),
        )
    proven = num_chain_tokens + 1 if reading.failure is None else reading.failure.token
    return Certificate(
        failure=_first(reading.failure, _compare(reading, reads, arity, table)),
        num_inputs=num_inputs,
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
    for start in range(0, len(reads), TOKENS_A_BLOCK):
        rows = slice(start, min(start + TOKENS_A_BLOCK, len(reads)))
        number = rows.stop - rows.start
        sources, fan_in = np.zeros((number, MAX_FAN_IN), dtype=np.int32), np.zeros(number, dtype=np.uint8)
        canonical = np.zeros(number, dtype=np.uint64)
        canonical_tables(reads[rows], arity[rows], table[rows], sources, fan_in, canonical)
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
