"""The weights: the width that the formula says, layer norms that do nothing, heads that see one position."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest

import serialformer
from serialformer import Circuit, CircuitBuilder
from serialformer.circuits.evaluate import evaluate_wires
from serialformer.errors import CompileError
from serialformer.models.lower import LoweredCircuit, lower_circuit
from serialformer.targets.gpt2 import NORM_EPSILON
from serialformer.targets.layout import Layout
from serialformer.targets.position_codes import code_length
from serialformer.transformer.forward import cast_layer, compute_logits, embed, layer_norm, project_heads
from tests.cases import every_input, small_circuits

CASES = small_circuits()


def chain_of_xors(num_gates: int, arity: int = 2) -> Circuit:
    build = CircuitBuilder()
    wires = build.inputs("x", 6)
    parity = sum((index.bit_count() & 1) << index for index in range(1 << arity))
    for gate in range(num_gates):
        wires.append(build.gate(parity, *wires[gate : gate + arity - 1], wires[-1]))
    build.output("y", wires[-1])
    return build.circuit()


def context(lowered: LoweredCircuit, bits: np.ndarray) -> np.ndarray:
    chain = evaluate_wires(lowered.circuit, bits)[:, lowered.schedule.wire]
    equals = np.full((len(bits), 1), 2)
    return np.concatenate([bits, equals, chain], axis=1).astype(np.int64)


@pytest.mark.parametrize("arity", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("num_gates", [1, 17, 170, 2510])
def test_width_is_the_formula(num_gates: int, arity: int) -> None:
    circuit = chain_of_xors(num_gates, arity)
    lowered = lower_circuit(circuit)
    length = code_length(6 + 1 + num_gates)
    bare = (arity + 1) * length + 2 ** (arity + 1) + 2 * arity + 4
    shape = lowered.transformer.architecture
    assert shape.width % arity == 0
    assert bare + 2 <= shape.width <= bare + 6 + arity, "the ballast takes two to six dimensions"
    assert (shape.num_layers, shape.num_heads, shape.hidden_width) == (1, arity, 4 * shape.width)
    assert len(lowered.layout.directions()) == shape.width


def test_width_grows_as_half_the_logarithm_for_each_code() -> None:
    for exponent in range(10, 24):
        length = code_length(2**exponent)
        assert exponent / 2 < length <= exponent / 2 + log2(exponent) + 2


@pytest.mark.parametrize("name", CASES)
def test_layer_norm_is_the_identity(name: str) -> None:
    lowered = lower_circuit(CASES[name])
    transformer, layout = lowered.transformer, lowered.layout
    tokens = context(lowered, every_input(CASES[name].num_inputs)[:64])
    x = embed(transformer, tokens, np.arange(tokens.shape[1]), np.float64)
    layer = cast_layer(transformer.layers[0], np.float64)
    normed = layer_norm(x, layer.attention_norm_gain, layer.attention_norm_bias, NORM_EPSILON)
    assert np.allclose(normed, x, rtol=2e-6, atol=1e-12)
    # After attention the same holds: every fetched bit is +1 or -1, and the ballast makes up for them.
    fetched = x + layer.attention_out_bias
    for head in range(layout.num_heads):
        fetched[..., layout.span(f"fetched[{head}]")] += [1, -1]
    normed = layer_norm(fetched, layer.mlp_norm_gain, layer.mlp_norm_bias, NORM_EPSILON)
    assert np.allclose(normed, fetched, rtol=2e-6, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_heads_see_exactly_the_positions_that_the_gate_reads(name: str) -> None:
    lowered = lower_circuit(CASES[name])
    architecture = lowered.transformer.architecture
    tokens = context(lowered, every_input(CASES[name].num_inputs)[-1:])
    x = embed(lowered.transformer, tokens, np.arange(tokens.shape[1]), np.float64)
    layer = cast_layer(lowered.transformer.layers[0], np.float64)
    queries, keys, values = project_heads(x, layer, architecture, np.arange(tokens.shape[1]))
    scores = (queries @ keys.swapaxes(-1, -2) / np.sqrt(architecture.head_width))[0]
    first = lowered.program.num_inputs
    for token, reads in enumerate(lowered.program.reads):
        for head, position in enumerate(reads):
            seen = scores[head, first + token, : first + token + 1]
            assert seen.argmax() == position
            if len(seen) > 1:
                gap = seen[position] - np.delete(seen, position).max()
                assert gap >= lowered.certificate.attention.rounded
                # The exact gap leaves out what the layer norm's epsilon takes.
                assert gap >= lowered.certificate.attention.exact * (1 - NORM_EPSILON)
    bit = np.where(tokens[0] == 1, 1.0, -1.0)
    assert np.allclose(values[0, :, :, 0], bit, atol=1e-5), "the equals sign reads as 0"


def test_smallest_gap_is_attained() -> None:
    lowered = lower_circuit(chain_of_xors(500))
    tokens = context(lowered, every_input(6)[:1])
    x = embed(lowered.transformer, tokens, np.arange(tokens.shape[1]), np.float64)
    layer = cast_layer(lowered.transformer.layers[0], np.float64)
    queries, keys, _ = project_heads(x, layer, lowered.transformer.architecture, np.arange(tokens.shape[1]))
    scores = (queries @ keys.swapaxes(-1, -2))[0] / np.sqrt(lowered.transformer.architecture.head_width)
    scores[:, ~np.tri(len(tokens[0]), dtype=bool)] = -np.inf
    top = np.sort(scores[:, 6:-1], axis=-1)
    least = (top[..., -1] - top[..., -2]).min()
    attention = lowered.certificate.attention
    assert attention.rounded <= least
    # The exact gap leaves out what the layer norm's epsilon takes.
    assert attention.exact * (1 - NORM_EPSILON) <= least
    assert least == pytest.approx(attention.exact, rel=1e-4)


def test_logit_margin_is_attained() -> None:
    lowered = lower_circuit(CASES["random, 3 inputs a gate"])
    tokens = context(lowered, every_input(6))
    logits = np.sort(compute_logits(lowered.transformer, tokens)[:, 6:], axis=-1)
    least = (logits[..., -1] - logits[..., -2]).min()
    lead = lowered.certificate.logits
    assert lead.rounded <= least
    # The exact lead leaves out what the epsilons of earlier layer norms take.
    assert lead.exact * (1 - 4 * NORM_EPSILON) <= least < lead.exact * 1.02


@pytest.mark.parametrize(
    ("dtype", "gap", "message"),
    [
        (
            "bfloat16",
            3.0,
            r"in bfloat16 it would not hold: position 6, .* a score gap of 3.67, 2.99 after rounding, where",
        ),
        (
            "float32",
            3.0,
            "in float32 it would not hold: position 6, which writes chain token 0: head 0 of layer 0 .input 0. has a"
            " score gap of 3.67, 3.67 after rounding, where 10.6 is needed",
        ),
        ("float16", 2000.0, r"in float16 it would not hold: .* scores of look-up input 0 reach 9.01e\+04, beyond what"),
        ("float16", 20000.0, "in float16 it would not hold: position 6, .* look-up input 0 can overflow"),
    ],
)
def test_what_would_not_hold_is_refused(dtype: str, gap: float, message: str) -> None:
    with pytest.raises(CompileError, match=message):
        serialformer.compile(chain_of_xors(33), dtype=dtype, attention_gap=gap)


@pytest.mark.parametrize("name", CASES)
def test_every_sum_of_a_layer_norm_is_one_of_small_integers(name: str) -> None:
    lowered = lower_circuit(CASES[name])
    layout = lowered.layout
    assert isinstance(layout, Layout)
    for ballast, fetched in ((layout.ballast_before, 0), (layout.ballast_after, 1)):
        row = lowered.transformer.position_embedding[-1].astype(int) + lowered.transformer.token_embedding[0]
        row[layout.ballast] = ballast
        for head in range(layout.num_heads):
            row[layout.span(f"fetched[{head}]")] = fetched, -fetched
        assert row.sum() == 0 and (row**2).sum() == 4 * layout.width
    embedding = lowered.transformer.position_embedding
    assert (embedding == np.rint(embedding)).all() and np.abs(embedding).max() <= 20


def test_weights_are_the_same_for_both_activations() -> None:
    relu, gelu = (
        dict(lower_circuit(CASES["parity of ten"], activation=name).transformer.named_weights())
        for name in ("relu", "gelu_new")
    )
    assert all(np.array_equal(relu[name], gelu[name]) for name in relu)
