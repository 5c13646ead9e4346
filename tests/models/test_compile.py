"""Compiling from every kind of source: the command and the function make the same model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import serialformer
from serialformer import U8, CircuitBuilder, Model, SerialformerError, circuit
from serialformer.models.provenance import CompiledProvenance

EXAMPLES = Path(__file__).parents[2] / "examples"
MODULE = """from serialformer import U8, circuit


@circuit
def product(a: U8, b: U8):
    return a.full_mul(b)
"""


@circuit
def product(a: U8, b: U8):
    return a.full_mul(b)


def optimisation(model: Model) -> tuple[int, int, int]:
    """Level, widest gate allowed, and gates saved."""
    assert isinstance(model.provenance, CompiledProvenance) and model.provenance.optimisation is not None
    report = model.provenance.optimisation
    assert report.gates_after == model.provenance.num_gates == model.circuit.num_gates
    return report.level, report.max_fan_in, report.gates_before - report.gates_after


def redundant() -> serialformer.Circuit:
    """Five gates that one can do, of up to three inputs."""
    build = CircuitBuilder()
    a, b = build.inputs("x", 2)
    build.output("y", build.not_(build.and_(build.or_(a, b), build.not_(build.and_(a, b)))))
    build.output("z", build.gate(0b11101000, a, b, a))
    return build.circuit()


def test_defaults_are_those_of_the_command() -> None:
    assert optimisation(serialformer.compile(EXAMPLES / "multiplier16.blif")) == (0, 2, 0)
    assert optimisation(serialformer.compile(redundant())) == (0, 3, 0)
    level, widest, saved = optimisation(serialformer.compile(redundant(), lut=2))
    assert (level, widest) == (1, 2) and saved > 0
    assert optimisation(serialformer.compile(redundant(), level=0, lut=4)) == (0, 4, 0)
    assert optimisation(serialformer.compile(product))[:2] == (1, 2)
    assert optimisation(serialformer.compile(product, level=0)) == (0, 2, 0)
    assert optimisation(serialformer.compile(redundant(), target="paper"))[:2] == (0, 2)


def test_a_function_is_traced_for_the_gates_that_it_is_compiled_to() -> None:
    wide = serialformer.compile(product, lut=3)
    assert wide.circuit.num_gates == 175  # 199 if it is traced for gates of two inputs
    assert wide.run(product.words(200, 100)) == {"out": 20_000}


def test_where_it_comes_from_is_recorded(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(MODULE)
    for source, name in (
        (redundant(), None),
        (product, "product"),
        (f"{tmp_path}/module.py:product", "module.py:product"),
        (EXAMPLES / "multiplier16.blif", "multiplier16.blif"),
    ):
        provenance = serialformer.compile(source).provenance
        assert isinstance(provenance, CompiledProvenance) and provenance.source == name


def test_a_function_object_is_compiled_as_its_name_is(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(MODULE)
    by_name, by_object = serialformer.compile(f"{tmp_path}/module.py:product"), serialformer.compile(product)
    for (name, ours), (_, theirs) in zip(
        by_name.transformer.named_weights(), by_object.transformer.named_weights(), strict=True
    ):
        assert np.array_equal(ours, theirs), name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": 4}, "expected a level from 0 to 3, found 4"),
        ({"lut": 7}, "expected max_fan_in from 2 to 6, found 7"),
        ({"lut": 3, "target": "paper"}, "expected gates of two inputs for target paper, found lut 3"),
        ({"top": "adder"}, "top, parameters, macros, includes and sources .* go with Verilog"),
        ({"precision": 3}, "target gpt2 has no precision"),
        ({"dtype": "float16", "target": "paper"}, "target paper has no dtype"),
    ],
)
def test_refusals(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SerialformerError, match=message):
        serialformer.compile(redundant(), **options)


def test_the_manifest_is_the_same_every_time(tmp_path: Path) -> None:
    for name in ("first", "second"):
        serialformer.compile(product).save(tmp_path / name)
    first, second = ((tmp_path / name / "serialformer.json").read_text() for name in ("first", "second"))
    assert first == second and "seconds" not in json.loads(first)["provenance"]["optimisation"]
