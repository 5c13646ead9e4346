"""Reading a model: from the weights alone, which bits each chain token depends on and how, proven for every prompt.

What each head reads from each position is proven first; then all bits that those positions can hold are run through,
and the token that is written is proven. Nothing here knows how the weights were made.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serialformer.arrays import Float64, Int32, Int64, UInt8, UInt64
from serialformer.errors import CheckpointError
from serialformer.proofs.certificate import Failure
from serialformer.proofs.token_kernels import MAX_VARIABLES, group_rows, list_variables
from serialformer.transformer.row_table import is_finite
from serialformer.transformer.transformer import Transformer


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """What the chain of a model is, for every prompt.

    Chain token t is the bit ``table[t]`` of the bits at the positions ``sources[t, : fan_in[t]]``, which ascend and of
    which each makes a difference. After the last one the model writes its end mark. All of that holds for the tokens
    before ``failure``.

    Attributes:
        num_inputs: the length of the prompt; the end mark stands at that position.
        sources: the positions of the bits that each chain token depends on, then zeros.
        fan_in: how many these are.
        table: the truth table over them, bit i for the bits that form the integer i, the first least significant.
        gaps: for each chain token and the end mark the least lead of the score of a position that is read over any
            other: in exact arithmetic, and less what rounding can take.
        margins: the same for the logit of the token that is written.
        norms: for each layer norm, the final one last: the largest magnitude of the mean, the least and the largest
            root of variance plus epsilon.
        failure: where the proof breaks first, or None.
    """

    num_inputs: int
    sources: Int32[np.ndarray, "chain 6"]
    fan_in: UInt8[np.ndarray, " chain"]
    table: UInt64[np.ndarray, " chain"]
    gaps: Float64[np.ndarray, "writing 2"]
    margins: Float64[np.ndarray, "writing 2"]
    norms: Float64[np.ndarray, "norms 3"]
    failure: Failure | None

    @property
    def num_chain_tokens(self) -> int:
        return len(self.fan_in)


@dataclass(frozen=True, kw_only=True, eq=False)
class Context:
    """What the positions of a sequence can hold.

    Attributes:
        states: the two tokens that each position may hold; the same twice where it is certain.
        num_inputs: bits of the prompt; the first position that writes.
        zero: the token id of the bit 0.
        one: of the bit 1.
        end: of the end mark.
    """

    states: UInt8[np.ndarray, "positions 2"]
    num_inputs: int
    zero: int
    one: int
    end: int

    @property
    def num_writing(self) -> int:
        return len(self.states) - self.num_inputs


def find_context(transformer: Transformer, num_inputs: int, num_chain_tokens: int) -> Context:
    """The context of a model whose prompt and chain are bits.

    Raises:
        CheckpointError: it is no model of one layer with such tokens and finite weights.
    """
    architecture = transformer.architecture
    num_positions = num_inputs + 1 + num_chain_tokens
    if architecture.num_layers != 1:
        raise CheckpointError(f"{architecture.num_layers} layers: only models of one layer can be read")
    if architecture.num_positions < num_positions:
        raise CheckpointError(f"{num_positions} tokens do not fit {architecture.num_positions} positions")
    missing = [text for text in ("0", "1") if text not in architecture.vocabulary]
    if missing or len(architecture.vocabulary) > 255:
        raise CheckpointError(f"its vocabulary of {len(architecture.vocabulary)} tokens is not that of a circuit")
    for name, weight in transformer.named_weights():
        if not is_finite(weight):
            raise CheckpointError(f"{name} holds infinities or what is not a number")
    zero, one = architecture.vocabulary.index("0"), architecture.vocabulary.index("1")
    states = np.tile(np.array([zero, one], dtype=np.uint8), (num_positions, 1))
    states[num_inputs] = architecture.end_token
    return Context(states=states, num_inputs=num_inputs, zero=zero, one=one, end=architecture.end_token)


def group_equal_rows(parts: tuple[np.ndarray, ...]) -> tuple[Int64[np.ndarray, " groups"], Int64[np.ndarray, " rows"]]:
    """Groups rows that are equal in all parts, to the bit: the first row of each group, and the group of each row."""
    num_rows = len(parts[0])
    flat = [np.ascontiguousarray(part, dtype=np.float64).reshape(num_rows, -1) for part in parts]
    slots = np.full(1 << (2 * num_rows).bit_length(), -1, dtype=np.int64)
    group, leaders = np.empty(num_rows, dtype=np.int64), np.empty(num_rows, dtype=np.int64)
    number = group_rows(np.concatenate(flat, axis=1).view(np.uint64), slots, group, leaders)
    return leaders[:number].copy(), group


def list_sources(
    context: Context, targets: Int32[np.ndarray, "rows heads"], first: int
) -> tuple[Int64[np.ndarray, "rows 7"], Int64[np.ndarray, " rows"], Int64[np.ndarray, "rows sources"]]:
    """For the positions from ``first`` on what they read that can vary; see ``token_kernels.list_variables``."""
    variables = np.zeros((len(targets), MAX_VARIABLES), dtype=np.int64)
    count, rank = np.zeros(len(targets), dtype=np.int64), np.zeros((len(targets), targets.shape[1] + 1), dtype=np.int64)
    list_variables(first, context.states, targets, variables, count, rank)
    return variables, count, rank
