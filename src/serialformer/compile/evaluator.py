"""The evaluator: one GPT-2 that evaluates every circuit of up to M gates, given in the prompt.

The prompt is the circuit value problem of arXiv 2402.12875, four tokens a gate and then ``=``; the chain has four
tokens a gate again: its type, the values of its inputs, its own value. Nothing of any circuit is in the weights, and
the position embedding is a formula in M: this is the uniform construction beside ``lowering``'s.

Three look-ups, one behind the other, take three layers; a chain position p that writes slot j of gate g (from 0)

1. finds the one ``=``, at 4 m, so that m is known; the feed-forward layer makes g = (p div 4) - m;
2. fetches the prompt's token of gate g that is to be copied or looked up: its type, or an input's id;
3. fetches the token that holds that gate's value from the chain, by the number that layer 1 gave its position.

With j = 3 it fetches the type once more instead, has the second value as its own token and the first one from a head
of layer 1, and the last feed-forward layer makes the gate's value.

Sizes, with the moduli of ``residues`` for 2 M + 1 numbers and L bits in all their residues: width 8 L + 48, 2 heads, 3
layers, sum of the squares of the moduli hidden units (4 width unless that is more), 8 M + 1 positions, M + 8 tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2, sqrt

import ml_dtypes
import numpy as np
from jaxtyping import Float, Int8, Shaped

from serialformer.architecture import DTYPES, UNKNOWN, Activation, Architecture, DtypeName
from serialformer.compile.evaluator_layout import EQUALS, FALSE, KINDS, SLOTS, TRUE, EvaluatorLayout
from serialformer.compile.evaluator_margins import EvaluatorMargins, measure_evaluator
from serialformer.compile.evaluator_units import (
    Unit,
    answer_bias,
    answer_units,
    subtraction_units,
    units_to_matrices,
)
from serialformer.compile.lowering import FINAL_NORM_GAIN, NORM_EPSILON, default_attention_gap
from serialformer.compile.residues import moduli, number_names
from serialformer.errors import CompileError
from serialformer.transformer.transformer import Layer, Transformer

NUM_HEADS = 2
NUM_LAYERS = 3

MAX_GATES = 1 << 17
"""So many gates are a million positions, and 0.9 GB of them in float32; the numbers would hold far beyond."""

POSITIONS_A_BLOCK = 1 << 15


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluator:
    """A transformer that evaluates circuits, and how it came about."""

    num_gates: int
    layout: EvaluatorLayout
    transformer: Transformer
    margins: EvaluatorMargins


def construct_evaluator(
    num_gates: int,
    *,
    dtype: DtypeName = "float32",
    activation: Activation = "gelu_new",
    attention_gap: float | None = None,
) -> Evaluator:
    """The evaluator of circuits of up to ``num_gates`` gates.

    Args:
        num_gates: M, at least 1.
        dtype: number format of the weights; the result holds for runtimes that compute in it or in a wider one, with
            sums of products in float32 or wider.
        activation: ``gelu_new`` is what stock GPT-2 has; ``relu`` is the paper's. The weights are the same.
        attention_gap: the least score difference to aim at; default: 40, more for very long chains.

    Raises:
        CompileError: it would not hold at this number format and gap, or ``num_gates`` is out of range.

    >>> construct_evaluator(64).transformer.architecture.width
    128
    """
    if not 1 <= num_gates <= MAX_GATES:
        raise CompileError(f"expected from 1 to {MAX_GATES:,} gates, found {num_gates:,}")
    layout = EvaluatorLayout(moduli=moduli(2 * num_gates + 1))
    number = DTYPES[dtype]
    num_positions = 2 * SLOTS * num_gates + 1
    # An id of each number, and all that is no number.
    vocabulary = (*(str(gate) for gate in range(1, num_gates + 1)), *KINDS, UNKNOWN)
    subtractions, answers = list(subtraction_units(layout)), list(answer_units(layout))
    architecture = Architecture(
        vocabulary=vocabulary,
        num_positions=num_positions,
        width=layout.width,
        num_layers=NUM_LAYERS,
        num_heads=NUM_HEADS,
        hidden_width=max(4 * layout.width, len(subtractions)),
        activation=activation,
        norm_epsilon=NORM_EPSILON,
        end_token=num_gates + EQUALS,
        dtype=dtype,
    )
    gap = default_attention_gap(num_positions) if attention_gap is None else attention_gap
    if not gap > 0:
        raise CompileError(f"expected an attention gap above 0, found {gap}")
    scale = query_scale(architecture.head_width, gap)
    largest_product = scale * (layout.name_length + 3)
    if largest_product > float(ml_dtypes.finfo(number).max):
        raise CompileError(
            f"attention products reach {largest_product:.3g}, beyond what {dtype} holds",
            hint="ask for a smaller attention gap or another dtype",
        )
    no_bias = np.zeros(layout.width)
    layers = (
        _layer(architecture, _find_circuit(layout, scale), subtractions, no_bias),
        _layer(architecture, _fetch_token(layout, scale), [], no_bias),
        _layer(architecture, _fetch_value(layout, scale), answers, answer_bias(layout)),
    )
    transformer = Transformer(
        architecture=architecture,
        token_embedding=_token_embedding(layout, num_gates, number),
        position_embedding=_position_embedding(layout, num_positions, number),
        layers=layers,
        final_norm_gain=np.full(layout.width, FINAL_NORM_GAIN).astype(number),
        final_norm_bias=np.zeros(layout.width).astype(number),
    )
    margins = measure_evaluator(transformer, layout, scale)
    return Evaluator(num_gates=num_gates, layout=layout, transformer=transformer, margins=margins)


def query_scale(head_width: int, attention_gap: float) -> float:
    """The least power of two that gives this gap, where the products of keys that differ are 2 scales apart.

    >>> query_scale(64, 40.0)
    256.0
    """
    return 2.0 ** ceil(log2(attention_gap * sqrt(head_width) / 2))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Head:
    """One head: what its query and key read from which sign, with which weight, and which signs it brings where.

    A coordinate without a sign is the constant weight.
    """

    query: list[tuple[int | None, float]]
    key: list[int]
    brings: list[tuple[int, int]]


def _find_circuit(layout: EvaluatorLayout, scale: float) -> list[_Head]:
    """Layer 1: the one ``=``, or position 0 as long as there is none; and the token before, where it is an input."""
    name, slot = layout.name_length, layout.slot
    end = _Head(
        # Keys (is "=", is first): the query (2, 1) prefers "=", then the first position, by the same gap.
        query=[(None, 2 * scale), (None, scale)],
        key=[layout.kind + EQUALS, layout.first],
        brings=[
            *((layout.place + bit, layout.gate + bit) for bit in range(name)),
            (layout.kind + EQUALS, layout.in_chain),
        ],
    )
    # In slot 3 it reads slot 2 of the same gate, which holds the first value; elsewhere itself.
    before = _Head(
        query=[
            *((layout.place + bit, scale) for bit in range(name)),
            (slot, scale),
            (layout.reads + 1, scale),
        ],
        key=[*range(layout.place, layout.place + name), slot, slot + 1],
        brings=[(layout.kind + kind, layout.previous + place) for place, kind in enumerate((TRUE, FALSE))],
    )
    return [end, before]


def _fetch_token(layout: EvaluatorLayout, scale: float) -> list[_Head]:
    """Layer 2: the prompt's token of the gate and slot that the position writes; in slot 3, of slot 0."""
    name = range(layout.name_length)
    return [
        _Head(
            query=[*((layout.gate + bit, scale) for bit in name), (layout.reads, scale), (layout.reads + 1, scale)],
            key=[*(layout.place + bit for bit in name), layout.slot, layout.slot + 1],
            brings=[
                *((layout.kind + kind, layout.fetched_kind + kind) for kind in range(len(KINDS))),
                *((layout.number + bit, layout.fetched_number + bit) for bit in name),
            ],
        )
    ]


def _fetch_value(layout: EvaluatorLayout, scale: float) -> list[_Head]:
    """Layer 3: the value of the gate whose id was fetched, which stands where its successor's slot 0 is written.

    What is no id counts as the number 0, and ``=`` stands where gate 0's value would.
    """
    name = range(layout.name_length)
    return [
        _Head(
            query=[
                *((layout.fetched_number + bit, scale) for bit in name),
                (None, scale),
                (None, -scale),
                (None, -scale),
            ],
            key=[*(layout.gate + bit for bit in name), layout.in_chain, layout.slot, layout.slot + 1],
            brings=[(layout.kind + kind, layout.value + place) for place, kind in enumerate((TRUE, FALSE))],
        )
    ]


def _layer(
    architecture: Architecture, heads: list[_Head], units: list[Unit], mlp_bias: Float[np.ndarray, " width"]
) -> Layer:
    width, number = architecture.width, DTYPES[architecture.dtype]
    attention_in = np.zeros((width, 3, architecture.num_heads, architecture.head_width))
    attention_in_bias = np.zeros((3, architecture.num_heads, architecture.head_width))
    attention_out = np.zeros((architecture.num_heads, architecture.head_width, width))
    attention_out_bias = np.zeros(width)
    for place, head in enumerate(heads):
        for column, (sign, weight) in enumerate(head.query):
            if sign is None:
                attention_in_bias[0, place, column] = weight
            else:
                attention_in[2 * sign, 0, place, column] = weight
        for column, sign in enumerate(head.key):
            attention_in[2 * sign, 1, place, column] = 1
        for column, (source, target) in enumerate(head.brings):
            attention_in[2 * source, 2, place, column] = 1
            attention_out[place, column, 2 * target] = 1
            attention_out[place, column, 2 * target + 1] = -1
            # The position embedding has filled the place with +1.
            attention_out_bias[2 * target] = -1
            attention_out_bias[2 * target + 1] = 1
    mlp_in, mlp_in_bias, mlp_out = units_to_matrices(units, width, architecture.hidden_width)
    gain, zeros = np.full(width, sqrt(1 + architecture.norm_epsilon)).astype(number), np.zeros(width).astype(number)
    return Layer(
        attention_norm_gain=gain,
        attention_norm_bias=zeros,
        attention_in_weight=attention_in.reshape(width, 3 * width).astype(number),
        attention_in_bias=attention_in_bias.reshape(3 * width).astype(number),
        attention_out_weight=attention_out.reshape(width, width).astype(number),
        attention_out_bias=attention_out_bias.astype(number),
        mlp_norm_gain=gain,
        mlp_norm_bias=zeros,
        mlp_in_weight=mlp_in.astype(number),
        mlp_in_bias=mlp_in_bias.astype(number),
        mlp_out_weight=mlp_out.astype(number),
        mlp_out_bias=mlp_bias.astype(number),
    )


def _pairs(signs: Int8[np.ndarray, "rows signs"]) -> Int8[np.ndarray, "rows twice"]:
    """Each sign v as (v, -v)."""
    return np.stack([signs, -signs], axis=2).reshape(len(signs), -1)


def _token_embedding(
    layout: EvaluatorLayout, num_gates: int, number: np.dtype
) -> Shaped[np.ndarray, "vocabulary width"]:
    """What is no id, ``<unk>`` included, has the number 0; ``<unk>`` has no kind either."""
    num_tokens = num_gates + len(KINDS) + 1
    numbers = np.zeros(num_tokens, dtype=np.int64)
    numbers[:num_gates] = np.arange(1, num_gates + 1)
    kinds = np.full((num_tokens, len(KINDS)), -1, dtype=np.int8)
    kinds[num_gates + np.arange(len(KINDS)), np.arange(len(KINDS))] = 1
    embedding = np.zeros((num_tokens, layout.width), dtype=number)
    embedding[:, : 2 * layout.place] = _pairs(np.concatenate([kinds, number_names(numbers, layout.moduli)], axis=1))
    return embedding


def _position_embedding(
    layout: EvaluatorLayout, num_positions: int, number: np.dtype
) -> Shaped[np.ndarray, "positions width"]:
    """Position p: the name of p div 4, then p mod 4, and +1 where layers will bring something."""
    embedding = np.zeros((num_positions, layout.width), dtype=number)
    embedding[:, 2 * layout.gate :: 2] = 1
    embedding[:, 2 * layout.gate + 1 :: 2] = -1
    for start in range(0, num_positions, POSITIONS_A_BLOCK):
        position = np.arange(start, min(start + POSITIONS_A_BLOCK, num_positions))
        slot = position % SLOTS
        facts = np.stack([slot // 2 == 1, slot % 2 == 1, slot == 2, slot == 1, position == 0], axis=1)
        own = [number_names(position // SLOTS, layout.moduli), 2 * facts.astype(np.int8) - 1]
        embedding[position, 2 * layout.place : 2 * layout.gate] = _pairs(np.concatenate(own, axis=1, dtype=np.int8))
    return embedding
