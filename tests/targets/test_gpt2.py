"""The weights: the width that the formula says, layer norms that do nothing, heads that see one position."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest

import serialformer
from serialformer import Circuit, CircuitBuilder
from serialformer.compile.compile import Compiled, compile_circuit
from serialformer.compile.lowering import NORM_EPSILON
from serialformer.compile.names import name_length
from serialformer.errors import CompileError
from serialformer.transformer.forward import cast_layer, embed, layer_norm, project_heads
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


def context(compiled: Compiled, bits: np.ndarray) -> np.ndarray:
    from serialformer.circuits.evaluate import evaluate_wires

    chain = evaluate_wires(compiled.circuit, bits)[:, compiled.schedule.wire]
    equals = np.full((len(bits), 1), 2)
    return np.concatenate([bits, equals, chain], axis=1).astype(np.int64)


@pytest.mark.parametrize("arity", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("num_gates", [1, 17, 170, 2510])
def test_width_is_the_formula(num_gates: int, arity: int) -> None:
    circuit = chain_of_xors(num_gates, arity)
    compiled = compile_circuit(circuit)
    length = name_length(6 + 1 + num_gates)
    bare = (arity + 1) * length + 2 ** (arity + 1) + 2 * arity + 4
    shape = compiled.transformer.architecture
    assert shape.width % arity == 0
    assert bare + 2 <= shape.width <= bare + 6 + arity, "the ballast takes two to six dimensions"
    assert (shape.num_layers, shape.num_heads, shape.hidden_width) == (1, arity, 4 * shape.width)
    assert len(compiled.residual.directions()) == shape.width


def test_width_grows_as_half_the_logarithm_for_each_name() -> None:
    for exponent in range(10, 24):
        length = name_length(2**exponent)
        assert exponent / 2 < length <= exponent / 2 + log2(exponent) + 2


@pytest.mark.parametrize("name", CASES)
def test_layer_norm_is_the_identity(name: str) -> None:
    compiled = compile_circuit(CASES[name])
    transformer, residual = compiled.transformer, compiled.residual
    tokens = context(compiled, every_input(CASES[name].num_inputs)[:64])
    x = embed(transformer, tokens, np.arange(tokens.shape[1]), np.float64)
    layer = cast_layer(transformer.layers[0], np.float64)
    normed = layer_norm(x, layer.attention_norm_gain, layer.attention_norm_bias, NORM_EPSILON)
    assert np.allclose(normed, x, rtol=2e-6, atol=1e-12)
    # After attention the same holds: every fetched bit is +1 or -1, and the ballast makes up for them.
    fetched = x + layer.attention_out_bias
    for head in range(residual.num_heads):
        fetched[..., residual.fetched_bit(head)] += 1
        fetched[..., residual.fetched_bit(head) + 1] -= 1
    normed = layer_norm(fetched, layer.mlp_norm_gain, layer.mlp_norm_bias, NORM_EPSILON)
    assert np.allclose(normed, fetched, rtol=2e-6, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_heads_see_exactly_the_positions_that_the_gate_reads(name: str) -> None:
    compiled = compile_circuit(CASES[name])
    architecture = compiled.transformer.architecture
    tokens = context(compiled, every_input(CASES[name].num_inputs)[-1:])
    x = embed(compiled.transformer, tokens, np.arange(tokens.shape[1]), np.float64)
    layer = cast_layer(compiled.transformer.layers[0], np.float64)
    queries, keys, values = project_heads(x, layer, architecture.num_heads, NORM_EPSILON)
    scores = (queries @ keys.swapaxes(-1, -2) / np.sqrt(architecture.head_width))[0]
    first = compiled.program.num_inputs
    for token, reads in enumerate(compiled.program.reads):
        for head, position in enumerate(reads):
            seen = scores[head, first + token, : first + token + 1]
            assert seen.argmax() == position
            if len(seen) > 1:
                gap = seen[position] - np.delete(seen, position).max()
                assert gap >= compiled.certificate.attention.exact - 1e-6
    bit = np.where(tokens[0] == 1, 1.0, -1.0)
    assert np.allclose(values[0, :, :, 0], bit, atol=1e-5), "the equals sign reads as 0"


def test_smallest_gap_is_attained() -> None:
    compiled = compile_circuit(chain_of_xors(500))
    tokens = context(compiled, every_input(6)[:1])
    x = embed(compiled.transformer, tokens, np.arange(tokens.shape[1]), np.float64)
    layer = cast_layer(compiled.transformer.layers[0], np.float64)
    queries, keys, _ = project_heads(x, layer, 2, NORM_EPSILON)
    scores = (queries @ keys.swapaxes(-1, -2))[0] / np.sqrt(compiled.transformer.architecture.head_width)
    scores[:, ~np.tri(len(tokens[0]), dtype=bool)] = -np.inf
    top = np.sort(scores[:, 6:-1], axis=-1)
    least = (top[..., -1] - top[..., -2]).min()
    assert compiled.certificate.attention.exact <= least
    assert least == pytest.approx(compiled.certificate.attention.exact, rel=1e-4)


def test_logit_margin_is_attained() -> None:
    compiled = compile_circuit(CASES["random, 3 inputs a gate"])
    from serialformer.transformer.forward import compute_logits

    tokens = context(compiled, every_input(6))
    logits = np.sort(compute_logits(compiled.transformer, tokens)[:, 6:], axis=-1)
    least = (logits[..., -1] - logits[..., -2]).min()
    assert compiled.certificate.logits.exact - 1e-6 <= least < compiled.certificate.logits.exact * 1.02


@pytest.mark.parametrize(
    ("dtype", "gap", "message"),
    [
        ("bfloat16", 3.0, "in bfloat16 it would not hold: position 6.* by a score gap of .*, not"),
        ("float32", 3.0, "in float32 it would not hold: position 6, which writes chain token 0: head 0 reads"),
        ("float16", 20000.0, "in float16 it would not hold.* a score gap of -inf"),
    ],
)
def test_what_would_not_hold_is_refused(dtype: str, gap: float, message: str) -> None:
    with pytest.raises(CompileError, match=message):
        serialformer.compile(chain_of_xors(33), dtype=dtype, attention_gap=gap)


@pytest.mark.parametrize("name", CASES)
def test_every_sum_of_a_layer_norm_is_one_of_small_integers(name: str) -> None:
    compiled = compile_circuit(CASES[name])
    residual = compiled.residual
    for ballast, fetched in ((residual.ballast_before, 0), (residual.ballast_after, 1)):
        row = compiled.transformer.position_embedding[-1].astype(int) + compiled.transformer.token_embedding[0]
        row[residual.ballast : residual.fetched] = ballast
        row[residual.fetched : residual.table] = np.tile([fetched, -fetched], residual.num_heads)
        assert row.sum() == 0 and (row**2).sum() == 4 * residual.width
    embedding = compiled.transformer.position_embedding
    assert (embedding == np.rint(embedding)).all() and np.abs(embedding).max() <= 20


def test_weights_are_the_same_for_both_activations() -> None:
    relu, gelu = (
        dict(compile_circuit(CASES["parity of ten"], activation=name).transformer.named_weights())
        for name in ("relu", "gelu_new")
    )
    assert all(np.array_equal(relu[name], gelu[name]) for name in relu)
