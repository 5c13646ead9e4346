"""Extracted circuits against the model's own forward pass, prompt for prompt, and against a deep circuit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import serialformer
from serialformer.architecture import Arithmetic
from serialformer.bounds.extract import PromptTokens, depth_bound, extract
from serialformer.bounds.rewrite import to_circuit
from serialformer.bounds.unbounded import UnboundedCircuit, evaluate_unbounded
from serialformer.circuits.evaluate import evaluate_outputs
from serialformer.circuits.formats.aiger.aiger import write_aiger
from serialformer.errors import ArithmeticRangeError, CircuitError, EngineError, InputError
from serialformer.transformer.transformer import Transformer
from tests.abc_tool import prove_equivalent
from tests.bounds.models import UNDEFINED, bit_prompt, decoded_tokens, rounded_transformer, words_of
from tests.bounds.simulation import simulate
from tests.cases import every_input

F_1, F_2 = Arithmetic(precision=1), Arithmetic(precision=2)
F_11 = Arithmetic(precision=1, exponent_bits=1)


def compare(
    transformer: Transformer, circuit: UnboundedCircuit, prompt: PromptTokens, bits: np.ndarray, chain: int = 0
) -> tuple[int, int]:
    """Fails where the circuit says anything else than the model; how many answers were compared, of how many kinds.

    The engine refuses a division by zero anywhere, the circuit says so of those on which the answer depends.
    """
    expected = decoded_tokens(transformer, prompt.tokens(bits.astype(np.int64)), chain + 1)
    found = words_of(circuit, bits)
    known = expected[:, 0] != UNDEFINED
    assert not found["undefined"][known].any()
    for token in range(chain):
        if f"chain{token}" in found:
            np.testing.assert_array_equal(found[f"chain{token}"][known], expected[known, token])
    np.testing.assert_array_equal(found["answer"][known], expected[known, chain])
    return int(known.sum()), len(np.unique(expected[known, chain]))


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_every_prompt_in_F_1(num_layers: int) -> None:
    prompt, rows = bit_prompt(6), every_input(6)
    outcomes = []
    for seed in range(12):
        transformer = rounded_transformer(F_1, seed, num_layers=num_layers)
        circuit = extract(transformer, prompt)
        outcomes.append(compare(transformer, circuit, prompt, rows))
        depth = depth_bound(transformer.architecture)
        assert circuit.depth in (0, depth) and circuit.depth_without_copies <= depth
    compared, kinds = np.array(outcomes).T
    assert compared.sum() > 150 and (kinds > 1).sum() >= 2, outcomes


@pytest.mark.slow  # all prompts of six bits are asked of more models below
def test_every_prompt_of_twelve_bits() -> None:
    outcomes = []
    for seed in (0, 2, 16, 34):
        transformer = rounded_transformer(F_1, seed)
        outcomes.append(compare(transformer, extract(transformer, bit_prompt(12)), bit_prompt(12), every_input(12)))
    assert sum(kinds > 1 for _, kinds in outcomes) >= 2, outcomes


@pytest.mark.parametrize(
    ("arithmetic", "method"), [(F_2, None), (F_1, "resets"), (F_11, None), (F_1, "thresholds"), (F_2, "thresholds")]
)
def test_other_formats_and_ways_to_sum(arithmetic: Arithmetic, method: str | None) -> None:
    prompt, rows = bit_prompt(4), every_input(4)
    outcomes = []
    for seed in range(6):
        transformer = rounded_transformer(arithmetic, seed, num_layers=1 + seed % 2, width=4, hidden_width=4)
        circuit = extract(transformer, prompt, method=method)
        outcomes.append(compare(transformer, circuit, prompt, rows))
        assert circuit.depth in (0, depth_bound(transformer.architecture, method=method))
    compared, kinds = np.array(outcomes).T
    assert compared.sum() > 30 and (kinds > 1).any(), outcomes


def test_threshold_gates_while_the_precision_grows_with_the_length() -> None:
    """TC0: s = log2 n, and the depth is 40 whatever s is."""
    kinds = []
    for precision in (1, 2, 3):
        length = 2**precision
        for seed in (0, 2, 5):
            arithmetic = Arithmetic(precision=precision)
            transformer = rounded_transformer(arithmetic, seed, width=4, hidden_width=4)
            prompt, rows = bit_prompt(length), every_input(length)
            circuit = extract(transformer, prompt, method="thresholds")
            assert circuit.depth in (0, 40) and depth_bound(transformer.architecture, method="thresholds") == 40
            kinds.append(compare(transformer, circuit, prompt, rows)[1])
    assert max(kinds) > 1, kinds


def test_all_ways_to_sum_agree() -> None:
    rows = every_input(5)
    for seed in range(4):
        transformer = rounded_transformer(F_1, seed)
        found = [
            evaluate_unbounded(extract(transformer, bit_prompt(5), method=method), rows)
            for method in ("flip-flops", "resets", "thresholds", "serial")
        ]
        for other in found[1:]:
            np.testing.assert_array_equal(other, found[0])


@pytest.mark.parametrize("chain", [1, 2, 3])
def test_chains_one_pass_after_another_and_all_at_once(chain: int) -> None:
    prompt, rows = bit_prompt(4), every_input(4)
    outcomes = []
    for seed in range(8):
        transformer = rounded_transformer(F_1, seed, num_layers=1 + seed % 2, width=4)
        for parallel in (False, True):
            circuit = extract(transformer, prompt, chain=chain, parallel=parallel)
            outcomes.append(compare(transformer, circuit, prompt, rows, chain))
            assert circuit.depth in (0, depth_bound(transformer.architecture, chain=chain, parallel=parallel))
    assert sum(compared for compared, _ in outcomes) > 100 and max(kinds for _, kinds in outcomes) > 1, outcomes


def test_a_chain_that_is_not_tried_is_undefined() -> None:
    prompt, rows = bit_prompt(4), every_input(4)
    seen = 0
    for seed in range(8):
        transformer = rounded_transformer(F_1, seed, width=4)
        tokens = decoded_tokens(transformer, prompt.tokens(rows.astype(np.int64)), 1)[:, 0]
        found = words_of(extract(transformer, prompt, chain=1, parallel=True, chain_tokens=(0, 1)), rows)
        other = (tokens != UNDEFINED) & (tokens > 1)
        assert found["undefined"][other].all()
        seen += int(other.sum())
    assert seen > 0


def test_more_than_two_tokens_and_codes_beyond_the_last() -> None:
    """Three tokens take two bits; the fourth code stands for the third token."""
    prompt = PromptTokens(choices=((2, 0, 1), (1,), (0, 1), (1, 0, 2), (2,)))
    assert prompt.widths == (2, 0, 1, 2, 0)
    assert prompt.tokens(np.array([[1, 1, 0, 0, 1]])).tolist() == [[1, 1, 0, 2, 2]]
    outcomes = []
    for seed in range(8):
        transformer = rounded_transformer(F_1, seed)
        outcomes.append(compare(transformer, extract(transformer, prompt), prompt, every_input(5)))
    assert sum(compared for compared, _ in outcomes) > 50 and max(kinds for _, kinds in outcomes) > 1


def test_undefined_is_said_where_the_answer_depends_on_it() -> None:
    """One layer, one position: the softmax of a score of -1.5 divides by zero."""
    transformer = rounded_transformer(F_1, 0, width=2)
    weights = dict(transformer.named_weights())
    for weight in weights.values():
        weight[:] = 0
    weights["token_embedding"][:, 0] = [1, -1, 0]
    weights["layers.0.attention_in_bias"][:4] = [1.5, 0, 0, 0]
    weights["layers.0.attention_in_weight"][0, 2] = 1.0  # the key is the token's sign
    prompt = PromptTokens(choices=((0, 1),))
    circuit = extract(transformer, prompt)
    found = words_of(circuit, np.array([[0], [1]], dtype=np.uint8))
    assert found["undefined"].tolist() == [0, 1]
    with pytest.raises(EngineError, match="division by zero"):
        serialformer.decode.rounded.RoundedEngine(transformer).generate(np.array([[1]]), 1)


def test_abc_proves_it_equal_to_the_deep_simulation(tmp_path: Path) -> None:
    rows = every_input(5)
    changing = 0
    for seed in (10, 13, 14, 18):
        transformer = rounded_transformer(F_1, seed, width=4, hidden_width=4)
        deep = simulate(transformer, 5)
        circuit = extract(transformer, bit_prompt(5))
        assert circuit.output_words is not None
        answer = replace(circuit, outputs=circuit.outputs[:2], output_words=None)
        if len(circuit.outputs) == 3:
            # Where the answer is undefined both circuits may say what they like.
            defined = evaluate_unbounded(circuit, rows)[:, 2] == 0
            np.testing.assert_array_equal(
                evaluate_outputs(deep, rows)[defined], evaluate_unbounded(answer, rows)[defined]
            )
            continue
        write_aiger(replace(deep, output_words=None), tmp_path / "deep.aig")
        write_aiger(to_circuit(answer), tmp_path / "bound.aig")
        prove_equivalent(tmp_path / "deep.aig", tmp_path / "bound.aig")
        changing += len(np.unique(evaluate_outputs(deep, rows), axis=0)) > 1
        assert deep.depth > 100
    assert changing > 0


def test_mutations_are_noticed() -> None:
    """One literal, one threshold or one wire of the circuit is altered: nearly always another function."""
    prompt, rows = bit_prompt(6), every_input(6)
    transformer = rounded_transformer(F_1, 34)
    circuit = extract(transformer, prompt, aligned=False)
    compared, kinds = compare(transformer, circuit, prompt, rows)
    assert compared == 64 and kinds > 1 and circuit.num_gates > 500
    random = np.random.default_rng(0)
    noticed = 0
    for _ in range(200):
        fan_in, threshold = circuit.fan_in.copy(), circuit.threshold.copy()
        place = int(random.integers(len(fan_in)))
        if random.random() < 0.5:
            fan_in[place] ^= 1
        else:
            gate = int(random.integers(circuit.num_gates))
            size = int(circuit.start[gate + 1] - circuit.start[gate])
            threshold[gate] = size + 1 - threshold[gate]
        altered = replace(circuit, fan_in=fan_in, threshold=threshold)
        try:
            compare(transformer, altered, prompt, rows)
        except AssertionError:
            noticed += 1
    assert noticed > 50, noticed


def test_depth_is_the_same_for_every_length_and_wires_grow_at_most_cubically() -> None:
    lengths = (4, 8, 16, 32, 64)
    transformer = rounded_transformer(F_1, 3, width=8, hidden_width=8, num_positions=65)
    circuits = [extract(transformer, bit_prompt(length)) for length in lengths]
    assert {circuit.depth for circuit in circuits} == {312}
    wires = np.array([circuit.num_literals for circuit in circuits])
    exponent = np.polyfit(np.log(lengths[1:]), np.log(wires[1:]), 1)[0]
    assert exponent <= 3, (exponent, wires)


def test_long_prompts_at_random() -> None:
    rows = np.random.default_rng(1).integers(0, 2, (100, 32)).astype(np.uint8)
    transformer = rounded_transformer(F_1, 9, width=28, hidden_width=28, num_positions=33)
    prompt = bit_prompt(32)
    compare(transformer, extract(transformer, prompt), prompt, rows)


def test_what_is_too_large_is_refused_with_the_count() -> None:
    transformer = rounded_transformer(F_1, 0, num_layers=2)
    with pytest.raises(
        CircuitError, match=r"the circuit takes [\d,]+ wires, at most 10,000 are allowed\nhint: a shorter"
    ):
        extract(transformer, bit_prompt(8), max_wires=10_000)
    with pytest.raises(CircuitError, match=r"takes more than [\d,]+ wires, at most 10 are allowed"):
        extract(transformer, bit_prompt(8), max_wires=10)


def test_what_cannot_be_extracted() -> None:
    transformer = rounded_transformer(F_1, 0)
    with pytest.raises(InputError, match="expected a prompt and a chain of 1 to 16 tokens, found 16 and 1"):
        extract(transformer, bit_prompt(15), chain=1)
    with pytest.raises(InputError, match=r"expected at most 4,096 chains to try at once, found 3\^8"):
        extract(transformer, bit_prompt(4), chain=8, parallel=True)
    with pytest.raises(ArithmeticRangeError, match="no method 'tree'"):
        extract(transformer, bit_prompt(4), method="tree")
    floats = replace(transformer, architecture=replace(transformer.architecture, arithmetic=None))
    with pytest.raises(EngineError, match="the model computes in floats"):
        extract(floats, bit_prompt(4))
    weights = dict(transformer.named_weights())
    weights["layers.0.mlp_in_bias"][0] = 0.3
    with pytest.raises(EngineError, match="weights that F_1 does not hold: layers.0.mlp_in_bias"):
        extract(transformer, bit_prompt(4))
