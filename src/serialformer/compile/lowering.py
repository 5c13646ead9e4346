"""Lowering: a program becomes the weights of a stock GPT-2 (Theorem 3.3 of arXiv 2402.12875, with layer norm).

The circuit lies in the position embedding: each position holds its own name, the names of the positions that it reads,
and the truth table of the token that it writes. All other weights depend only on K and the length of a name.
"""

from __future__ import annotations

from math import log

import numpy as np
from jaxtyping import Shaped

from serialformer.architecture import DTYPES, Activation, Architecture, DtypeName
from serialformer.compile.attention import look_up_heads, query_scale
from serialformer.compile.mlp import truth_table_units
from serialformer.compile.names import name_length, position_names
from serialformer.compile.program import EQUALS, ONE, VOCABULARY, ZERO, Program
from serialformer.compile.residual import Residual, lay_out
from serialformer.transformer.transformer import Layer, Transformer

NORM_EPSILON = 1e-5
LAYER_NORM_GAIN = 2.0
FINAL_NORM_GAIN = 16.0
"""Makes the logits' margin large enough that sampling at temperature 1 gives the chain as well."""

POSITIONS_A_BLOCK = 1 << 15

MIN_ATTENTION_GAP = 40.0


def default_attention_gap(num_positions: int) -> float:
    """The gap aimed at: 40, and beyond that enough to leave the other positions together 2^-26 of the weight."""
    return max(MIN_ATTENTION_GAP, log(num_positions) + 26 * log(2))


def program_to_gpt2(
    program: Program, *, dtype: DtypeName, activation: Activation, attention_gap: float
) -> tuple[Transformer, Residual]:
    """One layer, K heads; width (K+1) c + 2^(K+1) + 2 K + 6 rounded up to a multiple of K, c the length of a name."""
    residual = lay_out(program.num_heads, name_length(program.num_positions))
    width, number = residual.width, DTYPES[dtype]
    architecture = Architecture(
        vocabulary=VOCABULARY,
        num_positions=program.num_positions,
        width=width,
        num_layers=1,
        num_heads=program.num_heads,
        hidden_width=4 * width,
        activation=activation,
        norm_epsilon=NORM_EPSILON,
        end_token=EQUALS,
        dtype=dtype,
    )
    attention_in, attention_out = look_up_heads(residual, query_scale(architecture.head_width, attention_gap))
    mlp_in, mlp_in_bias, mlp_out, mlp_out_bias = truth_table_units(residual, architecture.hidden_width)
    token_embedding = np.zeros((len(VOCABULARY), width))
    token_embedding[ONE, residual.token : residual.token + 2] = 1, -1
    token_embedding[ZERO, residual.token : residual.token + 2] = -1, 1
    token_embedding[EQUALS, residual.equals : residual.equals + 2] = 1, -1
    # The fetched bits add 2 K to the square norm; the ballast gives up as much.
    attention_out_bias = np.zeros(width)
    change = np.subtract(residual.ballast_after, residual.ballast_before)
    attention_out_bias[residual.ballast : residual.fetched] = change
    gain, zeros = np.full(width, LAYER_NORM_GAIN), np.zeros(width)
    layer = Layer(
        attention_norm_gain=gain.astype(number),
        attention_norm_bias=zeros.astype(number),
        attention_in_weight=attention_in.astype(number),
        attention_in_bias=np.zeros(3 * width).astype(number),
        attention_out_weight=attention_out.astype(number),
        attention_out_bias=attention_out_bias.astype(number),
        mlp_norm_gain=gain.astype(number),
        mlp_norm_bias=zeros.astype(number),
        mlp_in_weight=mlp_in.astype(number),
        mlp_in_bias=mlp_in_bias.astype(number),
        mlp_out_weight=mlp_out.astype(number),
        mlp_out_bias=mlp_out_bias.astype(number),
    )
    transformer = Transformer(
        architecture=architecture,
        token_embedding=token_embedding.astype(number),
        position_embedding=_position_embedding(program, residual, number),
        layers=(layer,),
        final_norm_gain=np.full(width, FINAL_NORM_GAIN).astype(number),
        final_norm_bias=zeros.astype(number),
    )
    return transformer, residual


def _position_embedding(
    program: Program, residual: Residual, number: np.dtype
) -> Shaped[np.ndarray, "positions width"]:
    embedding = np.empty((program.num_positions, residual.width), dtype=number)
    names = position_names(np.arange(program.num_positions, dtype=np.int32), residual.name_length)
    for start in range(0, program.num_positions, POSITIONS_A_BLOCK):
        stop = min(start + POSITIONS_A_BLOCK, program.num_positions)
        rows = np.zeros((stop - start, residual.width), dtype=np.float32)
        rows[:, residual.ballast : residual.fetched] = residual.ballast_before
        rows[:, residual.name : residual.name + residual.name_length] = names[start:stop]
        # A position that computes nothing reads itself and has a table without entries: its pairs hold (1, 1) or
        # (-1, -1), half of them each, which keeps sum and square norm.
        reads = np.tile(np.arange(start, stop)[:, None], program.num_heads)
        table = np.empty((stop - start, residual.table_size, 2), dtype=np.float32)
        table[:] = np.where(np.arange(residual.table_size) % 2, 1, -1)[:, None]
        # Position p writes the token at p + 1, which is chain token p - num_inputs; the last position writes none.
        chain = slice(
            max(0, start - program.num_inputs), max(0, min(stop, program.num_positions - 1) - program.num_inputs)
        )
        writers = slice(chain.start + program.num_inputs - start, chain.stop + program.num_inputs - start)
        if chain.start < chain.stop:
            reads[writers] = program.reads[chain]
            entries = np.where(program.entries(chain), 1, -1)
            table[writers] = np.stack([entries, -entries], axis=2)
        rows[:, residual.table : residual.name] = table.reshape(stop - start, -1)
        for head in range(program.num_heads):
            first = residual.read_name(head)
            rows[:, first : first + residual.name_length] = names[reads[:, head]]
        embedding[start:stop] = rows
    return embedding
