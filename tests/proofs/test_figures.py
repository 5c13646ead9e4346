"""What rounding can take from each lead, pinned for small models of every kind.

A bound that lost a term would still prove every model, and say too much. So a change of any of these figures must be
deliberate: ``python -m tests.proofs.test_figures`` writes the file anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import serialformer
from serialformer import CircuitBuilder, Shape, construct
from serialformer.architecture import Activation, DtypeName
from serialformer.constructions.program import schedule_to_program
from serialformer.engines.recurrences import shift_register_circuit
from serialformer.models.every_prompt import certify_by_prompts
from serialformer.models.lower import certify_program
from serialformer.models.rotate import rotate
from serialformer.proofs.certificate import Certificate
from serialformer.proofs.counting import certify_counting
from serialformer.proofs.prove import certify_construction
from serialformer.proofs.rounding import covered_rounding
from serialformer.targets.gpt2 import construction_to_gpt2, layout_to_placement
from tests.cases import small_circuits
from tests.construction_cases import constructions_without_a_chain, every_construction
from tests.proofs.test_certificate import noisy
from tests.proofs.test_counting import lower

FILE = Path(__file__).parents[1] / "golden" / "certificates.json"

CONSTRUCTIONS = {**every_construction(), **constructions_without_a_chain()}
CIRCUITS = small_circuits()

Make = Callable[[], Certificate]


def of_construction(name: str, dtype: DtypeName, activation: Activation, loaded: DtypeName | None = None) -> Make:
    def make() -> Certificate:
        transformer, layout = construction_to_gpt2(CONSTRUCTIONS[name](), dtype=dtype, activation=activation)
        rounding = None if loaded is None else covered_rounding(loaded)
        return certify_construction(transformer, layout_to_placement(layout), rounding=rounding)

    return make


def of_compiled(name: str, dtype: DtypeName, shape: Shape | None = None, target: str = "llama") -> Make:
    def make() -> Certificate:
        circuit = shift_register_circuit(1, num_inputs=7, num_gates=12, distances=(6, 2, 0))
        circuit = circuit if name == "register" else CIRCUITS[name]
        certificate = serialformer.compile(circuit, target=target, dtype=dtype, shape=shape).certificate
        assert certificate is not None
        return certificate

    return make


def of_layers(task: str, length: int, dtype: DtypeName) -> Make:
    def make() -> Certificate:
        certificate = construct(
            task, length, setting="base", target="llama", dtype=dtype, shape=Shape(hidden=128, head_width=32)
        ).certificate
        assert certificate is not None
        return certificate

    return make


def parity() -> serialformer.Model:
    build = CircuitBuilder()
    build.output("odd", build.xor(*build.inputs("a", 2)))
    return serialformer.compile(build.circuit())


def of_rotated(make: Callable[[], serialformer.Model]) -> Make:
    def certificate() -> Certificate:
        rotated = rotate(make(), seed=0).certificate
        assert rotated is not None
        return rotated

    return certificate


def of_weights_alone(dtype: DtypeName, activation: Activation, size: float) -> Make:
    """A certificate from the weights alone, without a construction."""

    def make() -> Certificate:
        model = serialformer.compile(CIRCUITS["gates of one, two and three inputs"], dtype=dtype, activation=activation)
        program = schedule_to_program(model.words.circuit, model.words.schedule)
        return certify_program(noisy(model.transformer, size), program)

    return make


def of_every_prompt(activation: Activation) -> Make:
    def make() -> Certificate:
        model = serialformer.compile(CIRCUITS["two-input table 0110"], activation=activation)
        return certify_by_prompts(replace(model, transformer=noisy(model.transformer, 1e-4)))

    return make


def of_counting(length: int, dtype: DtypeName, activation: Activation) -> Make:
    def make() -> Certificate:
        construction, transformer = lower("majority", {}, length, dtype, activation)
        return certify_counting(transformer, construction)

    return make


FORMATS: tuple[DtypeName, ...] = ("float32", "float16", "bfloat16")
ACTIVATIONS: tuple[Activation, ...] = ("gelu_new", "relu")

MAKERS: dict[str, Make] = {}
for name in ("task/permutation-composition-1", "circuit/gates of one, two and three inputs", "evaluator/2",
             "base/iterated-squaring", "depth/gates of one, two and three inputs"):  # fmt: skip
    for dtype in FORMATS:
        MAKERS[f"{name}, {dtype}"] = of_construction(name, dtype, "gelu_new")
    MAKERS[f"{name}, relu"] = of_construction(name, "float32", "relu")
    if not name.startswith("base/"):
        MAKERS[f"{name}, loaded as bfloat16"] = of_construction(name, "float32", "gelu_new", "bfloat16")
for dtype in FORMATS:
    for name, shape in {
        "one layer": Shape(layers=1),
        "three layers": Shape(layers=3),
        "tied": Shape(layers=1, tied=True),
        "biases": Shape(layers=1, head_biases=True),
    }.items():
        MAKERS[f"llama of {name}, {dtype}"] = of_compiled("random, 3 inputs a gate", dtype, shape)
    layers = 2 if dtype == "float32" else 1
    for addressing in ("distances", "window"):
        shape = Shape(addressing=addressing, hidden=64, head_width=16, layers=layers)
        MAKERS[f"llama by {addressing}, {dtype}"] = of_compiled("register", dtype, shape)
    if dtype != "float16":
        MAKERS[f"llama of layers, {dtype}"] = of_layers("word-problem", 4, dtype)
    MAKERS[f"weights alone, {dtype}"] = of_weights_alone(dtype, "gelu_new", 0.0)
MAKERS["weights alone, noisy"] = of_weights_alone("float32", "gelu_new", 1e-4)
MAKERS["weights alone, relu"] = of_weights_alone("float32", "relu", 1e-4)
MAKERS["rotated, one layer"] = of_rotated(parity)
MAKERS["rotated, several layers"] = of_rotated(lambda: construct("circuit-value", 4))
for activation in ACTIVATIONS:
    MAKERS[f"every prompt, {activation}"] = of_every_prompt(activation)
    MAKERS[f"counting, {activation}"] = of_counting(9, "float32", activation)
MAKERS["counting, bfloat16"] = of_counting(9, "bfloat16", "gelu_new")


def figures_of(certificate: Certificate) -> dict[str, float]:
    """Leads, what rounding can take from them, and the ranges of the norms."""
    found = {}
    for name, lead in (("attention", certificate.attention), ("logits", certificate.logits)):
        found[name] = lead.exact
        found[f"{name} lose"] = lead.exact - lead.rounded if np.isfinite(lead.exact) else 0.0
    for number, norm in enumerate(certificate.norms):
        found[f"norm {number} from"], found[f"norm {number} to"] = norm.least_deviation, norm.largest_deviation
        found[f"norm {number} mean"] = norm.largest_mean
    if certificate.logit_error is not None:
        found["logit error"] = certificate.logit_error
    return found


EXPECTED: dict[str, dict[str, float]] = json.loads(FILE.read_text()) if FILE.exists() else {}


def test_every_figure_is_of_a_model_here() -> None:
    assert list(EXPECTED) == list(MAKERS)


@pytest.mark.parametrize("name", MAKERS)
def test_the_figures_are_unchanged(name: str) -> None:
    certificate = MAKERS[name]()
    assert certificate.holds
    assert figures_of(certificate) == pytest.approx(EXPECTED[name], rel=1e-5, abs=1e-12)


if __name__ == "__main__":
    figures = {name: figures_of(make()) for name, make in MAKERS.items()}
    FILE.write_text(json.dumps(figures, indent=1) + "\n")
