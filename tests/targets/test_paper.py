"""The paper's transformer as a compile target: the circuit's own chain, token for token, in F_1 and beyond."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

import serialformer
from serialformer import Circuit, CircuitBuilder
from serialformer.circuits.strategies import circuits
from serialformer.constructions.circuit_chain import program_to_construction
from serialformer.constructions.program import Program, schedule_to_program
from serialformer.constructions.schedule import schedule_chain
from serialformer.decode.rounded import RoundedEngine
from serialformer.errors import CompileError
from serialformer.models.lower import certify_program, check_options, lower_circuit
from serialformer.targets.paper import construction_to_paper, lay_out_paper
from serialformer.transformer.transformer import weights_to_transformer
from tests.cases import every_input, slow_wires, small_circuits
from tests.effort import effort

CASES = small_circuits()


def random_circuit(seed: int, num_inputs: int, num_gates: int, num_outputs: int = 4) -> Circuit:
    """Constants, one-input and two-input gates of every table."""
    random = np.random.default_rng(seed)
    build = CircuitBuilder()
    wires = build.inputs("x", num_inputs)
    for _ in range(num_gates):
        arity = int(random.choice([0, 1, 2, 2, 2, 2, 2, 2]))
        table = int(random.integers(0, 1 << (1 << arity)))
        wires.append(build.gate(table, *(int(wire) for wire in random.choice(wires, arity))))
    build.outputs("y", [int(wire) for wire in random.choice(wires, num_outputs)])
    return build.circuit()


def check_chains(circuit: Circuit, bits: np.ndarray, *, precision: int = 1) -> None:
    """Every chain is what plain Python makes of the circuit, and ends there."""
    lowered = lower_circuit(circuit, target="paper", precision=precision)
    num_chain = lowered.program.num_chain_tokens
    prompts = np.pad(bits.astype(np.int64), ((0, 0), (0, 1)), constant_values=2)
    made = RoundedEngine(lowered.transformer).generate(prompts, num_chain + 1)
    wires = np.array([slow_wires(lowered.circuit, row.tolist()) for row in bits], dtype=np.int64)
    expected = wires.reshape(len(bits), lowered.circuit.num_wires)[:, lowered.schedule.wire]
    assert np.array_equal(made[:, :-1], expected)
    assert (made[:, -1] == 2).all() and made.shape[1] == num_chain + 1
    if circuit.num_outputs:
        given_wires = np.array([slow_wires(circuit, row.tolist()) for row in bits], dtype=np.int64)
        assert np.array_equal(expected[:, -circuit.num_outputs :], given_wires[:, circuit.outputs])


@pytest.mark.parametrize("name", CASES)
def test_small_circuits(name: str) -> None:
    check_chains(CASES[name], every_input(CASES[name].num_inputs))


@pytest.mark.parametrize("precision", [2, 3, 12])
@pytest.mark.parametrize("name", ["two-input table 0111", "inverters only", "random, 2 inputs a gate"])
def test_small_circuits_with_more_bits(name: str, precision: int) -> None:
    check_chains(CASES[name], every_input(CASES[name].num_inputs), precision=precision)


@effort(0.25)
@given(circuits(max_inputs=5, max_gates=12))
def test_drawn_circuits(circuit: Circuit) -> None:
    check_chains(circuit, every_input(circuit.num_inputs))


@pytest.mark.parametrize("seed", range(4))
def test_64_gates_on_all_inputs(seed: int) -> None:
    circuit = random_circuit(seed, 5 + seed, 64)
    model = serialformer.compile(circuit, target="paper")
    result = serialformer.verify(model, num_samples=None)
    assert result.verified and result.inputs == 1 << circuit.num_inputs


@pytest.mark.slow
def test_200_circuits_of_64_gates_on_all_inputs() -> None:
    for seed in range(200):
        circuit = random_circuit(1000 + seed, 1 + seed % 8, 64)
        assert serialformer.verify(serialformer.compile(circuit, target="paper"), num_samples=None).verified, seed


def test_1000_gates_on_100_inputs() -> None:
    model = serialformer.compile(random_circuit(7, 16, 1000, 8), target="paper")
    result = serialformer.verify(model, num_samples=100)
    assert result.verified and result.tokens == 100 * model.num_new_tokens >= 100_000


def test_wide_gates_are_split_and_traced() -> None:
    circuit = CASES["random, 6 inputs a gate"]
    model = serialformer.compile(circuit, target="paper")
    assert circuit.max_arity == 6 and model.circuit.max_arity == 2
    assert serialformer.verify(model, against=circuit, num_samples=40).verified
    transcript = model.run(x=93)
    lines = list(serialformer.trace_lines(model, transcript))
    assert len(lines) == model.num_new_tokens
    assert dict(transcript) == circuit.evaluate(x=93)


def test_a_letter_in_the_prompt_ends_the_chain_where_it_is_read() -> None:
    build = CircuitBuilder()
    a, b, c = build.inputs("a", 3)
    build.output("first", build.and_(a, b))
    build.output("second", build.and_(b, c))
    model = serialformer.compile(build.circuit(), target="paper")
    prompts = np.array([[1, 1, 3, 2], [3, 1, 1, 2]])
    assert model.engine().generate(prompts, 2).tolist() == [[1, 2], [2, 2]]


def a_program(num_heads: int, num_positions: int) -> Program:
    """So many positions: one input, ``=``, and copies of the input."""
    num_chain = num_positions - 2
    return Program(
        num_inputs=1,
        reads=np.zeros((num_chain, num_heads), dtype=np.int32),
        arity=np.ones(num_chain, dtype=np.uint8),
        table=np.full(num_chain, 0b10, dtype=np.uint64),
    )


def test_sizes_are_the_formula() -> None:
    for num_positions in (2, 3, 4, 5, 8, 9, 100, 1024, 1025, 16_400):
        k = max(1, (num_positions - 1).bit_length())
        for heads in (1, 2):
            layout = lay_out_paper(program_to_construction(a_program(heads, num_positions)))
            used = 4 + heads + 2**heads + (heads + 1) * k
            assert (layout.num_heads, layout.code_length) == (heads, k)
            assert layout.width == heads * max(2 * k, -(-used // heads))
            labels = layout.directions()
            assert len(labels) == len(set(labels)) == layout.width
            assert sum(not label.startswith("padding.") for label in labels) == used
            for name, first in layout.starts.items():
                has_several = name in ("name", "token") or name.startswith("read[")
                assert labels[first] == (f"{name}.0" if has_several else name)
            assert labels[layout.starts["name"] + k - 1] == f"name.{k - 1}"
            assert labels[layout.starts[f"read[{heads - 1}]"]] == f"read[{heads - 1}].0"
    architecture = serialformer.compile(random_circuit(1, 4, 40), target="paper").transformer.architecture
    assert (architecture.num_layers, architecture.num_heads, architecture.hidden_width) == (1, 2, 11)
    assert (architecture.norm, architecture.scaled_scores, architecture.activation) == ("none", False, "relu")


def test_weights_are_the_few_values_that_the_docstring_says() -> None:
    for precision in (1, 3, 12):
        transformer = serialformer.compile(CASES["parity of ten"], target="paper", precision=precision).transformer
        largest = 2.0**precision - 2.0**-precision
        values = np.unique(np.concatenate([np.abs(weight).ravel() for _, weight in transformer.named_weights()]))
        assert set(values.tolist()) == {0.0, 0.5, 1.0, largest}


def test_margins() -> None:
    for precision in range(1, 13):
        certificate = lower_circuit(CASES["parity of ten"], target="paper", precision=precision).certificate
        assert certificate.attention.exact == certificate.attention.rounded == 2.0**precision - 2.0**-precision
        assert certificate.logits.exact == certificate.logits.rounded == 0.5


def test_weights_that_would_not_hold_are_refused() -> None:
    lowered = lower_circuit(CASES["parity of ten"], target="paper")
    weights = dict(lowered.transformer.named_weights())
    architecture = lowered.transformer.architecture
    embedding = weights["position_embedding"].copy()
    embedding[4] = embedding[3]
    twice = weights_to_transformer(architecture, {**weights, "position_embedding": embedding})
    failure = certify_program(twice, lowered.program).failure
    assert failure is not None and "finds the same key at positions 3 and 4" in failure.reason
    silent = np.zeros_like(weights["layers.0.mlp_out_weight"])
    mute = weights_to_transformer(architecture, {**weights, "layers.0.mlp_out_weight": silent})
    failure = certify_program(mute, lowered.program).failure
    assert failure is not None and str(failure).startswith("position 10, which writes chain token 0")


def test_options_of_the_other_target_are_refused() -> None:
    circuit = CASES["parity of ten"]
    for options, message in (
        (
            {"dtype": "float16", "activation": "relu"},
            "target paper has no activation and no dtype\nhint: activation requires target gpt2; dtype requires"
            " target gpt2 or llama; target paper has precision",
        ),
        ({"attention_gap": 40.0}, "target paper has no attention_gap"),
        ({"precision": 0}, "expected a precision from 1 to 12, found 0\nhint: 1 is enough for any circuit"),
        ({"precision": 13}, "expected a precision from 1 to 12, found 13"),
    ):
        with pytest.raises(CompileError, match=message):
            serialformer.compile(circuit, target="paper", **options)
    with pytest.raises(
        CompileError,
        match="target gpt2 has no precision\nhint: precision requires target paper; target gpt2 has activation",
    ):
        serialformer.compile(circuit, precision=1)
    with pytest.raises(CompileError, match="no target 'papr'\nhint: one of gpt2, llama, paper"):
        check_options("papr", set())


def test_a_program_of_wide_gates_is_refused() -> None:
    circuit = CASES["gates of one, two and three inputs"]
    program = schedule_to_program(circuit, schedule_chain(circuit))
    with pytest.raises(CompileError, match="gates of 3 inputs, at most 2 for target paper\nhint: split_gates"):
        construction_to_paper(program_to_construction(program), precision=1)


def test_too_coarse_an_arithmetic_shows() -> None:
    """The same weights with keys of size 1 are not one-hot: the engine computes what it is given."""
    model = serialformer.compile(CASES["parity of ten"], target="paper", precision=2)
    weights = dict(model.transformer.named_weights())
    into = weights["layers.0.attention_in_weight"].copy()
    width = model.transformer.architecture.width
    into[:, width : 2 * width] = np.sign(into[:, width : 2 * width])  # in place of 3.75
    blurred = weights_to_transformer(model.transformer.architecture, {**weights, "layers.0.attention_in_weight": into})
    broken = replace(model, transformer=blurred)
    assert not serialformer.verify(broken, num_samples=64).verified
