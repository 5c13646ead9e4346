"""Tasks without a chain, as models: weights that are proven, scored as predicted, and saved."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

import serialformer
from serialformer.constructions.task_depth import (
    default_method,
    expected_accuracy,
    num_layers_needed,
    shallow_answers,
)
from serialformer.errors import CompileError, InputError
from serialformer.models.ground_truth import ground_truth
from serialformer.tasks.registry import make_task
from tests.effort import pairs

CASES: list[tuple[str, dict[str, int | str | float], int]] = [
    ("parity", {}, 12),
    ("majority", {}, 10),
    ("modular-addition", {}, 9),
    ("word-problem", {"group": "S4"}, 6),
    ("permutation-composition", {"format": "token", "degree": 4}, 5),
    ("permutation-composition", {}, 7),
    ("permutation-composition", {"format": "symbols", "degree": 3}, 4),
    ("iterated-squaring", {"bound": 60}, 3),
    ("automaton", {}, 9),
    ("automaton", {"accepting": "0,2"}, 7),
    ("circuit-value", {}, 6),
    ("circuit-value", {"constants": 0.0}, 5),
]


@pytest.mark.parametrize(("case", "dtype"), pairs(CASES, ["float32", "bfloat16"]))
def test_all_answers_are_right_with_enough_layers(
    case: tuple[str, dict[str, int | str | float], int], dtype: str
) -> None:
    name, parameters, length = case
    model = serialformer.construct(make_task(name, parameters), length, setting="base", dtype=dtype)
    assert model.certificate is not None
    assert model.certificate.holds
    assert len(model.transformer.layers) == num_layers_needed(model.task, length, default_method(model.task, None))
    score = serialformer.evaluate(model, num_samples=60, engine="dense").score
    assert score.generated_answers == score.answers == 60


@pytest.mark.parametrize(
    ("name", "length", "depth"),
    [("automaton", 12, 2), ("permutation-composition", 5, 3), ("word-problem", 5, 2), ("majority", 9, 3)],
)
def test_with_fewer_layers_it_is_right_as_often_as_predicted(name: str, length: int, depth: int) -> None:
    model = serialformer.construct(name, length, setting="base", depth=depth)
    assert model.certificate is not None
    assert "for what the last" in model.certificate.prompts
    score = serialformer.evaluate(model, num_samples=400, engine="dense").score
    low, high = score.intervals["generated_answer_accuracy"]
    assert low - 0.03 <= expected_accuracy(model.task, length, depth) <= high + 0.03


@pytest.mark.parametrize(("bound", "depths"), [(20, range(2, 11)), (200, (3,))])
def test_squarings_at_every_depth(bound: int, depths: Iterable[int]) -> None:
    """With three layers, where two of them write one field and none clears it, all squarings hold as with others."""
    task = make_task("iterated-squaring", {"bound": bound})
    square, end = task.vocabulary(8).index("^2"), task.end_token(8)
    pairs = task.sample(np.random.default_rng(9), 8, 40).prompts[:, :2].tolist()
    for depth in depths:
        model = serialformer.construct(task, 8, setting="base", depth=depth)
        assert model.certificate is not None and model.certificate.holds
        for count in (1, 2, 3, 8):
            prompts = np.array([[*pair, *[square] * count, end] for pair in pairs])
            made = model.engine("dense").generate(prompts, 1)[:, 0].tolist()
            assert made == [pow(residue, 2 ** min(count, depth - 1), prime) for prime, residue in pairs]


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_circuits_are_answered_as_so_many_rounds_say(depth: int) -> None:
    model = serialformer.construct("circuit-value", 8, setting="base", depth=depth)
    examples = model.task.sample(np.random.default_rng(5), 8, 40)
    made = model.engine("dense").generate(examples.prompts, 1)[:, 0]
    assert np.array_equal(made, shallow_answers(model.task, examples.prompts, 8, depth))


def test_more_names_of_positions_than_pairs_are_gone_through() -> None:
    """2,101 names are over four million pairs."""
    model = serialformer.construct("parity", 2_100, setting="base", depth=2)
    assert model.certificate is not None and model.certificate.holds


def test_transformers_gives_the_same_answers() -> None:
    pytest.importorskip("transformers", reason="the extra torch is not installed")
    for name, length in (("word-problem", 4), ("circuit-value", 5), ("majority", 33)):
        model = serialformer.construct(name, length, setting="base", dtype="bfloat16")
        examples = model.task.sample(np.random.default_rng(6), length, 30)
        assert np.array_equal(model.engine("hf").generate(examples.prompts, 1), examples.answers)


def test_saved_loaded_and_certified(tmp_path: Path) -> None:
    serialformer.construct("automaton", 6, setting="base", depth=2).save(tmp_path / "model")
    model = serialformer.load(tmp_path / "model")
    assert (model.setting, model.length, len(model.transformer.layers)) == ("base", 6, 2)
    certificate = serialformer.certify(model)
    assert certificate.holds
    assert certificate.prompts == "all words of 6 letters, for what the last 3 come to"
    assert model.run("a b a b b a").answer == ("q2",)


@pytest.mark.parametrize(("name", "length"), [("majority", 21), ("parity", 30), ("modular-addition", 8)])
def test_sums_are_made_in_one_layer(name: str, length: int, tmp_path: Path) -> None:
    serialformer.construct(name, length, setting="base", by="counting").save(tmp_path / "model")
    model = serialformer.load(tmp_path / "model")
    assert len(model.transformer.layers) == 1
    assert serialformer.certify(model).prompts == f"all words of {length} {model.task.items}"
    score = serialformer.evaluate(model, num_samples=200, engine="dense").score
    assert score.generated_answers == 200
    assert serialformer.construct(name, 4, setting="base", by="doubling").transformer.architecture.num_layers == 3


def test_a_model_that_counts_has_names_and_no_truth_of_single_reads() -> None:
    model = serialformer.construct("majority", 4, setting="base")
    names = model.provenance.names
    assert names is not None and names.heads == (("sum",),)
    assert [part.name for part in names.units[0][:2]] == ["sum is 3 or more", "sum is below 3"]
    assert serialformer.info(model)["hidden_units"] == 2
    with pytest.raises(InputError, match="counts over all positions"):
        ground_truth(model, model.run("1 1 0 1"))


def test_an_altered_weight_is_found() -> None:
    from serialformer.constructions.task_depth import task_depth_construction
    from serialformer.models.lower import certify_weights, construction_to_placement
    from serialformer.transformer.transformer import weights_to_transformer

    model = serialformer.construct("circuit-value", 5, setting="base", depth=3)
    weights = dict(model.transformer.named_weights())
    weights["layers.1.mlp_out_weight"] = -weights["layers.1.mlp_out_weight"]
    altered = weights_to_transformer(model.transformer.architecture, weights)
    construction = task_depth_construction(model.task, 5, 3)
    assert not certify_weights(altered, construction_to_placement(construction, altered.architecture)).holds


def test_what_is_refused() -> None:
    with pytest.raises(CompileError, match="a depth .* requires the setting base"):
        serialformer.construct("parity", 4, depth=2)
    with pytest.raises(CompileError, match="no construction for the setting 'hint'"):
        serialformer.construct("parity", 4, setting="hint")
    with pytest.raises(CompileError, match="a way to make sums .* requires the setting base"):
        serialformer.construct("parity", 4, by="counting")
    with pytest.raises(CompileError, match="one layer cannot count so far in float32"):
        serialformer.construct("parity", 200, setting="base", by="counting")
    with pytest.raises(CompileError, match="counting takes one layer, not 2"):
        serialformer.construct("parity", 4, setting="base", by="counting", depth=2)
