"""Written and read again, by our readers and by ABC; without threshold gates, and with two-input gates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import serialformer
from serialformer.bounds.rewrite import expand_thresholds, to_circuit, to_fan_in_two
from serialformer.bounds.unbounded import UnboundedCircuit, evaluate_unbounded
from serialformer.circuits.evaluate import evaluate_outputs
from serialformer.circuits.words import Word
from serialformer.errors import CircuitError, FormatError
from tests.abc_tool import prove_equivalent
from tests.bounds.test_unbounded import random_unbounded
from tests.cases import every_input

CASES = [random_unbounded(seed) for seed in range(12)]


@pytest.mark.parametrize("circuit", CASES, ids=range(len(CASES)))
def test_rewritten(circuit: UnboundedCircuit) -> None:
    rows = every_input(6)
    expected = evaluate_unbounded(circuit, rows)
    without = expand_thresholds(circuit)
    assert without.gates_by_kind["threshold"] == 0
    two = to_fan_in_two(circuit)
    assert two.max_fan_in == 2
    for made in (without, two):
        np.testing.assert_array_equal(evaluate_unbounded(made, rows), expected)
    plain = to_circuit(circuit)
    assert plain.max_arity <= 2
    np.testing.assert_array_equal(evaluate_outputs(plain, rows), expected)


def test_a_wide_threshold_takes_logarithmic_depth() -> None:
    size = 200
    for needed in (2, 100, 199):
        circuit = UnboundedCircuit(
            num_inputs=size,
            threshold=np.array([needed], dtype=np.int32),
            start=np.array([0, size]),
            fan_in=2 * (np.arange(size, dtype=np.int32) + 1),
            outputs=np.array([2 * (size + 1)], dtype=np.int32),
        )
        made = expand_thresholds(circuit)
        assert made.depth <= 16
        rows = (np.random.default_rng(needed).random((4000, size)) < needed / size).astype(np.uint8)
        found = evaluate_unbounded(made, rows)[:, 0]
        np.testing.assert_array_equal(found, rows.sum(axis=1) >= needed)
        assert 0 < found.sum() < len(rows)
    with pytest.raises(CircuitError, match=r"takes [\d,]+ wires, at most 100 are allowed"):
        expand_thresholds(circuit, max_wires=100)


@pytest.mark.parametrize("suffix", [".bench", ".blif", ".aig", ".aag", ".txt"])
@pytest.mark.parametrize("tree", [False, True])
def test_read_again(suffix: str, tree: bool, tmp_path: Path) -> None:
    rows = every_input(6)
    for number, circuit in enumerate(CASES[:6]):
        path = tmp_path / f"{number}{suffix}"
        circuit.save(path, tree=tree)
        read = serialformer.read(path)
        np.testing.assert_array_equal(evaluate_outputs(read, rows), evaluate_unbounded(circuit, rows))
        if suffix != ".txt":  # Bristol has no names
            assert read.input_words == circuit.input_words and read.output_words == circuit.output_words


def test_verilog(tmp_path: Path) -> None:
    pytest.importorskip("pyosys", reason="pyosys (extra hdl) is not installed")
    rows = every_input(6)
    circuit = CASES[0]
    named = replace(
        circuit,
        input_words=(Word(name="wire", bits=(5, 4)), Word(name="n3", bits=(3,)), Word(name="x", bits=(0, 1, -1, 2))),
        output_words=(Word(name="n3", bits=(4,)), Word(name="y", bits=(0, -1, 1, 3)), Word(name="a b", bits=(2,))),
    )
    for tree in (False, True):
        path = tmp_path / f"{tree}.v"
        named.save(path, tree=tree)
        read = serialformer.read(path)
        for row in rows[::5].tolist():
            values = {"wire": row[5] + 2 * row[4], "n3": row[3], "x": row[0] + 2 * row[1] + 8 * row[2]}
            expected = named.evaluate(values)
            found = read.evaluate(values)
            assert [*found.values()] == [*expected.values()], (row, found, expected)
    assert ">= 32'd" in (tmp_path / "False.v").read_text() and ">=" not in (tmp_path / "True.v").read_text()


def test_abc_finds_the_formats_equal(tmp_path: Path) -> None:
    for number, circuit in enumerate(CASES[:3]):
        for suffix in (".bench", ".blif", ".aig"):
            circuit.save(tmp_path / f"{number}{suffix}")
        circuit.save(tmp_path / f"{number}_tree.blif", tree=True)
        for other in (f"{number}.blif", f"{number}_tree.blif", f"{number}.aig"):
            prove_equivalent(tmp_path / f"{number}.bench", tmp_path / other)


def test_names_that_clash_or_are_not_legal(tmp_path: Path) -> None:
    circuit = replace(
        random_unbounded(3, num_outputs=2),
        input_words=(Word(name="n8", bits=(0, 1, 2)), Word(name="nn9", bits=(3,)), Word(name="a=b", bits=(4, 5))),
        output_words=(Word(name="nn9", bits=(0,)), Word(name="a,(", bits=(1,))),
    )
    rows = every_input(6)
    for suffix in (".bench", ".blif"):
        circuit.save(tmp_path / f"c{suffix}")
        read = serialformer.read(tmp_path / f"c{suffix}")
        np.testing.assert_array_equal(evaluate_outputs(read, rows), evaluate_unbounded(circuit, rows))


def test_unknown_formats(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no circuit format '.json'"):
        CASES[0].save(tmp_path / "c.json")
    assert not list(tmp_path.iterdir())
