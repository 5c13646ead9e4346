"""Models with several gates a token: run, verified, saved, traced; by our engines and by transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import serialformer
from serialformer.circuits.circuit import Circuit
from serialformer.errors import CheckpointError, CompileError, InputError
from serialformer.models.ground_truth import ground_truth
from tests.cases import small_circuits


def adder(width: int = 3) -> Circuit:
    build = serialformer.CircuitBuilder()
    a, b = build.inputs("a", width), build.inputs("b", width)
    carry, bits = build.and_(a[0], b[0]), [build.xor(a[0], b[0])]
    for one, other in zip(a[1:], b[1:], strict=True):
        half = build.xor(one, other)
        bits.append(build.xor(half, carry))
        carry = build.or_(build.and_(one, other), build.and_(half, carry))
    build.outputs("sum", [*bits, carry])
    return build.circuit()


@pytest.mark.parametrize(("gates", "layers"), [(2, 1), (4, 1), (2, 2)])
def test_every_sum_is_right(gates: int, layers: int) -> None:
    model = serialformer.compile(adder(), gates_per_token=gates, layers=layers)
    assert model.certificate is not None and model.certificate.holds
    for engine in ("auto", "dense", "indexed", "sliced"):
        checked = serialformer.verify(model, num_samples=None, engine=engine)
        assert (checked.inputs, checked.wrong_inputs) == (64, 0)
        assert checked.tokens == 64 * model.words.num_chain_tokens
    assert [row["sum"] for row in model.run_many([{"a": 7, "b": 6}, {"a": 0, "b": 5}])] == [13, 5]


@pytest.mark.parametrize("name", ["no inputs, constant outputs", "random, 3 inputs a gate"])
def test_every_circuit_is_right(name: str) -> None:
    model = serialformer.compile(small_circuits()[name], gates_per_token=2, layers=2, dtype="bfloat16")
    assert serialformer.verify(model, num_samples=32).wrong_inputs == 0


@pytest.mark.parametrize(("gates", "layers"), [(3, 1), (2, 2)])
def test_transformers_writes_the_same(gates: int, layers: int) -> None:
    pytest.importorskip("transformers", reason="the extra torch is not installed")
    model = serialformer.compile(adder(), gates_per_token=gates, layers=layers)
    assert serialformer.verify(model, num_samples=40, engine="hf").wrong_inputs == 0


def test_saved_loaded_certified_and_traced(tmp_path: Path) -> None:
    serialformer.compile(adder(), gates_per_token=2, layers=2).save(tmp_path / "model")
    model = serialformer.load(tmp_path / "model")
    assert serialformer.certify(model).holds
    facts = serialformer.info(model)
    assert (facts["gates_per_token"], facts["levels_per_token"], facts["layers"]) == (2, 2, 2)
    transcript = model.run(a=3, b=6)
    assert transcript["sum"] == 9
    assert (len(transcript.chain), transcript.to_json()["tokens"]) == (12, 6)
    lines = list(serialformer.trace_lines(model, transcript))
    assert lines[0].startswith("t0.0 ") and len(lines) == 12
    assert list(model.stream(a=3, b=6)) == transcript.chain.tolist()
    assert model.words.tokens_at(0) == ("0", "1") and model.words.tokens_at(7) == ("00", "10", "01", "11")
    with pytest.raises(InputError, match="has several gates in a token"):
        ground_truth(model, transcript)


def test_a_chain_that_is_packed_otherwise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from serialformer.models import circuit_words

    serialformer.compile(adder(), gates_per_token=2).save(tmp_path / "model")
    plain = circuit_words.schedule_packed
    monkeypatch.setattr(
        circuit_words, "schedule_packed", lambda circuit, slots, levels: plain(circuit, slots + 1, levels)
    )
    with pytest.raises(CheckpointError, match="gates share tokens otherwise"):
        serialformer.load(tmp_path / "model")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"gates_per_token": 5}, "expected 1 to 4 gates per token, found 5"),
        ({"gates_per_token": 2, "chain": "none"}, "several gates per token .* go with a chain"),
        ({"gates_per_token": 2, "target": "llama"}, "several gates per token .* go with a chain"),
        ({"gates_per_token": 2, "partial": True}, "none to be left out"),
        ({"gates_per_token": 2, "layers": 0}, "expected at least 1 layer"),
        ({"layers": 2}, "layers and partial .* go with a model without a chain"),
    ],
)
def test_what_does_not_go_together(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(CompileError, match=reason):
        serialformer.compile(adder(), **options)


def test_what_it_cannot_do_is_said() -> None:
    model = serialformer.compile(adder(), gates_per_token=2)
    with pytest.raises(InputError, match="several bits in a token; decompile reads chains of one"):
        serialformer.decompile(model)
    with pytest.raises(InputError, match="several gates in a token"):
        serialformer.explore(model)


def test_a_word_that_is_no_symbol_is_found() -> None:
    model = serialformer.compile(adder(), gates_per_token=2)
    tokens = np.full((1, model.words.num_chain_tokens), 4, dtype=np.int64)
    assert model.words.read_chains(tokens).shape == (1, 12)
    tokens[0, 2] = 2
    with pytest.raises(serialformer.errors.EngineError, match="ended its chain at token 2 of 6"):
        model.words.answers(model.words.read_chains(tokens))
