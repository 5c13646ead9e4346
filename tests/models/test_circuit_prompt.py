"""The evaluator as a model: any circuit through it, other programs that run it, its directory."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import serialformer
from serialformer import Circuit, CircuitBuilder, Model, SerialformerError, construct, load, trace_lines
from serialformer.circuits.strategies import circuits
from serialformer.circuits.value_problem import translate_circuit
from tests.effort import effort
from tests.value_problems import WORKED_CHAIN, WORKED_PROMPT, random_problem, slow_chain

M = 64


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return construct("circuit-value", M).save(tmp_path_factory.mktemp("evaluator") / "model")


def ripple_adder(width: int) -> Circuit:
    build = CircuitBuilder()
    a, b = build.inputs("a", width), build.inputs("b", width)
    carry, total = build.constant(False), []
    for left, right in zip(a, b, strict=True):
        total.append(build.gate(0b10010110, left, right, carry))
        carry = build.gate(0b11101000, left, right, carry)
    build.outputs("sum", [*total, carry])
    return build.circuit()


def test_one_model_adds_and_finds_the_parity(model: Model) -> None:
    adder = ripple_adder(3)
    assert translate_circuit(adder).problem.num_gates <= M
    engine = model.engine()
    for a, b in ((0, 0), (3, 5), (7, 7), (6, 1)):
        transcript = model.run(adder, a=a, b=b, engine=engine)
        assert transcript["sum"] == a + b
    build = CircuitBuilder()
    bits = build.inputs("a", 6)
    build.output("parity", build.xor(*[build.xor(*bits[:2]), build.xor(build.xor(*bits[2:4]), build.xor(*bits[4:]))]))
    for a in (0, 1, 0b101101, 0b111):
        assert model.run(build.circuit(), {"a": a}, engine=engine)["parity"] == a.bit_count() % 2


@effort(0.5)
@given(circuits(max_inputs=4, max_gates=4, max_arity=3, min_inputs=1))
def test_random_circuits(circuit: Circuit) -> None:
    evaluator = make_evaluator_once(M)
    values = {
        word.name: sum(1 << index for index, bit in enumerate(word.bits) if bit >= 0) for word in circuit.input_words
    }
    if translate_circuit(circuit).problem.num_gates <= M:
        assert dict(evaluator.run(circuit, values, engine="dense").outputs) == circuit.evaluate(values)


_made: dict[int, Model] = {}


def make_evaluator_once(num_gates: int) -> Model:
    if num_gates not in _made:
        _made[num_gates] = construct("circuit-value", num_gates)
    return _made[num_gates]


def test_the_worked_example(model: Model) -> None:
    for text in (WORKED_PROMPT, WORKED_PROMPT.removesuffix(" =")):
        transcript = model.run(text)
        assert transcript.text == f"{WORKED_PROMPT} {WORKED_CHAIN}"
        assert dict(transcript) == {"value": 1}


def test_no_gates_at_all(model: Model) -> None:
    assert dict(model.run(CircuitBuilder().circuit())) == {}
    assert dict(model.run("")) == {}


def test_engines_agree(model: Model) -> None:
    adder = ripple_adder(2)
    chains = [
        model.run(adder, a=3, b=2, engine=engine).chain.tolist() for engine in ("auto", "indexed", "dense", "sliced")
    ]
    assert chains[1:] == chains[:1] * 3


def test_a_chain_that_is_cut_has_no_outputs(model: Model) -> None:
    transcript = model.run(ripple_adder(2), a=3, b=2, max_tokens=5)
    assert len(transcript.chain) == 5 and dict(transcript) == {}


def test_too_many_gates(model: Model) -> None:
    with pytest.raises(SerialformerError) as caught:
        model.run(ripple_adder(8), a=1, b=2)
    number = translate_circuit(ripple_adder(8)).problem.num_gates
    assert str(caught.value) == (
        f"{model.directory}: the circuit takes {number} gates of TRUE, FALSE, AND, OR and NOT; this evaluator is made"
        f" for 64\nhint: serialformer evaluator --gates {number} makes one that is large enough"
    )


def test_weights_that_are_not_as_constructed(model: Model) -> None:
    layers = model.transformer.layers
    broken = replace(layers[2], mlp_out_weight=np.zeros_like(layers[2].mlp_out_weight))
    other = replace(model, transformer=replace(model.transformer, layers=(*layers[:2], broken)))
    with pytest.raises(SerialformerError, match="the model gave gate 1 of 4 no value"):
        other.run(WORKED_PROMPT)


def test_saved_and_loaded(model: Model) -> None:
    assert model.directory is not None
    again = load(model.directory)
    assert again.protocol == model.protocol and again.provenance == model.provenance
    assert again.num_gates == M
    weights = dict(again.transformer.named_weights())
    for name, weight in model.transformer.named_weights():
        assert np.array_equal(weights[name], weight), name


def test_directories_that_are_no_evaluator(model: Model, tmp_path: Path) -> None:
    with pytest.raises(SerialformerError, match="no such checkpoint directory"):
        load(tmp_path / "none")
    compiled = serialformer.compile(ripple_adder(1)).save(tmp_path / "compiled")
    assert compiled.directory is not None
    with pytest.raises(SerialformerError, match="compiled: is a compiled circuit, not an evaluator of"):
        _ = load(compiled.directory).num_gates
    other = construct("circuit-value", 8).save(tmp_path / "other").directory
    assert other is not None
    manifest = json.loads((other / "serialformer.json").read_text())
    (other / "serialformer.json").write_text(json.dumps({**manifest, "protocol": {"num_gates": 9}}))
    with pytest.raises(SerialformerError, match="are not those of an evaluator of 9 gates"):
        load(other)


def test_trace_lines() -> None:
    build = CircuitBuilder()
    a, b = build.inputs("a", 2)
    build.output("odd", build.xor(a, b))
    circuit = build.circuit()
    evaluator = make_evaluator_once(8)
    lines = list(trace_lines(evaluator, evaluator.run(circuit, a=1), circuit))
    assert lines == [
        "g1 TRUE = TRUE  a[0] @28",
        "g2 FALSE = FALSE  a[1] @32",
        "g3 OR g1=TRUE g2=FALSE = TRUE  @36",
        "g4 AND g1=TRUE g2=FALSE = FALSE  @40",
        "g5 NOT g4=FALSE = TRUE  @44",
        "g6 AND g3=TRUE g5=TRUE = TRUE  odd @48",
    ]


@pytest.fixture(scope="module")
def hugging_face(model: Model) -> Any:
    transformers = pytest.importorskip("transformers")
    return (
        transformers.AutoModelForCausalLM.from_pretrained(model.directory),
        transformers.AutoTokenizer.from_pretrained(model.directory),
    )


def test_transformers_generates_the_same_tokens(hugging_face: Any) -> None:
    theirs, tokenizer = hugging_face
    random = np.random.default_rng(6)
    for num_gates in (3, M):
        problem = random_problem(random, num_gates)
        expected = " ".join([*problem, "=", *slow_chain(problem), "="])
        # It ends by itself, also where the chain fills all positions.
        tokens = theirs.generate(**tokenizer(" ".join(problem), return_tensors="pt"), max_new_tokens=4 * M + 1)
        assert tokenizer.decode(tokens[0]) == "\n" + expected
    assert tokenizer("TRUE NA NA 1 =")["input_ids"] == tokenizer("TRUE NA NA 1")["input_ids"]


def test_pipeline_takes_a_circuit_as_it_is_typed(model: Model) -> None:
    transformers = pytest.importorskip("transformers")
    pipeline = transformers.pipeline("text-generation", str(model.directory))
    prompt = WORKED_PROMPT.removesuffix("=")
    # The pipeline puts the text of the new tokens right after what was typed.
    assert pipeline(prompt) == [{"generated_text": f"{prompt}\n{WORKED_CHAIN} ="}]
    assert pipeline(WORKED_PROMPT, return_full_text=False) == [{"generated_text": f"\n{WORKED_CHAIN} ="}]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_transformers_in_narrow_formats(tmp_path: Path, dtype: str) -> None:
    transformers = pytest.importorskip("transformers")
    directory = construct("circuit-value", 10, dtype=dtype).save(tmp_path / "model").directory
    theirs = transformers.AutoModelForCausalLM.from_pretrained(directory)
    assert str(theirs.dtype) == f"torch.{dtype}"
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    problem = random_problem(np.random.default_rng(8), 9)
    tokens = theirs.generate(**tokenizer(" ".join(problem), return_tensors="pt"))
    assert tokenizer.decode(tokens[0]) == "\n" + " ".join([*problem, "=", *slow_chain(problem), "="])


def test_a_real_circuit(real_circuits: Path) -> None:
    circuit = serialformer.read(real_circuits / "bristol" / "zero_equal.txt")
    evaluator = construct("circuit-value", 200)
    engine = evaluator.engine()
    for value in (0, 1, 1 << 63, 12345):
        transcript = evaluator.run(circuit, {circuit.input_words[0].name: value}, engine=engine)
        assert list(transcript.outputs.values()) == [int(value == 0)]


@pytest.mark.slow
def test_transformers_at_a_thousand_gates(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    evaluator = construct("circuit-value", 1024).save(tmp_path / "model")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(evaluator.directory)
    tokenizer = transformers.AutoTokenizer.from_pretrained(evaluator.directory)
    problem = random_problem(np.random.default_rng(9), 1000)
    tokens = theirs.generate(**tokenizer(" ".join(problem), return_tensors="pt"), max_new_tokens=4001)
    assert tokenizer.decode(tokens[0]) == "\n" + " ".join([*problem, "=", *slow_chain(problem), "="])


@pytest.mark.slow
def test_real_multiplier(real_circuits: Path) -> None:
    circuit = serialformer.read(real_circuits / "iscas85" / "c6288.bench")
    number = translate_circuit(circuit).problem.num_gates
    evaluator = construct("circuit-value", number)
    random = np.random.default_rng(10)
    engine = evaluator.engine()
    for bits in random.integers(0, 2, (3, circuit.num_inputs)):
        values = {word.name: int(bit) for word, bit in zip(circuit.input_words, bits, strict=True)}
        assert dict(evaluator.run(circuit, values, engine=engine).outputs) == circuit.evaluate(values)
