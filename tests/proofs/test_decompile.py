"""Decompilation: ABC proves that what is read out of the weights is the circuit that went in."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given

import serialformer
from serialformer import Circuit, decompile
from serialformer.circuits.evaluate import evaluate_outputs
from serialformer.circuits.strategies import circuits
from serialformer.errors import CheckpointError
from tests.abc_tool import prove_equivalent
from tests.cases import every_input, small_circuits
from tests.effort import effort, pairs
from tests.proofs.test_certificate import altered

CASES = small_circuits()
MULTIPLIER = Path(__file__).parents[2] / "examples" / "multiplier16.blif"


@pytest.mark.parametrize(("name", "target"), pairs(CASES, ["gpt2", "llama", "paper"]))
def test_every_case_computes_the_same(name: str, target: str) -> None:
    circuit = decompile(serialformer.compile(CASES[name], target=target))
    bits = every_input(CASES[name].num_inputs)
    assert (evaluate_outputs(circuit, bits) == evaluate_outputs(CASES[name], bits)).all()
    assert (circuit.input_words, circuit.output_words) == (CASES[name].input_words, CASES[name].output_words)


@effort(0.25)
@given(circuits(max_inputs=6, max_gates=24))
def test_random_circuits_compute_the_same(circuit: Circuit) -> None:
    bits = every_input(circuit.num_inputs)
    again = decompile(serialformer.compile(circuit, dtype="bfloat16"))
    assert (evaluate_outputs(again, bits) == evaluate_outputs(circuit, bits)).all()


@pytest.mark.parametrize("options", [{}, {"dtype": "bfloat16", "activation": "relu"}, {"target": "paper"}])
def test_abc_proves_the_multiplier(tmp_path: Path, options: dict[str, str]) -> None:
    model = serialformer.compile(MULTIPLIER, **options).save(tmp_path / "model")
    serialformer.write(decompile(serialformer.load(model.directory)), tmp_path / "again.aig")
    (tmp_path / "source.blif").write_bytes(MULTIPLIER.read_bytes())
    prove_equivalent(tmp_path / "source.blif", tmp_path / "again.aig")


@pytest.mark.parametrize(
    "name",
    [
        *("iscas85/c17.bench", "iscas85/c432.bench", "iscas85/c880.bench", "iscas85/c1908.bench"),
        *("epfl/ctrl.aig", "epfl/int2float.aig", "epfl/cavlc.aig"),
    ],
)
def test_abc_proves_real_circuits(tmp_path: Path, real_circuits: Path, name: str) -> None:
    source = real_circuits / name
    (tmp_path / source.name).write_bytes(source.read_bytes())
    serialformer.write(decompile(serialformer.compile(source)), tmp_path / "again.blif")
    prove_equivalent(tmp_path / source.name, tmp_path / "again.blif")


def test_gates_keep_their_names() -> None:
    circuit = serialformer.read(MULTIPLIER)
    names = set(decompile(serialformer.compile(circuit)).gate_names)
    assert names >= {name for name in circuit.gate_names if name} and len(names) > 1000


def test_weights_that_cannot_be_read_are_refused() -> None:
    model = serialformer.compile(CASES["parity of ten"])
    broken = altered(model, "layers.0.mlp_in_bias", lambda bias: bias.fill(0))
    with pytest.raises(CheckpointError, match="the weights cannot be read: position 10, which writes chain token 0"):
        decompile(broken)
