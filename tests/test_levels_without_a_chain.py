"""Circuits without a chain: circuit, construction, numpy, torch and transformers agree on every answer.

All inputs of small circuits, some of larger ones; in float32 and in bfloat16, where transformers computes in bfloat16
as well.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import serialformer
from serialformer import Circuit, CircuitBuilder, Model
from serialformer.constructions.circuit_depth import circuit_depth_construction
from serialformer.constructions.interpret import interpret
from serialformer.decode.torch_engine import TorchEngine
from serialformer.interp.suite import build_adder
from serialformer.transformer.module import TransformerModule
from tests.cases import every_input
from tests.constructions.test_circuit_depth import depth_prompts, slow_outputs
from tests.effort import pairs

MOST_INPUTS = 8
"""Of circuits of up to so many inputs all are tried. cavlc has ten, and 730 positions."""


def multiplier(width: int) -> Circuit:
    """By rows of adders, each of one more bit than the last."""
    build = CircuitBuilder()
    a, b = build.inputs("a", width), build.inputs("b", width)
    zero = build.xor(a[0], a[0])
    total = [zero] * (2 * width)
    for shift, factor in enumerate(b):
        carry = zero
        for place, bit in enumerate(a, start=shift):
            added = build.and_(bit, factor)
            half = build.xor(total[place], added)
            both = build.and_(total[place], added)
            total[place], carry = build.xor(half, carry), build.or_(both, build.and_(half, carry))
        total[shift + width] = carry
    build.outputs("product", total)
    return build.circuit()


OURS: dict[str, Callable[[], Circuit]] = {
    "ripple adder, 4 bits": lambda: build_adder(4),
    "ripple adder, 16 bits": lambda: build_adder(16),
    "multiplier, 3 bits": lambda: multiplier(3),
    "multiplier, 5 bits": lambda: multiplier(5),
    "multiplier, 8 bits": lambda: multiplier(8),
}
FILES = ("iscas85/c17.bench", "epfl/ctrl.aig", "epfl/int2float.aig", "epfl/cavlc.aig", "iscas85/c432.bench")
DTYPES = ("float32", "bfloat16")


def torch_answers(model: Model, prompts: np.ndarray, num_tokens: int) -> np.ndarray:
    module = TransformerModule(model.transformer.architecture)
    module.load(model.transformer)
    return TorchEngine(module).generate(prompts, num_tokens)


def check_levels(circuit: Circuit, dtype: str, num_inputs: int) -> None:
    """Every level's answers are those of plain Python; inputs are all there are, or so many."""
    model = serialformer.compile(circuit, chain="none", dtype=dtype)
    assert model.certificate is not None and model.certificate.holds
    bits = np.random.default_rng(1).integers(0, 2, (num_inputs, circuit.num_inputs), dtype=np.uint8)
    if circuit.num_inputs <= MOST_INPUTS:
        bits = every_input(circuit.num_inputs)
    expected = slow_outputs(circuit, bits)
    prompts = depth_prompts(model.circuit, bits)
    number = circuit.num_outputs
    assert np.array_equal(interpret(circuit_depth_construction(model.circuit), prompts, number), expected)
    assert np.array_equal(model.engine("dense").generate(prompts, number), expected)
    assert np.array_equal(torch_answers(model, prompts, number), expected)
    assert np.array_equal(model.engine("hf").generate(prompts, number), expected)


@pytest.mark.parametrize(("name", "dtype"), pairs(["ripple adder, 4 bits", "multiplier, 3 bits"], DTYPES))
def test_every_level_of_small_circuits(name: str, dtype: str) -> None:
    pytest.importorskip("transformers", reason="the extra torch is not installed")
    check_levels(OURS[name](), dtype, 16)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [name for name in OURS if name.endswith(("16 bits", "5 bits", "8 bits"))])
def test_every_level_of_larger_circuits(name: str, dtype: str) -> None:
    pytest.importorskip("transformers", reason="the extra torch is not installed")
    check_levels(OURS[name](), dtype, 24)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FILES)
def test_every_level_of_real_circuits(real_circuits: Path, name: str, dtype: str) -> None:
    pytest.importorskip("transformers", reason="the extra torch is not installed")
    check_levels(serialformer.read(real_circuits / name), dtype, 24)
