"""Models: run, run many, verify, trace, save whole or not at all."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import serialformer
from serialformer import CircuitBuilder, Model, SerialformerError, trace_lines, verify
from serialformer.circuits.circuit import Circuit
from serialformer.circuits.evaluate import evaluate_outputs
from serialformer.files import new_directory, new_file
from serialformer.models.load import load
from tests.cases import small_circuits, with_circuit

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def multiplier() -> Model:
    return serialformer.compile(EXAMPLES / "multiplier16.blif")


@pytest.fixture(scope="module")
def masker() -> Model:
    """Sixteen gates, for what the dense engine takes long over with a thousand."""
    build = CircuitBuilder()
    a, b = build.inputs("a", 16), build.inputs("b", 16)
    build.outputs("both", [build.and_(x, y) for x, y in zip(a, b, strict=True)])
    return serialformer.compile(build.circuit())


def test_multiplier_multiplies(multiplier: Model) -> None:
    random = np.random.default_rng(0)
    rows = [{"a": int(a), "b": int(b)} for a, b in random.integers(0, 1 << 16, (20, 2))]
    rows += [{"a": 0, "b": 0}, {"a": 65535, "b": 65535}, {"a": 1, "b": 65535}]
    products = [row["product"] for row in multiplier.run_many(rows)]
    assert products == [row["a"] * row["b"] for row in rows]


def test_transcript(multiplier: Model) -> None:
    transcript = multiplier.run(a=3, b=5)
    assert transcript == {"product": 15} and dict(transcript) == {"product": 15}
    assert list(transcript) == ["product"] and len(transcript) == 1
    assert len(transcript.chain) == multiplier.num_new_tokens
    assert transcript.text.startswith("1100000000000000" + "1010000000000000" + "=")
    assert transcript.text.endswith(f"{15:032b}"[::-1])
    assert re.match(r"Transcript\(product=15; 1408 chain tokens, engine \w+, \S+ s\)", repr(transcript))


def test_values_by_mapping_and_by_name() -> None:
    build = CircuitBuilder()
    # Names that are no Python identifiers, or that are parameters of ours.
    build.output("y", build.xor(build.input("engine"), build.input("2 words")))
    model = serialformer.compile(build.circuit())
    assert model.run({"engine": 1, "2 words": 0}) == {"y": 1}
    with pytest.raises(SerialformerError, match="no value for '2 words'"):
        model.run({"engine": 1})


def test_rows_keep_their_order_across_blocks(masker: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = masker.engine("dense")
    monkeypatch.setattr(engine, "rows_at_once", lambda num_tokens: 2)
    done: list[int] = []
    rows = [{"a": value, "b": 10} for value in range(5)]
    made = [row["both"] for row in masker.run_many(rows, engine=engine, progress=done.append)]
    assert made == [0, 0, 2, 2, 0]
    assert done == [2, 2, 1]


def test_rows_are_taken_as_they_are_needed(masker: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = masker.engine("dense")
    monkeypatch.setattr(engine, "rows_at_once", lambda num_tokens: 2)
    taken: list[int] = []

    def rows() -> Iterator[dict[str, int]]:
        for value in count():
            taken.append(value)
            yield {"a": value, "b": 3}

    answers = masker.run_many(rows(), engine=engine)
    assert [next(answers)["both"] for _ in range(3)] == [0, 1, 2]
    assert taken == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"a": 1}, "row 4: no value for 'b'\nhint: the inputs are: a \\(16 bits\\), b \\(16 bits\\)"),
        ({"a": 1, "c": 1}, "row 4: no input word 'c'"),
        ({"a": 1, "b": 2, "c": 3}, "row 4: no input word 'c'"),
        ({"a": 1 << 16, "b": 1}, "row 4: a=65536 does not fit its 16 bits"),
        ({"a": 1 << 64, "b": 1}, "row 4: a=18446744073709551616 does not fit its 16 bits"),
        ({"a": 1, "b": -1}, "row 4: b=-1 does not fit its 16 bits"),
        ({"a": 1, "b": np.int64(-1)}, "row 4: b=-1 does not fit its 16 bits"),
    ],
)
def test_a_bad_row_is_told(masker: Model, row: dict[str, int], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = masker.engine("dense")
    monkeypatch.setattr(engine, "rows_at_once", lambda num_tokens: 2)
    answers = masker.run_many([{"a": 1, "b": 1}] * 3 + [row], engine=engine)
    assert [next(answers)["both"] for _ in range(2)] == [1, 1]
    with pytest.raises(SerialformerError, match=message):
        next(answers)


def test_rows_of_no_words() -> None:
    build = CircuitBuilder()
    model = serialformer.compile(build.circuit())
    assert list(model.run_many([{}, {}])) == [{}, {}]
    build.output("one", build.constant(True))
    assert list(serialformer.compile(build.circuit()).run_many([{}, {}])) == [{"one": 1}, {"one": 1}]


def test_bits_in_bulk(masker: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = masker.engine("dense")
    monkeypatch.setattr(engine, "rows_at_once", lambda num_tokens: 3)
    bits = np.random.default_rng(1).integers(0, 2, (7, 32), dtype=np.uint8)
    assert np.array_equal(masker.run_bits(bits, engine=engine), evaluate_outputs(masker.circuit, bits))
    assert masker.run_bits(bits[:0]).shape == (0, 16)


@pytest.mark.parametrize("engine", ["auto", "dense", "hf"])
def test_streaming(multiplier: Model, engine: str) -> None:
    if engine == "hf":
        pytest.importorskip("transformers")
    whole = multiplier.run(a=3, b=5).chain.tolist()
    assert list(multiplier.stream(a=3, b=5, engine=engine, max_tokens=100)) == whole[:100]
    if engine != "hf":
        assert list(multiplier.stream({"a": 3}, b=5, engine=engine)) == whole
        assert list(multiplier.stream(a=3, b=5, engine=engine, max_tokens=10**9)) == whole
    with pytest.raises(SerialformerError, match="no value for 'b'"):
        multiplier.stream(a=3, engine=engine)  # at once, not when the first token is taken


def test_streaming_makes_tokens_only_as_they_are_taken(multiplier: Model) -> None:
    engine = multiplier.engine("dense")
    made: list[int] = []
    stream = engine.stream

    def counted(prompts: np.ndarray, num_tokens: int) -> Iterator[np.ndarray]:
        for block in stream(prompts, num_tokens):
            made.append(block.shape[1])
            yield block

    # This one engine is watched; mypy forbids what replaces a method, which here is the point.
    engine.stream = counted  # type: ignore[method-assign]
    tokens = multiplier.stream(a=3, b=5, engine=engine)
    assert [next(tokens) for _ in range(5)] == multiplier.run(a=3, b=5).chain[:5].tolist()
    assert sum(made) == 5


def test_a_chain_cut_short(multiplier: Model) -> None:
    whole = multiplier.run(a=3, b=5)
    for num_tokens in (0, 1, 1407):
        cut = multiplier.run(a=3, b=5, max_tokens=num_tokens)
        assert cut == {} and np.array_equal(cut.chain, whole.chain[:num_tokens])
        assert len(list(trace_lines(multiplier, cut))) == num_tokens
    for num_tokens in (1408, 5000):
        assert multiplier.run(a=3, b=5, max_tokens=num_tokens) == {"product": 15}
    with pytest.raises(SerialformerError, match="max_tokens: expected a number of tokens, found -1"):
        multiplier.run(a=3, b=5, max_tokens=-1)


def test_trace_says_what_each_token_is() -> None:
    build = CircuitBuilder()
    a, b = build.inputs("a", 2), build.input("b")
    low = build.gate(0b1000, a[0], b, name="low")
    high = build.gate(0b0010, a[1], low)
    build.outputs("y", [high, a[0]])
    build.output("one", build.constant(True))
    model = serialformer.compile(build.circuit())
    assert list(trace_lines(model, model.run(a=3, b=1))) == [
        "t0 and(a[0]=1, b=1) = 1  low @4",
        "t1 and(a[1]=1, not low=1) = 0  y[0] @5",
        "t2 copy(a[0]=1) = 1  y[1] @6",
        "t3 constant 1 = 1  one @7",
    ]


@pytest.mark.parametrize("name", small_circuits())
def test_every_trace_line_is_true(name: str) -> None:
    model = serialformer.compile(small_circuits()[name])
    values = {word.name: (1 << word.width) * 2 // 3 for word in model.inputs}
    transcript = model.run(values)
    lines = list(trace_lines(model, transcript))
    assert len(lines) == model.num_new_tokens
    for token, line in enumerate(lines):
        assert line.startswith(f"t{token} ")
        assert f") = {transcript.chain[token]}  " in line or f"constant {transcript.chain[token]} = " in line
        assert line.endswith(f"@{len(transcript.prompt) + token}")


def test_verify_counts_and_finds(multiplier: Model) -> None:
    right = verify(multiplier, num_samples=5)
    assert right.verified and (right.inputs, right.tokens, right.wrong_inputs) == (5, 5 * 1408, 0)
    table = multiplier.circuit.table.copy()
    table[700] ^= np.uint64(0b1000)
    wrong = verify(with_circuit(multiplier, replace(multiplier.circuit, table=table)), num_samples=20)
    assert not wrong.verified
    token = multiplier.schedule.token_of_gate[700]
    assert re.match(rf"with a=\d+, b=\d+: token t{token} is [01], expected [01]", wrong.first_wrong)


def test_verify_every_input() -> None:
    model = serialformer.compile(small_circuits()["parity of ten"])
    result = verify(model, num_samples=None)
    assert result.verified and result.inputs == 1024


def test_verify_against_another_circuit_with_the_bits_elsewhere() -> None:
    def circuit(order: list[str], table: int) -> Circuit:
        build = CircuitBuilder()
        wires = {name: build.input(name) for name in order}
        both = build.gate(table, wires["a[0]"], wires["a[1]"])
        for name, wire in (
            (("y[1]", both), ("y[0]", wires["b"])) if order[0] == "b" else (("y[0]", wires["b"]), ("y[1]", both))
        ):
            build.output(name, wire)
        return build.circuit()

    model = serialformer.compile(circuit(["a[0]", "a[1]", "b"], 0b1000))
    assert verify(model, against=circuit(["b", "a[1]", "a[0]"], 0b1000), num_samples=None).verified
    wrong = verify(model, against=circuit(["b", "a[1]", "a[0]"], 0b0110), num_samples=None)
    assert wrong.wrong_inputs == 6
    build = CircuitBuilder()
    build.output("z", build.input("a"))
    with pytest.raises(SerialformerError, match=r"different input words: a \(1 bits\), a \(2 bits\), b \(1 bits\)"):
        verify(model, against=build.circuit())


def test_too_many_inputs_to_try(multiplier: Model) -> None:
    with pytest.raises(SerialformerError, match="32 input bits are too many .*\nhint: use --samples N"):
        verify(multiplier, num_samples=None)


def test_a_directory_that_exists_is_left_alone(tmp_path: Path, multiplier: Model) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine").write_text("precious")
    with pytest.raises(SerialformerError, match="there: exists already\nhint: remove it or choose another name"):
        multiplier.save(tmp_path / "there")
    assert [path.name for path in tmp_path.rglob("*")] == ["there", "mine"]


def test_folders_that_are_missing_are_made(tmp_path: Path, multiplier: Model) -> None:
    multiplier.save(tmp_path / "a" / "b" / "model")
    assert load(tmp_path / "a" / "b" / "model").certificate == multiplier.certificate
    (tmp_path / "file").touch()
    with pytest.raises(SerialformerError, match="cannot be written: "):
        multiplier.save(tmp_path / "file" / "model")


@pytest.mark.parametrize("make", [new_file, new_directory])
def test_folders_made_for_nothing_are_removed(tmp_path: Path, make: Callable[..., Any]) -> None:
    with pytest.raises(KeyError), make(tmp_path / "a" / "b" / "c"):
        raise KeyError
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="file size limits are a Unix matter")
def test_a_disk_that_fills_up_leaves_nothing(tmp_path: Path) -> None:
    # A limit on the size of files fails a write half-way, as a full disk does.
    program = f"""
import resource, sys, serialformer
model = serialformer.compile({str(EXAMPLES / "multiplier16.blif")!r})
for limit in (100, 20_000, 400_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        model.save(f"{tmp_path}/{{limit}}")
    except serialformer.SerialformerError as error:
        print("refused:", error)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    refused = [line for line in run.stdout.splitlines() if not line.startswith("hint: ")]
    for line, limit in zip(refused, (100, 20_000), strict=True):
        assert line.startswith(f"refused: {tmp_path}/{limit}: cannot be written: ")
    assert [path.name for path in tmp_path.iterdir()] == ["400000"]
    assert len(list((tmp_path / "400000").iterdir())) == 9
