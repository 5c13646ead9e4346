"""A stack of models against the same models trained one by one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serialformer.errors import TrainingError
from serialformer.models.load import load
from serialformer.sweeps.experiment import Surroundings
from serialformer.sweeps.run import SweepRun
from serialformer.tasks.curriculum import Curriculum
from serialformer.training.config import EvaluationConfig, ModelConfig, OptimiserConfig, TrainingConfig
from serialformer.training.loop import train
from serialformer.training.stacked import StackReport, can_stack, train_stack


def make_configs(seeds: int = 3, **fields: Any) -> list[TrainingConfig]:
    plain: dict[str, Any] = {
        "task": "modular-addition",
        "parameters": {"modulus": 3},
        "length": 5,
        "setting": "cot",
        "model": ModelConfig(num_layers=2, width=32, num_heads=2, initial_deviation=0.08),
        "optimiser": OptimiserConfig(
            num_steps=12, batch_size=16, warmup_steps=5, weight_decay=0.01, position_rate=0.5, clip_norm=0.2
        ),
        "curriculum": Curriculum(name="neutral", start=0.5, num_steps=8),
        "evaluation": EvaluationConfig(
            every=6, num_samples=64, num_generated=8, num_final_samples=64, num_final_generated=8, target=None
        ),
    }
    return [TrainingConfig(**(plain | fields), seed=seed) for seed in range(seeds)]


MUON = OptimiserConfig(
    num_steps=12, batch_size=16, warmup_steps=5, weight_decay=0.01, method="muon", learning_rate=2e-3, matrix_rate=3e-3
)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"setting": "base", "hinted_steps": 4, "task": "parity", "parameters": {}},
        {"optimiser": MUON},
        {"task": "iterated-squaring", "parameters": {"bound": 20}, "curriculum": None},
    ],
    ids=["adamw", "hinted", "muon", "lengths"],
)
def test_every_model_is_what_it_becomes_alone(tmp_path: Path, fields: dict[str, Any]) -> None:
    in_process = "optimiser" in fields
    configs = make_configs(**fields)
    reports: list[StackReport] = []
    directories = [tmp_path / f"stacked{config.seed}" for config in configs]
    assert train_stack(configs, directories, in_process=in_process, progress=reports.append) == 3
    # A span of steps ends at each evaluation.
    assert [report.step for report in reports] == [6, 12]
    for config, directory in zip(configs, directories, strict=True):
        alone = train(config, tmp_path / f"alone{config.seed}")
        stacked = load(directory)
        for (name, ours), (_, theirs) in zip(
            stacked.transformer.named_weights(), alone.model.transformer.named_weights(), strict=True
        ):
            # Muon makes as much of the smallest gradient as of the largest, and so of its rounding.
            assert np.allclose(ours, theirs, atol=2e-4 if config.optimiser.method == "adamw" else 2e-3), name
        assert stacked.provenance.steps == 12


def test_a_sweep_reads_what_a_stack_has_trained(tmp_path: Path) -> None:
    (config,) = make_configs(seeds=1)
    train_stack([config], [tmp_path / "run"])
    (row,) = SweepRun(config=config).carry_out(Surroundings(directory=tmp_path / "run"))
    assert row.steps == 12 and row.samples == 64 and row.status == "done"


def test_models_leave_the_stack_at_their_target(tmp_path: Path) -> None:
    optimiser = OptimiserConfig(num_steps=400, batch_size=32, learning_rate=5e-3, warmup_steps=20)
    evaluation = EvaluationConfig(every=40, num_samples=128, num_final_samples=256, num_final_generated=16, target=0.99)
    configs = make_configs(optimiser=optimiser, curriculum=None, evaluation=evaluation)
    reports: list[StackReport] = []
    directories = [tmp_path / f"{config.seed}" for config in configs]
    assert train_stack(configs, directories, progress=reports.append) == 3
    steps = [load(directory).provenance.steps for directory in directories]
    assert min(steps) < 400 and reports[-1].step == max(steps)
    for config, directory, step in zip(configs, directories, steps, strict=True):
        result = train(config, directory, resume=True)
        assert result.steps == step and result.reached_target == (step < 400 or result.reached_target)
    # One that left first did not change those that stayed: seed by seed, as alone.
    alone = train(configs[steps.index(max(steps))], tmp_path / "alone")
    assert abs(alone.steps - max(steps)) <= 40


def test_nothing_is_left_of_models_that_did_not_end(tmp_path: Path) -> None:
    assert train_stack(make_configs(), [tmp_path / f"{seed}" for seed in range(3)], stop=lambda: True) == 0
    assert not list(tmp_path.iterdir())


def test_refusals(tmp_path: Path) -> None:
    one, two, three = make_configs()
    assert can_stack([one, two, three])
    for wrong in ([one, replace(two, length=6)], [replace(one, shortest=2)]):
        assert not can_stack(wrong)
        with pytest.raises(TrainingError, match="differ in their seeds only"):
            train_stack(wrong, [tmp_path / "a", tmp_path / "b"][: len(wrong)])
