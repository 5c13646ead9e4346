"""``bound`` on models: compiled, of a task, with weights that were floats; and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import serialformer
from serialformer import Model, TaskItems, make_task
from serialformer.architecture import Arithmetic
from serialformer.bounds.bound import ask, bound, round_transformer
from serialformer.bounds.unbounded import evaluate_unbounded
from serialformer.errors import EngineError, InputError
from serialformer.transformer.precision import fixed_point
from serialformer.transformer.transformer import Transformer, weight_shapes, weights_to_transformer
from tests.bounds.models import decoded_tokens, rounded_transformer, words_of
from tests.bounds.test_extract import F_1, compare
from tests.cases import every_input, one_gate_circuits, small_circuits

COMPILED = {
    name: circuit
    for name, circuit in (small_circuits() | one_gate_circuits()).items()
    if circuit.num_inputs <= 8 and circuit.num_gates and circuit.max_arity <= 2 and circuit.num_outputs
}
del COMPILED["every two-input table"]  # each table is here by itself, where it is among the first tokens


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_circuits(name: str) -> None:
    """The first tokens of the chain are gates; everything that attention does is constant and folds away."""
    model = serialformer.compile(COMPILED[name], target="paper")
    rows = every_input(model.words.num_inputs)
    chains = decoded_tokens(model.transformer, model.words.prompts(rows), model.num_new_tokens)
    for chain in range(min(3, model.num_new_tokens)):
        circuit = bound(model, chain=chain)
        assert circuit.input_words == model.inputs
        np.testing.assert_array_equal(words_of(circuit, rows)["answer"], chains[:, chain])
    assert bound(model, aligned=False).num_literals < 300


def test_circuits_in_layers() -> None:
    """Without a chain a layer for each level of the circuit; the answers come one after the other."""
    build = serialformer.CircuitBuilder()
    a, b, c = build.inputs("x", 3)
    carry = build.gate(0b11101000, a, b, c)
    build.outputs("s", [build.xor(build.xor(a, b), c), carry])
    model = serialformer.compile(build.circuit(), level=1, target="paper", chain="none")
    rows = every_input(3)
    num_layers = model.transformer.architecture.num_layers
    assert num_layers > 1
    for token in range(2):
        circuit = bound(model, chain=token)
        assert circuit.input_words == model.inputs
        expected = (rows.sum(axis=1) >> token) & 1
        np.testing.assert_array_equal(words_of(circuit, rows)["answer"], expected)
    assert bound(model).depth == 46 + 266 * num_layers


def task_model(transformer: Transformer, length: int) -> Model:
    return Model(transformer=transformer, protocol=TaskItems(task=make_task("parity"), length=length, setting="base"))


def test_a_model_of_a_task() -> None:
    transformer = rounded_transformer(F_1, 3)
    model = task_model(transformer, 6)
    for length in (6, 4):
        question = ask(model, length)
        circuit = bound(model, length=length)
        assert circuit.input_words is not None
        assert [(word.name, word.width) for word in circuit.input_words] == [("x", length)]
        assert question.prompt.choices == ((0, 1),) * length + ((2,),)
        compare(transformer, circuit, question.prompt, every_input(length))


def test_tokens_of_several_bits() -> None:
    task = make_task("modular-addition", {"modulus": 5})
    vocabulary = task.vocabulary(3)
    small = rounded_transformer(F_1, 3)
    shapes = weight_shapes(replace(small.architecture, vocabulary=vocabulary, end_token=vocabulary.index("=")))
    random = np.random.default_rng(2)
    weights = {**dict(small.named_weights())}
    weights["token_embedding"] = random.choice([-1.0, -0.5, 0.0, 0.5, 1.0], shapes["token_embedding"]).astype(
        np.float32
    )
    architecture = replace(small.architecture, vocabulary=vocabulary, end_token=vocabulary.index("="))
    transformer = weights_to_transformer(architecture, weights)
    model = Model(transformer=transformer, protocol=TaskItems(task=task, length=3, setting="base"))
    question = ask(model)
    circuit = bound(model)
    assert circuit.input_words is not None
    assert [(word.name, word.width) for word in circuit.input_words] == [("x0", 3), ("x1", 3), ("x2", 3)]
    compared, kinds = compare(transformer, circuit, question.prompt, every_input(9))
    assert compared > 100 and kinds > 1


def float_transformer(seed: int) -> Transformer:
    """Weights as training leaves them: no numbers of any small format."""
    rounded = rounded_transformer(F_1, seed)
    random = np.random.default_rng(seed)
    weights = {name: random.normal(0, 0.6, weight.shape).astype(np.float32) for name, weight in rounded.named_weights()}
    return weights_to_transformer(replace(rounded.architecture, arithmetic=None), weights)


def test_weights_are_rounded_on_demand() -> None:
    for seed in range(4):
        floats = float_transformer(seed)
        rounded = round_transformer(floats, F_1)
        assert all(fixed_point(1).holds(weight.astype(np.float64)).all() for _, weight in rounded.named_weights())
        model = task_model(floats, 5)
        with pytest.raises(EngineError, match="the model computes in floats.*\nhint: .*--precision S"):
            bound(model)
        compare(rounded, bound(model, precision=1), ask(model).prompt, every_input(5))
    layer_norm = serialformer.compile(next(iter(COMPILED.values())))
    with pytest.raises(EngineError, match="for which rounding is not defined"):
        bound(layer_norm, precision=1)


def test_a_trained_model_is_rounded(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    changes = {
        "model.norm": "none",
        "model.activation": "relu",
        "model.width": "8",
        "model.num_heads": "2",
        "model.hidden_width": "8",
        "optimiser.learning_rate": "0.02",
    }
    serialformer.train("majority", tmp_path / "trained", length=5, setting="base", steps=300, changes=changes)
    model = serialformer.load(tmp_path / "trained")
    kinds = []
    for precision in (1, 2):
        rounded = round_transformer(model.transformer, Arithmetic(precision=precision))
        compared, seen = compare(rounded, bound(model, precision=precision), ask(model).prompt, every_input(5))
        kinds.append(seen)
        assert compared == 32
    assert max(kinds) > 1, kinds


def test_parameters_reach_the_circuit() -> None:
    model = task_model(rounded_transformer(F_1, 34), 5)
    assert bound(model, method="thresholds").gates_by_kind["threshold"] > 0
    assert bound(model).depth == 312
    assert bound(model, chain=2).depth == 3 * 311 + 3
    assert bound(model, chain=2, parallel=True).depth == 314
    assert bound(model, aligned=False).depth == bound(model).depth_without_copies < bound(model).depth
    loose = evaluate_unbounded(bound(model, aligned=False), every_input(5))
    np.testing.assert_array_equal(loose, evaluate_unbounded(bound(model), every_input(5)))


def test_what_is_no_question() -> None:
    compiled = serialformer.compile(next(iter(COMPILED.values())), target="paper")
    with pytest.raises(InputError, match="length: a compiled circuit has prompts of one length"):
        bound(compiled, length=3)
    from serialformer.models.construct import construct

    with pytest.raises(EngineError, match="the model computes in floats"):
        bound(construct("parity", 3))
