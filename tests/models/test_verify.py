"""Verification: every engine's tokens against the circuit's, and transformers' word for whole chains at once."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import serialformer
from serialformer import Circuit, CircuitBuilder, Model, SerialformerError, verify
from serialformer import verify as verify_function  # the module has the function's name
from serialformer.circuits.evaluate import evaluate_outputs
from serialformer.decode import hugging_face
from serialformer.decode.engine import make_engine
from serialformer.decode.hugging_face import HuggingFaceEngine
from serialformer.errors import EngineError
from tests.cases import every_input, small_circuits, with_circuit
from tests.decode.test_engines import noisy, writes_any_token

CASES = small_circuits()
verify_module = __import__("sys").modules["serialformer.models.verify"]


def expected_chains(model: Model, bits: np.ndarray) -> np.ndarray:
    whole = replace(model.circuit, outputs=model.schedule.wire, output_words=None)
    return evaluate_outputs(whole, bits).astype(np.int64)


def random_circuit(num_inputs: int, num_gates: int, seed: int) -> Circuit:
    random = np.random.default_rng(seed)
    build = CircuitBuilder()
    wires = build.inputs("x", num_inputs)
    for _ in range(num_gates):
        wires.append(build.gate(int(random.integers(1, 15)), *(int(wire) for wire in random.choice(wires, 2))))
    build.outputs("y", wires[-8:])
    return build.circuit()


@pytest.fixture(scope="module", autouse=True)
def _torch() -> None:
    pytest.importorskip("transformers")


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("chunk", [1, 5, 512])
def test_confirming_is_generating(dtype: Any, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = serialformer.compile(CASES["random, 2 inputs a gate"], dtype=dtype)
    engine = HuggingFaceEngine(model.transformer)
    prompts = model.prompts(every_input(6)[::9])
    made = engine.generate(prompts, model.num_new_tokens)
    monkeypatch.setattr(hugging_face, "TOKENS_PER_CHUNK", chunk)
    monkeypatch.setattr(engine, "generate", None)  # no row needs it
    counted: list[int] = []
    assert np.array_equal(engine.confirm(prompts, made, counted.append), made)
    assert sum(counted) == made.shape[1]
    assert len(counted) == made.shape[1] if chunk == 1 else len(counted) < made.shape[1]


@pytest.mark.parametrize("size", [1e-6, 1e-3, 0.1, 0.5])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_confirming_is_generating_with_any_weights(size: float, dtype: Any) -> None:
    model = serialformer.compile(CASES["random, 2 inputs a gate"], dtype=dtype)
    num_tokens = model.num_new_tokens
    bits = every_input(6)[::5]
    prompts = model.prompts(bits)
    for seed in range(2):
        transformer = noisy(writes_any_token(model.transformer), size, seed)
        engine = HuggingFaceEngine(transformer)
        generated = engine.generate(prompts, num_tokens)
        generated = np.pad(generated, ((0, 0), (0, num_tokens - generated.shape[1])), constant_values=2)
        # What our engine makes, what the circuit says, what generate makes itself: the outcome is the same.
        ours = make_engine("dense", transformer).generate(prompts, num_tokens)
        ours = np.pad(ours, ((0, 0), (0, num_tokens - ours.shape[1])), constant_values=2)
        for proposal in (ours, expected_chains(model, bits), generated):
            assert np.array_equal(engine.confirm(prompts, proposal), generated)


def test_a_false_proposal_is_not_confirmed() -> None:
    model = serialformer.compile(CASES["random, 3 inputs a gate"])
    engine = HuggingFaceEngine(model.transformer)
    bits = every_input(6)[:20]
    chains = expected_chains(model, bits)
    wrong = chains.copy()
    wrong[3, 0] ^= 1
    wrong[7, -1] ^= 1
    wrong[11, 10:] = 2
    wrong[13, 12] = 2  # and goes on behind the end
    wrong[17] = 3
    assert np.array_equal(engine.confirm(model.prompts(bits), wrong), chains)


def test_close_calls_are_settled_by_generate(monkeypatch: pytest.MonkeyPatch) -> None:
    model = serialformer.compile(CASES["parity of ten"])
    engine = HuggingFaceEngine(model.transformer)
    bits = every_input(10)[::100]
    chains = expected_chains(model, bits)
    asked: list[int] = []
    generate = engine.generate

    def recorded(prompts: np.ndarray, num_tokens: int) -> np.ndarray:
        asked.append(len(prompts))
        return generate(prompts, num_tokens)

    monkeypatch.setattr(engine, "generate", recorded)
    assert np.array_equal(engine.confirm(model.prompts(bits), chains), chains) and asked == []
    monkeypatch.setattr(hugging_face, "LEAST_MARGIN", 10.0)
    assert np.array_equal(engine.confirm(model.prompts(bits), chains), chains) and asked == [len(bits)]


def test_chains_of_no_rows_no_tokens_and_too_many() -> None:
    model = serialformer.compile(CASES["parity of ten"])
    engine = HuggingFaceEngine(model.transformer)
    prompts, num_tokens = model.prompts(every_input(10)[:2]), model.num_new_tokens
    assert engine.confirm(prompts[:0], np.zeros((0, 4), dtype=np.int64)).shape == (0, 4)
    assert engine.confirm(prompts, np.zeros((2, 0), dtype=np.int64)).shape == (2, 0)
    # Every position is used: one token more is made than read.
    longest = engine.generate(prompts, num_tokens + 1)
    assert np.array_equal(engine.confirm(prompts, longest), longest) and longest.shape[1] == num_tokens + 1
    with pytest.raises(EngineError, match=rf"a prompt of 11 and a chain of {num_tokens + 2} tokens do not fit"):
        engine.confirm(prompts, np.zeros((2, num_tokens + 2), dtype=np.int64))


def test_a_chain_of_many_chunks_and_a_prompt_of_several() -> None:
    model = serialformer.compile(random_circuit(1100, 1500, seed=1))
    counted: list[int] = []
    result = verify(model, num_samples=3, engine="hf", progress=counted.append)
    assert result.verified and (result.engine, result.inputs) == ("hf", 3)
    assert len(counted) > 2 and sum(counted) == verify_module.num_verified_tokens(model, 3) == result.tokens


def test_transformers_has_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    # A proposing engine that lies to the circuit's favour does not make a broken model right, nor the other way round.
    model = serialformer.compile(CASES["random, 2 inputs a gate"])
    broken = replace(model, transformer=noisy(model.transformer, 0.5, seed=0))

    def lie(self: Model, bits: np.ndarray, engine: Any, progress: Any = None) -> np.ndarray:
        return expected_chains(model, bits)

    with monkeypatch.context() as patch:
        patch.setattr(Model, "think", lie)
        assert verify(broken, num_samples=16, engine="auto").verified
        by_transformers = verify(broken, num_samples=16, engine="hf")
    assert not by_transformers.verified
    generated = make_engine("hf", broken.transformer)
    wrong = 0
    for bits in verify_module._input_blocks(model, 16, 0, [generated]):
        made = broken.think(bits, generated)
        made = np.pad(made, ((0, 0), (0, model.num_new_tokens - made.shape[1])), constant_values=2)
        wrong += int((made != expected_chains(model, bits)).any(axis=1).sum())
    assert by_transformers.wrong_inputs == wrong

    def babble(self: Model, bits: np.ndarray, engine: Any, progress: Any = None) -> np.ndarray:
        return np.zeros((len(bits), 1), dtype=np.int64)

    monkeypatch.setattr(Model, "think", babble)
    assert verify(model, num_samples=16, engine="hf").verified
    assert not verify(model, num_samples=16, engine="auto").verified


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_transformers_confirms_aes(real_circuits: Path, dtype: Any) -> None:
    model = serialformer.compile(real_circuits / "bristol" / "aes_128.txt", dtype=dtype)
    result = verify(model, num_samples=1, engine="hf")
    assert result.verified and result.tokens == 36_663


def test_exhaustive_inputs_are_all_inputs_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    model = serialformer.compile(CASES["parity of ten"])
    engine = model.engine("dense")
    for rows in (1, 7, 1000, 4096):
        monkeypatch.setattr(engine, "rows_at_once", lambda num_tokens, rows=rows: rows)
        blocks = list(verify_module._input_blocks(model, None, 0, [engine]))
        assert np.array_equal(np.concatenate(blocks), every_input(10))
        assert max(len(block) for block in blocks) == min(rows, 1024)


@pytest.mark.parametrize("num_inputs", [0, 1, 8, 63, 64, 65, 200])
def test_samples_do_not_depend_on_the_blocks(num_inputs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    build = CircuitBuilder()
    build.inputs("a", num_inputs)
    build.output("one", build.constant(True))
    model = serialformer.compile(build.circuit())
    engine = model.engine("dense")
    drawn = []
    for rows in (1, 3, 100):
        monkeypatch.setattr(engine, "rows_at_once", lambda num_tokens, rows=rows: rows)
        drawn.append(np.concatenate(list(verify_module._input_blocks(model, 10, 5, [engine]))))
        assert drawn[-1].shape == (10, num_inputs)
    assert np.array_equal(drawn[0], drawn[1]) and np.array_equal(drawn[0], drawn[2])
    if num_inputs >= 63:
        assert 0.35 < drawn[0].mean() < 0.65 and len({row.tobytes() for row in drawn[0]}) == 10


def test_how_many_inputs_can_all_be_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    model = serialformer.compile(random_circuit(25, 30, seed=2))
    with pytest.raises(SerialformerError, match="25 input bits are too many .*, at most 24\nhint: use --samples N"):
        verify(model, num_samples=None)
    model = serialformer.compile(random_circuit(17, 30, seed=2))
    monkeypatch.setattr(verify_module, "MANY_ROWS", 1 << 40)
    with pytest.raises(SerialformerError, match="17 input bits are too many .*, at most 16\nhint: use --samples N"):
        verify(model, num_samples=None)


def test_blocks_are_bounded_in_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    model = serialformer.compile(CASES["parity of ten"])
    monkeypatch.setattr(verify_module, "TOKENS_PER_BLOCK", 9 * 50)
    sizes = [len(bits) for bits in verify_module._input_blocks(model, 120, 0, [model.engine("dense")])]
    assert sizes == [50, 50, 20]
    result = verify_function(model, num_samples=None)
    assert result.verified and result.inputs == 1024 and result.tokens == 9 * 1024


def test_the_first_wrong_token_is_told() -> None:
    model = serialformer.compile(CASES["parity of ten"])
    table = model.circuit.table.copy()
    table[4] ^= 0b0100  # the gate is wrong for one of its four inputs
    broken = with_circuit(model, replace(model.circuit, table=table))
    result = verify(broken, num_samples=None)
    assert result.wrong_inputs == 256 and result.inputs == 1024
    assert re.fullmatch(r"with a=\d+: token t4 is [01], expected [01]", result.first_wrong)


@pytest.mark.parametrize("name", CASES)
def test_rows_that_differ_are_those_that_differ(name: str) -> None:
    model = serialformer.compile(CASES[name])
    random = np.random.default_rng(0)
    bits = random.integers(0, 2, (1200, model.words.num_inputs), dtype=np.uint8)
    chains = expected_chains(model, bits)
    differs = np.zeros(len(bits), dtype=bool)
    if chains.shape[1]:
        rows = random.choice(len(bits), 40, replace=False)
        # -1: no token; 2 and more: no bit; 256 and 1 << 40 have the low bits of a right 0.
        chains[rows, random.integers(0, chains.shape[1], 40)] += random.choice([-2, 2, 3, 256, 1 << 40], 40)
        differs[rows] = True
    for layout in (np.ascontiguousarray, np.asfortranarray):
        found = verify_module._differing_rows(model.circuit, bits, model.schedule.wire, layout(chains))
        assert np.array_equal(found, differs)
