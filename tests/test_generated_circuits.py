"""What is tested on circuits from elsewhere, on circuits that are made here: formats, proofs by ABC, every token.

Adders, multipliers and comparators are written as ``@circuit`` functions, whose answers Python knows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import serialformer
from serialformer import U1, U16, U32, U64, Circuit, circuit, verify
from tests.abc_tool import prove_equivalent
from tests.circuits.equivalence import assert_same_outputs


@circuit
def add(a: U64, b: U64) -> U64:
    return a + b


@circuit
def multiply(a: U16, b: U16) -> U32:
    return a.full_mul(b)


@circuit
def larger(a: U32, b: U32) -> U1:
    return a > b


@circuit
def divide(a: U16, b: U16) -> U16:
    return a // b if b > 0 else a


CIRCUITS = {
    "add": (add, lambda a, b: (a + b) % 2**64, 64),
    "multiply": (multiply, lambda a, b: a * b, 16),
    "larger": (larger, lambda a, b: int(a > b), 32),
    "divide": (divide, lambda a, b: a // b if b else a, 16),
}


def made(name: str) -> Circuit:
    return CIRCUITS[name][0].circuit


@pytest.mark.parametrize("suffix", ["aag", "aig", "blif", "bench", "txt"])
@pytest.mark.parametrize("name", CIRCUITS)
def test_a_file_of_it_is_the_circuit(tmp_path: Path, name: str, suffix: str) -> None:
    path = tmp_path / f"{name}.{suffix}"
    serialformer.write(made(name), path)
    assert_same_outputs(serialformer.read(path), made(name))


@pytest.mark.parametrize("name", ["add", "larger", "divide"])
def test_abc_proves_its_files_equal(tmp_path: Path, name: str) -> None:
    serialformer.write(made(name), tmp_path / "one.aig")
    serialformer.write(made(name), tmp_path / "other.blif")
    prove_equivalent(tmp_path / "one.aig", tmp_path / "other.blif")


@pytest.mark.parametrize("lut", [2, 4, 6])
@pytest.mark.parametrize("name", ["add", "larger", "divide"])
def test_abc_proves_that_mapping_changed_nothing(tmp_path: Path, name: str, lut: int) -> None:
    mapped, _ = serialformer.optimise(made(name), max_fan_in=lut)
    serialformer.write(made(name), tmp_path / "before.blif")
    serialformer.write(mapped, tmp_path / "after.blif")
    prove_equivalent(tmp_path / "before.blif", tmp_path / "after.blif")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", CIRCUITS)
def test_token_for_token_and_as_python_computes_it(tmp_path: Path, name: str, dtype: str) -> None:
    _, compute, width = CIRCUITS[name]
    model = serialformer.compile(made(name), dtype=dtype, lut=4).save(tmp_path / "model")
    again = serialformer.load(model.directory)
    assert serialformer.certify(again).holds
    assert verify(again, num_samples=16).verified
    generator = np.random.default_rng(0)
    rows = [tuple(int(value) for value in generator.integers(0, 2**width, 2, dtype=np.uint64)) for _ in range(8)]
    rows += [(0, 0), (2**width - 1, 2**width - 1), (1, 2**width - 1)]
    for answer, (a, b) in zip(again.run_many({"a": a, "b": b} for a, b in rows), rows, strict=True):
        assert list(answer.values()) == [compute(a, b)]
