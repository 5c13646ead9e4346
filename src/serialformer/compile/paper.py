"""Lowering to the paper's own transformer: no layer norm, unscaled scores, relu, every operation rounded in F_s.

Theorem 3.3 of arXiv 2402.12875, SIZE[T] ⊆ CoT[T, log n, 1]. One layer with two heads suffices: the ids that the heads
look up lie in the position embedding, so neither look-up waits for the other, and the feed-forward layer comes after
both. (Two layers of one head each would do the same, one after the other.)

All weights are in {0, ±1/2, ±1, ±B_s}, and every sum below stays within ±3/2 and on multiples of 1/2, except scores
(``sign_codes``), so the same weights but for B_s work for every s >= 1. In order of the residual stream:

*token* (two dimensions, both t): the current token's bit, t = ±1, and 0 for ``=``. *equals*: 1 for ``=``, else 0. The
value of a head is t - equals: the bit as a sign, ``=`` as -1, and 0 for ``<unk>``.

*fetched* u_i: what head i brings. *table* e_c for each combination c of fetched bits: ±1, or 0 where nothing is to be
written. The hidden unit (c, v) is relu(sum of c_i u_i / 2 + v e_c / 2 - K/2): 1/2 if the fetched bits are c and
e_c = v, and 0 otherwise. It adds v/2 to both token dimensions. Three more units, relu(t), relu(-t) and relu(equals),
take away what the current token left there; the bias adds 1/2 to equals. The sums go -t first and then ±1/2, so nothing
saturates.

After that a token dimension is v/2 or, if no unit fired, 0, and equals is 1/2. The logits are v/2 + v/2 = v for the
bit 1, -v for the bit 0, and 1/2 for ``=``: the right one leads by 1/2 or more. (One token dimension could only hold
±1/2, and in F_1 no number lies between 0 and 1/2 for ``=`` to have.)

Positions that write nothing look up their own id, which exists: no softmax divides by zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float

from serialformer.architecture import Architecture, Arithmetic
from serialformer.compile.program import EQUALS, ONE, VOCABULARY, ZERO, Program
from serialformer.compile.sign_codes import code_length, sign_codes
from serialformer.errors import CompileError
from serialformer.transformer.precision import fixed_point
from serialformer.transformer.transformer import Layer, Transformer

MAX_PAPER_PRECISION = 12
"""B_s has 2s binary digits, and the weights are stored in float32."""

MAX_HEADS = 2
"""K/2 + 1/2, the largest sum of a hidden unit, has to stay below B_1 = 3/2."""


@dataclass(frozen=True, kw_only=True)
class PaperResidual:
    """The layout of the residual stream.

    In order: ``token`` (2), ``equals``, ``one`` (constant), ``fetched`` (K), ``table`` (2^K), the position's own id,
    the ids to be read, padding: a head is 2 ``code_length`` wide, and all heads together are as wide as the stream.

    Attributes:
        num_heads: K, bits fetched; 1 or 2.
        code_length: signs of an id.
        width: all dimensions, padding included.
    """

    num_heads: int
    code_length: int
    width: int

    token = 0
    equals = 2
    one = 3
    fetched = 4

    @property
    def table(self) -> int:
        return self.fetched + self.num_heads

    @property
    def table_size(self) -> int:
        return 1 << self.num_heads

    @property
    def own_id(self) -> int:
        return self.table + self.table_size

    def read_id(self, head: int) -> int:
        return self.own_id + self.code_length * (1 + head)

    @property
    def used(self) -> int:
        return self.read_id(self.num_heads)

    def directions(self) -> list[str]:
        """A label for each dimension.

        >>> PaperResidual(num_heads=1, code_length=1, width=9).directions()
        ['token.0', 'token.1', 'equals', 'one', 'fetched[0]', 'table[0]', 'table[1]', 'id.0', 'read[0].0']
        """
        labels = ["token.0", "token.1", "equals", "one"]
        labels += [f"fetched[{head}]" for head in range(self.num_heads)]
        labels += [f"table[{entry}]" for entry in range(self.table_size)]
        blocks = ["id"] + [f"read[{head}]" for head in range(self.num_heads)]
        labels += [f"{block}.{index}" for block in blocks for index in range(self.code_length)]
        return labels + [f"padding.{index}" for index in range(self.width - self.used)]


def lay_out_paper(num_heads: int, num_positions: int) -> PaperResidual:
    """The narrowest layout: width max(3k + 10, 4k) for two heads, k = ceil(log2(positions)), rounded up to even.

    >>> lay_out_paper(2, 1024).width, lay_out_paper(2, 1 << 14).width
    (40, 56)
    """
    length = code_length(num_positions)
    bare = PaperResidual(num_heads=num_heads, code_length=length, width=0)
    head_width = max(2 * length, -(-bare.used // num_heads))
    return PaperResidual(num_heads=num_heads, code_length=length, width=num_heads * head_width)


def program_to_paper(program: Program, *, precision: int) -> tuple[Transformer, PaperResidual]:
    """One layer, K <= 2 heads, 2^(K+1) + 3 hidden units, in F_s with s = ``precision``.

    Raises:
        CompileError: the precision is not between 1 and MAX_PAPER_PRECISION, or gates read more than two wires.
    """
    if not 1 <= precision <= MAX_PAPER_PRECISION:
        raise CompileError(
            f"expected a precision from 1 to {MAX_PAPER_PRECISION}, found {precision}",
            hint="1 is enough for any circuit",
        )
    if program.num_heads > MAX_HEADS:
        raise CompileError(
            f"gates of {program.num_heads} inputs, at most {MAX_HEADS} for target paper",
            hint="split_gates makes two-input ones",
        )
    residual = lay_out_paper(program.num_heads, program.num_positions)
    architecture = Architecture(
        vocabulary=VOCABULARY,
        num_positions=program.num_positions,
        width=residual.width,
        num_layers=1,
        num_heads=program.num_heads,
        hidden_width=2 * residual.table_size + 3,
        activation="relu",
        norm_epsilon=0.0,
        end_token=EQUALS,
        dtype="float32",
        norm="none",
        scaled_scores=False,
        arithmetic=Arithmetic(precision=precision),
    )
    token_embedding = np.zeros((len(VOCABULARY), residual.width), dtype=np.float32)
    token_embedding[ONE, residual.token : residual.token + 2] = 1
    token_embedding[ZERO, residual.token : residual.token + 2] = -1
    token_embedding[EQUALS, residual.equals] = 1
    transformer = Transformer(
        architecture=architecture,
        token_embedding=token_embedding,
        position_embedding=_position_embedding(program, residual),
        layers=(_layer(residual, fixed_point(precision).largest),),
        final_norm_gain=np.zeros(0, dtype=np.float32),
        final_norm_bias=np.zeros(0, dtype=np.float32),
    )
    return transformer, residual


def _layer(residual: PaperResidual, largest: float) -> Layer:
    width, heads = residual.width, residual.num_heads
    into, out = np.zeros((width, 3, heads, width // heads)), np.zeros((heads, width // heads, width))
    sign = np.arange(residual.code_length)
    for head in range(heads):
        into[residual.read_id(head) + sign, 0, head, 2 * sign] = 1
        into[residual.one, 0, head, 2 * sign + 1] = 1
        into[residual.own_id + sign, 1, head, 2 * sign] = largest
        into[residual.one, 1, head, 2 * sign + 1] = -largest
        into[residual.token, 2, head, 0] = 1
        into[residual.equals, 2, head, 0] = -1
        out[head, 0, residual.fetched + head] = 1
    hidden = 2 * residual.table_size + 3
    mlp_in, mlp_in_bias = np.zeros((width, hidden)), np.zeros(hidden)
    mlp_out, mlp_out_bias = np.zeros((hidden, width)), np.zeros(width)
    # The units that take the current token away come first: see the sums above.
    for unit, (direction, seen) in enumerate(((residual.token, 1), (residual.token, -1), (residual.equals, 1))):
        mlp_in[direction, unit] = seen
        mlp_out[unit, direction : direction + (2 if direction == residual.token else 1)] = -seen
    for number, (combination, value) in enumerate(product(range(residual.table_size), (-1, 1))):
        unit = 3 + number
        for head in range(heads):
            mlp_in[residual.fetched + head, unit] = (combination >> head & 1) - 0.5
        mlp_in[residual.table + combination, unit] = value / 2
        mlp_in_bias[unit] = -heads / 2
        mlp_out[unit, residual.token : residual.token + 2] = value
    mlp_out_bias[residual.equals] = 0.5
    arrays = {
        "attention_norm_gain": np.zeros(0),
        "attention_norm_bias": np.zeros(0),
        "attention_in_weight": into.reshape(width, 3 * width),
        "attention_in_bias": np.zeros(3 * width),
        "attention_out_weight": out.reshape(width, width),
        "attention_out_bias": np.zeros(width),
        "mlp_norm_gain": np.zeros(0),
        "mlp_norm_bias": np.zeros(0),
        "mlp_in_weight": mlp_in,
        "mlp_in_bias": mlp_in_bias,
        "mlp_out_weight": mlp_out,
        "mlp_out_bias": mlp_out_bias,
    }
    return Layer(**{name: array.astype(np.float32) for name, array in arrays.items()})


def _position_embedding(program: Program, residual: PaperResidual) -> Float[np.ndarray, "positions width"]:
    positions = np.arange(program.num_positions, dtype=np.int32)
    # Position p writes the token at p + 1, which is chain token p - num_inputs; others look up themselves.
    reads = np.tile(positions[:, None], residual.num_heads)
    reads[program.num_inputs : -1] = program.reads
    rows = np.zeros((program.num_positions, residual.width), dtype=np.float32)
    rows[:, residual.one] = 1
    entries = program.entries(slice(0, program.num_chain_tokens))
    rows[program.num_inputs : -1, residual.table : residual.own_id] = 2.0 * entries - 1
    for first, ids in [(residual.own_id, positions)] + [
        (residual.read_id(head), reads[:, head]) for head in range(residual.num_heads)
    ]:
        rows[:, first : first + residual.code_length] = sign_codes(ids, residual.code_length)
    return rows
