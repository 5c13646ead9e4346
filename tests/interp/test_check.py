"""Labels that are wrong are caught by interventions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from serialformer import CircuitBuilder, Model, compile
from serialformer.circuits.circuit import Circuit
from serialformer.constructions.edges import Edge
from serialformer.interp import check
from serialformer.interp.check import check_truth
from serialformer.interp.suite import build_adder

INTERVENTIONS = 400


def build_sum(*, carries: bool) -> Circuit:
    """A sum of two bits each, whose carry is AND; or OR, which is a wrong label for it."""
    build = CircuitBuilder()
    a, b = build.inputs("a", 2), build.inputs("b", 2)
    carry = build.and_(a[0], b[0]) if carries else build.or_(a[0], b[0])
    build.outputs("sum", [build.xor(a[0], b[0]), build.xor(build.xor(a[1], b[1]), carry)])
    return build.circuit()


@pytest.fixture(scope="module")
def model() -> Model:
    return compile(build_adder(2))


def test_labels_that_are_right_are_not(model: Model) -> None:
    assert check_truth(model, INTERVENTIONS).wrong == 0


@pytest.mark.parametrize("name", ["input->a0.h0<v>", "input->a0.h1<v>", "a0.h0->m0", "a0.h1->m0", "m0->logits"])
def test_an_edge_without_its_label_is_caught(model: Model, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    find = check.find_edges

    def find_others(followed, heads) -> list[Edge]:
        edges = find(followed, heads)
        assert any(edge.name == name for edge in edges)
        return [edge for edge in edges if edge.name != name]

    monkeypatch.setattr(check, "find_edges", find_others)
    found = check_truth(model, INTERVENTIONS)
    assert found.wrong > 0 and found.first_wrong


def test_a_gate_that_is_another_is_caught() -> None:
    """The weights compute AND, the labels say OR; both are models of one shape."""
    right, wrong = (compile(build_sum(carries=carries)) for carries in (True, False))
    mislabelled = replace(wrong, transformer=right.transformer, proof=None)
    assert check_truth(right, INTERVENTIONS).wrong == 0
    assert check_truth(mislabelled, INTERVENTIONS).wrong > 0


def test_a_wire_that_is_another_is_caught() -> None:
    """The labels say that the last gate reads b[0] where it reads the carry."""

    def build(*, carries: bool) -> Circuit:
        builder = CircuitBuilder()
        a, b = builder.inputs("a", 2), builder.inputs("b", 2)
        carry = builder.and_(a[0], b[0])
        half = builder.xor(a[1], b[1])
        builder.outputs("sum", [carry, builder.xor(half, carry if carries else b[0])])
        return builder.circuit()

    right, wrong = (compile(build(carries=carries)) for carries in (True, False))
    mislabelled = replace(wrong, transformer=right.transformer, proof=None)
    assert check_truth(right, INTERVENTIONS).wrong == 0
    assert check_truth(mislabelled, INTERVENTIONS).wrong > 0
