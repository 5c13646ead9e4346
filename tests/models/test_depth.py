"""Circuits without a chain, as models: every level and every engine gives the circuit's answer at once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

import serialformer
from serialformer import Circuit, CircuitBuilder, Model
from serialformer.circuits.strategies import circuits
from serialformer.constructions.circuit_depth import circuit_levels
from serialformer.constructions.program import EQUALS
from serialformer.decode.dense import DenseEngine
from serialformer.decode.rounded import RoundedEngine
from serialformer.errors import CompileError, InputError, SerialformerError
from serialformer.explorer.content import circuit_content
from serialformer.models.trace import column_bits
from serialformer.transformer.forward import compute_logits
from tests.cases import every_input, slow_wires, small_circuits, some_inputs
from tests.constructions.test_circuit_depth import chain_of_inverters, depth_prompts, slow_outputs
from tests.effort import effort, pairs

CASES = {name: circuit for name, circuit in small_circuits().items() if not name.startswith("two-input table 0")}

TARGETS = {
    "float32": {},
    "bfloat16": {"dtype": "bfloat16", "activation": "relu"},
    "float16": {"dtype": "float16"},
    "F_1": {"target": "paper"},
    "F_2": {"target": "paper", "precision": 2},
}


def check_engine(model: Model, circuit: Circuit, engine: str, rows: int = 64) -> None:
    bits = some_inputs(circuit.num_inputs, rows)
    answers = model.think(bits, model.engine(engine))
    assert np.array_equal(answers, slow_outputs(circuit, bits))


@pytest.mark.parametrize(("name", "target"), pairs(CASES, TARGETS))
def test_small_circuits(name: str, target: str) -> None:
    """The answer for all inputs of most, from weights that are proven; rounded arithmetic takes long for each."""
    circuit = CASES[name]
    if target.startswith("F_") and circuit.max_arity > 2 and circuit.num_gates > 9:
        pytest.skip("splitting makes it too deep for a short test; gates of three inputs are split as well")
    model = serialformer.compile(circuit, chain="none", **TARGETS[target])
    assert model.certificate is not None
    assert model.certificate.holds
    assert model.certificate.prompts == f"all 2^{circuit.num_inputs}"
    check_engine(model, circuit, "dense", 8 if target.startswith("F_") else 64)


@effort(0.125)
@given(circuits(max_inputs=5, max_gates=14))
def test_random_circuits_at_every_level(circuit: Circuit) -> None:
    """The forward pass in float64, and the end of the answer, which engines leave out."""
    model = serialformer.compile(circuit, chain="none")
    bits = every_input(circuit.num_inputs)
    prompts = model.prompts(bits)
    assert np.array_equal(prompts, depth_prompts(circuit, bits))
    whole = np.concatenate([prompts, slow_outputs(circuit, bits)], axis=1)
    written = compute_logits(model.transformer, whole).argmax(axis=-1)[:, prompts.shape[1] - 1 :]
    assert np.array_equal(written[:, :-1], whole[:, prompts.shape[1] :])
    assert (written[:, -1] == EQUALS).all()
    check_engine(model, circuit, "dense")


@pytest.mark.parametrize(
    ("name", "dtype"),
    pairs(["random, 2 inputs a gate", "random, 6 inputs a gate", "inverters only"], ["float32", "bfloat16"]),
)
def test_transformers_gives_the_same_answer(name: str, dtype: str) -> None:
    pytest.importorskip("transformers", reason="the extra torch is not installed")
    model = serialformer.compile(CASES[name], chain="none", dtype=dtype)
    check_engine(model, CASES[name], "hf")


def test_engines_that_cannot_prove_their_short_cut_go_on_densely(capfd: pytest.CaptureFixture[str]) -> None:
    circuit = CASES["random, 2 inputs a gate"]
    model = serialformer.compile(circuit, chain="none")
    for engine in ("indexed", "sliced"):
        check_engine(model, circuit, engine, 4)
        assert "the dense engine continues" in capfd.readouterr().err
    check_engine(model, circuit, "auto", 4)
    assert capfd.readouterr().err == "", "what is chosen by default says nothing"
    assert model.engine("auto").name == model.batch_engine("auto").name == "dense"


def adder() -> Circuit:
    """Two bits and a carry, with names."""
    build = CircuitBuilder()
    a, b, carry = build.inputs("a", 3)
    half = build.gate(0b0110, a, b, name="half")
    build.output("sum", build.xor(half, carry))
    build.output("carry", build.or_(build.and_(a, b), build.and_(half, carry)))
    return build.circuit()


@pytest.mark.parametrize("target", ["gpt2", "paper"])
def test_columns_hold_their_gates_from_their_level_on(target: str) -> None:
    """Whatever stands before, and it stays right in all later layers but the last, which writes the answer."""
    circuit = CASES["random, 2 inputs a gate"]
    model = serialformer.compile(circuit, chain="none", layers=circuit.depth + 3, target=target)
    levels = circuit_levels(circuit).of_wire
    for bits in every_input(circuit.num_inputs)[::17]:
        held = column_bits(model, model.prompts(bits[None])[0])[:, : circuit.num_wires]
        right = held == np.array(slow_wires(circuit, bits.tolist()))
        assert (held[0, circuit.num_inputs :] == 0).all()
        for layer in range(circuit.depth + 3):
            assert right[layer, levels <= layer].all()


@pytest.mark.parametrize("arithmetic", ["floats", "F_1"])
def test_streams_are_what_the_engine_reads(arithmetic: str) -> None:
    """The last stream unembeds to what the engine writes; the first is the embeddings."""
    model = serialformer.compile(adder(), chain="none", target="gpt2" if arithmetic == "floats" else "paper")
    engine = model.engine("dense")
    assert isinstance(engine, DenseEngine | RoundedEngine)
    prompts = model.prompts(every_input(3))
    streams = engine.streams(prompts)
    assert streams.shape == (1 + len(model.transformer.layers), *prompts.shape, model.transformer.architecture.width)
    embedded = model.transformer.token_embedding[prompts] + model.transformer.position_embedding[: prompts.shape[1]]
    assert np.array_equal(streams[0], embedded)
    is_bit = model.provenance.names.directions.index("bit+" if arithmetic == "floats" else "bit.0")
    written = (streams[-1][:, -1, is_bit] > 0).astype(int)
    assert np.array_equal(written, engine.generate(prompts, 1)[:, 0])


def test_trace_says_what_stands_in_each_column() -> None:
    model = serialformer.compile(adder(), chain="none")
    assert list(serialformer.trace_lines(model, model.run(a=0b011))) == [
        "layer 1: xor(a[0]=1, a[1]=1) = 0  half @3",
        "layer 1: and(a[0]=1, a[1]=1) = 1  g2 @5",
        "layer 2: xor(half=0, a[2]=0) = 0  g1 sum @4",
        "layer 2: and(half=0, a[2]=0) = 0  g3 @6",
        "layer 3: or(g2=1, g3=0) = 1  g4 carry @7",
        "layer 4: copy(g1=0) = 0  sum @9",
        "layer 4: copy(g4=1) = 1  carry @10",
    ]


def test_trace_needs_names() -> None:
    model = serialformer.compile(adder(), chain="none")
    nameless = replace(model, provenance=replace(model.provenance, names=None))
    with pytest.raises(InputError, match="no direction is called bit"):
        list(serialformer.trace_lines(nameless, model.run(a=0)))


@pytest.mark.parametrize("target", ["gpt2", "paper"])
def test_saved_loaded_verified_and_certified(target: str, tmp_path: Path) -> None:
    made = serialformer.compile(adder(), chain="none", target=target).save(tmp_path / "model")
    model = serialformer.load(tmp_path / "model")
    assert model.words.chain == "none"
    assert model.certificate is not None
    assert serialformer.certify(model).holds
    assert serialformer.verify(model, num_samples=None).verified
    assert model.run(a=0b111).outputs == made.run(a=0b111).outputs == {"sum": 1, "carry": 1}
    assert [model.words.tokens_at(position) for position in (0, 2, 3, 7, 8, 9)] == [
        ("0", "1"), ("0", "1"), (".",), (".",), ("=",), ("0", "1"),
    ]  # fmt: skip
    facts = serialformer.info(model)
    assert (facts["chain"], facts["columns"], facts["layers"], facts["tokens"]) == ("none", 5, 4, 2)
    assert "unproven_outputs" not in facts


def test_another_circuit_is_not_certified() -> None:
    """The certificate is about the circuit that lies beside the weights."""
    model = serialformer.compile(adder(), chain="none")
    table = model.circuit.table.copy()
    table[4] ^= np.uint64(1)
    other = replace(model.circuit, table=table)
    certificate = serialformer.certify(replace(model, protocol=replace(model.words, circuit=other)))
    assert not certificate.holds
    assert "position 7" in str(certificate.failure)


def test_registers_without_a_chain() -> None:
    from serialformer.circuits.formats.aiger.aiger import parse_sequential_aiger

    toggle = parse_sequential_aiger(b"aag 1 0 1 1 0\n2 3\n2\nl0 q\n", name="toggle.aag")
    simulation = serialformer.compile(toggle, chain="none").simulation()
    assert [simulation.step().outputs["out"] for _ in range(4)] == [0, 1, 0, 1]


def test_too_few_layers_are_refused_unless_partial() -> None:
    circuit = chain_of_inverters(4)
    with pytest.raises(
        CompileError, match="expected at least 5 layers, one more than the depth of the outputs, found 3"
    ):
        serialformer.compile(circuit, chain="none", layers=3)
    model = serialformer.compile(circuit, chain="none", layers=3, partial=True)
    certificate = serialformer.certify(model)
    assert certificate.holds
    assert certificate.prompts == "all 2^1 prompts, for 2 of 4 output bits (y0, y1)"
    assert serialformer.info(model)["unproven_outputs"] == ["y2", "y3"]
    made = model.think(every_input(1), model.engine("dense"))
    assert np.array_equal(made[:, :2], slow_outputs(circuit, every_input(1))[:, :2])
    assert not serialformer.verify(model, num_samples=None).verified


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"layers": 4}, "go with a model without a chain"),
        ({"partial": True}, "go with a model without a chain"),
        ({"chain": "none", "target": "paper", "dtype": "float16"}, "target paper has no dtype"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, object], says: str) -> None:
    with pytest.raises(CompileError, match=says):
        serialformer.compile(adder(), **options)


def test_what_reads_chains_refuses() -> None:
    model = serialformer.compile(adder(), chain="none")
    with pytest.raises(InputError, match="decompile reads chains"):
        serialformer.decompile(model)
    with pytest.raises(InputError, match="the page shows chains"):
        circuit_content(model)


def test_a_manifest_of_another_chain_is_refused(tmp_path: Path) -> None:
    serialformer.compile(adder(), chain="none").save(tmp_path / "model")
    path = tmp_path / "model" / "serialformer.json"
    content = json.loads(path.read_text())
    content["protocol"]["chain"] = "half"
    path.write_text(json.dumps(content))
    with pytest.raises(SerialformerError, match="no chain 'half'"):
        serialformer.load(tmp_path / "model")
