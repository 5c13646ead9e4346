"""Configurations: from and to JSON, from text, and what they refuse."""

from __future__ import annotations

import json
from typing import Any

import pytest

from serialformer.errors import SerialformerError, TrainingError
from serialformer.tasks.curriculum import Curriculum
from serialformer.tasks.registry import TASKS
from serialformer.training.config import EvaluationConfig, ModelConfig, OptimiserConfig, TrainingConfig
from serialformer.training.presets import PRESETS, make_config


def some_config(**fields: Any) -> TrainingConfig:
    return TrainingConfig(**{"task": "modular-addition", "length": 4, "setting": "cot", **fields})


def test_json_and_back() -> None:
    config = some_config(
        parameters={"modulus": 5},
        curriculum=Curriculum(name="neutral", start=0.5, num_steps=10),
        model=ModelConfig(hidden_width=7, norm="none", activation="relu", position_deviation=0.1),
        optimiser=OptimiserConfig(clip_norm=None, betas=(0.5, 0.75), precision="bfloat16"),
        evaluation=EvaluationConfig(target=None),
        initial="00ff",
    )
    assert TrainingConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_a_later_field_is_written_only_if_it_is_used() -> None:
    """So the configurations of runs that were made without it stay what they were, and so do their ids."""
    config = some_config()
    assert "position_rate" not in config.to_json()["optimiser"]
    assert TrainingConfig.from_json(config.to_json()).optimiser.position_rate == 1.0
    slow = config.with_values({"optimiser.position_rate": "0.1"})
    assert slow.to_json()["optimiser"]["position_rate"] == 0.1
    assert TrainingConfig.from_json(slow.to_json()) == slow
    with pytest.raises(TrainingError, match="position_rate"):
        config.with_values({"optimiser.position_rate": "-1"})


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("setting", ["base", "cot", "hint"])
@pytest.mark.parametrize("task", TASKS)
def test_presets_are_configurations(task: str, setting: str, preset: str) -> None:
    config = make_config(task, length=6, setting=setting, preset=preset, num_layers=2, seed=3)
    assert TrainingConfig.from_json(config.to_json()) == config
    assert config.model.num_layers == config.architecture().num_layers == 2
    assert config.seed == 3 and config.setting == setting


def test_one_layer_has_a_head_for_every_gate_that_it_must_read() -> None:
    few = make_config("circuit-value", length=16, setting="cot")
    assert few.model.num_heads == 16 and few.curriculum is None
    many = make_config("circuit-value", length=32, setting="cot")
    assert many.model.num_heads == 36 and many.model.width == 8 * 36
    assert many.curriculum is not None and many.curriculum.name == "newest"
    assert many.curriculum.value(many.optimiser.num_steps // 2) == 0.0 < many.curriculum.value(1)


def test_the_papers_preset_is_the_papers() -> None:
    config = make_config("iterated-squaring", length=8, setting="cot", preset="paper")
    assert (config.model.width, config.model.num_heads) == (512, 8)
    optimiser = config.optimiser
    assert (optimiser.num_steps, optimiser.batch_size, optimiser.betas) == (10**6, 64, (0.9, 0.95))
    assert [optimiser.rate(step) for step in (0, 2000, 10**6 - 1)] == [1e-6, 1e-5, 1e-5]
    assert (optimiser.weight_decay, optimiser.clip_norm, config.curriculum) == (0, 1, None)
    with pytest.raises(TrainingError, match="no preset 'papers'\nhint: one of default, paper"):
        make_config("parity", length=4, setting="cot", preset="papers")


def test_values_from_text() -> None:
    config = some_config().with_values(
        {
            "model.width": "64",
            "model.norm": "none",
            "optimiser.learning_rate": "1e-3",
            "optimiser.betas": "0.9, 0.95",
            "optimiser.clip_norm": "none",
            "evaluation.pointers": "true",
            "curriculum.name": "neutral",
            "curriculum.start": "1",
            "curriculum.num_steps": "20",
        }
    )
    assert config.model.norm == "none"
    assert config.model.width == 64 and config.optimiser.learning_rate == 1e-3
    assert config.optimiser.betas == (0.9, 0.95) and config.optimiser.clip_norm is None
    assert config.evaluation.pointers is True
    assert config.curriculum == Curriculum(name="neutral", start=1.0, num_steps=20)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"model.widht": "64", "seed": "x"},
            "seed must be int, found 'x'; unknown key model.widht .did you mean model.width..",
        ),
        ({"model": "3"}, "model. must be an object, found 3"),
        ({"model.width.x": "3"}, "no field 'model.width.x'\nhint: such as model.width"),
        ({"model.width": "30"}, "model.width must be a multiple of 4 heads, found 30"),
        ({"optimiser.num_steps": "0", "seed": "-1"}, "num_steps must be at least 1, found 0; seed must be 0 or more"),
        ({"optimiser.betas": "0.9"}, "optimiser.betas must be 2 numbers, found 0.9"),
        ({"optimiser.betas": "0.9,1"}, r"optimiser.betas\[1\] must be from 0 to below 1, found 1.0"),
        ({"evaluation.target": "1.5"}, "evaluation.target must be from 0 to 1, found 1.5"),
        ({"model.activation": "tanh"}, "model.activation must be relu or gelu_new or silu, found 'tanh'"),
        ({"model.width": "100000", "model.num_layers": "50"}, "model must be at most .* weights"),
        (
            {"curriculum.name": "nothing", "curriculum.start": "1", "curriculum.num_steps": "2"},
            "no curriculum 'nothing'",
        ),
        ({"curriculum.name": "neutral"}, "curriculum.start is missing; curriculum.num_steps is missing"),
        ({"length": "0"}, "expected a length of at least"),
        ({"shortest": "0"}, "shortest must be from 1 to the length, 4, found 0"),
        ({"shortest": "5"}, "shortest must be from 1 to the length, 4, found 5"),
        ({"max_length": "3"}, "max_length must be at least the length, 4, found 3"),
        ({"setting": "cots"}, "no setting 'cots'"),
        ({"task": "addition"}, "no task 'addition'"),
    ],
)
def test_refusals(values: dict[str, str], message: str) -> None:
    with pytest.raises(SerialformerError, match=message):
        some_config().with_values(values)


def test_hinted_steps_are_for_models_without_a_chain_and_shrink_with_the_run() -> None:
    config = TrainingConfig(task="parity", length=8, setting="base", hinted_steps=1500)
    assert config.with_steps(1000, scaled=True).hinted_steps == 500
    assert config.with_steps(1000, scaled=False).hinted_steps == 1500
    assert "hinted_steps" not in TrainingConfig(task="parity", length=8, setting="base").to_json()
    with pytest.raises(TrainingError, match="without a chain"):
        TrainingConfig(task="parity", length=8, setting="cot", hinted_steps=1)


def test_aligned_needs_a_task_that_aligns() -> None:
    with pytest.raises(TrainingError, match="the chain does not go along with the prompt\nhint: --setting cot"):
        TrainingConfig(task="arithmetic-expression", length=3, setting="aligned")


def test_learning_rates() -> None:
    config = OptimiserConfig(
        num_steps=100, warmup_steps=10, decay_fraction=0.2, learning_rate=1.0, first_rate=0.5, final_rate=0.25
    )
    rates = [config.rate(step) for step in range(100)]
    assert rates[0] == 0.5 and rates[10:81] == [1.0] * 71
    assert rates[:11] == sorted(rates[:11]) and rates[80:] == sorted(rates[80:], reverse=True)
    assert rates[90] == pytest.approx(0.625) and rates[99] == pytest.approx(0.2875)
    assert {OptimiserConfig(num_steps=5, warmup_steps=0, decay_fraction=0.0).rate(step) for step in range(5)} == {3e-3}
